//! The server's side of SMTP, ESMTP and LMTP as a machine without input, output or clock.
//!
//! Octets from the peer go in by [`Server::input`]; [`Server::poll`] says what is next: a [`Request`] for
//! the session to answer by policy, a piece of the message, a notice, or that more input is needed. Replies
//! gather until [`Server::take_output`] takes them, so those of pipelined commands leave together.
//!
//! ```
//! use mta::smtp::protocol::{Event, Features, Limits, Reply, Server};
//!
//! let mut server = Server::new(Limits::default(), Features::default());
//! server.greet(Reply::new(220, None, "mail.example.net ESMTP"));
//! server.input(b"EHLO client.example\r\nMAIL FROM:<a@example.com>\r\n");
//! loop {
//!     match server.poll() {
//!         Event::Request(_) => server.answer(Reply::new(250, None, "mail.example.net")),
//!         Event::NeedInput => break,
//!         _ => {}
//!     }
//! }
//! assert!(server.take_output().starts_with(b"220 mail.example.net ESMTP\r\n250-mail.example.net\r\n"));
//! ```
//!
//! Guarantees: no input is consumed while a request is unanswered; one reply a command (LMTP: one a
//! recipient at the end of a message), in their order; the events do not depend on how the input was cut;
//! memory stays bounded as long as `input` is only called when [`Server::wants_input`] says so: the limits
//! of input, output and one piece of the message.
//!
//! Order of commands. MAIL and AUTH need EHLO, HELO or LHLO before them (503 5.5.1). RCPT needs MAIL, DATA
//! and BDAT need an accepted RCPT (503, or 554 if all were refused). EHLO, HELO, LHLO and RSET end a
//! transaction; so do the end of the message and a negative answer to DATA or BDAT. Once BDAT has begun,
//! MAIL, RCPT and DATA are refused (503). STARTTLS and AUTH are refused in a transaction. Parameters of
//! offered extensions are accepted after HELO too.
//!
//! BDAT is always followed by its octets, so they are consumed even when it is refused; if its size cannot
//! be read the connection is closed. Octets sent behind STARTTLS close the connection: they could come from
//! somebody in between. A line that begins with an HTTP verb closes it too.
//!
//! Source: RFC 5321, 1870, 2033, 2034, 2920, 3030, 3207, 3461, 4954, 6531; queue specification 8.

mod body;
mod dispatch;
mod event;
mod features;
mod limits;
mod reply;

pub use event::{CloseReason, Event, Notice, Request};
pub use features::Features;
pub use limits::Limits;
pub use reply::{Enhanced, REPLY_LINE, REPLY_LINES, Reply};

use std::collections::VecDeque;
use std::fmt;

use bytes::{Bytes, BytesMut};

use self::body::Incoming;
use self::limits::Counts;
use super::command::{Body, Hello};
use super::wire::{LineReader, LineStep};

/// The machine of one connection.
pub struct Server {
    limits: Limits,
    features: Features,
    input: BytesMut,
    lines: LineReader,
    output: BytesMut,
    events: VecDeque<Event>,
    state: State,
    pending: Option<Pending>,
    closing: Option<CloseReason>,
    client: Option<(Hello, String)>,
    tls: bool,
    authenticated: bool,
    /// The greeting refused service: only QUIT is served (RFC 5321 3.1).
    no_service: bool,
    /// MAIL, or a BDAT before the last, was refused: what a pipelining client sent after it is not its mistake.
    pipeline_broken: bool,
    /// An AUTH has just failed: the next line may be a password that a pipelining client sent after it.
    secrets_ahead: bool,
    transaction: Option<Transaction>,
    counts: Counts,
}

/// What the next octets are.
#[derive(Debug)]
enum State {
    /// Nothing is read before the greeting.
    Start,
    /// Command lines.
    Command,
    /// The client's next line of an AUTH exchange.
    AuthLine,
    /// The message, by DATA or BDAT.
    Body,
    /// Octets of a refused BDAT, and then its reply.
    Skip {
        left: u64,
        reply: Reply,
        /// For the log, if the command was bad.
        line: Option<String>,
    },
    /// The TLS handshake, which is not ours.
    Tls,
}

/// The request that waits for its answer.
#[derive(Debug)]
enum Pending {
    Hello(Hello, String),
    Mail { utf8: bool, binary: bool },
    Rcpt,
    Data,
    Bdat { size: u64, last: bool },
    Message,
    Rset,
    Auth,
    Other,
}

/// A mail transaction: MAIL was accepted.
#[derive(Debug)]
struct Transaction {
    utf8: bool,
    binary: bool,
    /// Recipients given, accepted or not.
    presented: u32,
    accepted: u32,
    /// Largest message that policy allows it, in octets; 0 for no limit of its own.
    size_limit: u64,
    /// The message, from the first octet to the last.
    incoming: Option<Incoming>,
}

/// Without input and output: they may hold passwords.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("state", &self.state)
            .field("client", &self.client)
            .field("tls", &self.tls)
            .field("authenticated", &self.authenticated)
            .field("closing", &self.closing)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A machine for a new connection. Call [`Server::greet`] next.
    pub fn new(limits: Limits, features: Features) -> Server {
        Server {
            limits: limits.sane(),
            features,
            input: BytesMut::new(),
            lines: LineReader::default(),
            output: BytesMut::new(),
            events: VecDeque::new(),
            state: State::Start,
            pending: None,
            closing: None,
            client: None,
            tls: false,
            authenticated: false,
            no_service: false,
            pipeline_broken: false,
            secrets_ahead: false,
            transaction: None,
            counts: Counts::default(),
        }
    }

    /// Sends the banner. A negative one that does not close leaves a session in which only QUIT is served.
    pub fn greet(&mut self, banner: Reply) {
        if matches!(self.state, State::Start) {
            self.state = State::Command;
        }
        self.no_service = !banner.is_positive();
        self.push(&banner);
    }

    /// Takes octets from the peer. Only to be called when [`Server::wants_input`] is true; what comes when
    /// the connection is closing is dropped.
    pub fn input(&mut self, octets: &[u8]) {
        if self.closing.is_some() || octets.is_empty() {
            return;
        }
        if matches!(self.state, State::Tls) {
            self.refuse_plaintext();
            return;
        }
        self.input.extend_from_slice(octets);
    }

    /// More input is useful: nothing waits for an answer, and there is room. Before the greeting it is true,
    /// so that a client that talks first can be noticed.
    pub fn wants_input(&self) -> bool {
        self.closing.is_none()
            && self.pending.is_none()
            && !matches!(self.state, State::Tls)
            && self.input.len() < self.limits.input
            && self.output.len() <= self.limits.output
    }

    /// Octets taken in and not yet looked at. Before the greeting: what a client sent too early.
    pub fn unread(&self) -> usize {
        self.input.len()
    }

    /// What is next. To be called again until it gives [`Event::NeedInput`] or [`Event::Close`].
    pub fn poll(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            if let Some(reason) = self.closing {
                return Event::Close(reason);
            }
            if self.pending.is_some() || matches!(self.state, State::Start) {
                return Event::NeedAnswer;
            }
            if self.output.len() > self.limits.output {
                return Event::Flush;
            }
            let progress = match self.state {
                State::Start | State::Tls => return Event::StartTls,
                State::Command | State::AuthLine => self.read_line(),
                State::Body => self.read_body(),
                State::Skip { .. } => self.skip_octets(),
            };
            if !progress {
                return Event::NeedInput;
            }
        }
    }

    /// The replies gathered so far; they are the caller's to send.
    pub fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// Replies are waiting to be sent.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Answers the request outstanding; without one, nothing happens. In LMTP the answer to
    /// [`Request::Message`] is repeated for each recipient.
    pub fn answer(&mut self, reply: Reply) {
        if let Some(pending) = self.pending.take() {
            self.settle(pending, reply);
        }
    }

    /// Answers [`Request::Message`] in LMTP: a reply per accepted recipient, in their order. Missing ones
    /// become a temporary failure; those too many are dropped. For other requests, and in SMTP, the first
    /// counts.
    pub fn answer_each(&mut self, replies: Vec<Reply>) {
        match self.pending.take() {
            Some(Pending::Message) if self.features.lmtp => {
                let accepted = self
                    .transaction
                    .as_ref()
                    .map_or(0, |transaction| transaction.accepted);
                let missing = Reply::local_trouble();
                for index in 0..accepted as usize {
                    self.push(replies.get(index).unwrap_or(&missing));
                }
                self.transaction = None;
            }
            Some(pending) => {
                self.settle(
                    pending,
                    replies.into_iter().next().unwrap_or_else(Reply::local_trouble),
                );
            }
            None => {}
        }
    }

    /// The TLS handshake is done, or was done before the greeting (implicit TLS). All that the client said
    /// before is forgotten (RFC 3207 4.2); `features` are those to offer from now on.
    pub fn tls_established(&mut self, features: Features) {
        self.tls = true;
        self.features = features;
        self.client = None;
        self.authenticated = false;
        self.transaction = None;
        self.pipeline_broken = false;
        if matches!(self.state, State::Tls) {
            self.state = State::Command;
        }
    }

    /// Sends `reply` and closes, whatever was going on: a timeout (421 4.4.2), the end of service.
    pub fn shut_down(&mut self, reply: &Reply) {
        self.push_and_close(reply, Some(CloseReason::ShutDown));
    }

    /// What is offered.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Changes what is offered, from the next command on: after AUTH, or when the channel switches.
    pub fn features_mut(&mut self) -> &mut Features {
        &mut self.features
    }

    /// Changes the limit of bad commands, when the channel switches; 0 for no limit.
    pub fn limit_bad_commands(&mut self, limit: u32) {
        self.limits.bad_commands = limit;
    }

    /// The octets awaited are those of a message, not of a command: another time limit may hold.
    pub fn is_reading_message(&self) -> bool {
        matches!(self.state, State::Body | State::Skip { .. })
    }

    /// Largest message in octets now; 0 for no limit.
    pub fn size_limit(&self) -> u64 {
        let own = self.transaction.as_ref().map_or(0, |one| one.size_limit);
        let limits = [self.features.size.unwrap_or(0), self.limits.message_size, own];
        limits.into_iter().filter(|n| *n > 0).min().unwrap_or(0)
    }

    /// Limits the message of the open transaction, in octets; 0 for no limit beyond that of all messages.
    pub fn limit_message(&mut self, octets: u64) {
        if let Some(transaction) = &mut self.transaction {
            transaction.size_limit = octets;
        }
    }

    fn read_line(&mut self) -> bool {
        let in_auth = matches!(self.state, State::AuthLine);
        let limits = &self.limits;
        let limit = |start: &[u8]| {
            if in_auth {
                limits.auth_line
            } else {
                limits.line(start)
            }
        };
        match self.lines.read(&mut self.input, limit) {
            LineStep::Incomplete => return false,
            LineStep::Bad(fault, _) if in_auth => self.bad_auth_line(fault),
            LineStep::Bad(fault, start) => self.bad_line(fault, &start),
            LineStep::Line(line) if in_auth => self.auth_line(&line),
            LineStep::Line(line) => self.command_line(&line),
        }
        true
    }

    fn ask(&mut self, pending: Pending, request: Request) {
        self.pending = Some(pending);
        self.events.push_back(Event::Request(request));
    }

    fn settle(&mut self, pending: Pending, mut reply: Reply) {
        let positive = reply.is_positive();
        match pending {
            Pending::Hello(hello, name) if positive => {
                self.transaction = None;
                self.pipeline_broken = false;
                self.client = Some((hello, name));
                if hello.is_extended() {
                    let lines = self
                        .features
                        .lines(self.tls, self.authenticated, self.size_limit());
                    // RFC 2034 4: no enhanced code here.
                    reply.enhanced = None;
                    reply.text.truncate(1);
                    reply.text.extend(lines);
                }
            }
            Pending::Mail { utf8, binary } => {
                self.pipeline_broken = !positive;
                if positive {
                    self.counts.transactions = self.counts.transactions.saturating_add(1);
                    self.transaction = Some(Transaction {
                        utf8,
                        binary,
                        presented: 0,
                        accepted: 0,
                        size_limit: 0,
                        incoming: None,
                    });
                }
            }
            Pending::Rcpt if positive => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.accepted = transaction.accepted.saturating_add(1);
                }
            }
            Pending::Data => self.begin_data(positive),
            Pending::Bdat { size, last } => {
                self.begin_bdat(size, last, reply);
                return;
            }
            Pending::Message => {
                let copies = if self.features.lmtp {
                    self.transaction
                        .as_ref()
                        .map_or(1, |transaction| transaction.accepted)
                } else {
                    1
                };
                for _ in 0..copies {
                    self.push(&reply);
                }
                self.transaction = None;
                return;
            }
            Pending::Rset => {
                self.transaction = None;
                self.pipeline_broken = false;
            }
            Pending::Auth => return self.settle_auth(&reply),
            Pending::Hello(..) | Pending::Rcpt | Pending::Other => {}
        }
        self.push(&reply);
    }

    /// Queues a reply; one that closes ends the session.
    fn push(&mut self, reply: &Reply) {
        if self.closing.is_some() {
            return;
        }
        let utf8 = self
            .transaction
            .as_ref()
            .is_some_and(|transaction| transaction.utf8);
        reply.write(&mut self.output, self.features.enhanced_codes, utf8);
        if reply.closes() {
            self.close(CloseReason::Answer);
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.closing = Some(reason);
        self.pending = None;
        self.transaction = None;
        self.input = BytesMut::new();
    }

    fn refuse_plaintext(&mut self) {
        let reply = Reply::new(
            554,
            (5, 5, 1),
            "Nothing may follow STARTTLS before the handshake; closing",
        );
        self.bad_and_close("STARTTLS", reply, Some(CloseReason::PlaintextAfterStartTls));
    }

    /// A command that is none, wrong or untimely: replies, counts, and tells the session.
    fn bad(&mut self, line: &str, reply: Reply) {
        let over = self.limits.bad_commands != 0
            && self.counts.bad_commands.saturating_add(1) >= self.limits.bad_commands;
        if over {
            let reply = Reply::new(421, (4, 7, 0), "Too many bad commands; disconnecting");
            self.bad_and_close(line, reply, Some(CloseReason::BadCommands));
        } else {
            self.bad_and_close(line, reply, None);
        }
    }

    fn bad_and_close(&mut self, line: &str, reply: Reply, reason: Option<CloseReason>) {
        self.counts.bad_commands = self.counts.bad_commands.saturating_add(1);
        self.push_and_close(&reply, reason);
        let mut shown = String::new();
        reply::push_clean(&mut shown, line, limits::SHOWN_OF_BAD_LINE, true);
        self.events
            .push_back(Event::Notice(Notice::BadCommand { line: shown, reply }));
    }

    /// Queues a reply and, with a reason, ends the session for it.
    fn push_and_close(&mut self, reply: &Reply, reason: Option<CloseReason>) {
        let open = self.closing.is_none();
        self.push(reply);
        if let Some(reason) = reason.filter(|_| open) {
            self.close(reason);
        }
    }
}

impl Transaction {
    fn transfer(&self, chunking: bool) -> super::wire::Transfer {
        use super::wire::Transfer;
        match (chunking, self.binary) {
            (false, _) => Transfer::Dots,
            (true, false) => Transfer::Counted,
            (true, true) => Transfer::Binary,
        }
    }
}

fn is_binary(body: Option<Body>) -> bool {
    body == Some(Body::BinaryMime)
}
