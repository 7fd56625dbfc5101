//! The octets of a ManageSieve connection: bytes in, requests and replies out; no sockets, no clock.
//!
//! [`Protocol::input`] takes what was read, [`Protocol::poll`] says what comes next, [`Protocol::reply`] adds
//! an answer to the output. Commands that are malformed, unknown or out of place are answered here.
//!
//! Guarantees: requests do not depend on how the input was cut into packets; a refused command is read to its
//! true end, literals included, so that a script's text is never taken for commands; nothing is executed that
//! came before TLS was up ([`Protocol::tls_established`] discards it).
//!
//! Refuses: line feeds without carriage return, invalid UTF-8 in names, commands before or after their time.
//! Accepts `{n}` as well as `{n+}`: neither is answered before the text has come.
//!
//! Limits: [`MAX_LINE`], [`MAX_LITERAL`] (before login [`MAX_EARLY_LITERAL`]), [`MAX_SKIPPED`], [`MAX_WORDS`],
//! [`MAX_BAD_COMMANDS`].

use bytes::{Buf, BytesMut};
use memchr::memchr;

/// Longest line, in octets with its CRLF; literals are not part of it.
pub const MAX_LINE: usize = 16 * 1024;

/// Largest literal that is kept, in octets; larger ones are read, dropped and refused.
pub const MAX_LITERAL: usize = super::scripts::MAX_SCRIPT;

/// Largest literal before login, in octets; a larger one ends the connection.
pub const MAX_EARLY_LITERAL: usize = MAX_LINE;

/// Largest literal that is read only to be refused, in octets; a larger one ends the connection.
pub const MAX_SKIPPED: usize = 16 << 20;

/// Most words of a command.
pub const MAX_WORDS: usize = 4;

/// Commands refused here before the connection ends.
pub const MAX_BAD_COMMANDS: u32 = 20;

/// Longest quoted string that is sent, in octets (RFC 5804 4); longer ones are sent as literals.
const MAX_QUOTED: usize = 1024;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// CAPABILITY.
    Capability,
    /// STARTTLS.
    StartTls,
    /// AUTHENTICATE, with the initial response in base64.
    Authenticate {
        /// Name of the mechanism.
        mechanism: String,
        /// Initial response.
        initial: Option<Vec<u8>>,
    },
    /// The answer to a challenge, in base64; `*` cancels.
    AuthResponse(Vec<u8>),
    /// LOGOUT.
    Logout,
    /// HAVESPACE.
    HaveSpace {
        /// Script name.
        name: String,
        /// Octets.
        size: u64,
    },
    /// PUTSCRIPT.
    PutScript {
        /// Script name.
        name: String,
        /// Its text.
        text: Vec<u8>,
    },
    /// LISTSCRIPTS.
    ListScripts,
    /// SETACTIVE; an empty name: no script is active.
    SetActive(String),
    /// GETSCRIPT.
    GetScript(String),
    /// DELETESCRIPT.
    DeleteScript(String),
    /// RENAMESCRIPT.
    RenameScript {
        /// Name so far.
        from: String,
        /// New name.
        to: String,
    },
    /// CHECKSCRIPT.
    CheckScript(Vec<u8>),
    /// NOOP, with what is to be echoed.
    Noop(Option<Vec<u8>>),
    /// UNAUTHENTICATE.
    Unauthenticate,
}

impl Request {
    fn needs_login(&self) -> bool {
        !matches!(
            self,
            Request::Capability
                | Request::StartTls
                | Request::Authenticate { .. }
                | Request::AuthResponse(_)
                | Request::Logout
                | Request::Noop(_)
        )
    }
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Send the output, then read more.
    NeedInput,
    /// Answer this.
    Request(Request),
    /// Send the output, then close.
    Close,
}

/// The first word of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Done.
    Ok,
    /// Not done.
    No,
    /// The connection ends.
    Bye,
}

/// A reply: condition, response code, text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Condition.
    pub condition: Condition,
    /// Response code (RFC 5804 1.3), with its argument.
    pub code: Option<(&'static str, Option<Vec<u8>>)>,
    /// Text; may have several lines.
    pub text: String,
}

impl Reply {
    /// Done.
    pub fn ok(text: impl Into<String>) -> Self {
        Reply {
            condition: Condition::Ok,
            code: None,
            text: text.into(),
        }
    }

    /// Not done.
    pub fn no(text: impl Into<String>) -> Self {
        Reply {
            condition: Condition::No,
            code: None,
            text: text.into(),
        }
    }

    /// The connection ends.
    pub fn bye(text: impl Into<String>) -> Self {
        Reply {
            condition: Condition::Bye,
            code: None,
            text: text.into(),
        }
    }

    /// The same with a response code.
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some((code, None));
        self
    }

    /// The same with a response code that has an argument.
    pub fn code_with(mut self, code: &'static str, argument: impl Into<Vec<u8>>) -> Self {
        self.code = Some((code, Some(argument.into())));
        self
    }
}

/// A string as the server sends it: quoted where possible, else a literal.
pub fn string(octets: &[u8]) -> Vec<u8> {
    let quoted = octets.len() <= MAX_QUOTED
        && std::str::from_utf8(octets).is_ok()
        && !octets.iter().any(|b| matches!(b, b'\r' | b'\n' | 0));
    let mut out = Vec::with_capacity(octets.len() + 16);
    if quoted {
        out.push(b'"');
        for &octet in octets {
            if matches!(octet, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(octet);
        }
        out.push(b'"');
    } else {
        out.extend_from_slice(format!("{{{}}}\r\n", octets.len()).as_bytes());
        out.extend_from_slice(octets);
    }
    out
}

#[derive(Debug)]
enum Word {
    Atom(String),
    Text(Vec<u8>),
}

#[derive(Debug)]
struct Literal {
    left: usize,
    /// `None`: the text is dropped.
    text: Option<Vec<u8>>,
}

/// The server's end of a connection.
#[derive(Debug, Default)]
pub struct Protocol {
    input: BytesMut,
    /// Octets at the start of the input known to hold no line feed.
    scanned: usize,
    words: Vec<Word>,
    literal: Option<Literal>,
    /// Literals of the command that is being read.
    literals: usize,
    /// Why the command that is being read is refused at its end.
    fault: Option<Reply>,
    exchange: bool,
    authenticated: bool,
    bad_commands: u32,
    closed: bool,
    output: Vec<u8>,
}

impl Protocol {
    /// A new connection; the greeting is the caller's.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets that were read.
    pub fn input(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// What there is to send, which is taken.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Sends a reply; BYE closes.
    pub fn reply(&mut self, reply: &Reply) {
        let word = match reply.condition {
            Condition::Ok => "OK",
            Condition::No => "NO",
            Condition::Bye => "BYE",
        };
        self.output.extend_from_slice(word.as_bytes());
        if let Some((code, argument)) = &reply.code {
            self.output.extend_from_slice(format!(" ({code}").as_bytes());
            if let Some(argument) = argument {
                self.output.push(b' ');
                self.output.extend_from_slice(&string(argument));
            }
            self.output.push(b')');
        }
        if !reply.text.is_empty() {
            self.output.push(b' ');
            self.output.extend_from_slice(&string(reply.text.as_bytes()));
        }
        self.output.extend_from_slice(b"\r\n");
        self.closed |= reply.condition == Condition::Bye;
    }

    /// Sends a line of strings and words before a reply.
    pub fn line(&mut self, strings: &[&[u8]], suffix: &str) {
        for (n, octets) in strings.iter().enumerate() {
            if n > 0 {
                self.output.push(b' ');
            }
            self.output.extend_from_slice(&string(octets));
        }
        self.output.extend_from_slice(suffix.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Sends a challenge (in base64); the next line is its answer.
    pub fn challenge(&mut self, challenge: &str) {
        self.line(&[challenge.as_bytes()], "");
        self.exchange = true;
    }

    /// The client has logged in, or is a stranger again.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
    }

    /// TLS is up: what came before it is forgotten, whoever sent it.
    pub fn tls_established(&mut self) {
        let bad_commands = self.bad_commands;
        *self = Protocol {
            bad_commands,
            ..Protocol::default()
        };
    }

    /// Closes once the output is sent; what was read further is not looked at.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// What comes next.
    pub fn poll(&mut self) -> Event {
        loop {
            if self.closed {
                return Event::Close;
            }
            if let Some(literal) = &mut self.literal {
                let n = literal.left.min(self.input.len());
                let part = self.input.split_to(n);
                literal.left -= n;
                if let Some(text) = &mut literal.text {
                    text.extend_from_slice(&part);
                }
                if literal.left > 0 {
                    return Event::NeedInput;
                }
                if let Some(text) = self.literal.take().and_then(|l| l.text) {
                    self.words.push(Word::Text(text));
                }
            }
            let Some(line) = self.next_line() else {
                if !self.closed {
                    return Event::NeedInput;
                }
                continue;
            };
            let line = match line.strip_suffix(b"\r") {
                Some(line) => line.to_vec(),
                None => {
                    self.refuse(Reply::no(
                        "a line feed has no carriage return before it; end lines with CRLF",
                    ));
                    line.to_vec()
                }
            };
            let (words, literal) = split_literal(&line);
            if literal.is_some() && !(words.is_empty() || words.ends_with(b" ")) {
                self.refuse(Reply::no("words are separated by a space"));
            }
            if let Err(why) = self.read_words(words) {
                self.refuse(Reply::no(why));
            }
            match literal {
                Some(size) => self.begin_literal(size),
                None => {
                    if let Some(request) = self.finish() {
                        return Event::Request(request);
                    }
                }
            }
        }
    }

    fn next_line(&mut self) -> Option<BytesMut> {
        let unseen = self.input.get(self.scanned..).unwrap_or_default();
        let found = memchr(b'\n', unseen).map(|at| self.scanned + at);
        if found.unwrap_or(self.input.len()) >= MAX_LINE {
            self.reply(&Reply::bye(format!(
                "a line is longer than {MAX_LINE} octets; send long strings as literals"
            )));
            return None;
        }
        match found {
            Some(at) => {
                self.scanned = 0;
                let line = self.input.split_to(at);
                self.input.advance(1);
                Some(line)
            }
            None => {
                self.scanned = self.input.len();
                None
            }
        }
    }

    fn begin_literal(&mut self, size: Option<usize>) {
        let most = if self.authenticated {
            MAX_SKIPPED
        } else {
            MAX_EARLY_LITERAL
        };
        let Some(size) = size.filter(|n| *n <= most) else {
            self.reply(&Reply::bye(format!("a literal is larger than {most} octets")));
            return;
        };
        if size > MAX_LITERAL.max(MAX_EARLY_LITERAL) {
            let text = format!("scripts are at most {MAX_LITERAL} octets");
            self.refuse(Reply::no(text).code("QUOTA/MAXSIZE"));
        }
        self.literals += 1;
        if self.words.len() >= MAX_WORDS {
            self.refuse(Reply::no("the command has too many words"));
        }
        if self.literals > MAX_WORDS {
            self.reply(&Reply::bye("the command has too many literals"));
            return;
        }
        let text = self.fault.is_none().then(Vec::new);
        self.literal = Some(Literal { left: size, text });
    }

    /// The first fault of a command is the one that is told.
    fn refuse(&mut self, reply: Reply) {
        self.fault.get_or_insert(reply);
    }

    fn read_words(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let mut rest = line;
        loop {
            let trimmed = rest.trim_ascii_start();
            if trimmed.is_empty() {
                return Ok(());
            }
            if !self.words.is_empty() && trimmed.len() == rest.len() {
                return Err("words are separated by a space");
            }
            if self.words.len() >= MAX_WORDS {
                return Err("the command has too many words");
            }
            let (word, after) = match trimmed.strip_prefix(b"\"") {
                Some(quoted) => {
                    let (text, after) =
                        unquote(quoted).ok_or("a quoted string does not end, or has a wrong escape")?;
                    (Word::Text(text), after)
                }
                None => {
                    let end = memchr(b' ', trimmed).unwrap_or(trimmed.len());
                    let (atom, after) = trimmed.split_at_checked(end).unwrap_or((trimmed, b""));
                    if !atom.iter().all(u8::is_ascii_alphanumeric) {
                        return Err("a word is neither a command, a number nor a string");
                    }
                    (Word::Atom(String::from_utf8_lossy(atom).into_owned()), after)
                }
            };
            self.words.push(word);
            rest = after;
        }
    }

    fn finish(&mut self) -> Option<Request> {
        let words = std::mem::take(&mut self.words);
        let fault = self.fault.take();
        self.literals = 0;
        if std::mem::take(&mut self.exchange) {
            // what is no string ends the exchange, as `*` does
            return Some(Request::AuthResponse(
                match (<[Word; 1]>::try_from(words), fault) {
                    (Ok([Word::Text(text)]), None) => text,
                    _ => b"*".to_vec(),
                },
            ));
        }
        let parsed = match fault {
            Some(fault) => Err(fault),
            None => parse(words).and_then(|r| self.in_place(r)),
        };
        match parsed {
            Ok(request) => Some(request),
            Err(reply) => {
                self.bad_commands += 1;
                self.reply(&reply);
                if self.bad_commands >= MAX_BAD_COMMANDS {
                    self.reply(&Reply::bye("too many commands were refused"));
                }
                None
            }
        }
    }

    fn in_place(&self, request: Request) -> Result<Request, Reply> {
        match &request {
            Request::StartTls | Request::Authenticate { .. } if self.authenticated => {
                Err(Reply::no("the user is logged in already"))
            }
            r if r.needs_login() && !self.authenticated => Err(Reply::no("log in first, with AUTHENTICATE")),
            _ => Ok(request),
        }
    }
}

/// Parts the announcement of a literal from the end of a line: `Some(None)` is one of no usable size.
fn split_literal(line: &[u8]) -> (&[u8], Option<Option<usize>>) {
    let none = (line, None);
    let Some(inner) = line.strip_suffix(b"}") else {
        return none;
    };
    let Some(at) = inner.iter().rposition(|b| *b == b'{') else {
        return none;
    };
    let (Some(before), Some(digits)) = (line.get(..at), inner.get(at + 1..)) else {
        return none;
    };
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return none;
    }
    let size = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
    (before, Some(size))
}

/// The text of a quoted string after its opening quote, and what follows its closing one.
fn unquote(quoted: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    let mut octets = quoted.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => return Some((text, quoted.get(at + 1..)?)),
            b'\\' => match octets.next()? {
                (_, escaped @ (b'"' | b'\\')) => text.push(*escaped),
                _ => return None,
            },
            0 | b'\r' => return None,
            octet => text.push(*octet),
        }
    }
    None
}

fn parse(words: Vec<Word>) -> Result<Request, Reply> {
    let mut words = words.into_iter();
    let verb = match words.next() {
        Some(Word::Atom(verb)) => verb.to_ascii_uppercase(),
        Some(Word::Text(_)) => return Err(Reply::no("a command begins with its name")),
        None => return Err(Reply::no("an empty line is no command")),
    };
    let rest: Vec<Word> = words.collect();
    let wrong = || Reply::no(format!("{verb} has other arguments; see RFC 5804"));
    let mut atoms = Vec::new();
    let mut texts = Vec::new();
    for word in rest {
        match word {
            Word::Atom(atom) => atoms.push(atom),
            // the only atom of an argument is the size of HAVESPACE, and comes last
            Word::Text(_) if !atoms.is_empty() => return Err(wrong()),
            Word::Text(text) => texts.push(text),
        }
    }
    let mut texts = texts.into_iter();
    let mut atoms = atoms.into_iter();
    let arguments = (
        texts.next(),
        texts.next(),
        texts.next(),
        atoms.next(),
        atoms.next(),
    );
    let name =
        |octets: Vec<u8>| String::from_utf8(octets).map_err(|_| Reply::no("a name is not valid UTF-8"));
    Ok(match (verb.as_str(), arguments) {
        ("CAPABILITY", (None, _, _, None, _)) => Request::Capability,
        ("STARTTLS", (None, _, _, None, _)) => Request::StartTls,
        ("LOGOUT", (None, _, _, None, _)) => Request::Logout,
        ("LISTSCRIPTS", (None, _, _, None, _)) => Request::ListScripts,
        ("UNAUTHENTICATE", (None, _, _, None, _)) => Request::Unauthenticate,
        ("NOOP", (tag, None, _, None, _)) => Request::Noop(tag),
        ("AUTHENTICATE", (Some(mechanism), initial, None, None, _)) => Request::Authenticate {
            mechanism: name(mechanism)?,
            initial,
        },
        ("HAVESPACE", (Some(script), None, _, Some(size), None)) => Request::HaveSpace {
            name: name(script)?,
            size: size.parse().map_err(|_| wrong())?,
        },
        ("PUTSCRIPT", (Some(script), Some(text), None, None, _)) => Request::PutScript {
            name: name(script)?,
            text,
        },
        ("SETACTIVE", (Some(script), None, _, None, _)) => Request::SetActive(name(script)?),
        ("GETSCRIPT", (Some(script), None, _, None, _)) => Request::GetScript(name(script)?),
        ("DELETESCRIPT", (Some(script), None, _, None, _)) => Request::DeleteScript(name(script)?),
        ("RENAMESCRIPT", (Some(from), Some(to), None, None, _)) => Request::RenameScript {
            from: name(from)?,
            to: name(to)?,
        },
        ("CHECKSCRIPT", (Some(text), None, _, None, _)) => Request::CheckScript(text),
        (
            "CAPABILITY" | "STARTTLS" | "LOGOUT" | "LISTSCRIPTS" | "UNAUTHENTICATE" | "NOOP" | "AUTHENTICATE"
            | "HAVESPACE" | "PUTSCRIPT" | "SETACTIVE" | "GETSCRIPT" | "DELETESCRIPT" | "RENAMESCRIPT"
            | "CHECKSCRIPT",
            _,
        ) => return Err(wrong()),
        _ => return Err(Reply::no("unknown command")),
    })
}
