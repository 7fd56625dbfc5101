//! One ManageSieve session: the protocol's requests are answered from the user's scripts.
//!
//! A session belongs to one user once AUTHENTICATE has succeeded, and sees that user's scripts alone. Scripts
//! are compiled before they are stored; all errors are told at once, as `sluice` shows them. Scripts are
//! compiled, read and written in threads where that may take its time.
//!
//! Mechanisms: SCRAM-SHA-256, and PLAIN under TLS or from 127.0.0.1 and ::1, where INTERNAL_IP has them.
//!
//! Limits: [`LOGIN_TIME`] to log in, [`IDLE_TIME`] between commands, [`REPLY_TIME`] to take a reply,
//! [`MAX_BAD_AUTH`] failed logins, [`MAX_ERROR_TEXT`]; connections are bounded by the service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use grammar::Sources;
use policy::sieve::{ActionLimits, CAPABILITIES, Options, compile};
use store::envelope::Envelope;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::protocol::{Event, Protocol, Reply, Request};
use super::scripts::{ScriptError, Scripts};
use crate::filter::options;
use crate::journal::Connection as Said;
use crate::log::describe;
use crate::log::record::{Action, Direction};
use crate::login;
use crate::sasl::{self, Exchange, Mechanism, SaslError, Step};
use crate::server::Server;
use crate::smtp::session::Peer;

/// Longest time from the greeting to the login.
pub const LOGIN_TIME: Duration = Duration::from_secs(300);

/// Longest wait for the next octets of a user who has logged in (RFC 5804 1.9 asks for 30 minutes).
pub const IDLE_TIME: Duration = Duration::from_secs(1800);

/// Longest wait for the peer to take a reply.
pub const REPLY_TIME: Duration = Duration::from_secs(300);

/// Longest TLS handshake.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(60);

/// Failed logins before the connection ends.
pub const MAX_BAD_AUTH: u32 = 3;

/// Longest text about the errors of a script, in octets.
pub const MAX_ERROR_TEXT: usize = 16 * 1024;

/// Octets read at once.
const READ_SIZE: usize = 4096;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

struct Session {
    server: Arc<Server>,
    peer: Peer,
    protocol: Protocol,
    exchange: Option<Exchange>,
    bad_auth: u32,
    tls: bool,
    /// The client is on this machine, where nobody listens between.
    own_machine: bool,
    user: Option<(String, Scripts)>,
    /// The login is due by then.
    login_by: Instant,
}

/// Serves a connection to its end. `implicit_tls`: TLS from the first octet.
pub async fn serve(server: Arc<Server>, stream: TcpStream, peer: Peer, implicit_tls: bool) {
    let _ = stream.set_nodelay(true);
    let configuration = server.configuration.load_full();
    let mut decider = server.decider_for(&configuration, "managesieve", &Envelope::default());
    let own_machine = login::is_own_machine(&mut decider, peer.client.ip()).await;
    let mut session = Session {
        server,
        peer,
        protocol: Protocol::new(),
        exchange: None,
        bad_auth: 0,
        tls: false,
        own_machine,
        user: None,
        login_by: Instant::now() + LOGIN_TIME,
    };
    let mut stream: Box<dyn Stream> = Box::new(stream);
    if implicit_tls {
        match session.handshake(stream).await {
            Some(secure) => stream = secure,
            None => return,
        }
    }
    session.capabilities();
    session.run(&mut stream).await;
    let _ = stream.shutdown().await;
}

impl Session {
    async fn run(&mut self, stream: &mut Box<dyn Stream>) {
        let mut buffer = vec![0u8; READ_SIZE];
        let mut stopping = self.server.stopping.subscribe();
        loop {
            match self.protocol.poll() {
                Event::Close => {
                    let _ = self.flush(stream).await;
                    return;
                }
                Event::Request(Request::StartTls) => {
                    if self.tls || self.server.server_tls.load().is_none() {
                        self.protocol
                            .reply(&Reply::no("TLS is active already, or not offered"));
                        continue;
                    }
                    self.protocol.reply(&Reply::ok("Begin TLS now."));
                    if self.flush(stream).await.is_none() {
                        return;
                    }
                    let plain = std::mem::replace(stream, Box::new(tokio::io::empty()));
                    match self.handshake(plain).await {
                        Some(secure) => *stream = secure,
                        None => return,
                    }
                    self.protocol.tls_established();
                    self.exchange = None;
                    self.capabilities();
                }
                Event::Request(request) => {
                    self.request(request).await;
                    // a client that asks for much must take it before it may ask for more
                    if self.flush(stream).await.is_none() {
                        return;
                    }
                }
                Event::NeedInput => {
                    if self.flush(stream).await.is_none() {
                        return;
                    }
                    let wait = match self.user {
                        Some(_) => IDLE_TIME,
                        None => self.login_by.saturating_duration_since(Instant::now()),
                    };
                    let read = tokio::select! {
                        read = tokio::time::timeout(wait, stream.read(&mut buffer)) => read,
                        _ = stopping.wait_for(|s| *s) => {
                            self.protocol.reply(&Reply::bye("the server is shutting down").code("TRYLATER"));
                            continue;
                        }
                    };
                    match read {
                        Err(_) => self.protocol.reply(&Reply::bye("timeout waiting for input")),
                        Ok(Ok(n)) if n > 0 => self.protocol.input(buffer.get(..n).unwrap_or_default()),
                        Ok(_) => return,
                    }
                }
            }
        }
    }

    /// Sends what there is to send; `None`: the connection is gone.
    async fn flush(&mut self, stream: &mut Box<dyn Stream>) -> Option<()> {
        let output = self.protocol.take_output();
        if output.is_empty() {
            return Some(());
        }
        let write = async {
            stream.write_all(&output).await?;
            stream.flush().await
        };
        tokio::time::timeout(REPLY_TIME, write).await.ok()?.ok()
    }

    async fn handshake(&mut self, stream: Box<dyn Stream>) -> Option<Box<dyn Stream>> {
        let config = self.server.server_tls.load_full()?;
        let accept = TlsAcceptor::from(config).accept(stream);
        let secure = tokio::time::timeout(HANDSHAKE_TIME, accept).await.ok()?.ok()?;
        self.tls = true;
        Some(Box::new(secure))
    }

    fn mechanisms(&self) -> sasl::Policy {
        sasl::Policy::for_layer(self.tls || self.own_machine)
    }

    fn capabilities(&mut self) {
        let product = format!("Sluice {}", env!("CARGO_PKG_VERSION"));
        // LOGIN is no standard, and those who speak it here speak PLAIN too
        let login = Mechanism::Login.name();
        let sasl: Vec<&str> = self.mechanisms().mechanisms().filter(|m| *m != login).collect();
        let limits = ActionLimits::of_site(&self.server.configuration.load().site.options);
        let redirects = limits.max_redirects.to_string();
        let methods = Options::default().notify_methods.join(" ");
        let mut lines = vec![
            ("IMPLEMENTATION", Some(product)),
            (
                "SASL",
                Some(if self.user.is_none() {
                    sasl.join(" ")
                } else {
                    String::new()
                }),
            ),
            ("SIEVE", Some(CAPABILITIES.join(" "))),
            ("NOTIFY", Some(methods)),
            ("MAXREDIRECTS", Some(redirects)),
        ];
        if !self.tls && self.user.is_none() && self.server.server_tls.load().is_some() {
            lines.push(("STARTTLS", None));
        }
        lines.push(("UNAUTHENTICATE", None));
        if let Some((uid, _)) = &self.user {
            lines.push(("OWNER", Some(uid.clone())));
        }
        lines.push(("VERSION", Some("1.0".into())));
        for (name, value) in &lines {
            match value {
                Some(value) => self.protocol.line(&[name.as_bytes(), value.as_bytes()], ""),
                None => self.protocol.line(&[name.as_bytes()], ""),
            }
        }
        let host = self.server.configuration.load().site.host().to_string();
        self.protocol.reply(&Reply::ok(format!("{host} ManageSieve")));
    }

    async fn request(&mut self, request: Request) {
        let reply = match request {
            Request::Capability => return self.capabilities(),
            Request::Authenticate { mechanism, initial } => {
                let step = self.begin_exchange(&mechanism, initial);
                return self.auth_step(step).await;
            }
            Request::AuthResponse(line) => {
                let step = match (sasl::encoding::decode_response(&line), &mut self.exchange) {
                    (Ok(message), Some(exchange)) => exchange.respond(&message),
                    (Err(error), _) => Step::Failure(error),
                    (Ok(_), None) => Step::Failure(SaslError::OutOfStep),
                };
                return self.auth_step(step).await;
            }
            // the session ends the connection's TLS step itself
            Request::StartTls => Reply::no("STARTTLS is not possible now"),
            Request::Logout => {
                self.protocol.reply(&Reply::ok("Bye."));
                return self.protocol.close();
            }
            Request::Noop(None) => Reply::ok("Done."),
            Request::Noop(Some(tag)) => Reply::ok("Done.").code_with("TAG", tag),
            Request::Unauthenticate => {
                self.user = None;
                self.login_by = Instant::now() + LOGIN_TIME;
                self.protocol.set_authenticated(false);
                Reply::ok("You are a stranger again.")
            }
            request => self.script_request(request).await,
        };
        self.protocol.reply(&reply);
    }

    async fn script_request(&mut self, request: Request) -> Reply {
        let Some((_, scripts)) = &self.user else {
            return Reply::no("log in first, with AUTHENTICATE");
        };
        let desk = Desk {
            scripts: scripts.clone(),
            options: options(ActionLimits::of_site(
                &self.server.configuration.load().site.options,
            )),
        };
        let answer = tokio::task::spawn_blocking(move || desk.answer(request)).await;
        let Ok(answer) = answer else {
            return Reply::no("the server failed on this command").code("TRYLATER");
        };
        for line in answer.lines {
            self.protocol.line(&[&line.text], line.suffix);
        }
        answer.reply
    }

    fn begin_exchange(&mut self, mechanism: &str, initial: Option<Vec<u8>>) -> Step {
        if Mechanism::parse(mechanism) == Some(Mechanism::Login) {
            return Step::Failure(SaslError::UnknownMechanism);
        }
        let initial = match initial.map(|i| sasl::encoding::decode(&i)).transpose() {
            Ok(initial) => initial,
            Err(error) => return Step::Failure(error),
        };
        let directory = self.server.directory.load_full();
        let (exchange, step) = Exchange::start(mechanism, initial.as_deref(), directory, &self.mechanisms());
        self.exchange = Some(exchange);
        step
    }

    async fn auth_step(&mut self, step: Step) {
        let step = login::settle(&self.server, step).await;
        match step {
            Step::Challenge(octets) => {
                let scram =
                    self.exchange.as_ref().and_then(Exchange::mechanism) == Some(Mechanism::ScramSha256);
                // the server's signature goes with the OK (RFC 5804 2.1), without a further round
                let end = match &mut self.exchange {
                    Some(exchange) if scram && octets.starts_with(b"v=") => Some(exchange.respond(b"")),
                    _ => None,
                };
                let text = sasl::encoding::encode(&octets);
                match end {
                    Some(Step::Success { uid, .. }) => self.logged_in(uid, Some(text)).await,
                    Some(_) => self.auth_failed(SaslError::OutOfStep).await,
                    None => self.protocol.challenge(&text),
                }
            }
            Step::Success { uid, .. } => self.logged_in(uid, None).await,
            Step::Failure(error) => self.auth_failed(error).await,
            Step::Verify(_) => self.auth_failed(SaslError::Temporary).await,
        }
    }

    async fn logged_in(&mut self, uid: String, data: Option<String>) {
        self.exchange = None;
        login::succeeded(&self.server, self.peer.client.ip());
        let folder = self.server.layout.root.join("sieve");
        let owner = uid.clone();
        let opened = tokio::task::spawn_blocking(move || Scripts::open(&folder, &owner)).await;
        let scripts = match opened {
            Ok(Ok(scripts)) => scripts,
            Ok(Err(error)) => {
                crate::notice::send(&format!("the scripts of {uid} cannot be opened: {error}"));
                return self.protocol.reply(&script_error(&error));
            }
            Err(_) => {
                return self
                    .protocol
                    .reply(&Reply::no("the scripts cannot be opened").code("TRYLATER"));
            }
        };
        self.log("Authentication successful", &uid, "OK");
        self.user = Some((uid, scripts));
        self.protocol.set_authenticated(true);
        let reply = Reply::ok("Logged in.");
        self.protocol.reply(&match data {
            Some(data) => reply.code_with("SASL", data),
            None => reply,
        });
    }

    async fn auth_failed(&mut self, error: SaslError) {
        let exchange = self.exchange.take();
        let login = login::failed(&self.server, self.peer.client.ip(), exchange, error).await;
        let reply = match error {
            SaslError::EncryptionNeeded => Reply::no(error.to_string()).code("ENCRYPT-NEEDED"),
            SaslError::UnknownMechanism => {
                Reply::no("this mechanism is not offered; use one of those that CAPABILITY lists")
            }
            // which of the two it was is not said
            SaslError::BadCredentials | SaslError::NotAuthorized => Reply::no("wrong user name or password"),
            SaslError::Temporary => Reply::no(error.to_string()).code("TRYLATER"),
            error => Reply::no(error.to_string()),
        };
        self.log(error.log_tag(), &login, &format!("NO {}", reply.text));
        self.protocol.reply(&reply);
        self.bad_auth += 1;
        if self.bad_auth >= MAX_BAD_AUTH {
            self.protocol.reply(&Reply::bye("too many failed logins"));
        }
    }

    fn log(&self, tag: &str, username: &str, diagnostic: &str) {
        let transport = describe::transport(self.peer.server, self.peer.client);
        let said = Said {
            transport: &transport,
            application: "MANAGESIEVE",
            tag,
            username,
            diagnostic,
            ..Said::default()
        };
        self.server
            .journal
            .connection(Action::Authentication, "managesieve", Direction::Inbound, &said);
    }
}

struct Line {
    text: Vec<u8>,
    suffix: &'static str,
}

struct Answer {
    lines: Vec<Line>,
    reply: Reply,
}

/// The scripts of the user at work, and the rules they have to keep.
struct Desk {
    scripts: Scripts,
    options: Options,
}

impl Desk {
    /// Answers a request about scripts; may block.
    fn answer(&self, request: Request) -> Answer {
        let scripts = &self.scripts;
        let mut lines = Vec::new();
        let done = |_| Reply::ok("Done.");
        let result = match request {
            Request::HaveSpace { name, size } => scripts.have_space(&name, size).map(done),
            Request::PutScript { name, text } => self.put(&name, &text),
            Request::CheckScript(text) => Ok(self.check("script", &text).unwrap_or_else(|e| e)),
            Request::ListScripts => scripts.list().map(|all| {
                lines.extend(all.into_iter().map(|s| Line {
                    text: s.name.into_bytes(),
                    suffix: if s.active { " ACTIVE" } else { "" },
                }));
                Reply::ok("Done.")
            }),
            Request::GetScript(name) => scripts.get(&name).map(|text| {
                lines.push(Line { text, suffix: "" });
                Reply::ok("Done.")
            }),
            Request::SetActive(name) => self.activate(&name),
            Request::DeleteScript(name) => scripts.delete(&name).map(done),
            Request::RenameScript { from, to } => scripts.rename(&from, &to).map(done),
            _ => Ok(Reply::no("this command is not possible now")),
        };
        let reply = result.unwrap_or_else(|error| script_error(&error));
        Answer { lines, reply }
    }

    fn put(&self, name: &str, text: &[u8]) -> Result<Reply, ScriptError> {
        self.scripts.have_space(name, text.len() as u64)?;
        match self.check(name, text) {
            Ok(reply) => self.scripts.put(name, text).map(|()| reply),
            Err(refused) => Ok(refused),
        }
    }

    /// A script that was stored when other rules held may no longer compile: delivery would keep all mail.
    fn activate(&self, name: &str) -> Result<Reply, ScriptError> {
        if !name.is_empty()
            && let Err(refused) = self.check(name, &self.scripts.get(name)?)
        {
            return Ok(refused);
        }
        self.scripts.set_active(name).map(|()| Reply::ok("Done."))
    }

    /// Compiles a script: what to say where it may be used, or why it may not.
    fn check(&self, name: &str, text: &[u8]) -> Result<Reply, Reply> {
        let Ok(text) = std::str::from_utf8(text) else {
            return Err(Reply::no("the script is not valid UTF-8"));
        };
        let mut sources = Sources::new();
        let file = sources.add(name, text);
        let told = |sources: &Sources, all: &[grammar::Diagnostic]| {
            let mut out = String::new();
            for (n, diagnostic) in all.iter().enumerate() {
                if out.len() > MAX_ERROR_TEXT {
                    out.push_str(&format!("and {} more", all.len() - n));
                    break;
                }
                out.push_str(diagnostic.render(sources, false).trim_end());
                out.push('\n');
            }
            out.trim_end().replace('\n', "\r\n")
        };
        match compile(&mut sources, file, &self.scripts.shelf(), &self.options) {
            Ok((_, warnings)) if warnings.is_empty() => Ok(Reply::ok("Done.")),
            Ok((_, warnings)) => Ok(Reply::ok(told(&sources, &warnings)).code("WARNINGS")),
            Err(errors) => Err(Reply::no(told(&sources, &errors))),
        }
    }
}

fn script_error(error: &ScriptError) -> Reply {
    let reply = Reply::no(error.to_string());
    match error {
        ScriptError::Name | ScriptError::Reserved => reply,
        ScriptError::Missing(_) => reply.code("NONEXISTENT"),
        ScriptError::Exists(_) => reply.code("ALREADYEXISTS"),
        ScriptError::Active(_) => reply.code("ACTIVE"),
        ScriptError::TooMany => reply.code("QUOTA/MAXSCRIPTS"),
        ScriptError::TooLarge => reply.code("QUOTA/MAXSIZE"),
        ScriptError::Full => reply.code("QUOTA"),
        // where the files are is the operator's business
        ScriptError::Io(_) => Reply::no("the scripts cannot be read or written now").code("TRYLATER"),
    }
}
