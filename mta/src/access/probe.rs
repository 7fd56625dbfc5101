//! Writing probes: fields joined with `|`.
//!
//! Control characters become blanks in every field. Data from outside (addresses, domains, HELO names,
//! authentication, tags) has its `|` replaced where `MAPPING_PARANOIA` says so; what this server made
//! itself is written as it is.

use std::fmt::{Display, Write};
use std::net::IpAddr;

use policy::options::Options;

use super::facts::SessionFacts;

/// Appends one probe to a string.
pub(super) struct Probe<'o> {
    out: &'o mut String,
    paranoia: Option<char>,
    started: bool,
}

impl<'o> Probe<'o> {
    /// Begins a probe; `paranoia` stands for `|` in data from outside.
    pub fn new(out: &'o mut String, paranoia: Option<char>) -> Self {
        Probe {
            out,
            paranoia,
            started: false,
        }
    }

    /// Begins a probe with the site's options.
    pub fn with(out: &'o mut String, options: &Options) -> Self {
        Probe::new(out, options.paranoia())
    }

    fn field(&mut self) {
        if self.started {
            self.out.push('|');
        }
        self.started = true;
    }

    /// A field of this server's own.
    pub fn own(&mut self, text: &str) -> &mut Self {
        self.field();
        self.push(text, None);
        self
    }

    /// A field with data from outside.
    pub fn data(&mut self, text: &str) -> &mut Self {
        self.field();
        self.push(text, self.paranoia);
        self
    }

    /// Data from outside with a suffix of this server's.
    pub fn data_then(&mut self, text: &str, suffix: &str) -> &mut Self {
        self.data(text);
        self.out.push_str(suffix);
        self
    }

    /// Data from outside after a prefix of this server's.
    pub fn data_after(&mut self, prefix: &str, text: &str) -> &mut Self {
        self.field();
        self.out.push_str(prefix);
        self.push(text, self.paranoia);
        self
    }

    /// A field with a number, an IP address ...
    pub fn number(&mut self, value: impl Display) -> &mut Self {
        self.field();
        let _ = write!(self.out, "{value}");
        self
    }

    /// Conversion tags, separated by commas.
    pub fn tags(&mut self, tags: &[String]) -> &mut Self {
        self.field();
        for (n, tag) in tags.iter().enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            self.push(tag, self.paranoia);
        }
        self
    }

    /// Transport information: five fields, or one empty one.
    pub fn transport(&mut self, session: &SessionFacts) -> &mut Self {
        let Some((client, client_port)) = session.client else {
            return self.own("");
        };
        self.own("TCP");
        match session.server {
            Some((server, port)) => self.number(plain(server)).number(port),
            None => self.own("").own(""),
        };
        self.number(plain(client)).number(client_port)
    }

    /// Application information: one field.
    pub fn application(&mut self, session: &SessionFacts) -> &mut Self {
        self.own(&session.protocol);
        if session.protocol.is_empty() {
            return self;
        }
        let tls = session.tls.as_deref().unwrap_or("");
        for part in [tls, &session.helo] {
            if !part.is_empty() {
                self.out.push('/');
                self.push(part, self.paranoia);
            }
        }
        self
    }

    fn push(&mut self, text: &str, bar: Option<char>) {
        if text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'|') {
            self.out.push_str(text);
            return;
        }
        self.out.extend(text.chars().map(|c| match (c, bar) {
            ('|', Some(bar)) => bar,
            (c, _) if c.is_control() => ' ',
            (c, _) => c,
        }));
    }
}

/// An address as probes have it: an IPv4 address that came in as a mapped IPv6 one is an IPv4 address.
pub(super) fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
