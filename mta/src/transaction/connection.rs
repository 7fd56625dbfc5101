//! The connection: PORT_ACCESS, TLS_ACCESS, and what switches the source channel.

use std::net::IpAddr;

use policy::channel::Need;
use policy::rewrite::Request;

use super::Decider;
use crate::access::{InternalIp, Point, PortAccess, PortProbe, ReplyFacts, TlsAccess};

/// What a connection gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// Go on; the log text of PORT_ACCESS.
    Accepted {
        /// Text for C entries.
        log_text: String,
    },
    /// Send this line, if not empty, and close.
    Refused {
        /// The raw text.
        text: String,
        /// PORT_ACCESS `$T`: write a T record.
        record: bool,
    },
}

impl Decider {
    /// Whether an address is internal, as INTERNAL_IP has it; it is not where there is no such table, nor where that
    /// comes to no verdict.
    pub async fn is_internal(&mut self, address: IpAddr) -> bool {
        let decision = self.consult(&InternalIp(address), &ReplyFacts::default()).await;
        decision.is_ok_and(|d| d.accepted)
    }

    /// A connection came in: PORT_ACCESS, then channel switching by the client's address.
    pub async fn connect(&mut self) -> Admission {
        let facts = self.facts.clone();
        let point = PortAccess {
            session: &facts,
            by: PortProbe::Dispatcher,
        };
        let decision = match self.consult(&point, &ReplyFacts::default()).await {
            Ok(decision) => decision,
            Err(_) => {
                return Admission::Refused {
                    text: "421 4.3.0 Policy cannot be evaluated now".into(),
                    record: false,
                };
            }
        };
        if !decision.accepted {
            let text = decision.text.clone().unwrap_or_default();
            return Admission::Refused {
                text,
                record: decision.effects.log_rejection,
            };
        }
        self.switch_by_address().await;
        let offers_sasl = self.channel().is_some_and(|c| c.settings.sasl_server != Need::No);
        if offers_sasl {
            let facts = self.facts.clone();
            let point = PortAccess {
                session: &facts,
                by: PortProbe::Server,
            };
            // only the rule set is of interest; the connection has been accepted
            let _ = self.consult(&point, &ReplyFacts::default()).await;
        }
        Admission::Accepted {
            log_text: decision.effects.log_text.unwrap_or_default(),
        }
    }

    async fn switch_by_address(&mut self) {
        if !self.channel().is_some_and(|c| c.settings.switch_channel) {
            return;
        }
        let Some((client, _)) = self.facts.client else {
            return;
        };
        let request = Request {
            address: format!("x@[{client}]"),
            envelope: true,
            forward: false,
            source_channel: self.facts.channel.clone(),
            ..Request::default()
        };
        let Ok(rewritten) = self.evaluator.rewrite(request).await else {
            return;
        };
        let Some(channel) = rewritten.channel else { return };
        let allowed = self
            .site()
            .channel(&channel)
            .is_some_and(|c| c.settings.allow_switch);
        let from = self.facts.channel.clone();
        if channel != from {
            self.note(|| match allowed {
                true => format!("source channel: switched from {from} to {channel}"),
                false => format!("source channel: {from}; {channel} has no allowswitchchannel"),
            });
        }
        if allowed {
            self.facts.channel = channel;
        }
    }

    /// TLS is up: TLS_ACCESS, then tlsswitchchannel. A text is why TLS counts as failed.
    pub async fn tls_started(&mut self, description: String) -> Result<(), String> {
        self.facts.tls = Some(description);
        let facts = self.facts.clone();
        let point = TlsAccess {
            session: &facts,
            subject: "",
            issuer: "",
            user: "",
        };
        let decision = match self.consult(&point, &ReplyFacts::default()).await {
            Ok(decision) => decision,
            Err(_) => Point::TlsAccess.unavailable(),
        };
        if !decision.accepted {
            return Err(decision.text.unwrap_or_else(|| "TLS is refused by policy".into()));
        }
        if let Some(channel) = decision
            .effects
            .switch_channel
            .filter(|c| self.site().channel(c).is_some())
        {
            self.switch_to(channel, "TLS_ACCESS");
        }
        if decision.effects.no_tls_switch {
            return Ok(());
        }
        if let Some(target) = self.channel().and_then(|c| c.settings.tls_switch.clone()) {
            self.switch_to(target, "tlsswitchchannel");
        }
        Ok(())
    }

    /// The client has authenticated: saslswitchchannel.
    pub fn authenticated(&mut self, user: String, address: String) {
        self.facts.auth_user = Some(user);
        self.facts.auth_address = address;
        if let Some(target) = self.channel().and_then(|c| c.settings.sasl_switch.clone()) {
            self.switch_to(target, "saslswitchchannel");
        }
    }

    fn switch_to(&mut self, target: String, keyword: &str) {
        let from = std::mem::replace(&mut self.facts.channel, target);
        let to = self.facts.channel.clone();
        self.note(|| format!("source channel: switched from {from} to {to} by {keyword}"));
    }
}
