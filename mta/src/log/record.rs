//! What an entry of the transaction log says.
//!
//! [`MessageRecord`] and [`ConnectionRecord`] borrow their texts, so that building one for each recipient
//! costs no allocation. An empty text or a `None` means "not known". Which of the fields reach the line is
//! decided by the options when it is written.
//!
//! Text from outside may hold anything; use [`lossy`] for octets that may not be UTF-8.
//!
//! Source: logging specification 2, 3.1, 3.3, 3.4.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What happened: the first letter of an entry's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// `E`: enqueued; one entry a recipient and file.
    Enqueue,
    /// `D`: dequeued: delivered, or given to another channel.
    Dequeue,
    /// `J`: a recipient was rejected by the server.
    RejectedRecipient,
    /// `Q`: temporary failure to dequeue.
    TemporaryFailure,
    /// `R`: failed for good, or timed out; the sender is told.
    Returned,
    /// `K`: failed for good; nobody is told.
    ReturnedSilently,
    /// `W`: the sender was warned of a delay.
    DelayWarning,
    /// `Z`: this recipient has to wait, others of the file are done.
    PartlyDone,
    /// `B`: a bad command to the server.
    BadCommand,
    /// `V`: the transaction ended abnormally.
    Aborted,
    /// `O`: connection opened.
    Opened,
    /// `C`: connection closed.
    Closed,
    /// `X`: connection rejected.
    RejectedConnection,
    /// `Y`: connection attempt failed before it was established.
    AttemptFailed,
    /// `I`: ETRN received.
    Etrn,
    /// `T`: connection refused by PORT_ACCESS with `$T`.
    Refused,
    /// `U`: authentication succeeded or failed.
    Authentication,
}

impl Action {
    /// The letter.
    pub const fn letter(self) -> char {
        match self {
            Action::Enqueue => 'E',
            Action::Dequeue => 'D',
            Action::RejectedRecipient => 'J',
            Action::TemporaryFailure => 'Q',
            Action::Returned => 'R',
            Action::ReturnedSilently => 'K',
            Action::DelayWarning => 'W',
            Action::PartlyDone => 'Z',
            Action::BadCommand => 'B',
            Action::Aborted => 'V',
            Action::Opened => 'O',
            Action::Closed => 'C',
            Action::RejectedConnection => 'X',
            Action::AttemptFailed => 'Y',
            Action::Etrn => 'I',
            Action::Refused => 'T',
            Action::Authentication => 'U',
        }
    }
}

/// How it happened: the letters after the first of an entry's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Modifiers {
    /// `E`: EHLO was accepted.
    pub esmtp: bool,
    /// `L`: LMTP.
    pub lmtp: bool,
    /// `C`: BDAT was used.
    pub chunking: bool,
    /// `S`: TLS.
    pub tls: bool,
    /// `P`: the connection came through the submit proxy.
    pub proxy: bool,
    /// `A`: SASL authentication was used.
    pub auth: bool,
}

/// An entry's code: a letter for the action, then letters for its circumstances.
///
/// Read from a log it may hold letters that this program never writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Code {
    letters: [u8; Code::MAX],
    len: u8,
}

impl Code {
    /// Greatest number of letters.
    pub const MAX: usize = 8;

    /// The code of an action; modifiers are written in the order `E L C S P A`.
    pub fn new(action: Action, modifiers: Modifiers) -> Code {
        let mut code = Code::default();
        code.push(action.letter() as u8);
        for (on, letter) in [
            (modifiers.esmtp, b'E'),
            (modifiers.lmtp, b'L'),
            (modifiers.chunking, b'C'),
            (modifiers.tls, b'S'),
            (modifiers.proxy, b'P'),
            (modifiers.auth, b'A'),
        ] {
            if on {
                code.push(letter);
            }
        }
        code
    }

    /// A code as read: one to eight ASCII letters, whatever they mean.
    pub fn parse(text: &str) -> Option<Code> {
        if text.is_empty() || text.len() > Code::MAX || !text.bytes().all(|b| b.is_ascii_alphabetic()) {
            return None;
        }
        let mut code = Code::default();
        text.bytes().for_each(|letter| code.push(letter));
        Some(code)
    }

    fn push(&mut self, letter: u8) {
        if let Some(place) = self.letters.get_mut(usize::from(self.len)) {
            *place = letter;
            self.len += 1;
        }
    }

    /// The whole code, such as `EESA`; empty only for the default.
    pub fn as_str(&self) -> &str {
        self.letters
            .get(..usize::from(self.len))
            .and_then(|s| std::str::from_utf8(s).ok())
            .unwrap_or("")
    }

    /// The first letter; a blank for the default.
    pub fn action(&self) -> char {
        self.as_str().chars().next().unwrap_or(' ')
    }

    /// The letters after the first.
    pub fn modifiers(&self) -> &str {
        self.as_str().get(1..).unwrap_or("")
    }

    /// `J`, `R`, `K`, `V`, `X`, `T`: what the flag `$>` of `LOG_ACTION` takes for a rejection.
    pub fn is_rejection(&self) -> bool {
        matches!(self.action(), 'J' | 'R' | 'K' | 'V' | 'X' | 'T')
    }

    /// `D`, `Q`, `R`, `K`, `W`, `Z`: written for an entry of the queue; they have a time in the queue.
    pub fn is_dequeue(&self) -> bool {
        matches!(self.action(), 'D' | 'Q' | 'R' | 'K' | 'W' | 'Z')
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({})", self.as_str())
    }
}

/// Process, thread and operation: `72aa.17f0.25622`.
///
/// Process and thread are hexadecimal in the log, the operation is decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// The process.
    pub process: u32,
    /// The thread; `None` in programs with one thread.
    pub thread: Option<u64>,
    /// Number of the logging operation within the process.
    pub operation: u64,
}

impl ProcessId {
    /// Reads `hex.hex.decimal` or `hex.decimal`.
    pub fn parse(text: &str) -> Option<ProcessId> {
        let mut parts = text.split('.');
        let (process, second, third) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        let hex = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
            digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let (thread, operation) = match third {
            Some(third) => (Some(hex(second)?), third),
            None => (None, second),
        };
        if !operation.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(ProcessId {
            process: u32::try_from(hex(process)?).ok()?,
            thread,
            operation: operation.parse().ok()?,
        })
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.thread {
            Some(thread) => write!(f, "{:x}.{:x}.{}", self.process, thread, self.operation),
            None => write!(f, "{:x}.{}", self.process, self.operation),
        }
    }
}

/// Hands out the numbers of logging operations in this process.
///
/// All entries of one operation on a queue file carry one [`ProcessId`]; a connection's session keeps its
/// thread number for all its operations, which ties `O` and `C` to the messages between them.
#[derive(Debug)]
pub struct Operations {
    process: u32,
    next: AtomicU64,
}

impl Operations {
    /// Counts from 0 for this process.
    pub fn new() -> Operations {
        Operations {
            process: std::process::id(),
            next: AtomicU64::new(0),
        }
    }

    /// The next operation, for the session or task that calls itself `thread`.
    pub fn next(&self, thread: u64) -> ProcessId {
        let operation = self.next.fetch_add(1, Ordering::Relaxed);
        ProcessId {
            process: self.process,
            thread: Some(thread),
            operation,
        }
    }
}

impl Default for Operations {
    fn default() -> Operations {
        Operations::new()
    }
}

/// Tells the local time of entries.
///
/// The zone is read once; a server that moves to another zone has to be restarted.
#[derive(Debug, Clone)]
pub struct LocalClock {
    zone: TimeZone,
}

impl LocalClock {
    /// The zone of the system (`TZ`, else `/etc/localtime`, else UTC).
    pub fn system() -> LocalClock {
        LocalClock {
            zone: TimeZone::system(),
        }
    }

    /// A fixed zone, for tests and for reading logs of other systems.
    pub fn with_zone(zone: TimeZone) -> LocalClock {
        LocalClock { zone }
    }

    /// Local time of an instant.
    pub fn at(&self, instant: Timestamp) -> DateTime {
        self.zone.to_datetime(instant)
    }

    /// Local time now.
    pub fn now(&self) -> DateTime {
        self.at(Timestamp::now())
    }
}

/// Text of octets that may not be UTF-8: each octet that is not becomes `?`.
pub fn lossy(octets: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(octets) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    Cow::Owned(text)
}

/// A message entry (XML element `en`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageRecord<'a> {
    /// `ts`: local time; written to hundredths of a second, the rest is cut off.
    pub time: DateTime,
    /// `no`: node name.
    pub node: Cow<'a, str>,
    /// `pi`: process, thread and operation.
    pub process: Option<ProcessId>,
    /// `sc`: source channel; in dequeue entries the channel of the queue.
    pub source_channel: Cow<'a, str>,
    /// `dc`: destination channel; empty in dequeue entries.
    pub destination_channel: Cow<'a, str>,
    /// `ac`: code.
    pub code: Code,
    /// `sz`: size in blocks, rounded up.
    pub size: u64,
    /// `so`: envelope From; empty for the null sender.
    pub sender: Cow<'a, str>,
    /// `od`: original recipient with its type, `rfc822;x@example.net`.
    pub original_recipient: Cow<'a, str>,
    /// `de`: recipient now; in `B` entries the command.
    pub recipient: Cow<'a, str>,
    /// `rf`: the recipient's delivery status flags.
    pub notary_flags: Option<u32>,
    /// `fi`: full path of the queue file.
    pub file_name: Cow<'a, str>,
    /// `ei`: envelope identifier.
    pub envelope_id: Cow<'a, str>,
    /// `mi`: message identifier with its `<>`.
    pub message_id: Cow<'a, str>,
    /// `us`: user; `*` and the identity after SASL.
    pub username: Cow<'a, str>,
    /// `ss`: `helo-name (dns-name [ip])`; in dequeue entries the host delivered to.
    pub source_system: Cow<'a, str>,
    /// `se`: sensitivity, a word.
    pub sensitivity: Cow<'a, str>,
    /// `pr`: priority, a word.
    pub priority: Cow<'a, str>,
    /// `in`: intermediate address.
    pub intermediate: Cow<'a, str>,
    /// `ia`: initial address.
    pub initial: Cow<'a, str>,
    /// `ui`: LDAP uid; in enqueue entries only.
    pub uid: Cow<'a, str>,
    /// `mu`: `uid:uidvalidity` of the stored message.
    pub mailbox_uid: Cow<'a, str>,
    /// `fl`: what the filters did; cut after 1024 characters.
    pub filter: Cow<'a, str>,
    /// `re`: reason of the rejection; written in `R` and `K` entries only.
    pub reason: Cow<'a, str>,
    /// `di`: diagnostic.
    pub diagnostic: Cow<'a, str>,
    /// `rm`: name of the remote MTA.
    pub remote_mta: Cow<'a, str>,
    /// `tr`: transport information, `TCP|local-ip|local-port|remote-ip|remote-port`.
    pub transport: Cow<'a, str>,
    /// `ap`: application information, `SMTP/...`.
    pub application: Cow<'a, str>,
    /// `qt`: seconds in the queue; written in dequeue entries only.
    pub queue_time: Option<u64>,
    /// `au`: authenticated sender.
    pub auth_sender: Cow<'a, str>,
    /// `if`: IMAP flags the message was stored with.
    pub imap_flags: Cow<'a, str>,
    /// `df`: delivery flags.
    pub delivery_flags: Cow<'a, str>,
    /// `cv`: conversion tags.
    pub conversion_tag: Cow<'a, str>,
    /// `hd`: hash of the message.
    pub hash: Cow<'a, str>,
    /// `tk`: tracking identifier.
    pub tracking: Cow<'a, str>,
    /// `tm`: processing times, `filter1=0.012;mapping=0.003;trans=0.120;write=0.004`.
    pub timers: Cow<'a, str>,
    /// `tl`: text of the Sieve `transactionlog` action.
    pub transaction_log: Cow<'a, str>,
}

/// Which side opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// `+`: they came to us.
    #[default]
    Inbound,
    /// `-`: we went to them.
    Outbound,
}

impl Direction {
    /// `+` or `-`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "+",
            Direction::Outbound => "-",
        }
    }

    /// Reads `+` or `-`.
    pub fn parse(text: &str) -> Option<Direction> {
        match text {
            "+" => Some(Direction::Inbound),
            "-" => Some(Direction::Outbound),
            _ => None,
        }
    }
}

/// A connection entry (XML element `co`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionRecord<'a> {
    /// `ts`: local time; written to hundredths of a second.
    pub time: DateTime,
    /// `no`: node name.
    pub node: Cow<'a, str>,
    /// `pi`: process, thread and operation.
    pub process: Option<ProcessId>,
    /// `sc`: channel.
    pub channel: Cow<'a, str>,
    /// `dr`: direction.
    pub direction: Direction,
    /// `ac`: code.
    pub code: Code,
    /// `tr`: `TCP|local-ip|local-port|remote-ip|remote-port`, whichever side opened it.
    pub transport: Cow<'a, str>,
    /// `ap`: inbound `SMTP` or `SMTP/<cipher>`, outbound `SMTP/<host asked for>/<host connected to>`.
    pub application: Cow<'a, str>,
    /// `mi`: tag or message text.
    pub tag: Cow<'a, str>,
    /// `us`: user.
    pub username: Cow<'a, str>,
    /// `di`: diagnostic.
    pub diagnostic: Cow<'a, str>,
    /// `ct`: seconds the connection was open; written in `C` entries only.
    pub open_seconds: Option<u64>,
}

/// A header entry (XML element `he`): one header line of the message whose entry stands before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderRecord<'a> {
    /// `ts`: local time; written to hundredths of a second.
    pub time: DateTime,
    /// `no`: node name.
    pub node: Cow<'a, str>,
    /// `pi`: process, thread and operation.
    pub process: Option<ProcessId>,
    /// `va`: the header line, `Name: value`, unfolded.
    pub line: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_have_one_order() {
        let all = Modifiers {
            esmtp: true,
            lmtp: true,
            chunking: true,
            tls: true,
            proxy: true,
            auth: true,
        };
        for (action, modifiers, code) in [
            (Action::Enqueue, Modifiers::default(), "E"),
            (
                Action::Enqueue,
                Modifiers {
                    esmtp: true,
                    proxy: true,
                    auth: true,
                    ..Default::default()
                },
                "EEPA",
            ),
            (
                Action::Dequeue,
                Modifiers {
                    tls: true,
                    auth: true,
                    ..Default::default()
                },
                "DSA",
            ),
            (Action::Aborted, all, "VELCSPA"),
        ] {
            let made = Code::new(action, modifiers);
            assert_eq!(made.as_str(), code);
            assert_eq!(Code::parse(code), Some(made), "{code}");
            assert_eq!((made.action(), made.modifiers()), (action.letter(), &code[1..]));
        }
    }

    #[test]
    fn codes_of_others_are_read_and_nonsense_is_not() {
        assert_eq!(
            Code::parse("JR").map(|c| (c.action(), c.modifiers().to_string())),
            Some(('J', "R".into()))
        );
        for bad in ["", "E1", "E E", "ÄE", "EEEEEEEEE"] {
            assert_eq!(Code::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn process_ids() {
        for text in ["72aa.17f0.25622", "409f.3.1", "1e488.0"] {
            assert_eq!(
                ProcessId::parse(text).map(|id| id.to_string()).as_deref(),
                Some(text)
            );
        }
        for bad in [
            "",
            ".",
            "1",
            "x.1",
            "1.2.x",
            "1.2.3.4",
            "+1.2",
            "1.+2",
            "123456789.1",
            "1..2",
            "1.",
        ] {
            assert_eq!(ProcessId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn operations_are_numbered_per_process() {
        let operations = Operations::new();
        assert_eq!(operations.next(7).operation, 0);
        let second = operations.next(7);
        assert_eq!((second.operation, second.thread), (1, Some(7)));
        assert_eq!(second.process, std::process::id());
    }

    #[test]
    fn octets_that_are_no_text() {
        assert_eq!(lossy("grün".as_bytes()), "grün");
        assert_eq!(lossy(b"gr\xfcn \xe2\x82"), "gr?n ??");
    }

    #[test]
    fn local_time_follows_the_zone() {
        let instant: Timestamp = "2007-02-16T13:54:13.729Z".parse().unwrap();
        let east = LocalClock::with_zone(TimeZone::fixed(jiff::tz::offset(1)));
        assert_eq!(east.at(instant).to_string(), "2007-02-16T14:54:13.729");
        let berlin = LocalClock::with_zone(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
        assert_eq!(berlin.at("2007-07-01T00:00:00Z".parse().unwrap()).hour(), 2);
    }
}
