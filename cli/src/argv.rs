//! Command lines in two dialects, read by one table.
//!
//! `imsimta` has always been called with words such as `-table=NAME -noimage_file`; other programs of
//! today take `--table NAME`. Both work, mixed as one likes:
//!
//! - a name begins with `-` or `--`; case does not matter, `_` and `-` are the same;
//! - a name may be shortened as long as only one name begins so; a name written in full always wins;
//! - `-no` before a name (`-nodebug`, `--no-debug`) negates it, where that makes sense;
//! - a value follows `=`. A value that must be given may also be the next argument, unless that begins
//!   with `-`; one that may be left out never is, so `-debug all` does not eat an argument;
//! - where a name is given twice, the last counts;
//! - `--` ends the names: what follows is an argument even if it begins with `-`. A lone `-` is one, too.
//!
//! [`Usage`] describes a command; [`Usage::parse`] reads a command line, [`Usage::help`] prints the
//! description. A wrong command line is a [`UsageError`] that names the nearest known word.

use std::ffi::OsString;
use std::fmt::Write as _;

use crate::Failure;
use crate::console::Console;

/// Whether a qualifier has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// No value.
    Nothing,
    /// A value, or none; the word that stands for it in the help.
    Optional(&'static str),
    /// A value; the word that stands for it in the help.
    Required(&'static str),
}

/// One qualifier.
#[derive(Debug, Clone, Copy)]
pub struct Qualifier {
    /// Its name, in lower case with `_`.
    pub name: &'static str,
    /// Whether it has a value.
    pub takes: Takes,
    /// Whether `-no` may stand before it.
    pub negatable: bool,
    /// What it does, one line.
    pub help: &'static str,
    /// Why it does nothing, where it is only accepted; who gives it is told.
    pub idle: Option<&'static str>,
}

impl Qualifier {
    /// A qualifier that does something.
    pub const fn new(name: &'static str, takes: Takes, negatable: bool, help: &'static str) -> Self {
        Qualifier {
            name,
            takes,
            negatable,
            help,
            idle: None,
        }
    }

    /// A qualifier that is accepted for the sake of old scripts and does nothing; `why` follows "has no effect:".
    pub const fn idle(name: &'static str, takes: Takes, negatable: bool, why: &'static str) -> Self {
        Qualifier {
            name,
            takes,
            negatable,
            help: "accepted, without effect",
            idle: Some(why),
        }
    }
}

/// One positional argument.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// The word that stands for it in the help.
    pub name: &'static str,
    /// What it is, one line.
    pub help: &'static str,
    /// It may be given more than once; only the last of a command may.
    pub many: bool,
}

/// A command as it is called.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// The words that call it, `imsimta test -match`.
    pub command: &'static str,
    /// What it does, one line.
    pub about: &'static str,
    /// Its arguments; all may be left out.
    pub arguments: &'static [Argument],
    /// Its qualifiers; `-help` is understood without being listed.
    pub qualifiers: &'static [Qualifier],
    /// More to say at the end of the help; may be empty.
    pub notes: &'static str,
}

/// A command line that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No such qualifier.
    #[error("there is no qualifier `{word}`{}; `-help` lists them", near(.nearest))]
    Unknown {
        /// As written.
        word: String,
        /// The nearest one known.
        nearest: Option<String>,
    },
    /// A shortened name that fits several.
    #[error("`{word}` is short for several qualifiers: {}; write one more letter", .fits.join(", "))]
    Ambiguous {
        /// As written.
        word: String,
        /// What it could be.
        fits: Vec<String>,
    },
    /// A qualifier without its value.
    #[error("`{word}` needs a value: write `{word}={value}`")]
    NoValue {
        /// As written.
        word: String,
        /// The word that stands for the value.
        value: &'static str,
    },
    /// A value where none belongs.
    #[error("`{word}` takes no value, but `{value}` is given")]
    Value {
        /// As written.
        word: String,
        /// The value.
        value: String,
    },
    /// More arguments than the command has.
    #[error("there is one argument too many: `{0}`; put quotes around an argument with blanks")]
    Argument(String),
    /// No such command.
    #[error("there is no command `{word}`{}; `{program} -help` lists them", near(.nearest))]
    Command {
        /// As written.
        word: String,
        /// The program.
        program: &'static str,
        /// The nearest one known.
        nearest: Option<String>,
    },
    /// An argument that is not text.
    #[error("argument {0} is not UTF-8")]
    NotUtf8(usize),
    /// Anything else, a whole sentence.
    #[error("{0}")]
    Other(String),
}

fn near(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|n| format!(", did you mean `{n}`?"))
        .unwrap_or_default()
}

/// What a command line says of a qualifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// Nothing.
    Absent,
    /// `-no`.
    Negated,
    /// It is there, with a value or without.
    Present(Option<String>),
}

/// A command line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    given: Vec<(&'static str, Given)>,
    /// The positional arguments.
    pub arguments: Vec<String>,
    /// `-help` is there.
    pub help: bool,
}

impl Parsed {
    /// What is said of a qualifier of the table.
    pub fn get(&self, name: &str) -> &Given {
        let found = self.given.iter().rfind(|(n, _)| *n == name);
        found.map_or(&Given::Absent, |(_, given)| given)
    }

    /// Its value, where it has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Given::Present(Some(value)) => Some(value),
            _ => None,
        }
    }

    /// Whether it is there and not negated.
    pub fn is_set(&self, name: &str) -> bool {
        matches!(self.get(name), Given::Present(_))
    }
}

/// Arguments of the process as text.
pub fn utf8(args: &[OsString]) -> Result<Vec<String>, Failure> {
    let text = |(n, arg): (usize, &OsString)| match arg.to_str() {
        Some(text) => Ok(text.to_string()),
        None => Err(UsageError::NotUtf8(n + 1).into()),
    };
    args.iter().enumerate().map(text).collect()
}

const HELP: Qualifier = Qualifier::new("help", Takes::Nothing, false, "print this");

impl Usage {
    /// Reads a command line; `None` where help was asked for, which is then printed. Qualifiers that do nothing
    /// get a note.
    pub fn read(&self, args: &[String], console: &mut Console<'_>) -> Result<Option<Parsed>, Failure> {
        let parsed = self.parse(args)?;
        if parsed.help {
            console.out.write_all(self.help().as_bytes())?;
            return Ok(None);
        }
        for qualifier in self.qualifiers {
            if let Some(why) = qualifier.idle
                && *parsed.get(qualifier.name) != Given::Absent
            {
                console.note(&format!("-{} has no effect: {why}", qualifier.name));
            }
        }
        Ok(Some(parsed))
    }

    /// Reads a command line.
    pub fn parse(&self, args: &[String]) -> Result<Parsed, UsageError> {
        let mut parsed = Parsed {
            given: Vec::new(),
            arguments: Vec::new(),
            help: false,
        };
        let mut args = args.iter().peekable();
        let mut names_ended = false;
        while let Some(arg) = args.next() {
            if names_ended || !is_qualifier(arg) {
                let many = self.arguments.last().is_some_and(|a| a.many);
                if parsed.arguments.len() >= self.arguments.len() && !many {
                    return Err(UsageError::Argument(arg.clone()));
                }
                parsed.arguments.push(arg.clone());
                continue;
            }
            if arg == "--" {
                names_ended = true;
                continue;
            }
            let (word, value) = match arg.split_once('=') {
                Some((word, value)) => (word, Some(value.to_string())),
                None => (arg.as_str(), None),
            };
            let (qualifier, negated) = self.resolve(word)?;
            if qualifier.name == HELP.name {
                parsed.help = true;
                continue;
            }
            let given = match (negated, qualifier.takes, value) {
                (true, _, Some(value)) | (_, Takes::Nothing, Some(value)) => {
                    let word = word.to_string();
                    return Err(UsageError::Value { word, value });
                }
                (true, ..) => Given::Negated,
                (_, Takes::Required(placeholder), None) => match args.next_if(|next| !is_qualifier(next)) {
                    Some(value) => Given::Present(Some(value.clone())),
                    None => {
                        let word = word.to_string();
                        return Err(UsageError::NoValue {
                            word,
                            value: placeholder,
                        });
                    }
                },
                (_, _, value) => Given::Present(value),
            };
            parsed.given.push((qualifier.name, given));
        }
        Ok(parsed)
    }

    /// The qualifier that a word means, and whether it is negated.
    fn resolve(&self, word: &str) -> Result<(&Qualifier, bool), UsageError> {
        let name = normal(word);
        if matches!(name.as_str(), "h" | "?") {
            return Ok((&HELP, false));
        }
        let mut all: Vec<(String, &Qualifier, bool)> = Vec::new();
        for qualifier in self.qualifiers.iter().chain([&HELP]) {
            all.push((qualifier.name.to_string(), qualifier, false));
            if qualifier.negatable {
                all.push((format!("no{}", qualifier.name), qualifier, true));
            }
        }
        let plain = match name.strip_prefix("no_") {
            Some(rest) => format!("no{rest}"),
            None => name.clone(),
        };
        if let Some((_, qualifier, negated)) = all.iter().find(|(n, ..)| *n == name || *n == plain) {
            return Ok((qualifier, *negated));
        }
        let fits: Vec<_> = all
            .iter()
            .filter(|(n, ..)| !plain.is_empty() && n.starts_with(&plain))
            .collect();
        match fits.as_slice() {
            [(_, qualifier, negated)] => Ok((qualifier, *negated)),
            [] => Err(UsageError::Unknown {
                word: word.to_string(),
                nearest: policy::spelling::nearest(&plain, all.iter().map(|(n, ..)| n))
                    .map(|n| format!("-{n}")),
            }),
            _ => Err(UsageError::Ambiguous {
                word: word.to_string(),
                fits: fits.iter().map(|(n, ..)| format!("-{n}")).collect(),
            }),
        }
    }

    /// The help text.
    pub fn help(&self) -> String {
        let mut out = format!("{}\n\nUsage: {}", self.about, self.command);
        for argument in self.arguments {
            let more = if argument.many { "..." } else { "" };
            let _ = write!(out, " [{}{more}]", argument.name);
        }
        out.push_str(" [qualifiers]\n");
        let rows = |out: &mut String, title: &str, rows: Vec<(String, &str)>| {
            if rows.is_empty() {
                return;
            }
            let _ = writeln!(out, "\n{title}:");
            let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, help) in rows {
                let _ = writeln!(out, "  {name:width$}  {help}");
            }
        };
        let arguments = self.arguments.iter().map(|a| (a.name.to_string(), a.help));
        rows(&mut out, "Arguments", arguments.collect());
        let qualifiers = self.qualifiers.iter().chain([&HELP]);
        rows(
            &mut out,
            "Qualifiers",
            qualifiers.map(|q| (written(q), q.help)).collect(),
        );
        if !self.notes.is_empty() {
            let _ = writeln!(out, "\n{}", self.notes.trim_end());
        }
        out
    }
}

/// How the help writes a qualifier.
fn written(qualifier: &Qualifier) -> String {
    let no = if qualifier.negatable { "[no]" } else { "" };
    let value = match qualifier.takes {
        Takes::Nothing => String::new(),
        Takes::Optional(value) => format!("[={value}]"),
        Takes::Required(value) => format!("={value}"),
    };
    format!("-{no}{}{value}", qualifier.name)
}

/// Whether an argument is a qualifier, or the `--` that ends them.
pub fn is_qualifier(arg: &str) -> bool {
    arg.len() > 1 && arg.starts_with('-')
}

/// A name without its dashes and its value, in lower case with `_`.
pub fn normal(word: &str) -> String {
    let word = word.split_once('=').map_or(word, |(word, _)| word);
    let name = word.strip_prefix("--").or(word.strip_prefix('-')).unwrap_or(word);
    name.to_ascii_lowercase().replace('-', "_")
}
