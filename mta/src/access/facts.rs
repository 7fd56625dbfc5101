//! What is known of a session and of a recipient: the material of probes and of refusals.

use std::net::IpAddr;

use policy::mapping::FlagSet;
use store::envelope::Notify;

use super::probe::Probe;

/// What is known of the session, for probes.
#[derive(Debug, Clone, Default)]
pub struct SessionFacts {
    /// This side's address and port; `None` with mail that was not received by TCP.
    pub server: Option<(IpAddr, u16)>,
    /// The other side's, as a trusted proxy reported it where there is one.
    pub client: Option<(IpAddr, u16)>,
    /// `SMTP` or `LMTP`; empty with mail that was not received so.
    pub protocol: String,
    /// The name given in EHLO, HELO or LHLO; empty before it.
    pub helo: String,
    /// `TLS-keybits-suite`, where TLS is in use.
    pub tls: Option<String>,
    /// `MAIL`; or `SEND`, `SAML`, `SOML` for those commands.
    pub submit_type: String,
    /// The source channel after all switching; in the client, the channel being dequeued.
    pub channel: String,
    /// The user who authenticated.
    pub auth_user: Option<String>,
    /// That user's mail address; empty where there is none.
    pub auth_address: String,
    /// EHLO was given and accepted.
    pub esmtp: bool,
    /// The session is LMTP.
    pub lmtp: bool,
}

impl SessionFacts {
    /// Transport information, `TCP|server-address|server-port|client-address|client-port`; empty with mail
    /// that was not received by TCP. IPv6 addresses stand without brackets (access specification 3.1).
    pub fn transport(&self) -> String {
        let mut out = String::new();
        Probe::new(&mut out, None).transport(self);
        out
    }

    /// Application information, `SMTP[/tls][/helo]`; empty with mail that was not received by SMTP or LMTP
    /// (access specification 3.2).
    pub fn application(&self) -> String {
        let mut out = String::new();
        Probe::new(&mut out, None).application(self);
        out
    }

    /// Input flags of any point: A, authenticated; T, TLS in use.
    pub(super) fn flags(&self) -> FlagSet {
        let mut flags = FlagSet::default();
        let set = [('A', self.auth_user.is_some()), ('T', self.tls.is_some())];
        set.iter()
            .filter(|(_, set)| *set)
            .for_each(|(flag, _)| flags.insert(*flag));
        flags
    }
}

/// What is known of a recipient, for probes. Addresses stand without angle brackets.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecipientFacts<'a> {
    /// Envelope From, after simple address reversal; empty for `<>`.
    pub from: &'a str,
    /// The destination channel that `to` matches.
    pub channel: &'a str,
    /// The address: after rewriting for the `ORIG_` tables, after alias expansion for the others.
    pub to: &'a str,
    /// ORCPT, `type;address`.
    pub orcpt: Option<&'a str>,
    /// The address of RCPT TO.
    pub submitted: &'a str,
    /// NOTIFY.
    pub notify: Notify,
    /// RCPT TO commands of the transaction, this one included.
    pub rcpt_count: u32,
    /// Valid recipients that earlier RCPT TO commands gave.
    pub total_recipients: u32,
    /// Conversion tags set so far.
    pub tags: &'a [String],
}

/// What decides the form of a refusal.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplyFacts<'a> {
    /// The source channel offers SASL (`maysaslserver`, `mustsaslserver`).
    pub sasl_offered: bool,
    /// AUTH was done in this session.
    pub authenticated: bool,
    /// The address at the end of the reply, as the client gave it; empty: none.
    pub address: &'a str,
    /// Option `ACCESS_ERRORS`: say that access is refused, not that the address is unknown.
    pub access_errors: bool,
    /// The site's own text for a refused address (an `ERROR_TEXT_...` option).
    pub default_text: Option<&'a str>,
}
