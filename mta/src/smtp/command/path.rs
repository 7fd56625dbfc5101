//! The address in MAIL FROM and RCPT TO: what stands between the angle brackets, as text.
//!
//! Only what would make the text ambiguous is refused here (see [`PathFault`]); the meaning of the text,
//! source routes, `%` and `!` included, belongs to address rewriting. Quoted strings are honoured: `>`,
//! `@` and blanks inside them are text.

/// Octets of a path, angle brackets included (RFC 5321 4.5.3.1.3).
pub const PATH_LENGTH: usize = 256;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It does not begin with `<`.
    #[error("put the address in angle brackets, as in <user@example.com>")]
    NoBrackets,
    /// No `>` ends it.
    #[error("the closing > is missing")]
    Unclosed,
    /// A quoted string does not end.
    #[error("the closing quote is missing")]
    Unquoted,
    /// `<>` where a recipient is wanted.
    #[error("an empty address cannot be a recipient")]
    Empty,
    /// Over [`PATH_LENGTH`].
    #[error("it is longer than {PATH_LENGTH} octets")]
    TooLong,
    /// A control character.
    #[error("it holds a control character")]
    Control,
    /// A blank outside of quotes.
    #[error("it holds a blank outside of quotes")]
    Blank,
    /// A second `<` outside of quotes.
    #[error("it holds a second <")]
    Bracket,
    /// Nothing before the `@`.
    #[error("the part before the @ is missing")]
    NoLocalPart,
    /// Nothing after the `@`.
    #[error("the domain after the @ is missing")]
    NoDomain,
    /// `@host` without `:user@host`.
    #[error("the source route lacks a colon and an address")]
    Route,
    /// Something other than a blank follows the `>`.
    #[error("a blank must follow the closing >")]
    Trailing,
}

/// Takes the path off the front of `text`: what stands between the brackets, and what follows them.
pub fn parse(text: &str) -> Result<(&str, &str), PathFault> {
    let inner = text.strip_prefix('<').ok_or(PathFault::NoBrackets)?;
    let shape = Shape::of(inner)?;
    let (path, rest) = inner.split_at_checked(shape.end).ok_or(PathFault::Unclosed)?;
    let rest = rest.strip_prefix('>').ok_or(PathFault::Unclosed)?;
    if path.len() + 2 > PATH_LENGTH {
        return Err(PathFault::TooLong);
    }
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return Err(PathFault::Trailing);
    }
    // After a source route the address proper begins.
    let mut start = 0;
    if path.starts_with('@') {
        start = shape.colon.ok_or(PathFault::Route)? + 1;
        if start >= path.len() {
            return Err(PathFault::Route);
        }
    }
    if let Some(at) = shape.at.filter(|at| *at >= start) {
        if at == start {
            return Err(PathFault::NoLocalPart);
        }
        if at + 1 == path.len() {
            return Err(PathFault::NoDomain);
        }
    }
    Ok((path, rest))
}

/// Where the parts of a path are, quoted strings left out of account. Octets from the start.
struct Shape {
    end: usize,
    /// First colon, where a source route ends.
    colon: Option<usize>,
    /// Last `@`.
    at: Option<usize>,
}

impl Shape {
    fn of(inner: &str) -> Result<Shape, PathFault> {
        let mut shape = Shape {
            end: inner.len(),
            colon: None,
            at: None,
        };
        let mut quoted = false;
        let mut escaped = false;
        for (index, c) in inner.char_indices() {
            if c.is_control() {
                return Err(PathFault::Control);
            }
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                _ if quoted => {}
                '>' => {
                    shape.end = index;
                    return Ok(shape);
                }
                '<' => return Err(PathFault::Bracket),
                c if c.is_whitespace() => return Err(PathFault::Blank),
                ':' => {
                    shape.colon.get_or_insert(index);
                }
                '@' => shape.at = Some(index),
                _ => {}
            }
        }
        Err(if quoted {
            PathFault::Unquoted
        } else {
            PathFault::Unclosed
        })
    }
}
