//! IP_ACCESS and TLS_ACCESS for a channel's client: policy as the client's [`Guard`].
//!
//! A site without these tables is asked nothing. A table that comes to no verdict lets nothing out and loses
//! nothing: the address is passed over, the TLS session is given up, and the mail waits.

use std::sync::Arc;

use policy::Facts;
use policy::site::Site;

use crate::access::{IpAccess, Point, ReplyFacts, SessionFacts, TlsAccess};
use crate::evaluate::Evaluator;
use crate::server::{Server, now};
use crate::smtp::client::guard::{Candidate, Guard, Secured, TlsRefusal, Way};

/// The guard of one connection.
pub(super) struct PolicyGuard<'a> {
    channel: &'a str,
    /// `None` where the site has none of the tables.
    evaluator: Option<Evaluator>,
}

impl<'a> PolicyGuard<'a> {
    pub(super) fn new(server: &Server, site: &Arc<Site>, channel: &'a str, seed: u64) -> Self {
        let asked = [Point::IpAccess, Point::TlsAccess]
            .iter()
            .any(|point| site.program.table(point.table()).is_some());
        let facts = Facts { now: now(), seed };
        PolicyGuard {
            channel,
            evaluator: asked.then(|| Evaluator::new(Arc::clone(site), server.callouts(), facts)),
        }
    }
}

impl Guard for PolicyGuard<'_> {
    async fn before_connect(&mut self, candidate: &Candidate<'_>) -> Way {
        let Some(evaluator) = &mut self.evaluator else {
            return Way::Go;
        };
        let (address, host) = (candidate.address, candidate.host);
        let point = IpAccess {
            channel: self.channel,
            current: candidate.current,
            count: candidate.count,
            ip: address,
            host,
        };
        let decision = match evaluator.consult(&point, &ReplyFacts::default()).await {
            Ok(None) => return Way::Go,
            Ok(Some(decision)) => decision,
            Err(error) => {
                return Way::Skip(format!(
                    "IP_ACCESS came to no verdict on {address} of {host}: {error}"
                ));
            }
        };
        if !decision.accepted {
            let text = decision.text.map(|text| format!(": {text}")).unwrap_or_default();
            return Way::Refuse(format!("IP_ACCESS refuses {address}{text}"));
        }
        match decision.effects.replace_ip {
            _ if decision.effects.skip => Way::Skip(format!("IP_ACCESS skips {address} of {host}")),
            Some(other) => Way::Instead(other),
            None => Way::Go,
        }
    }

    async fn tls_started(&mut self, session: &Secured<'_>) -> Result<(), TlsRefusal> {
        let Some(evaluator) = &mut self.evaluator else {
            return Ok(());
        };
        let facts = SessionFacts {
            server: session.ends.map(|(here, _)| (here.ip(), here.port())),
            client: session.ends.map(|(_, there)| (there.ip(), there.port())),
            protocol: if session.lmtp { "LMTP" } else { "SMTP" }.to_string(),
            helo: session.helo.to_string(),
            tls: Some(session.tls.to_string()),
            channel: self.channel.to_string(),
            ..SessionFacts::default()
        };
        let point = TlsAccess {
            session: &facts,
            subject: session.subject,
            issuer: session.issuer,
            user: "",
        };
        let decision = match evaluator.consult(&point, &ReplyFacts::default()).await {
            Ok(None) => return Ok(()),
            Ok(Some(decision)) => decision,
            Err(_) => Point::TlsAccess.unavailable(),
        };
        if decision.accepted {
            return Ok(());
        }
        Err(TlsRefusal {
            text: decision.text.unwrap_or_default(),
            fallback: decision.effects.fallback_allowed.unwrap_or(false),
        })
    }
}
