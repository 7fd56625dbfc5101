//! The running server: what its parts share, how it starts and stops, how its policy is swapped.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use policy::Facts;
use policy::site::{LoadError, Site};
use rustls::pki_types::CertificateDer;
use store::disk::RealDisk;
use store::envelope::{Envelope, Time};
use store::memory::Memory;
use store::spool::log::{Options as SpoolOptions, Recovery, SegmentSpool};
use store::spool::{Spool, SpoolError};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::access::SessionFacts;
use crate::callout::{Callouts, Drivers};
use crate::configuration::{self, Configuration, Layout};
use crate::directory::{self, Directory};
use crate::dns::{DnsError, Resolver};
use crate::evaluate::Evaluator;
use crate::explain::Ring;
use crate::files::{close_to_others, make_private};
use crate::filter::UserScripts;
use crate::journal::Journal;
use crate::metermaid::settings::{ClientSettings, Remote, Settings};
use crate::queue::Scheduler;
use crate::sasl::AuthFailures;
use crate::tls::{KeyPair, TlsError, TlsWarning};
use crate::transaction::{Collected, Decider, Enqueue, OwnMessage, Queued, Transaction, enqueue};

/// Password verifications at once: each takes a core for some 20 milliseconds.
const VERIFICATIONS: usize = 2;

/// Seconds since 1970.
pub fn now() -> Time {
    jiff::Timestamp::now().as_second()
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration does not load.
    #[error("the configuration does not load")]
    Configuration(Box<LoadError>),
    /// The user file does not load.
    #[error(transparent)]
    Directory(#[from] directory::LoadError),
    /// The queue cannot be opened.
    #[error("the queue in {path} cannot be opened: {error}")]
    Spool {
        /// Its folder.
        path: String,
        /// Why.
        error: SpoolError,
    },
    /// A file or folder.
    #[error("{path}: {error}")]
    Io {
        /// What.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A port.
    #[error("cannot listen on {address}: {error}; another program may use the port")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        error: std::io::Error,
    },
    /// An interface address.
    #[error("{address} is not an IP address to listen on")]
    Address {
        /// What was written.
        address: String,
    },
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Counts since the start, for `sluice status`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sessions opened.
    pub sessions: AtomicU64,
    /// Sessions refused because the service was full.
    pub full: AtomicU64,
    /// Messages accepted.
    pub accepted: AtomicU64,
    /// Recipients refused.
    pub refused: AtomicU64,
    /// Messages that could not be queued.
    pub queue_errors: AtomicU64,
    /// The eight counters of the site, which Sieve's `adjustcounter` changes.
    pub site: [AtomicI64; 8],
}

/// What the parts of a running server share.
pub struct Server {
    /// The folders of the site.
    pub layout: Layout,
    /// The configuration in force.
    pub configuration: Arc<ArcSwap<Configuration>>,
    /// The users in force.
    pub directory: Arc<ArcSwap<Directory>>,
    /// The callout drivers.
    pub drivers: Arc<Drivers>,
    /// The queue on stable storage.
    pub spool: Arc<dyn Spool>,
    /// The queue in time.
    pub scheduler: Arc<Scheduler>,
    /// The log.
    pub journal: Journal,
    /// The last sessions.
    pub ring: Arc<Ring>,
    /// TLS for servers.
    pub server_tls: ArcSwapOption<rustls::ServerConfig>,
    /// TLS for clients.
    pub client_tls: Arc<rustls::ClientConfig>,
    /// Failed logins by client address.
    pub failures: Mutex<AuthFailures>,
    /// Password verifications at once.
    pub verifications: Semaphore,
    /// What vacation and duplicate remember; `None` where it cannot be kept.
    pub memory: Option<Arc<Memory>>,
    /// The Sieve scripts of the users.
    pub user_scripts: UserScripts,
    /// Counts.
    pub counters: Counters,
    /// Becomes true when the server is to stop.
    pub stopping: watch::Sender<bool>,
    /// The MeterMaid server on board, where the site has one, and where it listens.
    pub metermaid: Option<(Arc<crate::metermaid::server::Server>, SocketAddr)>,
    metermaid_client: Mutex<ClientSettings>,
    /// The certificate chain that [`Server::server_tls`] shows.
    shown: Mutex<Vec<CertificateDer<'static>>>,
    resolvers: Mutex<HashMap<String, Arc<Resolver>>>,
}

/// A server that was started.
pub struct Running {
    /// Its shared parts.
    pub server: Arc<Server>,
    /// Where it listens: service, TLS from the first octet, address.
    pub listening: Vec<(String, bool, SocketAddr)>,
    /// What was found in the queue.
    pub recovery: Recovery,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens everything and starts the listeners and the queue runner.
    pub async fn start(layout: Layout) -> Result<Running, StartError> {
        let configuration =
            configuration::read(&layout).map_err(|e| StartError::Configuration(Box::new(e)))?;
        let directory = users(&layout)?;
        let io = |path: std::path::PathBuf| {
            move |error| StartError::Io {
                path: path.display().to_string(),
                error,
            }
        };
        for dir in [
            layout.queue(),
            layout.log(),
            layout.store(),
            layout.tls(),
            layout.root.join("run"),
        ] {
            make_private(&dir).map_err(io(dir.clone()))?;
        }
        let run = layout.root.join("run");
        close_to_others(&run).map_err(io(run))?;
        let path = layout.queue();
        // opening reads the whole queue: not on the runtime's thread
        let opened = tokio::task::spawn_blocking(move || {
            SegmentSpool::open(Arc::new(RealDisk), &path, SpoolOptions::default())
        })
        .await
        .unwrap_or(Err(SpoolError::Closed));
        let (spool, recovery) = opened.map_err(|error| StartError::Spool {
            path: layout.queue().display().to_string(),
            error,
        })?;
        let spool: Arc<dyn Spool> = Arc::new(spool);
        let configuration = Arc::new(ArcSwap::from_pointee(configuration));
        let directory = Arc::new(ArcSwap::from_pointee(directory));
        let memory = Memory::open(&layout.root.join("run").join("memory"));
        let memory = memory
            .map(Arc::new)
            .inspect_err(|e| crate::complain!("{e}; vacation replies are off"))
            .ok();
        let mut drivers = Drivers::new(Arc::clone(&directory), layout.config());
        if let Some(memory) = &memory {
            drivers = drivers.with_memory(Arc::clone(memory));
        }
        let drivers = Arc::new(drivers);
        let ring = Arc::new(Ring::default());
        let mut tasks = Vec::new();
        let mut client = configuration.load().metermaid.client.clone();
        let metermaid = start_metermaid(&configuration.load().metermaid, &mut client, &mut tasks).await?;
        drivers.set_metermaid(&client);
        let journal = Journal::start(
            &layout.log(),
            &layout.queue(),
            Arc::clone(&configuration),
            Callouts::Live(Arc::clone(&drivers)),
            Arc::clone(&spool),
            Arc::clone(&ring),
        )
        .map_err(io(layout.log()))?;
        let (pair, warnings) = own_certificate(&configuration.load(), &layout)?;
        for warning in &warnings {
            crate::complain!("warning: {warning}");
        }
        let shown = pair.chain.clone();
        let server_tls = ArcSwapOption::from(Some(crate::tls::server_config(pair)?));
        let client_tls = crate::tls::opportunistic_client()?;
        let scheduler = Scheduler::new();
        for entry in spool.entries() {
            scheduler.add(&entry, now());
        }
        let user_scripts = UserScripts::new(layout.root.join("sieve"), Arc::clone(&directory));
        let server = Arc::new(Server {
            memory,
            user_scripts,
            layout,
            configuration,
            directory,
            drivers,
            spool,
            scheduler,
            journal,
            ring,
            server_tls,
            shown: Mutex::new(shown),
            client_tls,
            failures: Mutex::new(AuthFailures::default()),
            verifications: Semaphore::new(VERIFICATIONS),
            counters: Counters::default(),
            stopping: watch::Sender::new(false),
            metermaid,
            metermaid_client: Mutex::new(client),
            resolvers: Mutex::default(),
        });
        let listening = crate::smtp::listener::listen(&server, &mut tasks).await?;
        tasks.push(tokio::spawn(crate::queue::delivery::run(Arc::clone(&server))));
        let rotating = Arc::clone(&server);
        tasks.push(tokio::spawn(async move {
            let mut stopping = rotating.stopping.subscribe();
            tokio::select! {
                () = rotating.journal.rotate_nightly() => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        }));
        tasks.push(crate::control::listen(&server).map_err(io(server.layout.control()))?);
        Ok(Running {
            server,
            listening,
            recovery,
            tasks,
        })
    }

    /// Loads the configuration, the users and the certificate again and swaps them in; what does not load changes
    /// nothing.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        let configuration =
            configuration::read(&self.layout).map_err(|e| ReloadError::Configuration(Box::new(e)))?;
        let directory = users(&self.layout)?;
        let warnings = self.reload_certificate(&configuration)?;
        self.directory.store(Arc::new(directory));
        let mut client = configuration.metermaid.client.clone();
        if let Some((_, address)) = &self.metermaid {
            use_own(&configuration.metermaid, &mut client, *address);
        }
        if client
            != *self
                .metermaid_client
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        {
            self.drivers.set_metermaid(&client);
            *self
                .metermaid_client
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = client;
        }
        self.configuration.store(Arc::new(configuration));
        Ok(Reloaded {
            configuration: self.configuration.load_full(),
            warnings,
        })
    }

    /// Shows the certificate that a configuration names from now on; one that cannot be used, or has expired,
    /// changes nothing. Sessions that are open go on with theirs.
    fn reload_certificate(&self, configuration: &Configuration) -> Result<Vec<TlsWarning>, TlsError> {
        let (pair, warnings) = own_certificate(configuration, &self.layout)?;
        let chain = pair.chain.clone();
        // says whether the key belongs to it
        let config = crate::tls::server_config(pair)?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown == chain {
            // the one that is shown, even if it has grown old; what is remembered for its clients stays
            return Ok(warnings);
        }
        for warning in &warnings {
            if let TlsWarning::Expired { path, days } = warning {
                return Err(TlsError::Expired {
                    path: path.clone(),
                    days: *days,
                });
            }
        }
        self.server_tls.store(Some(config));
        *shown = chain;
        Ok(warnings)
    }

    /// Loads the users again and swaps them in; the configuration stays as it is.
    pub fn reload_users(&self) -> Result<(), directory::LoadError> {
        self.directory.store(Arc::new(users(&self.layout)?));
        Ok(())
    }

    /// The live drivers, for every evaluation of the server.
    pub fn callouts(&self) -> Callouts {
        Callouts::Live(Arc::clone(&self.drivers))
    }

    /// A decider for mail that the server itself sends.
    pub fn decider_for(&self, configuration: &Configuration, channel: &str, envelope: &Envelope) -> Decider {
        let facts = Facts {
            now: now(),
            seed: crate::server::seed(),
        };
        let evaluator = Evaluator::new(Arc::clone(&configuration.site), self.callouts(), facts);
        let session = SessionFacts {
            channel: channel.to_string(),
            submit_type: "MAIL".into(),
            ..SessionFacts::default()
        };
        let mut decider = Decider::new(evaluator, session, false);
        let mut transaction = crate::transaction::Transaction::default();
        transaction.envelope.from = envelope.from.clone();
        decider.transaction = Some(transaction);
        decider
    }

    /// Queues a message of the server's own and tells log and scheduler of it; `by` is the channel at work. On
    /// stable storage when it returns.
    pub async fn submit(
        &self,
        site: &Site,
        mut transaction: Transaction,
        message: OwnMessage,
        by: &str,
    ) -> Result<(), SpoolError> {
        let eight_bit = message.eight_bit;
        let collected = Collected::from_own(&*self.spool, message, site.host()).await?;
        let to = Enqueue {
            spool: &*self.spool,
            site,
            now: now(),
        };
        let queued = enqueue(to, &mut transaction, collected, eight_bit).await?;
        self.queued(&queued, by);
        Ok(())
    }

    /// Tells log and scheduler of entries that are on stable storage.
    pub fn queued(&self, queued: &Queued, source_channel: &str) {
        for (id, noted) in queued.entries.iter().zip(&queued.noted) {
            let Some(entry) = self.spool.entry(*id) else {
                continue;
            };
            let name = entry.file_name();
            for (recipient, noted) in entry.recipients.iter().zip(noted) {
                let said = crate::journal::Said {
                    source_channel,
                    destination_channel: &entry.channel,
                    file_name: &name,
                    size: entry.size,
                    modifiers: &entry.envelope.modifiers,
                    filter: &noted.filter,
                    transaction_log: &noted.transaction_log,
                    ..Default::default()
                };
                let action = crate::log::record::Action::Enqueue;
                self.journal
                    .message(action, &entry.envelope, recipient, &said, Some(&entry));
            }
            self.scheduler.add(&entry, now());
        }
    }

    /// The resolver of a channel: its own name servers, or those of the system.
    ///
    /// # Errors
    /// The system's name servers are not known; the next call tries again.
    pub fn resolver(&self, nameservers: Option<&str>) -> Result<Arc<Resolver>, DnsError> {
        let key = nameservers.unwrap_or("");
        let mut resolvers = self.resolvers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = resolvers.get(key) {
            return Ok(Arc::clone(resolver));
        }
        let servers: Vec<SocketAddr> = key.split([' ', ',']).filter_map(name_server).collect();
        let resolver = match servers.is_empty() {
            true => Resolver::system()?,
            false => Resolver::with_servers(&servers),
        };
        let resolver = Arc::new(resolver);
        resolvers.insert(key.to_string(), Arc::clone(&resolver));
        Ok(resolver)
    }
}

/// What a reload put in force.
pub struct Reloaded {
    /// The configuration.
    pub configuration: Arc<Configuration>,
    /// What is wrong with the certificate and works all the same.
    pub warnings: Vec<TlsWarning>,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration does not load.
    #[error("the configuration does not load; the running one stays in force")]
    Configuration(Box<LoadError>),
    /// The user file does not load.
    #[error(transparent)]
    Directory(#[from] directory::LoadError),
    /// The certificate cannot be used.
    #[error("{0}; the certificate and the configuration in force stay")]
    Tls(#[from] TlsError),
}

impl Running {
    /// Stops: no new sessions, sessions and deliveries in hand end, the queue is closed.
    pub async fn stop(self) {
        self.server.stopping.send_replace(true);
        self.server.scheduler.close();
        if let Some((metermaid, _)) = &self.server.metermaid {
            metermaid.stop();
        }
        for task in self.tasks {
            let _ = tokio::time::timeout(std::time::Duration::from_secs(30), task).await;
        }
        self.server.journal.flush().await;
        self.server.spool.close();
        let _ = std::fs::remove_file(self.server.layout.control());
        let _ = std::fs::remove_file(self.server.layout.listening());
    }
}

/// Starts the MeterMaid server on board, where the site has one. Its tables last until the server stops.
async fn start_metermaid(
    settings: &Settings,
    client: &mut ClientSettings,
    tasks: &mut Vec<JoinHandle<()>>,
) -> Result<Option<(Arc<crate::metermaid::server::Server>, SocketAddr)>, StartError> {
    let Some(server) = settings.server.as_ref().filter(|_| settings.enabled) else {
        return Ok(None);
    };
    let wanted = SocketAddr::new(server.listen, server.port);
    let error = |error| StartError::Listen {
        address: format!("{wanted} (MeterMaid)"),
        error,
    };
    let listener = tokio::net::TcpListener::bind(wanted).await.map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    use_own(settings, client, address);
    let engine = crate::metermaid::server::Server::new(settings.make_tables(), server.secret.clone());
    tasks.push(tokio::spawn(Arc::clone(&engine).serve(listener)));
    Ok(Some((engine, address)))
}

/// A site that names no MeterMaid host asks the one on board.
fn use_own(settings: &Settings, client: &mut ClientSettings, address: SocketAddr) {
    if let (None, Some(server)) = (&client.server, &settings.server) {
        let host = match address.ip().is_unspecified() {
            true => "127.0.0.1".to_string(),
            false => address.ip().to_string(),
        };
        client.server = Some(Remote {
            host,
            port: address.port(),
            secret: server.secret.clone(),
        });
    }
}

/// The users of a site; a site without a user file has none of its own.
fn users(layout: &Layout) -> Result<Directory, directory::LoadError> {
    if !layout.users().exists()
        && let Ok(empty) = Directory::new()
    {
        return Ok(empty);
    }
    Ok(directory::load(&layout.users())?.directory)
}

/// A random seed for a message.
pub fn seed() -> u64 {
    let mut bytes = [0u8; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => jiff::Timestamp::now().as_nanosecond() as u64,
    }
}

fn name_server(text: &str) -> Option<SocketAddr> {
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|ip| SocketAddr::new(ip, 53)))
}

/// The certificate that a site shows, and its key.
fn own_certificate(
    configuration: &Configuration,
    layout: &Layout,
) -> Result<(KeyPair, Vec<TlsWarning>), TlsError> {
    let names = match configuration.site.host() {
        "" => vec!["localhost".to_string()],
        host => vec![host.to_string(), "localhost".to_string()],
    };
    configuration.tls.load(&layout.root, &layout.tls(), &names, now())
}
