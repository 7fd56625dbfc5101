//! One command line, taken apart.
//!
//! [`Command::parse`] turns the text of a line (without CRLF) into a [`Command`] or says in a
//! [`CommandError`] which reply it deserves. Whether the command is allowed now, and whether the extension
//! that it uses is offered, is for [`protocol`](super::protocol) to say; that includes addresses that are
//! not ASCII ([`Mail::needs_utf8`], [`Rcpt::needs_utf8`]).
//!
//! Guarantees: pure, linear in the line, no recursion; text handed on holds no control characters.
//!
//! More lenient than RFC 5321, because senders need it: blanks (also tabs) between words may be several,
//! blanks may stand after the colon of MAIL and RCPT and at the end of a line, xtext may use small hex
//! digits and hold `=`. Stricter than many servers: an address must stand in angle brackets.
//!
//! Limits: a path has at most [`PATH_LENGTH`] octets, a name in EHLO at most [`NAME_LENGTH`], ENVID 100 and
//! ORCPT 500 octets (RFC 3461), a mechanism 20 (RFC 4422).
//!
//! Source: RFC 5321 4.1; RFC 1870, 6152, 3030, 3461, 4954, 6531, 6533, 1985.

mod parameters;
mod path;

pub use parameters::{Body, Parameter, Ret};
pub use path::{PATH_LENGTH, PathFault};

use store::envelope::Notify;

/// Octets of a name in EHLO, HELO and LHLO (RFC 5321 4.5.3.1.2).
pub const NAME_LENGTH: usize = 255;

/// A command and what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO, HELO, LHLO with the client's name.
    Hello(Hello, String),
    /// MAIL FROM.
    Mail(Mail),
    /// RCPT TO.
    Rcpt(Rcpt),
    /// DATA.
    Data,
    /// BDAT with the octets that follow the line.
    Bdat {
        /// Octets that follow.
        size: u64,
        /// The message ends with them.
        last: bool,
    },
    /// RSET.
    Rset,
    /// NOOP; its text is ignored.
    Noop,
    /// VRFY with the text given, without the SMTPUTF8 parameter.
    Vrfy(String),
    /// EXPN with the text given, without the SMTPUTF8 parameter.
    Expn(String),
    /// HELP; its text is ignored.
    Help,
    /// QUIT.
    Quit,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth {
        /// Mechanism in capitals.
        mechanism: String,
        /// Initial response in base64 as sent; `=` stands for an empty one.
        initial: Option<String>,
    },
    /// ETRN with the node name as sent, a leading `@` or `#` included.
    Etrn(String),
    /// Any other verb, in capitals, and the text after it.
    Other {
        /// The verb in capitals.
        verb: String,
        /// What follows, without blanks around it.
        argument: String,
    },
}

/// The three ways to say hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hello {
    /// HELO: plain SMTP.
    Helo,
    /// EHLO: ESMTP.
    Ehlo,
    /// LHLO: LMTP.
    Lhlo,
}

impl Hello {
    /// Extensions were asked for.
    pub fn is_extended(self) -> bool {
        self != Hello::Helo
    }

    /// The verb.
    pub fn verb(self) -> &'static str {
        match self {
            Hello::Helo => "HELO",
            Hello::Ehlo => "EHLO",
            Hello::Lhlo => "LHLO",
        }
    }
}

/// MAIL FROM with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mail {
    /// What stands between the angle brackets; empty for the null sender.
    pub from: String,
    /// SIZE in octets; a number too large for the type is its maximum.
    pub size: Option<u64>,
    /// BODY.
    pub body: Option<Body>,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// RET.
    pub ret: Option<Ret>,
    /// ENVID, decoded from xtext.
    pub envid: Option<String>,
    /// AUTH, decoded from xtext; empty for `AUTH=<>`.
    pub auth: Option<String>,
    /// Parameters of other extensions, in order, each keyword once.
    pub other: Vec<Parameter>,
}

impl Mail {
    /// Something in it is not ASCII, which needs SMTPUTF8.
    pub fn needs_utf8(&self) -> bool {
        !self.from.is_ascii() || self.other.iter().any(|one| !one.is_ascii())
    }
}

/// RCPT TO with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rcpt {
    /// What stands between the angle brackets; a source route is kept (`@a,@b:user@c`). Never empty.
    pub to: String,
    /// NOTIFY.
    pub notify: Notify,
    /// ORCPT as `type;address`, decoded from xtext; the type `utf-8` of RFC 6533 is kept as sent.
    pub orcpt: Option<String>,
    /// Parameters of other extensions, in order, each keyword once.
    pub other: Vec<Parameter>,
}

impl Rcpt {
    /// Something in it is not ASCII, which needs SMTPUTF8.
    pub fn needs_utf8(&self) -> bool {
        !self.to.is_ascii()
            || self.orcpt.as_ref().is_some_and(|text| !text.is_ascii())
            || self.other.iter().any(|one| !one.is_ascii())
    }
}

/// Why a command line is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// An empty line.
    #[error("Empty command line")]
    Empty,
    /// A control character in a line whose verb is unknown.
    #[error("Control character in a command line")]
    Control,
    /// The verb is known, the rest is not as it must be; how it must be.
    #[error("Syntax error, the command is: {0}")]
    Usage(&'static str),
    /// BDAT without a readable size: nobody can tell where its octets end.
    #[error(
        "Syntax error, the command is: BDAT size [LAST]; closing, for the data cannot be told from commands"
    )]
    BdatSize,
    /// The name in EHLO cannot be one.
    #[error("Invalid domain name in {verb}: at most {NAME_LENGTH} octets, no blanks, no control characters")]
    Name {
        /// EHLO, HELO or LHLO.
        verb: &'static str,
    },
    /// The address of MAIL.
    #[error("Syntax error in the address of MAIL FROM: {0}")]
    Sender(PathFault),
    /// The address of RCPT.
    #[error("Syntax error in the address of RCPT TO: {0}")]
    Recipient(PathFault),
    /// A parameter that is malformed.
    #[error("Syntax error in parameter {word}: {wanted}")]
    Parameter {
        /// The parameter as sent.
        word: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// A parameter that was given already.
    #[error("Parameter {word} is given twice")]
    Duplicate {
        /// The parameter as sent.
        word: String,
    },
}

impl CommandError {
    /// Reply code and enhanced status code.
    pub fn codes(&self) -> (u16, (u8, u16, u16)) {
        match self {
            CommandError::Empty | CommandError::Control => (500, (5, 5, 2)),
            CommandError::Sender(_) => (501, (5, 1, 7)),
            CommandError::Recipient(_) => (501, (5, 1, 3)),
            _ => (501, (5, 5, 4)),
        }
    }
}

/// Takes the first word off: the word, and the rest without blanks before it.
fn split_word(text: &str) -> (&str, &str) {
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, trim_start(rest))
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Takes `word` off the front of `text`, in any case of its letters.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let front = text.get(..word.len())?;
    if front.eq_ignore_ascii_case(word) {
        text.get(word.len()..)
    } else {
        None
    }
}

impl Command {
    /// Takes a line apart; `line` is without its CRLF.
    pub fn parse(line: &str) -> Result<Command, CommandError> {
        let line = line.trim_end_matches([' ', '\t']);
        if line.is_empty() {
            return Err(CommandError::Empty);
        }
        let (verb, rest) = split_word(line);
        let verb = verb.to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => hello(Hello::Ehlo, rest, "EHLO domain"),
            "HELO" => hello(Hello::Helo, rest, "HELO domain"),
            "LHLO" => hello(Hello::Lhlo, rest, "LHLO domain"),
            "MAIL" => {
                let rest = strip_word(rest, "FROM:").ok_or(CommandError::Usage("MAIL FROM:<address>"))?;
                let (from, rest) = path::parse(trim_start(rest)).map_err(CommandError::Sender)?;
                let mut mail = Mail {
                    from: from.to_owned(),
                    ..Mail::default()
                };
                parameters::mail(rest, &mut mail)?;
                Ok(Command::Mail(mail))
            }
            "RCPT" => {
                let rest = strip_word(rest, "TO:").ok_or(CommandError::Usage("RCPT TO:<address>"))?;
                let (to, rest) = path::parse(trim_start(rest)).map_err(CommandError::Recipient)?;
                if to.is_empty() {
                    return Err(CommandError::Recipient(PathFault::Empty));
                }
                let mut rcpt = Rcpt {
                    to: to.to_owned(),
                    ..Rcpt::default()
                };
                parameters::rcpt(rest, &mut rcpt)?;
                Ok(Command::Rcpt(rcpt))
            }
            "DATA" => bare(rest, Command::Data, "DATA"),
            "BDAT" => bdat(rest),
            "RSET" => bare(rest, Command::Rset, "RSET"),
            "NOOP" => Ok(Command::Noop),
            "VRFY" => Ok(Command::Vrfy(subject(rest, "VRFY address")?)),
            "EXPN" => Ok(Command::Expn(subject(rest, "EXPN list")?)),
            "HELP" => Ok(Command::Help),
            "QUIT" => bare(rest, Command::Quit, "QUIT"),
            "STARTTLS" => bare(rest, Command::StartTls, "STARTTLS"),
            "AUTH" => auth(rest),
            "ETRN" => Ok(Command::Etrn(argument(rest, "ETRN domain")?)),
            _ if line.chars().any(|c| c.is_control() && c != '\t') => Err(CommandError::Control),
            _ => Ok(Command::Other {
                verb,
                argument: rest.to_owned(),
            }),
        }
    }
}

fn hello(hello: Hello, rest: &str, usage: &'static str) -> Result<Command, CommandError> {
    if rest.is_empty() {
        return Err(CommandError::Usage(usage));
    }
    if rest.len() > NAME_LENGTH || rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(CommandError::Name { verb: hello.verb() });
    }
    Ok(Command::Hello(hello, rest.to_owned()))
}

fn bare(rest: &str, command: Command, usage: &'static str) -> Result<Command, CommandError> {
    if rest.is_empty() {
        Ok(command)
    } else {
        Err(CommandError::Usage(usage))
    }
}

fn bdat(rest: &str) -> Result<Command, CommandError> {
    let (size, rest) = split_word(rest);
    let size = parameters::number(size).ok_or(CommandError::BdatSize)?;
    let last = match rest {
        "" => false,
        word if word.eq_ignore_ascii_case("LAST") => true,
        _ => return Err(CommandError::BdatSize),
    };
    Ok(Command::Bdat { size, last })
}

fn argument(rest: &str, usage: &'static str) -> Result<String, CommandError> {
    if rest.is_empty() || rest.chars().any(|c| c.is_control() && c != '\t') {
        return Err(CommandError::Usage(usage));
    }
    Ok(rest.to_owned())
}

/// What VRFY and EXPN ask for; RFC 6531 3.7.4.2 lets SMTPUTF8 follow it.
fn subject(rest: &str, usage: &'static str) -> Result<String, CommandError> {
    let rest = match rest.rsplit_once([' ', '\t']) {
        Some((front, word)) if word.eq_ignore_ascii_case("SMTPUTF8") => front.trim_end_matches([' ', '\t']),
        _ => rest,
    };
    argument(rest, usage)
}

fn auth(rest: &str) -> Result<Command, CommandError> {
    const USAGE: CommandError = CommandError::Usage("AUTH mechanism [initial-response]");
    let (mechanism, rest) = split_word(rest);
    let named = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    if mechanism.is_empty() || mechanism.len() > 20 || !mechanism.bytes().all(named) {
        return Err(USAGE);
    }
    let (initial, rest) = split_word(rest);
    if !rest.is_empty() || initial.bytes().any(|c| !c.is_ascii_graphic()) {
        return Err(USAGE);
    }
    let initial = (!initial.is_empty()).then(|| initial.to_owned());
    Ok(Command::Auth {
        mechanism: mechanism.to_ascii_uppercase(),
        initial,
    })
}
