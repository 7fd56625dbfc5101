//! Address reversal: what senders and header addresses are called on the way out.
//!
//! After an address was rewritten it is looked up in the reverse database (`reverse.txt`), then in the
//! table REVERSE. Envelope To addresses are never reversed. [`Reversal::begin`] looks in the database and
//! says which probe the table needs; the caller makes that look-up, and [`Begun::finish`] has the result.
//! Nothing here does I/O.
//!
//! Bits of USE_REVERSE_DATABASE that take effect: 1 and 2 (the database is used; both mean after
//! rewriting), 4 (all addresses, not only backward-pointing ones), 8 with 256 and 16 with 128 (channels in
//! probes and keys), 32 (the table after a database hit, too). Message-ids (64) are left alone.
//!
//! Source: rewrite specification 9.1.

use crate::mapping::{FlagSet, MappingResult};
use crate::site::Site;

/// USE_REVERSE_DATABASE where the site sets none.
pub const USE_REVERSE_DATABASE: i64 = 5;

/// A look-up that the caller makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// The table.
    pub table: &'static str,
    /// What is looked up.
    pub probe: String,
    /// Input flags.
    pub flags: FlagSet,
}

/// An address that is to be reversed.
#[derive(Debug, Clone, Copy)]
pub struct Reversal<'a> {
    /// The site.
    pub site: &'a Site,
    /// The address, after rewriting.
    pub address: &'a str,
    /// The channel that the message comes from.
    pub source_channel: &'a str,
    /// The channel that it goes to; empty where that is not known.
    pub destination_channel: &'a str,
    /// An envelope address; else one of a header.
    pub envelope: bool,
    /// Forward-pointing, else backward-pointing.
    pub forward: bool,
}

/// A reversal that may still need its table.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// What the database gave.
    pub found: Option<String>,
    /// What is to be looked up in REVERSE; `None`: nothing more.
    pub lookup: Option<Lookup>,
}

impl Reversal<'_> {
    fn bits(&self) -> i64 {
        self.site
            .options
            .number("USE_REVERSE_DATABASE", USE_REVERSE_DATABASE)
    }

    /// Whether this address is reversed at all.
    pub fn applies(&self) -> bool {
        let bits = self.bits();
        let wanted = match (self.envelope, self.forward) {
            (true, true) => false,
            (true, false) => self.site.options.number("REVERSE_ENVELOPE", 1) != 0,
            (false, forward) => !forward || bits & 4 != 0,
        };
        let channel = self.site.channel(self.destination_channel);
        bits != 0 && wanted && !self.address.is_empty() && !channel.is_some_and(|c| c.settings.no_reverse)
    }

    /// The address as a key: with channels, where two bits say so.
    fn key(&self, address: &str, channels: i64, destination_only: i64) -> String {
        let (bits, to) = (self.bits(), self.destination_channel);
        match (bits & channels != 0, bits & destination_only != 0) {
            (true, true) => format!("{to}|{address}"),
            (true, false) => format!("{}|{to}|{address}", self.source_channel),
            _ => address.to_string(),
        }
    }

    /// What the reverse database has for an address.
    fn database(&self, address: &str) -> Option<String> {
        if self.bits() & 3 == 0 {
            return None;
        }
        let key = self.key(address, 16, 128).to_lowercase();
        self.site.reverse.get(&key).cloned()
    }

    /// Looks in the database, and says what the table is to be asked.
    pub fn begin(&self) -> Begun {
        if !self.applies() {
            return Begun {
                found: None,
                lookup: None,
            };
        }
        let found = self.database(self.address);
        let asked = found.is_none() || self.bits() & 32 != 0;
        let lookup = (asked && self.site.program.table("REVERSE").is_some()).then(|| {
            let mut flags = FlagSet::default();
            flags.insert(if self.envelope { 'E' } else { 'B' });
            flags.insert(if self.forward { 'F' } else { 'R' });
            Lookup {
                table: "REVERSE",
                probe: self.key(found.as_deref().unwrap_or(self.address), 8, 256),
                flags,
            }
        });
        Begun { found, lookup }
    }
}

impl Begun {
    /// The new address; `None`: it stays as it is. `result` is that of [`Begun::lookup`].
    pub fn finish(self, reversal: &Reversal<'_>, result: Option<&MappingResult>) -> Option<String> {
        let said = result.filter(|r| r.matched > 0 && !r.failed && r.flags.has('Y') && !r.output.is_empty());
        match said {
            Some(result) if result.flags.has('D') => Some(
                reversal
                    .database(&result.output)
                    .unwrap_or_else(|| result.output.clone()),
            ),
            Some(result) => Some(result.output.clone()),
            None => self.found,
        }
    }
}
