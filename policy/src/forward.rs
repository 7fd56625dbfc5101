//! Forwarding: the table FORWARD and the forward database (`forward.txt`), for envelope To addresses.
//!
//! Each envelope To goes through them after rewriting and alias expansion. [`Forwarding::begin`] says what
//! the table is to be asked; the caller makes the look-up, and [`Forwarding::finish`] says what becomes of
//! the address, the database included. The caller rewrites results ([`Forwarded::again`]) and counts each as
//! one alias level, which ends loops. Nothing here does I/O.
//!
//! Choices: after a `$N`, or no match, the database is still asked; after a `$Y` only with `$G`; `$K` and
//! `$P` without both `$Y` and `$D` do nothing.
//!
//! Source: rewrite specification 9.2.

use crate::mapping::{FlagSet, MappingResult};
use crate::reverse::Lookup;
use crate::site::Site;

/// An address that may be forwarded.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding<'a> {
    /// The site.
    pub site: &'a Site,
    /// The address, after alias expansion.
    pub address: &'a str,
    /// The channel that the message comes from.
    pub source_channel: &'a str,
    /// Envelope From.
    pub from: &'a str,
    /// Input flags: A, D, E, F, L, S, T.
    pub flags: FlagSet,
    /// Conversion tags of the message.
    pub tags: &'a [String],
}

/// What becomes of an address.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forwarded {
    /// The new addresses; none: it stays as it is.
    pub addresses: Vec<String>,
    /// The new addresses are rewritten and expanded (`$D`, or a database hit); else they are final.
    pub again: bool,
    /// The old address is kept beside the new ones (`$P`).
    pub keep: bool,
    /// The new addresses are not forwarded once more (`$H`).
    pub last: bool,
    /// The message is held for this recipient (`$I`).
    pub hold: bool,
    /// The intermediate address stays what it was (`$K`).
    pub keep_intermediate: bool,
}

impl Forwarding<'_> {
    fn bits(&self) -> i64 {
        self.site.options.number("USE_FORWARD_DATABASE", 0)
    }

    /// What the table is to be asked; `None` where there is none.
    pub fn begin(&self) -> Option<Lookup> {
        self.site.program.table("FORWARD")?;
        let mut probe = String::new();
        if self.bits() & 16 != 0 {
            probe = format!("{}|{}|", self.source_channel, self.from);
        }
        if self.site.options.number("INCLUDE_CONVERSIONTAG", 0) & 4 != 0 {
            probe.push_str(&self.tags.join(","));
            probe.push('|');
        }
        probe.push_str(self.address);
        Some(Lookup {
            table: "FORWARD",
            probe,
            flags: self.flags,
        })
    }

    /// What the forward database has for an address.
    fn database(&self, address: &str) -> Option<String> {
        let bits = self.bits();
        if bits & 1 == 0 {
            return None;
        }
        let key = match bits & 8 != 0 {
            true => format!("{}|{}|{address}", self.source_channel, self.from),
            false => address.to_string(),
        };
        self.site.forward.get(&key.to_lowercase()).cloned()
    }

    /// What becomes of the address; `result` is that of [`Forwarding::begin`].
    pub fn finish(&self, result: Option<&MappingResult>) -> Forwarded {
        let said = result.filter(|r| r.matched > 0 && !r.failed);
        let has = |flag| said.is_some_and(|r| r.flags.has(flag));
        let mut done = Forwarded {
            hold: has('I'),
            ..Forwarded::default()
        };
        match said.filter(|r| r.flags.has('Y') && !r.output.is_empty()) {
            Some(result) => {
                let again = has('D');
                let found = has('G').then(|| self.database(&result.output)).flatten();
                done.again = again || found.is_some();
                done.last = has('H');
                done.keep = again && has('P');
                done.keep_intermediate = again && has('K');
                done.addresses = split(found.as_deref().unwrap_or(&result.output));
            }
            None => {
                if let Some(found) = self.database(self.address) {
                    done.addresses = split(&found);
                    done.again = true;
                }
            }
        }
        // an address forwarded to itself alone is not forwarded
        if let [only] = done.addresses.as_slice()
            && only.eq_ignore_ascii_case(self.address)
        {
            done.addresses.clear();
        }
        done
    }
}

/// The addresses of a list: they are separated by commas that stand neither in quotes nor in a source route.
pub fn split(list: &str) -> Vec<String> {
    let mut addresses = Vec::new();
    let mut one = String::new();
    let (mut quoted, mut skip, mut route) = (false, false, false);
    for c in list.chars() {
        match c {
            _ if skip => skip = false,
            '\\' if quoted => skip = true,
            '"' => quoted = !quoted,
            '@' if one.trim().is_empty() => route = true,
            ':' if !quoted => route = false,
            ',' if !quoted && !route => {
                addresses.push(std::mem::take(&mut one));
                continue;
            }
            _ => {}
        }
        one.push(c);
    }
    addresses.push(one);
    let trimmed = addresses.iter().map(|a| a.trim().to_string());
    trimmed.filter(|a| !a.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_lists() {
        let cases: [(&str, &[&str]); 4] = [
            ("a@b", &["a@b"]),
            ("a@b, c@d,", &["a@b", "c@d"]),
            ("\"last, first\"@b,c@d", &["\"last, first\"@b", "c@d"]),
            ("@a,@b:u@c, d@e", &["@a,@b:u@c", "d@e"]),
        ];
        for (list, expected) in cases {
            assert_eq!(split(list), expected, "{list}");
        }
    }
}
