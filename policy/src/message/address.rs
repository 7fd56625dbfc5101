//! Address lists (RFC 5322, 3.4, obsolete forms included), read leniently and compared strictly.
//!
//! mail-parser's address reader is made to show people who wrote; it loses quoted local parts and says not
//! which addresses are malformed, and Sieve must know both. This one is a single pass without recursion.

/// One address of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A well-formed one.
    Valid(Mailbox),
    /// The text of one that is not.
    Invalid(String),
}

/// A local part and a domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mailbox {
    /// The local part, quoting undone.
    pub local: String,
    /// The domain; empty only for the null sender.
    pub domain: String,
}

impl Mailbox {
    /// `local@domain`, quoting undone; empty for the null sender.
    pub fn all(&self) -> String {
        if self.local.is_empty() && self.domain.is_empty() {
            return String::new();
        }
        format!("{}@{}", self.local, self.domain)
    }

    /// Local part before the first `separator`, and what follows it, if it is there.
    pub fn subaddress(&self, separator: char) -> (&str, Option<&str>) {
        match self.local.split_once(separator) {
            Some((user, detail)) => (user, Some(detail)),
            None => (&self.local, None),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Atom(String),
    Quoted(String),
    Literal(String),
    Special(char),
}

/// Splits into words and specials; comments and white space vanish.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '(' => {
                let mut depth = 1;
                while depth > 0 {
                    match chars.next()? {
                        '(' => depth += 1,
                        ')' => depth -= 1,
                        '\\' => {
                            chars.next()?;
                        }
                        _ => {}
                    }
                }
            }
            '"' => {
                let mut word = String::new();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.push(chars.next()?),
                        c => word.push(c),
                    }
                }
                out.push(Token::Quoted(word));
            }
            '[' => {
                let mut literal = String::from('[');
                loop {
                    let c = chars.next()?;
                    literal.push(c);
                    if c == ']' {
                        break;
                    }
                }
                out.push(Token::Literal(literal));
            }
            '<' | '>' | '@' | ',' | ';' | ':' | '.' | '\\' | ')' | ']' => out.push(Token::Special(c)),
            c => {
                let mut atom = String::from(c);
                while let Some(&c) = chars.peek() {
                    if c.is_whitespace() || "()<>@,;:\\\".[]".contains(c) {
                        break;
                    }
                    atom.push(c);
                    chars.next();
                }
                out.push(Token::Atom(atom));
            }
        }
    }
    Some(out)
}

/// All addresses of a field body, those in groups included.
pub fn list(text: &str) -> Vec<Address> {
    let Some(tokens) = tokens(text) else {
        return vec![Address::Invalid(text.trim().to_owned())];
    };
    let mut out = Vec::new();
    let mut angle = false;
    let mut start = 0;
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Special('<') => angle = true,
            Token::Special('>') => angle = false,
            Token::Special(':') if !angle => start = i + 1,
            Token::Special(',' | ';') if !angle => {
                out.extend(one(&tokens[start..i]));
                start = i + 1;
            }
            _ => {}
        }
    }
    out.extend(one(tokens.get(start..).unwrap_or_default()));
    out
}

/// The one address that `text` is, or nothing where it is no address or several.
pub fn single(text: &str) -> Option<Mailbox> {
    let mut all = list(text);
    match (all.pop(), all.is_empty()) {
        (Some(Address::Valid(mailbox)), true) => Some(mailbox),
        _ => None,
    }
}

/// An envelope address: `""` and `<>` are the null sender.
pub fn envelope(text: &str) -> Address {
    let text = text.trim();
    if text.is_empty() || text == "<>" {
        return Address::Valid(Mailbox::default());
    }
    match single(text) {
        Some(mailbox) => Address::Valid(mailbox),
        None => Address::Invalid(text.to_owned()),
    }
}

/// One address of its tokens; nothing for an empty place in the list.
fn one(tokens: &[Token]) -> Option<Address> {
    if tokens.is_empty() {
        return None;
    }
    let spec = match tokens.iter().position(|t| *t == Token::Special('<')) {
        Some(open) => {
            let close = tokens.iter().position(|t| *t == Token::Special('>'));
            match close {
                Some(close) if close > open && close + 1 == tokens.len() => &tokens[open + 1..close],
                _ => return Some(Address::Invalid(plain(tokens))),
            }
        }
        None => tokens,
    };
    // A source route (`@a,@b:user@c`) ends at its colon.
    let spec = match (spec.first(), spec.iter().position(|t| *t == Token::Special(':'))) {
        (Some(Token::Special('@')), Some(colon)) => &spec[colon + 1..],
        _ => spec,
    };
    Some(addr_spec(spec).map_or_else(|| Address::Invalid(plain(tokens)), Address::Valid))
}

fn addr_spec(tokens: &[Token]) -> Option<Mailbox> {
    let at = tokens.iter().rposition(|t| *t == Token::Special('@'))?;
    let local = dotted(&tokens[..at], true)?;
    let domain = match &tokens[at + 1..] {
        [Token::Literal(literal)] => literal.clone(),
        domain => dotted(domain, false)?,
    };
    Some(Mailbox { local, domain })
}

/// Words with one dot between two.
fn dotted(tokens: &[Token], quoted: bool) -> Option<String> {
    let mut out = String::new();
    if tokens.len().is_multiple_of(2) {
        return None;
    }
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Special('.') if i % 2 == 1 => out.push('.'),
            Token::Atom(word) if i % 2 == 0 => out.push_str(word),
            Token::Quoted(word) if i % 2 == 0 && quoted => out.push_str(word),
            _ => return None,
        }
    }
    Some(out)
}

fn plain(tokens: &[Token]) -> String {
    let mut out = String::new();
    for token in tokens {
        match token {
            Token::Atom(w) | Token::Quoted(w) | Token::Literal(w) => {
                if !out.is_empty() && !out.ends_with(['@', '.', '<']) {
                    out.push(' ');
                }
                out.push_str(w);
            }
            Token::Special(c) => out.push(*c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists() {
        let cases: &[(&str, &str, &[&str])] = &[
            (
                "plain",
                "a@x.example, b@y.example",
                &["a@x.example", "b@y.example"],
            ),
            (
                "phrase and comment",
                "\"C, W. E.\" <c (x)@d.example> (home)",
                &["c@d.example"],
            ),
            (
                "group",
                "Friends: a@x.example, \"B\" <b@x.example>;, c@z.example",
                &["a@x.example", "b@x.example", "c@z.example"],
            ),
            ("empty group", "undisclosed-recipients:;", &[]),
            ("quoted local part", "\"a b\"@x.example", &["a b@x.example"]),
            (
                "source route",
                "<@r.example,@s.example:u@d.example>",
                &["u@d.example"],
            ),
            ("literal", "u@[192.0.2.1]", &["u@[192.0.2.1]"]),
            ("no address", "not an address at all", &["!not an address at all"]),
            ("mixed", "bad, ok@x.example", &["!bad", "ok@x.example"]),
            ("open quote", "\"a <b@c.example>", &["!\"a <b@c.example>"]),
            ("two dots", "a..b@c.example", &["!a..b@c.example"]),
        ];
        for (name, text, want) in cases {
            let got: Vec<String> = list(text)
                .into_iter()
                .map(|a| match a {
                    Address::Valid(m) => m.all(),
                    Address::Invalid(t) => format!("!{t}"),
                })
                .collect();
            assert_eq!(&got, want, "{name}");
        }
    }

    #[test]
    fn takes_one() {
        assert!(single("a@x.example").is_some());
        assert!(single("not an address").is_none());
        assert!(single("a@x.example, b@x.example").is_none());
        assert_eq!(single("u+d@x.example").unwrap().subaddress('+'), ("u", Some("d")));
    }
}
