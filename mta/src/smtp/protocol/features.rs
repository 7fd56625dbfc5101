//! What a server offers, and the list that EHLO shows.

/// The extensions offered. The session sets them from the channel's keywords; they may change after
/// STARTTLS and AUTH, and hold from the next command on.
///
/// Text options: `None` does not offer the extension, `Some("")` offers it without arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// LMTP (RFC 2033): LHLO instead of EHLO and HELO, a reply per recipient at the end of a message.
    pub lmtp: bool,
    /// 8BITMIME (`eightbit`, `eightnegotiate`, `eightstrict`).
    pub eight_bit: bool,
    /// SMTPUTF8; shown only with 8BITMIME, as RFC 6531 3.1 wants.
    pub smtputf8: bool,
    /// PIPELINING. Pipelined commands are understood in any case.
    pub pipelining: bool,
    /// CHUNKING: BDAT (`chunkingserver`).
    pub chunking: bool,
    /// BINARYMIME; shown only with CHUNKING.
    pub binary_mime: bool,
    /// DSN.
    pub dsn: bool,
    /// ENHANCEDSTATUSCODES; when off, replies carry no enhanced codes.
    pub enhanced_codes: bool,
    /// EXPN (`expnallow` and DISABLE_EXPAND=0).
    pub expn: bool,
    /// HELP.
    pub help: bool,
    /// XADR, XSTA, XCIR, XGEN, or other verbs without state; each is shown, and asked of the session.
    pub private: Vec<String>,
    /// Identification for XLOOP (`loopcheck`).
    pub xloop: Option<String>,
    /// STARTTLS; shown only while TLS is not active.
    pub starttls: bool,
    /// Mechanisms for AUTH in capitals, best first; shown only before a success.
    pub auth: Vec<String>,
    /// Mechanisms that are known and want TLS first: not shown; AUTH by one is asked of the session, which says so.
    pub auth_secure: Vec<String>,
    /// FUTURERELEASE with its two numbers (`futurerelease`); allows HOLDFOR and HOLDUNTIL.
    pub future_release: Option<String>,
    /// MT-PRIORITY with its policy; allows MT-PRIORITY.
    pub mt_priority: Option<String>,
    /// DELIVERBY with its minimum (`deliverbymin`); allows BY.
    pub deliver_by: Option<String>,
    /// ETRN. The command is asked of the session in any case, so that it can refuse in its own way.
    pub etrn: bool,
    /// NO-SOLICITING with its classes; allows SOLICIT.
    pub no_soliciting: Option<String>,
    /// Lines for trusted proxies, `XCLIENT NAME ADDR` and `XPEHLO`; the first word of each is a verb that
    /// is asked of the session.
    pub proxy: Vec<String>,
    /// Further lines (EHLO_ADDITION).
    pub additions: Vec<String>,
    /// Largest message in octets, shown by SIZE and enforced; `None` or 0 for no limit.
    pub size: Option<u64>,
}

impl Default for Features {
    /// What an Internet-facing server offers when nothing is configured: no TLS, no AUTH, no private verbs.
    fn default() -> Features {
        Features {
            lmtp: false,
            eight_bit: true,
            smtputf8: true,
            pipelining: true,
            chunking: true,
            binary_mime: false,
            dsn: true,
            enhanced_codes: true,
            expn: false,
            help: true,
            private: Vec::new(),
            xloop: None,
            starttls: false,
            auth: Vec::new(),
            auth_secure: Vec::new(),
            future_release: None,
            mt_priority: None,
            deliver_by: None,
            etrn: true,
            no_soliciting: Some(String::new()),
            proxy: Vec::new(),
            additions: Vec::new(),
            size: None,
        }
    }
}

impl Features {
    /// The lines of EHLO after the host name, in the order of queue specification 8.1.
    ///
    /// `tls` and `authenticated` tell what the session has reached; `size` is the limit in force, 0 for none.
    pub fn lines(&self, tls: bool, authenticated: bool, size: u64) -> Vec<String> {
        let mut lines = Vec::new();
        let mut word = |shown: bool, text: &str| {
            if shown {
                lines.push(text.to_owned());
            }
        };
        word(self.eight_bit, "8BITMIME");
        word(self.offers_utf8(), "SMTPUTF8");
        word(self.pipelining, "PIPELINING");
        word(self.chunking, "CHUNKING");
        word(self.offers_binary(), "BINARYMIME");
        word(self.dsn, "DSN");
        word(self.enhanced_codes, "ENHANCEDSTATUSCODES");
        word(self.expn, "EXPN");
        word(self.help, "HELP");
        lines.extend(self.private.iter().cloned());
        lines.extend(option("XLOOP", &self.xloop));
        if self.starttls && !tls {
            lines.push("STARTTLS".to_owned());
        }
        if !self.auth.is_empty() && !authenticated {
            let reversed: Vec<&str> = self.auth.iter().rev().map(String::as_str).collect();
            lines.push(format!("AUTH {}", self.auth.join(" ")));
            lines.push(format!("AUTH={}", reversed.join(" ")));
        }
        lines.extend(option("FUTURERELEASE", &self.future_release));
        lines.extend(option("MT-PRIORITY", &self.mt_priority));
        lines.extend(option("DELIVERBY", &self.deliver_by));
        if self.etrn {
            lines.push("ETRN".to_owned());
        }
        lines.extend(option("NO-SOLICITING", &self.no_soliciting));
        lines.extend(self.proxy.iter().cloned());
        lines.extend(self.additions.iter().cloned());
        lines.push(format!("SIZE {size}"));
        lines
    }

    /// SMTPUTF8 is in effect.
    pub fn offers_utf8(&self) -> bool {
        self.smtputf8 && self.eight_bit
    }

    /// BINARYMIME is in effect.
    pub fn offers_binary(&self) -> bool {
        self.binary_mime && self.chunking
    }

    /// MAIL may carry the parameter `keyword` of an extension that has no type of its own.
    pub fn allows_parameter(&self, keyword: &str) -> bool {
        match keyword {
            "HOLDFOR" | "HOLDUNTIL" => self.future_release.is_some(),
            "MT-PRIORITY" => self.mt_priority.is_some(),
            "BY" => self.deliver_by.is_some(),
            "SOLICIT" => self.no_soliciting.is_some(),
            _ => false,
        }
    }

    /// `verb` is one of the private or proxy commands.
    pub fn allows_verb(&self, verb: &str) -> bool {
        let proxy = self.proxy.iter().filter_map(|line| line.split(' ').next());
        self.private
            .iter()
            .map(String::as_str)
            .chain(proxy)
            .any(|one| one.eq_ignore_ascii_case(verb))
    }

    /// The verbs for HELP.
    pub fn verbs(&self) -> Vec<String> {
        let mut verbs: Vec<&str> = if self.lmtp {
            vec!["LHLO"]
        } else {
            vec!["EHLO", "HELO"]
        };
        verbs.extend(["MAIL", "RCPT", "DATA"]);
        verbs.extend(self.chunking.then_some("BDAT"));
        verbs.extend(["RSET", "NOOP", "QUIT", "VRFY", "HELP"]);
        verbs.extend(self.expn.then_some("EXPN"));
        verbs.extend(self.etrn.then_some("ETRN"));
        verbs.extend(self.starttls.then_some("STARTTLS"));
        verbs.extend((!self.auth.is_empty()).then_some("AUTH"));
        verbs.extend(self.private.iter().map(String::as_str));
        verbs.into_iter().map(str::to_owned).collect()
    }
}

fn option(keyword: &str, text: &Option<String>) -> Option<String> {
    let text = text.as_ref()?;
    Some(if text.is_empty() {
        keyword.to_owned()
    } else {
        format!("{keyword} {text}")
    })
}
