//! Addresses: parsing, the first host specification, and putting one in another's place.
//!
//! An address is a source route, a local part and a domain. The local part may hold more routing:
//! `user%host` and `host!user`. A quoted local part is opaque. Case is kept; comparison ignores it.
//!
//! Source: rewrite specification 3; RFC 5321 4.1.2, RFC 6531 3.3.

use std::fmt;

/// Longest local part (RFC 5321 4.5.3.1.1 asks for 64; longer ones exist).
pub const LOCAL_LIMIT: usize = 256;

/// Longest domain (RFC 5321 4.5.3.1.2).
pub const DOMAIN_LIMIT: usize = 255;

/// A parsed address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Address {
    /// Hosts of the source route, left to right.
    pub route: Vec<String>,
    /// Local part as written, quotes kept.
    pub local: String,
    /// Domain or literal; `None` for a bare local part.
    pub domain: Option<String>,
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("the address is empty")]
    Empty,
    /// A quoted string, or a literal, without its end.
    #[error("a quote or bracket in the address is not closed")]
    Unclosed,
    /// A control character, a blank outside quotes, or a character that must be quoted.
    #[error("the address holds a character that must be quoted")]
    Character,
    /// Two `@`, or an empty component of a domain.
    #[error("the domain of the address is malformed")]
    Domain,
    /// A source route that does not end in `:`.
    #[error("the source route of the address is malformed")]
    Route,
    /// Longer than a limit.
    #[error("the address is too long")]
    TooLong,
}

/// Where a host specification was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// Right of the `@`.
    At,
    /// In the source route.
    Route,
    /// Right of the last single `%`.
    Percent,
    /// Left of the first `!`.
    Bang,
}

/// How `!` and `%` bind (channel keywords).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Binding {
    /// `A!B%C` is `(A!B)%C`.
    #[default]
    PercentOverBang,
    /// `A!B%C` is `A!(B%C)`.
    BangOverPercent,
    /// Bang paths are not looked at.
    PercentOnly,
}

/// The first host specification of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specification {
    /// The host.
    pub host: String,
    /// Where it was found.
    pub location: Location,
    /// The local part that goes with it (`$U`).
    pub user: String,
}

impl Address {
    /// Parses an address without angle brackets.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim_matches([' ', '\t']);
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > 4 * (LOCAL_LIMIT + DOMAIN_LIMIT) {
            return Err(AddressError::TooLong);
        }
        let mut route = Vec::new();
        let mut rest = text;
        if rest.starts_with('@') {
            let colon = find_unquoted(rest, |c| c == ':')?.ok_or(AddressError::Route)?;
            for hop in rest[..colon].split(',') {
                let host = hop
                    .trim_matches([' ', '\t'])
                    .strip_prefix('@')
                    .ok_or(AddressError::Route)?;
                check_domain(host)?;
                route.push(host.to_string());
            }
            rest = &rest[colon + 1..];
        }
        let (local, domain) = match find_unquoted(rest, |c| c == '@')? {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        check_local(local)?;
        if let Some(domain) = domain {
            check_domain(domain)?;
        }
        Ok(Address {
            route,
            local: local.to_string(),
            domain: domain.map(str::to_string),
        })
    }

    /// The first host specification; `None` for a bare local part without routing.
    pub fn first_host(&self, binding: Binding) -> Option<Specification> {
        let found = |host: &str, location, user: &str| {
            Some(Specification {
                host: host.to_string(),
                location,
                user: user.to_string(),
            })
        };
        if let Some(host) = self.route.first() {
            return found(host, Location::Route, &self.local);
        }
        if let Some(domain) = &self.domain {
            return found(domain, Location::At, &self.local);
        }
        if self.local.starts_with('"') {
            return None;
        }
        let percent = last_single_percent(&self.local)
            .map(|i| (&self.local[i + 1..], Location::Percent, &self.local[..i]))
            .filter(|(host, _, user)| !host.is_empty() && !user.is_empty());
        let bang = match binding {
            Binding::PercentOnly => None,
            _ => self
                .local
                .find('!')
                .map(|i| (&self.local[..i], Location::Bang, &self.local[i + 1..])),
        };
        let bang = bang.filter(|(host, _, user)| !host.is_empty() && !user.is_empty());
        let first = match binding {
            Binding::BangOverPercent => bang.or(percent),
            _ => percent.or(bang),
        };
        first.and_then(|(host, location, user)| found(host, location, user))
    }

    /// The address without its first host specification.
    pub fn without(&self, specification: &Specification) -> Address {
        match specification.location {
            Location::Route => Address {
                route: self.route[1..].to_vec(),
                ..self.clone()
            },
            _ => Address {
                route: Vec::new(),
                local: specification.user.clone(),
                domain: None,
            },
        }
    }

    /// The address with its first host specification replaced by a local part, a host, and perhaps a
    /// new source route.
    pub fn replaced(
        &self,
        specification: &Specification,
        local: &str,
        host: &str,
        via: Option<&str>,
    ) -> Address {
        let mut result = match specification.location {
            Location::Route => {
                let mut route = self.route.clone();
                if let Some(first) = route.first_mut() {
                    *first = host.to_string();
                }
                Address {
                    route,
                    ..self.clone()
                }
            }
            _ => Address {
                route: Vec::new(),
                local: local.to_string(),
                domain: Some(host.to_string()),
            },
        };
        if let Some(via) = via {
            result.route.insert(0, via.to_string());
        }
        result
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, hop) in self.route.iter().enumerate() {
            write!(f, "{}@{hop}", if n > 0 { "," } else { "" })?;
        }
        if !self.route.is_empty() {
            f.write_str(":")?;
        }
        f.write_str(&self.local)?;
        match &self.domain {
            Some(domain) => write!(f, "@{domain}"),
            None => Ok(()),
        }
    }
}

/// Local part and subaddress with its separator: `name+sub` gives `name` and `+sub`.
pub fn split_subaddress(local: &str, separator: char) -> (&str, &str) {
    match local.find(separator) {
        Some(i) if i > 0 && !local.starts_with('"') => local.split_at(i),
        _ => (local, ""),
    }
}

fn last_single_percent(local: &str) -> Option<usize> {
    let bytes = local.as_bytes();
    (0..bytes.len())
        .rev()
        .find(|&i| bytes[i] == b'%' && bytes.get(i + 1) != Some(&b'%') && (i == 0 || bytes[i - 1] != b'%'))
}

/// Position of the last-needed character outside quotes and brackets.
fn find_unquoted(text: &str, wanted: impl Fn(char) -> bool) -> Result<Option<usize>, AddressError> {
    let (mut quoted, mut literal, mut skip) = (false, false, false);
    let mut found = None;
    for (i, c) in text.char_indices() {
        match c {
            _ if skip => skip = false,
            '\\' if quoted => skip = true,
            '"' if !literal => quoted = !quoted,
            '[' if !quoted => literal = true,
            ']' if !quoted => literal = false,
            c if !quoted && !literal && wanted(c) && found.is_none() => found = Some(i),
            _ => {}
        }
    }
    if quoted || literal || skip {
        return Err(AddressError::Unclosed);
    }
    Ok(found)
}

fn check_local(local: &str) -> Result<(), AddressError> {
    if local.is_empty() {
        return Err(AddressError::Empty);
    }
    if local.len() > LOCAL_LIMIT {
        return Err(AddressError::TooLong);
    }
    let (mut quoted, mut skip) = (false, false);
    for c in local.chars() {
        let bad = match c {
            c if c.is_control() => true,
            _ if skip => {
                skip = false;
                false
            }
            '\\' if quoted => {
                skip = true;
                false
            }
            '"' => {
                quoted = !quoted;
                false
            }
            ' ' | '(' | ')' | '<' | '>' | '[' | ']' | ':' | ';' | '@' | '\\' | ',' => !quoted,
            _ => false,
        };
        if bad {
            return Err(AddressError::Character);
        }
    }
    if quoted {
        Err(AddressError::Unclosed)
    } else {
        Ok(())
    }
}

fn check_domain(domain: &str) -> Result<(), AddressError> {
    if domain.len() > DOMAIN_LIMIT {
        return Err(AddressError::TooLong);
    }
    if let Some(literal) = domain.strip_prefix('[') {
        let inner = literal.strip_suffix(']').ok_or(AddressError::Domain)?;
        let ok = inner
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-'));
        return if ok && !inner.is_empty() {
            Ok(())
        } else {
            Err(AddressError::Domain)
        };
    }
    let label = |l: &str| {
        !l.is_empty()
            && l.chars().all(|c| {
                c.is_alphanumeric() || matches!(c, '-' | '_' | '$') || !c.is_ascii() && !c.is_control()
            })
    };
    if domain.split('.').all(label) {
        Ok(())
    } else {
        Err(AddressError::Domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_host() {
        use Binding::{BangOverPercent, PercentOverBang};
        use Location::{At, Bang, Percent, Route};
        let cases = [
            ("user@a", PercentOverBang, Some(("a", At, "user"))),
            ("user@[0.1.2.3]", PercentOverBang, Some(("[0.1.2.3]", At, "user"))),
            ("@a:user@b.c.d", PercentOverBang, Some(("a", Route, "user"))),
            (
                "@a,@[0.1.2.3]:user@b",
                PercentOverBang,
                Some(("a", Route, "user")),
            ),
            ("user%A@B", PercentOverBang, Some(("B", At, "user%A"))),
            ("user%A", PercentOverBang, Some(("A", Percent, "user"))),
            ("user%A%B", PercentOverBang, Some(("B", Percent, "user%A"))),
            ("user%%A%B", PercentOverBang, Some(("B", Percent, "user%%A"))),
            ("A!user", PercentOverBang, Some(("A", Bang, "user"))),
            ("A!user%B@C", PercentOverBang, Some(("C", At, "A!user%B"))),
            ("A!user%B", PercentOverBang, Some(("B", Percent, "A!user"))),
            ("A!user%B", BangOverPercent, Some(("A", Bang, "user%B"))),
            ("\"a%b\"", PercentOverBang, None),
            ("joe", PercentOverBang, None),
        ];
        for (text, binding, expected) in cases {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), text);
            let found = address.first_host(binding);
            let found = found
                .as_ref()
                .map(|s| (s.host.as_str(), s.location, s.user.as_str()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn refuses_malformed_addresses() {
        for text in [
            "", "a@", "@b", "a@b@c", "a b@c", "\"a@b", "a@b..c", "a@[1.2", "@a@b", "a\r\n@b", "a@b\0",
            "<a>@b",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
        for text in ["\"a b\"@c", "\"x@y\"@c", "ü@ö.example", "a@[IPv6:2001:db8::1]"] {
            assert!(Address::parse(text).is_ok(), "{text:?}");
        }
    }
}
