//! What one run of a script is given.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ActionLimits, Program, SieveOutcome, Spam, Verdict};
use crate::message::{Message, Overlay};

/// On whose behalf a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The site: verdict, source, system and destination scripts.
    System,
    /// A domain, head of household, user or group.
    #[default]
    User,
}

/// The envelope as this recipient's script sees it.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    /// Sender; empty for the null sender.
    pub from: String,
    /// The recipient that the script runs for.
    pub to: String,
    /// The authenticated identity.
    pub auth: Option<String>,
    /// `NOTIFY` values of the recipient.
    pub notify: Vec<String>,
    /// `ORCPT` of the recipient.
    pub orcpt: Option<String>,
    /// `RET`: FULL or HDRS.
    pub ret: Option<String>,
    /// `ENVID`.
    pub envid: Option<String>,
    /// Deliver-By time, seconds from now.
    pub by_time: Option<i64>,
    /// Deliver-By mode: `notify` or `return`.
    pub by_mode: Option<String>,
    /// Deliver-By trace.
    pub by_trace: bool,
    /// Conversion tags before any script ran.
    pub conversion_tags: Vec<String>,
}

/// One run of a script on a message.
#[derive(Debug, Clone)]
pub struct Request {
    /// The program.
    pub script: Arc<Program>,
    /// The message.
    pub message: Arc<Message>,
    /// Its header as scripts before this one left it.
    pub headers: Option<Arc<Overlay>>,
    /// The envelope.
    pub envelope: Envelope,
    /// On whose behalf.
    pub level: Level,
    /// Limits of actions.
    pub limits: ActionLimits,
    /// The owner's address.
    pub owner: String,
    /// Other addresses of the owner that count as theirs (vacation).
    pub addresses: Vec<String>,
    /// Items of the `environment` test, names in lower case.
    pub environment: BTreeMap<String, String>,
    /// Score of the spam filters, as scripts before this one left it.
    pub spam: Spam,
    /// `virustest` value 0 to 5; `None` where not tested.
    pub virus: Option<u8>,
    /// The last explicit action of the scripts before this one.
    pub last_verdict: Option<Verdict>,
    /// What separates user and detail in a local part.
    pub subaddress: char,
    /// The local time zone, minutes east of UTC.
    pub zone: i32,
    /// Schemes of notification methods, in lower case.
    pub notify_methods: Vec<String>,
    /// `SIEVE_REDIRECT_ADD_RESENT`.
    pub redirect_add_resent: bool,
}

impl Request {
    /// Goes on where the script of the level before ended: its header, message, scores and verdict.
    pub fn follow(&mut self, before: &SieveOutcome) {
        self.headers = before.headers.clone();
        self.message = Arc::clone(&before.message);
        self.spam = before.spam.clone();
        self.virus = before.virus;
        self.last_verdict = before.last_verdict;
    }

    /// A run at user level with the usual settings.
    pub fn new(script: Arc<Program>, message: Arc<Message>, envelope: Envelope) -> Self {
        Request {
            script,
            message,
            headers: None,
            owner: envelope.to.clone(),
            envelope,
            level: Level::User,
            limits: ActionLimits::default(),
            addresses: Vec::new(),
            environment: BTreeMap::new(),
            spam: Spam::default(),
            virus: None,
            last_verdict: None,
            subaddress: '+',
            zone: 0,
            notify_methods: vec!["mailto".to_owned()],
            redirect_add_resent: true,
        }
    }
}
