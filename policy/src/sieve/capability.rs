//! The capabilities a script may require.

/// Capabilities that this build implements, in the order of the extension matrix.
pub const CAPABILITIES: &[&str] = &[
    "fileinto",
    "envelope",
    "encoded-character",
    "comparator-i;octet",
    "comparator-i;ascii-casemap",
    "comparator-i;ascii-numeric",
    "comparator-i;unicode-casemap",
    "copy",
    "variables",
    "vacation",
    "vacation-seconds",
    "relational",
    "imap4flags",
    "subaddress",
    "spamtest",
    "spamtestplus",
    "virustest",
    "date",
    "index",
    "editheader",
    "ereject",
    "reject",
    "enotify",
    "environment",
    "body",
    "ihave",
    "include",
    "mailbox",
    "mboxmetadata",
    "servermetadata",
    "foreverypart",
    "mime",
    "extracttext",
    "replace",
    "enclose",
    "envelope-dsn",
    "redirect-dsn",
    "envelope-deliverby",
    "redirect-deliverby",
    "extlists",
    "duplicate",
    "special-use",
    "fcc",
    "mailboxid",
    "imapsieve",
    "regex",
];

/// Names of private actions, which `require` accepts though they need none.
pub const PRIVATE: &[&str] = &[
    "jettison",
    "addtag",
    "addheader",
    "addprefix",
    "addsuffix",
    "replaceheader",
    "spamadjust",
    "virusset",
    "capture",
    "hold",
    "addconversiontag",
    "setconversiontag",
    "removeconversiontag",
    "novacation",
    "setenvelopefrom",
    "setnotify",
    "setret",
    "setmtpriority",
    "transactionlog",
    "adjustcounter",
    "refuse",
    "memcache",
    "metermaid",
];

/// Capabilities that change how strings are read; `ihave` cannot switch them on in mid-script.
const LEXICAL: &[&str] = &["encoded-character", "variables"];

/// A set of required capabilities.
#[derive(Debug, Clone, Default)]
pub(super) struct Set {
    bits: u64,
    /// Those that only `ihave` has switched on.
    conditional: u64,
}

impl Set {
    /// All of them.
    pub fn all() -> Self {
        let mut set = Set::default();
        for name in CAPABILITIES {
            set.add(name);
        }
        set
    }

    /// Adds one and what it implies; `false` where there is none of this name.
    pub fn add(&mut self, name: &str) -> bool {
        let Some(at) = CAPABILITIES.iter().position(|c| *c == name) else {
            return PRIVATE.contains(&name);
        };
        self.bits |= 1 << at;
        match name {
            "vacation-seconds" => self.add("vacation"),
            "spamtestplus" => self.add("spamtest"),
            _ => true,
        }
    }

    /// Whether it is required.
    pub fn has(&self, name: &str) -> bool {
        CAPABILITIES
            .iter()
            .position(|c| *c == name)
            .is_some_and(|at| self.bits & 1 << at != 0)
    }

    /// Adds one that a test of `ihave` switches on when it runs; its number, if it was not required before.
    pub fn grant(&mut self, name: &str) -> u64 {
        let before = self.bits;
        self.add(name);
        self.conditional |= self.bits & !before;
        self.bits & !before
    }

    /// Those of these capabilities that must have been switched on when they are used; 0 where one of them
    /// is required anyway.
    pub fn conditional(&self, names: &[&str]) -> u64 {
        let bit = |n: &&str| CAPABILITIES.iter().position(|c| c == n).map_or(0, |at| 1 << at);
        let used = names.iter().map(bit).fold(0, |a: u64, b| a | b) & self.bits;
        if used & !self.conditional == 0 { used } else { 0 }
    }

    /// Whether any of these is required; an empty list asks for nothing.
    pub fn has_any(&self, names: &[&str]) -> bool {
        names.is_empty() || names.iter().any(|n| self.has(n))
    }
}

/// Whether this build has the capability at all.
pub(super) fn is_known(name: &str, forbidden: &[String]) -> bool {
    (CAPABILITIES.contains(&name) || PRIVATE.contains(&name)) && !forbidden.iter().any(|f| f == name)
}

/// Whether `ihave` may say yes.
pub(super) fn may_switch_on(name: &str, forbidden: &[String]) -> bool {
    is_known(name, forbidden) && !LEXICAL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_its_set() {
        assert!(CAPABILITIES.len() <= 64);
        let mut set = Set::default();
        assert!(set.add("vacation-seconds") && set.has("vacation") && !set.has("fileinto"));
        assert!(!set.add("no-such") && set.add("jettison"));
    }
}
