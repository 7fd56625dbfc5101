//! The SMTP client: delivers messages to a next hop, over SMTP or LMTP.
//!
//! [`Connection::open`] connects to one address, reads the banner, introduces itself and, where the channel
//! wants it, starts TLS. [`Connection::send`] delivers one message and gives a result for each recipient;
//! the same connection takes further messages until it is closed. [`reach`](reach::reach) does all of it
//! for a destination: MX records, hosts in order, every address of each.
//!
//! Guarantees: every step has a time-out; memory is bounded whatever the server sends; a recipient is
//! reported delivered only after the server said so; an address can never carry a second command, and
//! content can never end the message early. With PIPELINING the envelope is one write and the content with
//! its dot another (one more for every [`stuffing::WINDOW`] of content, one for every [`ENVELOPE_WINDOW`] of
//! envelope).
//!
//! Refuses: replies that are not well formed ([`reply`]), addresses with control characters or stray angle
//! brackets, anything a server says between its answer to STARTTLS and the handshake.
//!
//! Not here: AUTH, BDAT, XCLIENT, MTA-STS and DANE.
//!
//! Source: queue specification 9, 10, 11; RFC 5321, 1870, 2033, 2920, 3207, 3461, 6152, 6531, 6710.

pub mod convert;
mod envelope;
pub mod error;
pub mod guard;
pub mod options;
pub mod reach;
pub mod reply;
pub mod stuffing;
mod transaction;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use store::envelope::Failure;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub use envelope::{Outgoing, OutgoingRecipient};
pub use error::{Cause, ClientError};
pub use guard::{Guard, Unguarded};
pub use options::{ClientOptions, EightBit, Hello, Protocol, Timeouts, Tls};
pub use reply::Reply;
pub use transaction::{Again, ENVELOPE_WINDOW, RecipientOutcome, SendOutcome};

use guard::Secured;
use wire::Wire;

use crate::log::describe::{self, ReplyType};

/// One address of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host's name, or the literal; for TLS, logs and notifications.
    pub host: String,
    /// Where to connect to.
    pub address: SocketAddr,
}

/// What a server offered in its answer to EHLO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// PIPELINING.
    pub pipelining: bool,
    /// SIZE; `Some(0)`, no limit stated.
    pub size: Option<u64>,
    /// 8BITMIME.
    pub eight_bit: bool,
    /// SMTPUTF8.
    pub utf8: bool,
    /// DSN.
    pub dsn: bool,
    /// STARTTLS.
    pub start_tls: bool,
    /// MT-PRIORITY.
    pub priority: bool,
    /// Mark of XLOOP.
    pub loop_mark: Option<String>,
}

impl Offers {
    fn read(reply: &Reply) -> Offers {
        let mut offers = Offers::default();
        for line in reply.lines.iter().skip(1) {
            let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => offers.pipelining = true,
                "SIZE" => offers.size = Some(value.trim().parse().unwrap_or(0)),
                "8BITMIME" => offers.eight_bit = true,
                "SMTPUTF8" => offers.utf8 = true,
                "DSN" => offers.dsn = true,
                "STARTTLS" => offers.start_tls = true,
                "MT-PRIORITY" => offers.priority = true,
                "XLOOP" => offers.loop_mark = Some(value.trim().to_string()),
                _ => {}
            }
        }
        offers
    }
}

/// Where a connection stands between messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// MAIL may come next.
    Ready,
    /// A transaction was abandoned: RSET before MAIL.
    NeedsReset,
    /// No use any more; also during a message, so that one that is dropped half way is never reused.
    Broken,
}

/// An open session with a server.
pub struct Connection {
    wire: Wire,
    target: Target,
    options: Arc<ClientOptions>,
    transport: String,
    /// This side's address and the other's.
    ends: Option<(SocketAddr, SocketAddr)>,
    banner: String,
    offers: Offers,
    state: State,
    transactions: u32,
    /// What an operator should know about how the session came about.
    notes: Vec<String>,
    output: Vec<u8>,
}

/// What has been found out by failed attempts at the same address.
#[derive(Default)]
struct Learnt {
    no_ehlo: bool,
    no_tls: bool,
    notes: Vec<String>,
}

/// Why an attempt failed, and whether a humbler one is due.
enum Attempt {
    Final(Cause),
    /// EHLO made the server drop the connection.
    RetryWithHelo,
    /// The handshake failed and TLS is optional.
    RetryWithoutTls(String),
}

impl From<Cause> for Attempt {
    fn from(cause: Cause) -> Attempt {
        Attempt::Final(cause)
    }
}

impl Connection {
    /// Connects to one address and gets as far as MAIL could be sent.
    ///
    /// A server that drops the connection at EHLO is tried once more with HELO; one whose TLS handshake
    /// fails, once more without TLS where TLS is optional, which [`Connection::log_diagnostic`] then says.
    ///
    /// # Errors
    /// [`ClientError`]: no connection, a refusal in the banner or after EHLO, a loop, or no TLS where it is
    /// required.
    pub async fn open(
        target: &Target,
        options: &Arc<ClientOptions>,
        guard: &mut impl Guard,
    ) -> Result<Connection, ClientError> {
        let mut learnt = Learnt::default();
        loop {
            let stream = connect(target, options).await.map_err(|cause| ClientError {
                host: target.host.clone(),
                transport: String::new(),
                banner: String::new(),
                cause,
            })?;
            let ends = stream.local_addr().ok().zip(stream.peer_addr().ok());
            let mut connection = Connection {
                transport: ends.map_or_else(String::new, |(l, r)| describe::transport(l, r)),
                ends,
                wire: Wire::new(stream, options.timeouts.session),
                target: target.clone(),
                options: options.clone(),
                banner: String::new(),
                offers: Offers::default(),
                state: State::Ready,
                transactions: 0,
                notes: Vec::new(),
                output: Vec::new(),
            };
            match connection.introduce(&learnt, guard).await {
                Ok(()) => {
                    connection.notes = learnt.notes;
                    return Ok(connection);
                }
                Err(Attempt::RetryWithHelo) => learnt.no_ehlo = true,
                Err(Attempt::RetryWithoutTls(reason)) => {
                    learnt.no_tls = true;
                    learnt
                        .notes
                        .push(format!("TLS failed, continued without: {reason}"));
                }
                Err(Attempt::Final(cause)) => return Err(connection.error(cause)),
            }
        }
    }

    async fn introduce(&mut self, learnt: &Learnt, guard: &mut impl Guard) -> Result<(), Attempt> {
        let options = self.options.clone();
        let during = "the banner";
        let banner = self.wire.reply(options.timeouts.status_receive, during).await?;
        if banner.code != 220 {
            return Err(refused(banner, during).into());
        }
        self.banner = banner
            .text()
            .get(3..)
            .unwrap_or_default()
            .trim_start()
            .to_string();
        let shown = self.banner.to_ascii_lowercase();
        let extended = match options.hello {
            _ if options.protocol == Protocol::Lmtp => true,
            _ if learnt.no_ehlo => false,
            Hello::Ehlo => true,
            Hello::Helo => false,
            Hello::Check => shown.contains("esmtp"),
            Hello::Special => !shown.contains("fire away"),
        };
        self.hello(extended).await?;
        let (config, required) = match &options.tls {
            Tls::None => return Ok(()),
            Tls::May(_) if learnt.no_tls => return Ok(()),
            Tls::May(config) => (config.clone(), false),
            Tls::Must(config) => (config.clone(), true),
        };
        let refusal = if self.offers.start_tls {
            let reply = self.command("STARTTLS\r\n", "STARTTLS").await?;
            if reply.code == 220 {
                self.secure(config, required, guard).await?;
                return Ok(());
            }
            if reply.code == 421 {
                return Err(refused(reply, "STARTTLS").into());
            }
            format!("the remote host refuses it: {}", reply.text())
        } else {
            "the remote host does not offer it".to_string()
        };
        if required {
            Err(Cause::NoTls(refusal).into())
        } else {
            Ok(())
        }
    }

    /// The handshake, what the guard says of it, and EHLO again: nothing learnt before counts.
    async fn secure(
        &mut self,
        config: Arc<rustls::ClientConfig>,
        required: bool,
        guard: &mut impl Guard,
    ) -> Result<(), Attempt> {
        if self.wire.has_unread() {
            let problem = "the remote host sent data before the TLS handshake".to_string();
            return Err(Cause::BadReply {
                during: "STARTTLS",
                problem,
            }
            .into());
        }
        let bare = self.target.host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_string())
            .unwrap_or_else(|_| ServerName::from(self.target.address.ip()));
        let time = self.options.timeouts.handshake;
        if let Err(cause) = self.wire.start_tls(TlsConnector::from(config), name, time).await {
            return Err(if required {
                Cause::NoTls(format!("it failed: {cause}")).into()
            } else {
                Attempt::RetryWithoutTls(cause.to_string())
            });
        }
        let (subject, issuer) = self.wire.names();
        let session = Secured {
            ends: self.ends,
            tls: &self.wire.tls().unwrap_or_default(),
            helo: &self.options.helo,
            lmtp: self.options.protocol == Protocol::Lmtp,
            subject: &subject,
            issuer: &issuer,
        };
        match guard.tls_started(&session).await {
            Ok(()) => self.hello(true).await,
            Err(refusal) if refusal.fallback && !required => Err(Attempt::RetryWithoutTls(format!(
                "TLS_ACCESS refuses it: {}",
                refusal.text
            ))),
            Err(refusal) => Err(Cause::TlsRefused(refusal.text).into()),
        }
    }

    async fn hello(&mut self, extended: bool) -> Result<(), Attempt> {
        self.offers = Offers::default();
        let options = self.options.clone();
        let lmtp = options.protocol == Protocol::Lmtp;
        let name: String = options
            .helo
            .chars()
            .filter(|c| !c.is_control() && *c != ' ')
            .collect();
        if extended {
            let verb = if lmtp { "LHLO" } else { "EHLO" };
            let secured = self.wire.tls().is_some();
            match self.command(&format!("{verb} {name}\r\n"), "EHLO").await {
                Ok(reply) if reply.is_positive() => {
                    self.offers = Offers::read(&reply);
                    if let (Some(theirs), Some(ours)) = (&self.offers.loop_mark, &options.loop_mark)
                        && theirs == ours
                    {
                        return Err(Cause::Loop(ours.clone()).into());
                    }
                    return Ok(());
                }
                // HELO is only for servers that do not know EHLO; after TLS it would hide a downgrade.
                Ok(reply) if !reply.is_permanent() || lmtp || secured => {
                    return Err(refused(reply, "EHLO").into());
                }
                Ok(_) => {}
                Err(Cause::Closed { .. }) if !lmtp && !secured => return Err(Attempt::RetryWithHelo),
                Err(cause) => return Err(cause.into()),
            }
        }
        let reply = self.command(&format!("HELO {name}\r\n"), "HELO").await?;
        if reply.is_positive() {
            Ok(())
        } else {
            Err(refused(reply, "HELO").into())
        }
    }

    async fn command(&mut self, line: &str, during: &'static str) -> Result<Reply, Cause> {
        let timeouts = &self.options.timeouts;
        self.wire
            .write(line.as_bytes(), timeouts.command_transmit, during)
            .await?;
        self.wire.reply(timeouts.status_receive, during).await
    }

    /// Says QUIT if there is anyone to say it to, and closes.
    pub async fn quit(mut self) {
        if self.state == State::Broken {
            return;
        }
        let time = self.options.timeouts.quit;
        if self.wire.write(b"QUIT\r\n", time, "QUIT").await.is_ok() {
            // The answer changes nothing; waiting for it lets the server close first.
            let _ = self.wire.reply(time, "QUIT").await;
            self.wire.close(time).await;
        }
    }

    /// The connection can take another message.
    pub fn is_usable(&self) -> bool {
        self.state != State::Broken
    }

    /// Messages sent so far, successful or not.
    pub fn transactions(&self) -> u32 {
        self.transactions
    }

    /// Where it is connected to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// `TCP|local-ip|local-port|remote-ip|remote-port`.
    pub fn transport(&self) -> &str {
        &self.transport
    }

    /// Text of the banner, without the code.
    pub fn banner(&self) -> &str {
        &self.banner
    }

    /// What the server offers.
    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// Key bits and cipher suite, where TLS is active (see [`describe`](crate::tls::describe)).
    pub fn tls(&self) -> Option<String> {
        self.wire.tls()
    }

    /// The diagnostic of a dequeue log entry: `dns;HOST (TRANSPORT) (BANNER) (NOTE) smtp;REPLY` (logging
    /// specification 3.2; the notes are our own).
    pub fn log_diagnostic(&self, reply: &str, with_transport: bool, with_banner: bool) -> String {
        let parts = [
            with_transport.then_some(self.transport.as_str()),
            with_banner.then_some(self.banner.as_str()),
        ];
        let notes = self.notes.iter().map(String::as_str);
        let kind = match self.options.protocol {
            Protocol::Lmtp => ReplyType::Lmtp,
            Protocol::Smtp => ReplyType::Smtp,
        };
        let parts = parts.into_iter().flatten().chain(notes);
        describe::delivery_diagnostic(Some(&self.target.host), parts, kind, reply)
    }

    /// Adds what an operator should know of how the session came about; [`Connection::log_diagnostic`] says it.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    fn error(&self, cause: Cause) -> ClientError {
        ClientError {
            host: self.target.host.clone(),
            transport: self.transport.clone(),
            banner: self.banner.clone(),
            cause,
        }
    }

    fn failure(&self, status: &str, diagnostic: String) -> Failure {
        Failure {
            status: status.to_string(),
            diagnostic,
            remote: self.target.host.clone(),
            transport: self.transport.clone(),
        }
    }
}

/// A refusal, or a reply that no server should give here.
fn refused(reply: Reply, during: &'static str) -> Cause {
    if reply.is_transient() || reply.is_permanent() {
        Cause::Refused { during, reply }
    } else {
        Cause::BadReply {
            during,
            problem: format!("unexpected reply {}", reply.text()),
        }
    }
}

async fn connect(target: &Target, options: &ClientOptions) -> Result<TcpStream, Cause> {
    let fail = |error: std::io::Error| Cause::Connect {
        address: target.address,
        reason: error::plain(&error),
    };
    let socket = match target.address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(fail)?;
    match options.bind {
        Some(local) if local.is_ipv4() == target.address.is_ipv4() => {
            socket.bind(SocketAddr::new(local, 0)).map_err(fail)?;
        }
        _ => {}
    }
    match timeout(options.timeouts.connect, socket.connect(target.address)).await {
        Err(_) => Err(Cause::Connect {
            address: target.address,
            reason: "connection timed out".into(),
        }),
        Ok(Err(error)) => Err(fail(error)),
        Ok(Ok(stream)) => {
            // Each write is a complete step; waiting to fill a segment only costs time.
            stream.set_nodelay(true).map_err(fail)?;
            Ok(stream)
        }
    }
}
