//! Does a sender's domain exist? The channel keyword `mailfromdnsverify`.
//!
//! Source: access specification 18.

use std::net::IpAddr;

use super::{DnsError, Lookup, MxAnswer};

/// What the DNS says of a sender's domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It can receive mail.
    Valid,
    /// Null MX: it says itself that it does not handle mail. Reply 5yz 5.7.27.
    NullMx,
    /// It does not exist, has no address, or only a blocked one. Reply 5yz 5.1.8.
    Invalid,
    /// Not known now. Reply 4yz 4.4.3 with this reason.
    Temporary(String),
}

impl Verdict {
    /// Enhanced status code of the refusal; `None` where there is none.
    pub fn status(&self) -> Option<&'static str> {
        match self {
            Verdict::Valid => None,
            Verdict::NullMx => Some("5.7.27"),
            Verdict::Invalid => Some("5.1.8"),
            Verdict::Temporary(_) => Some("4.4.3"),
        }
    }
}

/// Verifies the domain of a non-empty sender; `blocked` are the addresses of `blocked_mail_from_ips`.
///
/// An address literal is valid unless it is blocked: there is nothing to look up.
pub async fn mail_from_verify(domain: &str, dns: &impl Lookup, blocked: &[IpAddr]) -> Verdict {
    if let Some(literal) = super::route::literal(domain) {
        return match literal {
            Ok(address) if !blocked.contains(&address) => Verdict::Valid,
            _ => Verdict::Invalid,
        };
    }
    match dns.mx(domain).await {
        Ok(MxAnswer::Records(_)) => return Verdict::Valid,
        Ok(MxAnswer::Null) => return Verdict::NullMx,
        Ok(MxAnswer::NoRecords) => {}
        Err(error @ DnsError::Temporary { .. }) => return Verdict::Temporary(error.to_string()),
        Err(_) => return Verdict::Invalid,
    }
    match dns.addresses(domain).await {
        Ok(found) if found.iter().any(|address| blocked.contains(address)) => Verdict::Invalid,
        Ok(_) => Verdict::Valid,
        Err(error @ DnsError::Temporary { .. }) => Verdict::Temporary(error.to_string()),
        Err(_) => Verdict::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::route::{MxUse, Rules, route};
    use crate::dns::{Canned, Mx};
    use std::sync::atomic::Ordering;

    /// Reads the `dns` member of a vector.
    fn zone(dns: &serde_json::Value) -> Canned {
        let mut zone = Canned::default();
        for (name, records) in dns.as_object().unwrap() {
            for mx in records["MX"].as_array().into_iter().flatten() {
                let preference = mx[0].as_u64().unwrap() as u16;
                let host = mx[1].as_str().unwrap().trim_end_matches('.').to_string();
                zone.mx
                    .entry(name.clone())
                    .or_default()
                    .push(Mx { preference, host });
            }
            for address in records["A"].as_array().into_iter().flatten() {
                zone.addresses
                    .entry(name.clone())
                    .or_default()
                    .push(address.as_str().unwrap().parse().unwrap());
            }
        }
        zone
    }

    #[tokio::test]
    async fn vectors() {
        let text = include_str!("../../../tests/vectors/access.jsonl");
        let mut seen = 0;
        for line in text.lines().filter(|line| line.contains("\"mx-00")) {
            let vector: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = vector["id"].as_str().unwrap();
            let zone = zone(&vector["config"]["dns"]);
            let domain = |member: &str| {
                let address = vector["event"][member].as_str().unwrap();
                address.rsplit_once('@').unwrap().1.to_string()
            };
            match vector["event"]["table"].as_str().unwrap() {
                "MAILFROM" => {
                    let verdict = mail_from_verify(&domain("mail_from"), &zone, &[]).await;
                    let accepted = vector["expect"]["accepted"].as_bool().unwrap();
                    assert_eq!(verdict == Verdict::Valid, accepted, "{id}: {verdict:?}");
                    if !accepted {
                        assert!(verdict.status().unwrap().starts_with('5'), "{id}");
                    }
                }
                "DELIVERY" => {
                    let rules = Rules {
                        mx: MxUse::Received,
                        own_names: &[],
                    };
                    let got = route(&domain("to"), &rules, &zone).await.unwrap_err();
                    assert_eq!(
                        got.is_permanent(),
                        vector["expect"]["permanent"].as_bool().unwrap(),
                        "{id}"
                    );
                    let asked = zone.address_queries.load(Ordering::Relaxed) > 0;
                    assert_eq!(asked, vector["expect"]["a_lookup"].as_bool().unwrap(), "{id}");
                }
                other => panic!("{id}: unknown table {other}"),
            }
            seen += 1;
        }
        assert_eq!(seen, 3);
    }

    #[tokio::test]
    async fn verdicts() {
        let zone = Canned::default()
            .with_address("wild.example", [64, 94, 110, 11].into())
            .with_mx("both.example", 10, "mx.both.example")
            .with_address("both.example", [64, 94, 110, 11].into())
            .failing("broken.example");
        let blocked = [IpAddr::from([64, 94, 110, 11])];
        let cases = [
            ("blocked address", "wild.example", Some("5.1.8")),
            ("an MX record outweighs a blocked address", "both.example", None),
            ("unknown", "nowhere.example", Some("5.1.8")),
            ("server failure", "broken.example", Some("4.4.3")),
            ("literal", "[192.0.2.1]", None),
            ("blocked literal", "[64.94.110.11]", Some("5.1.8")),
        ];
        for (name, domain, expected) in cases {
            assert_eq!(
                mail_from_verify(domain, &zone, &blocked).await.status(),
                expected,
                "{name}"
            );
        }
    }
}
