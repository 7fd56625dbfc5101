//! The alias table, as a look-up: which members an address has (rewrite specification 7.4, 8).
//!
//! The forms that are probed, in order: `local@domain`, then the local part alone, each with its
//! subaddress variants, then `*@domain`. ALIAS_DOMAINS says which of them; `postmaster` is always probed
//! by its local part.

use std::collections::HashMap;

use grammar::Span;
use grammar::aliases::{Alias, Member};

use crate::address::{Address, split_subaddress};
use crate::channel::Subaddress;

/// ALIAS_DOMAINS where the site sets none: all three forms.
pub const ALIAS_DOMAINS: i64 = 7;

/// The aliases of a site.
#[derive(Debug, Default)]
pub struct Aliases {
    by_name: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    members: Vec<Member>,
    span: Span,
}

/// What an address was found to stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The addresses, in order; `+*` has been replaced by the subaddress.
    pub members: Vec<String>,
    /// The form that was found.
    pub form: String,
    /// Where the alias stands.
    pub span: Span,
}

impl Aliases {
    /// A table of parsed aliases.
    pub fn new(aliases: Vec<Alias>) -> Self {
        let mut by_name = HashMap::with_capacity(aliases.len());
        for alias in aliases {
            let entry = Entry {
                members: alias.members,
                span: alias.span,
            };
            by_name.entry(alias.name.to_lowercase()).or_insert(entry);
        }
        Aliases { by_name }
    }

    /// How many aliases there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Aliases that are never looked up as ALIAS_DOMAINS is set, and where they stand.
    pub fn unreachable(&self, domains: i64) -> impl Iterator<Item = (&str, Span)> {
        let reached = move |name: &str| match name.split_once('@') {
            None => domains & 1 != 0 || split_subaddress(name, '+').0 == "postmaster",
            Some(("*", _)) => domains & 4 != 0,
            Some(_) => domains & 2 != 0,
        };
        let entries = self.by_name.iter().filter(move |(name, _)| !reached(name));
        entries.map(|(name, entry)| (name.as_str(), entry.span))
    }

    /// Looks an address up; `domains` is ALIAS_DOMAINS, `local_channel` says that the address matches
    /// channel `l`, `subaddress` what its channel says of subaddresses.
    pub fn find(
        &self,
        address: &Address,
        domains: i64,
        local_channel: bool,
        subaddress: Subaddress,
    ) -> Option<Found> {
        let domain = address.domain.as_deref().unwrap_or("").to_lowercase();
        let local = address.local.to_lowercase();
        let (name, sub) = split_subaddress(&local, '+');
        let written_sub = split_subaddress(&address.local, '+').1;
        let postmaster = name == "postmaster";
        let mut forms: Vec<(String, bool)> = Vec::new();
        let mut add = |suffix: &str| {
            forms.push((format!("{local}{suffix}"), false));
            if !sub.is_empty() && subaddress != Subaddress::Exact {
                forms.push((format!("{name}+*{suffix}"), true));
            }
            if !sub.is_empty() && subaddress == Subaddress::Relaxed {
                forms.push((format!("{name}{suffix}"), true));
            }
        };
        if domains & 2 != 0 && !domain.is_empty() {
            add(&format!("@{domain}"));
        }
        if (domains & 1 != 0 && local_channel) || postmaster {
            add("");
        }
        if domains & 4 != 0 && !domain.is_empty() {
            forms.push((format!("*@{domain}"), false));
        }
        let (form, relaxed, entry) = forms
            .into_iter()
            .find_map(|(f, relaxed)| self.by_name.get(&f).map(|e| (f, relaxed, e)))?;
        let member = |m: &Member| {
            let replacement = if relaxed { written_sub } else { "" };
            m.text.replacen("+*", replacement, 1)
        };
        Some(Found {
            members: entry.members.iter().map(member).collect(),
            form,
            span: entry.span,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_forms_in_order() {
        let mut sources = grammar::Sources::new();
        let text = "postmaster: root@x.example\nann@x.example: a@y\nbob: b+*@y\n*@z.example: all@y\n";
        let file = sources.add("aliases", text);
        let mut diagnostics = Vec::new();
        let parsed = grammar::aliases::parse(
            &mut sources,
            file,
            &|_: &str| Err(String::new()),
            &mut diagnostics,
        );
        let aliases = Aliases::new(parsed);
        use Subaddress::Relaxed;
        let cases = [
            ("Postmaster@q.example", 6, true, Relaxed, Some("root@x.example")),
            ("ann@x.example", 6, true, Relaxed, Some("a@y")),
            ("ann+list@x.example", 6, true, Relaxed, Some("a@y")),
            ("bob+list@x.example", 7, true, Relaxed, Some("b+list@y")),
            ("bob+List@x.example", 7, true, Relaxed, Some("b+List@y")),
            ("bob+list@x.example", 7, true, Subaddress::Wild, None),
            ("bob+list@x.example", 7, true, Subaddress::Exact, None),
            ("bob@x.example", 7, true, Relaxed, Some("b@y")),
            ("bob@x.example", 6, true, Relaxed, None),
            ("bob@x.example", 7, false, Relaxed, None),
            ("any@z.example", 6, true, Relaxed, Some("all@y")),
            ("any@z.example", 2, true, Relaxed, None),
        ];
        for (address, domains, local, form, expected) in cases {
            let found = aliases.find(&Address::parse(address).unwrap(), domains, local, form);
            assert_eq!(
                found.as_ref().map(|f| f.members[0].as_str()),
                expected,
                "{address} {domains}"
            );
        }
    }
}
