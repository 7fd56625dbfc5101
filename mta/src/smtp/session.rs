//! One SMTP session: the protocol machine's requests are answered by policy, messages are queued.
//!
//! The session owns the stream; the protocol machine sees octets only, the [`Decider`] facts only. No input
//! is read while a decision is pending, so a client that pipelines without end waits.

mod auth;
mod log;
mod message;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Zoned;
use policy::Facts;
use policy::channel::{Need, Settings};
use store::spool::EntryId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::access::SessionFacts;
use crate::configuration::Configuration;
use crate::evaluate::Evaluator;
use crate::explain::{RECORDS, Recorded};
use crate::log::record::Action;
use crate::login;
use crate::sasl::{self, Exchange};
use crate::server::{Server, now, seed};
use crate::smtp::command::{Hello, Rcpt};
use crate::smtp::protocol::{CloseReason, Event, Features, Limits, Reply, Request, Server as Protocol};
use crate::transaction::{Admission, Collector, Decider, Record, source_limit, unique_id};

/// Longest wait for the next command (COMMAND_RECEIVE_TIME).
const COMMAND_TIME: Duration = Duration::from_secs(300);

/// Longest wait for more of a message (DATA_RECEIVE_TIME).
const DATA_TIME: Duration = Duration::from_secs(300);

/// Longest wait for the peer to take a reply (STATUS_TRANSMIT_TIME).
const REPLY_TIME: Duration = Duration::from_secs(300);

/// Longest TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(60);

/// Message size where the site sets none, in octets.
const MESSAGE_LIMIT: u64 = 100 << 20;

/// Octets read at once while a message arrives.
const READ_SIZE: usize = 32 * 1024;

/// Octets read at once while commands are awaited: idle sessions are many.
const IDLE_READ_SIZE: usize = 2 * 1024;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What a session is with.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Our end.
    pub server: SocketAddr,
    /// The client's end.
    pub client: SocketAddr,
    /// Source channel of the service.
    pub channel: String,
}

struct Session {
    server: Arc<Server>,
    /// That of the transaction: a reload takes effect at EHLO or MAIL.
    configuration: Arc<Configuration>,
    protocol: Protocol,
    decider: Decider,
    peer: Peer,
    collector: Option<Collector>,
    exchange: Option<Exchange>,
    began: Instant,
    j_entries: u32,
    b_entries: u32,
    transaction_id: String,
    /// Log text of PORT_ACCESS, for the C entry.
    log_text: String,
    tls: bool,
    /// The client is on this machine, where nobody listens between.
    own_machine: bool,
    /// Queue entries of this session; the first ones, for explaining.
    entries: Vec<EntryId>,
}

/// Serves a connection to its end. `implicit_tls`: TLS from the first octet.
pub async fn serve(server: Arc<Server>, stream: TcpStream, peer: Peer, implicit_tls: bool) {
    let configuration = server.configuration.load_full();
    let facts = SessionFacts {
        server: Some((peer.server.ip().to_canonical(), peer.server.port())),
        client: Some((peer.client.ip().to_canonical(), peer.client.port())),
        protocol: "SMTP".into(),
        submit_type: "MAIL".into(),
        channel: peer.channel.clone(),
        ..SessionFacts::default()
    };
    let evaluator = Evaluator::new(
        Arc::clone(&configuration.site),
        server.callouts(),
        Facts {
            now: now(),
            seed: seed(),
        },
    );
    let decider = Decider::new(evaluator, facts, true);
    let began = Zoned::now().strftime("%d-%b-%Y %H:%M:%S").to_string();
    let limits = Limits {
        // counted by the decider, which knows the channel's limit and that of policy
        recipients: 0,
        ..Limits::default()
    };
    let mut session = Session {
        protocol: Protocol::new(limits, Features::default()),
        decider,
        peer: peer.clone(),
        collector: None,
        exchange: None,
        began: Instant::now(),
        j_entries: 0,
        b_entries: 0,
        transaction_id: String::new(),
        log_text: String::new(),
        tls: false,
        own_machine: false,
        entries: Vec::new(),
        configuration,
        server: Arc::clone(&server),
    };
    // small writes are whole replies: they must not wait for the peer's acknowledgement
    let _ = stream.set_nodelay(true);
    session.run(stream, implicit_tls).await;
    // a session that was too long to keep whole is in the ring already
    let Some(records) = session.decider.records.take() else {
        return;
    };
    server.ring.push(Recorded {
        began,
        client: peer.client.to_string(),
        records,
        entries: std::mem::take(&mut session.entries),
    });
}

impl Session {
    async fn run(&mut self, stream: TcpStream, implicit_tls: bool) {
        let mut stream: Box<dyn Stream> = Box::new(stream);
        let client = self.peer.client;
        self.decider.say(|| format!("* connection from {client}"));
        if implicit_tls {
            match self.handshake(stream).await {
                Ok(secure) => stream = secure,
                Err(why) => return self.log_no_session(Action::AttemptFailed, &why),
            }
        }
        match self.decider.connect().await {
            Admission::Refused { text, record } => {
                let line = text.replace('~', "\r\n");
                self.decider.say(|| format!("S: {line}"));
                if record {
                    self.log_no_session(Action::Refused, &text);
                }
                if !text.is_empty() {
                    let _ =
                        tokio::time::timeout(REPLY_TIME, stream.write_all(format!("{line}\r\n").as_bytes()))
                            .await;
                }
                let _ = stream.shutdown().await;
                return;
            }
            Admission::Accepted { log_text } => self.log_text = log_text,
        }
        self.log_connection(Action::Opened, "");
        if self
            .decider
            .channel()
            .is_some_and(|c| c.settings.sasl_server != Need::No)
        {
            self.own_machine = login::is_own_machine(&mut self.decider, client.ip()).await;
        }
        self.configure_protocol();
        let host = self.decider.site().host().to_string();
        let product = format!("(Sluice {})", env!("CARGO_PKG_VERSION"));
        let product = self
            .decider
            .site()
            .options
            .text("CUSTOM_VERSION_STRING", &product)
            .to_string();
        self.protocol
            .greet(Reply::new(220, None, format!("{host} -- Server ESMTP {product}")));
        let reason = self.serve_commands(&mut stream).await;
        if self.decider.transaction.is_some() && self.protocol.is_reading_message() {
            self.log_aborted(&reason);
        }
        self.log_connection(
            Action::Closed,
            if reason == "client said QUIT" { "" } else { &reason },
        );
        let _ = stream.shutdown().await;
    }

    /// Goes over to the configuration in force.
    fn refresh(&mut self) {
        let configuration = self.server.configuration.load_full();
        if Arc::ptr_eq(&configuration, &self.configuration) {
            return;
        }
        self.decider.refresh(&configuration.site);
        self.configuration = configuration;
        self.configure_protocol();
    }

    /// Features and limits as the channel in force has them; to be set again whenever that may have changed.
    fn configure_protocol(&mut self) {
        let settings = self.decider.channel().map(|c| &c.settings);
        let bad_commands = settings.and_then(|s| s.bad_command_limit);
        self.protocol
            .limit_bad_commands(bad_commands.unwrap_or(Limits::default().bad_commands));
        *self.protocol.features_mut() = self.features();
    }

    /// What AUTH may be by, on this layer.
    fn mechanisms(&self) -> sasl::Policy {
        sasl::Policy::for_layer(self.tls || self.own_machine)
    }

    fn features(&self) -> Features {
        let site = self.decider.site();
        let none = Settings::default();
        let settings = self.decider.channel().map_or(&none, |c| &c.settings);
        let tls_ready = self.server.server_tls.load().is_some();
        let (mut auth, mut auth_secure) = (Vec::new(), Vec::new());
        if settings.sasl_server != Need::No {
            auth.extend(self.mechanisms().mechanisms().map(str::to_string));
            auth_secure.extend(sasl::Policy::for_layer(true).mechanisms().map(str::to_string));
            auth_secure.retain(|m| !auth.contains(m));
        }
        Features {
            starttls: settings.tls_server != Need::No && tls_ready && !self.tls,
            auth,
            auth_secure,
            chunking: !settings.no_chunking,
            etrn: false,
            no_soliciting: None,
            size: Some(source_limit(site, settings, None).unwrap_or(MESSAGE_LIMIT)),
            ..Features::default()
        }
    }

    /// Reads, polls and answers until the session ends; says why it ended.
    async fn serve_commands(&mut self, stream: &mut Box<dyn Stream>) -> String {
        let mut buffer = vec![0u8; IDLE_READ_SIZE];
        let mut stopping = self.server.stopping.subscribe();
        loop {
            match self.protocol.poll() {
                Event::NeedInput => {
                    if let Err(reason) = self.flush(stream).await {
                        return reason;
                    }
                    let wait = if self.protocol.is_reading_message() {
                        buffer.resize(READ_SIZE, 0);
                        DATA_TIME
                    } else {
                        COMMAND_TIME
                    };
                    let read = tokio::select! {
                        read = tokio::time::timeout(wait, stream.read(&mut buffer)) => read,
                        _ = stopping.wait_for(|s| *s), if !self.protocol.is_reading_message() => {
                            let host = self.decider.site().host().to_string();
                            let bye = format!("{host} is shutting down, try again later");
                            self.protocol.shut_down(&Reply::new(421, (4, 3, 2), bye));
                            continue;
                        }
                    };
                    match read {
                        Err(_) => {
                            self.protocol
                                .shut_down(&Reply::new(421, (4, 4, 2), "timeout waiting for input"));
                        }
                        Ok(Ok(0)) => return "connection closed by the client".into(),
                        Ok(Ok(n)) => self.protocol.input(&buffer[..n]),
                        Ok(Err(error)) => return error.to_string(),
                    }
                }
                Event::NeedAnswer => return "the protocol waits for an answer that nobody gives".into(),
                Event::Flush => {
                    if let Err(reason) = self.flush(stream).await {
                        return reason;
                    }
                }
                Event::Request(request) => {
                    let reply = self.request(request).await;
                    let delay = self.decider.take_delay();
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                    self.decider.say(|| format!("S: {}", reply.summary()));
                    self.protocol.answer(reply);
                    if let Some(transaction) = &self.decider.transaction {
                        self.protocol.limit_message(transaction.size_limit);
                    }
                }
                Event::Body(bytes) => {
                    if let Some(collector) = &mut self.collector {
                        collector.push(&bytes);
                    }
                }
                Event::Notice(notice) => self.notice(notice),
                Event::StartTls => {
                    if let Err(reason) = self.flush(stream).await {
                        return reason;
                    }
                    let plain = std::mem::replace(stream, Box::new(tokio::io::empty()));
                    match self.handshake(plain).await {
                        Ok(secure) => *stream = secure,
                        Err(why) => return why,
                    }
                    // what was said in the clear is forgotten (RFC 3207 4.2)
                    self.decider.reset();
                    self.decider.facts.helo.clear();
                    self.decider.facts.esmtp = false;
                    self.decider.say(|| "* TLS is up".into());
                    self.protocol.tls_established(self.features());
                    self.configure_protocol();
                }
                Event::Close(reason) => {
                    let _ = self.flush(stream).await;
                    if reason == CloseReason::Quit {
                        self.decider.say(|| "C: QUIT".into());
                    }
                    return reason.to_string();
                }
            }
            if let Some(records) = &mut self.decider.records
                && records.len() > RECORDS
            {
                // a session without end keeps its beginning; what comes after is not recorded
                self.decider.records = Some(std::mem::take(records)).map(|mut r| {
                    r.truncate(RECORDS);
                    r.push(Record::Said("* more was said; it is not recorded".into()));
                    r
                });
                self.server.ring.push(Recorded {
                    began: "a long session".into(),
                    client: self.peer.client.to_string(),
                    records: self.decider.records.take().unwrap_or_default(),
                    entries: self.entries.clone(),
                });
                self.decider.records = None;
                self.decider.evaluator().record = None;
            }
        }
    }

    async fn flush(&mut self, stream: &mut Box<dyn Stream>) -> Result<(), String> {
        if !self.protocol.has_output() {
            return Ok(());
        }
        let output = self.protocol.take_output();
        let write = async {
            stream.write_all(&output).await?;
            stream.flush().await
        };
        match tokio::time::timeout(REPLY_TIME, write).await {
            Err(_) => Err("timeout sending a reply".into()),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// Goes over to TLS, or says why not.
    async fn handshake(&mut self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, String> {
        let config = self.server.server_tls.load_full().ok_or("TLS is not set up")?;
        let accept = TlsAcceptor::from(config).accept(stream);
        let secure = match tokio::time::timeout(HANDSHAKE_TIME, accept).await {
            Ok(Ok(secure)) => secure,
            Ok(Err(error)) => return Err(format!("TLS handshake failed: {error}")),
            Err(_) => return Err("TLS handshake failed: timeout".into()),
        };
        let description = crate::tls::describe(secure.get_ref().1).unwrap_or_default();
        self.tls = true;
        match self.decider.tls_started(description).await {
            Ok(()) => Ok(Box::new(secure)),
            Err(why) => {
                self.decider.say(|| format!("* {why}"));
                Err(why)
            }
        }
    }

    async fn request(&mut self, request: Request) -> Reply {
        match request {
            Request::Hello { hello, name } => {
                let esmtp = hello != Hello::Helo;
                self.decider
                    .say(|| format!("C: {} {name}", if esmtp { "EHLO" } else { "HELO" }));
                self.decider.reset();
                self.decider.facts.helo = name;
                self.decider.facts.esmtp = esmtp;
                self.refresh();
                Reply::new(250, None, self.decider.site().host().to_string())
            }
            Request::Mail(mail) => {
                self.decider.say(|| format!("C: MAIL FROM:<{}>", mail.from));
                self.refresh();
                self.decider.evaluator().set_facts(Facts {
                    now: now(),
                    seed: seed(),
                });
                self.transaction_id = unique_id();
                let reply = self.decider.mail(&mail, now()).await;
                if !reply.is_positive() {
                    self.log_sender_refused(&mail.from, &reply);
                }
                reply
            }
            Request::Rcpt(rcpt) => self.rcpt(rcpt).await,
            Request::Data { chunking } => {
                let reply = self.data(chunking);
                if !reply.is_positive()
                    && let Some(transaction) = self.decider.transaction.take()
                {
                    self.log_message_refused(&transaction, &reply);
                }
                reply
            }
            Request::Message(counts) => self.message(counts).await,
            Request::Rset => {
                self.decider.say(|| "C: RSET".into());
                self.decider.reset();
                self.collector = None;
                Reply::ok()
            }
            Request::Vrfy(_) => Reply::cannot_verify(),
            Request::Expn(_) => Reply::new(502, (5, 7, 1), "EXPN is disabled"),
            Request::Etrn(_) => Reply::new(459, (4, 5, 0), "ETRN is not offered"),
            Request::Private { verb, .. } => {
                Reply::new(500, (5, 5, 1), format!("Unknown command \"{verb}\" specified"))
            }
            Request::Auth { mechanism, initial } => self.auth(&mechanism, initial).await,
            Request::AuthResponse(line) => self.auth_response(&line).await,
        }
    }

    async fn rcpt(&mut self, rcpt: Rcpt) -> Reply {
        self.decider.say(|| format!("C: RCPT TO:<{}>", rcpt.to));
        let reply = self.decider.rcpt(&rcpt).await;
        if !reply.is_positive() {
            self.log_recipient_refused(&rcpt, &reply);
        }
        reply
    }
}
