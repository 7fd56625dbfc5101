//! Answers what policy asks of the outside.
//!
//! [`Callouts`] is what an evaluation is given: live drivers, canned answers (replay, tests), or drivers
//! for questions that change nothing (`sluice explain`). A question that nothing here can answer is
//! answered "not configured", which fails the entry that asked.

pub mod frame;
pub mod pipeline;
pub mod sequence;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use policy::ask::Routine;
use policy::site::Site;
use policy::{Answer, Ask, Effect, Read};
use store::memory::Memory;

use crate::callout::frame::Frame;
use crate::directory::{Directory, Status, User};
use crate::metermaid::Outcome;
use crate::metermaid::client::Client;
use crate::metermaid::conn_throttle::ConnThrottle;
use crate::metermaid::settings::{ClientSettings, Settings};

/// Addresses that `conn_throttle.so` remembers; the least recently seen gives way.
const THROTTLED_ADDRESSES: usize = 100_000;

/// Longest wait for a driver: a stop of last resort. Drivers have shorter times of their own, and it is below the
/// budget of a whole consultation.
const PATIENCE: Duration = Duration::from_secs(18);

/// Who answers.
#[derive(Debug, Clone)]
pub enum Callouts {
    /// The drivers of the running server.
    Live(Arc<Drivers>),
    /// The drivers, for questions that change nothing; effects fail.
    ReadOnly(Arc<Drivers>),
    /// Answers by the text of the question; a question that is not there fails.
    Canned(Arc<HashMap<String, Answer>>),
    /// Nobody: every question fails.
    Nobody,
}

/// The drivers and what they share.
#[derive(Debug)]
pub struct Drivers {
    directory: Arc<ArcSwap<Directory>>,
    throttle: Mutex<ConnThrottle>,
    metermaid: ArcSwap<Client>,
    /// Around MeterMaid.
    metermaid_frame: Arc<Frame>,
    started: Instant,
    /// The folder of the configuration, for files that it names.
    config: PathBuf,
    /// What duplicate tests remember, where the server keeps it.
    memory: Option<Arc<Memory>>,
}

impl Drivers {
    /// Drivers over a directory, for the configuration of a folder.
    pub fn new(directory: Arc<ArcSwap<Directory>>, config: PathBuf) -> Self {
        let throttle = Mutex::new(ConnThrottle::new(THROTTLED_ADDRESSES));
        Drivers {
            directory,
            throttle,
            metermaid: ArcSwap::from_pointee(Client::new(&Settings::default().client)),
            metermaid_frame: Frame::new(PATIENCE),
            started: Instant::now(),
            config,
            memory: None,
        }
    }

    /// With the memory that duplicate tests ask.
    pub fn with_memory(mut self, memory: Arc<Memory>) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Asks these MeterMaid servers from now on.
    pub fn set_metermaid(&self, settings: &ClientSettings) {
        self.metermaid.store(Arc::new(Client::new(settings)));
    }

    /// Counts of every frame, for `sluice status`.
    pub fn counters(&self) -> serde_json::Value {
        serde_json::json!({"metermaid": self.metermaid_frame.counters})
    }

    async fn read_routine(&self, routine: &Routine) -> Answer {
        if routine.image != "check_metermaid.so" {
            return not_configured(routine);
        }
        let call = format!("{},{}", routine.routine, routine.argument);
        let client = self.metermaid.load_full();
        let key = call.clone();
        let ask = async move { client.run(&call).await };
        self.metermaid_frame.read(&key, ask).await
    }

    /// The directory in force.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    async fn read(&self, read: &Read, site: &Site) -> Answer {
        match read {
            Read::General { key } => match site.general.get(&key.to_lowercase()) {
                Some(value) => Answer::Found(value.clone()),
                None => Answer::NotFound,
            },
            Read::DomainIsLocal { domain } => match self.directory.load().is_local_domain(domain) {
                true => Answer::Found(String::new()),
                false => Answer::NotFound,
            },
            Read::Alias { address } => match self.directory.load().find(address) {
                Some((user, sub)) => mailbox(user, sub),
                None => Answer::NotFound,
            },
            Read::DomainAttribute { domain, attribute } => {
                let known = self.directory.load().is_local_domain(domain);
                match attribute.as_str() {
                    "_domain_name_" | "_canonical_name_" if known => Answer::Found(domain.to_lowercase()),
                    _ if !known => Answer::NotFound,
                    _ => Answer::NotConfigured("the embedded directory has no domain attributes".into()),
                }
            }
            Read::Url { url } => match url.strip_prefix("data:,") {
                Some(text) => Answer::Found(text.to_string()),
                None => Answer::NotConfigured(format!("no driver for {url}")),
            },
            Read::Routine(routine) => self.read_routine(routine).await,
            Read::Mailbox { .. }
            | Read::SpecialUse { .. }
            | Read::MailboxId { .. }
            | Read::Metadata { .. } => Answer::NotConfigured("mailboxes cannot be asked for".into()),
            Read::ListMember { .. } | Read::ListExists { .. } | Read::ListMembers { .. } => {
                Answer::NotConfigured("there are no external lists".into())
            }
            Read::Duplicate { owner, handle, id } => {
                let Some(memory) = &self.memory else {
                    return Answer::NotConfigured("there is no duplicate memory".into());
                };
                match memory.seen(&duplicate_key(owner, handle, id), crate::server::now()) {
                    Ok(true) => Answer::Found(String::new()),
                    Ok(false) => Answer::NotFound,
                    Err(error) => Answer::Temporary(error.to_string()),
                }
            }
        }
    }

    async fn effect(&self, effect: &Effect) -> Answer {
        match effect {
            Effect::Routine(routine) if routine.image == "conn_throttle.so" => {
                let now = self.started.elapsed().as_millis() as u64;
                let call = format!("{},{}", routine.routine, routine.argument);
                let outcome = match self.throttle.lock() {
                    Ok(mut throttle) => throttle.run(&call, now),
                    Err(_) => Outcome::Error("the throttle table is out of order".into()),
                };
                match outcome {
                    Outcome::Success(text) => Answer::Found(text.unwrap_or_default()),
                    Outcome::Fail => Answer::NotFound,
                    Outcome::Error(why) => Answer::NotConfigured(why),
                }
            }
            Effect::Routine(routine) if routine.image == "check_metermaid.so" => {
                let call = format!("{},{}", routine.routine, routine.argument);
                let client = self.metermaid.load_full();
                self.metermaid_frame.effect(client.run(&call)).await
            }
            Effect::Routine(routine) | Effect::MeterMaidAt { routine, .. } => not_configured(routine),
            Effect::Sequence { file } => {
                let (folder, file) = (self.config.clone(), file.clone());
                let done = tokio::task::spawn_blocking(move || sequence::next_of(&folder, &file)).await;
                match done {
                    Ok(Ok(number)) => Answer::Found(number.to_string()),
                    Ok(Err(error)) => Answer::NotConfigured(error.to_string()),
                    Err(_) => Answer::Temporary("the sequence file could not be read".into()),
                }
            }
        }
    }
}

/// Where mail of a user goes, by the status of the user (directory specification): a mailbox, the hold channel,
/// nowhere for now, nowhere.
fn mailbox(user: &User, sub: Option<&str>) -> Answer {
    match user.status {
        Status::Active | Status::Overquota => {
            Answer::Found(crate::directory::delivery_address(&user.uid, sub))
        }
        Status::Hold => Answer::Found(format!("{}@hold-daemon", user.uid)),
        Status::Inactive => Answer::Temporary(format!("user {} is inactive", user.uid)),
        Status::Disabled | Status::Deleted | Status::Removed => Answer::NotFound,
    }
}

/// What an identifier is remembered by.
pub fn duplicate_key(owner: &str, handle: &str, id: &str) -> String {
    format!("duplicate\0{}\0{handle}\0{id}", owner.to_lowercase())
}

fn not_configured(routine: &Routine) -> Answer {
    Answer::NotConfigured(format!(
        "routine {} of {} is not configured",
        routine.routine, routine.image
    ))
}

impl Callouts {
    /// Answers questions, in their order.
    pub async fn perform(&self, asks: &[Ask], site: &Site) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(asks.len());
        for ask in asks {
            answers.push(match (self, ask) {
                (Callouts::Live(drivers) | Callouts::ReadOnly(drivers), Ask::Read(read)) => {
                    drivers.read(read, site).await
                }
                (Callouts::Live(drivers), Ask::Effect(effect)) => drivers.effect(effect).await,
                (Callouts::ReadOnly(_), Ask::Effect(_)) => {
                    Answer::NotConfigured("not performed: it would change something".into())
                }
                (Callouts::Canned(canned), ask) => {
                    canned.get(&ask.to_string()).cloned().unwrap_or(Answer::NotFound)
                }
                (Callouts::Nobody, _) => Answer::NotConfigured("callouts are off".into()),
            });
        }
        answers
    }

    /// The directory, where there is one.
    pub fn directory(&self) -> Option<Arc<Directory>> {
        match self {
            Callouts::Live(drivers) | Callouts::ReadOnly(drivers) => Some(drivers.directory()),
            _ => None,
        }
    }
}
