//! Refusals by policy as replies.

use crate::access::Decision;
use crate::smtp::protocol::{Enhanced, Reply};

/// `5.1.2` as numbers; 5.0.0 where it is none.
pub(super) fn enhanced(status: &str) -> Enhanced {
    let mut parts = status.split('.').map(|p| p.parse::<u16>().ok());
    match (
        parts.next().flatten(),
        parts.next().flatten(),
        parts.next().flatten(),
    ) {
        (Some(class @ (2 | 4 | 5)), Some(subject), Some(detail)) => (class as u8, subject, detail),
        _ => (5, 0, 0),
    }
}

/// The reply of a refusal by policy.
pub(super) fn refusal(decision: &Decision) -> Reply {
    let reply = decision
        .reply
        .clone()
        .unwrap_or_else(|| "550 5.7.1 refused".into());
    let mut words = reply.splitn(3, ' ');
    let code = words.next().and_then(|c| c.parse().ok()).unwrap_or(550);
    let status = enhanced(words.next().unwrap_or("5.7.1"));
    Reply::new(code, status, words.next().unwrap_or("").to_string())
}

/// Policy came to no verdict: refused for the time being, never accepted.
pub(super) fn no_verdict() -> Reply {
    Reply::new(451, (4, 3, 0), "policy cannot be evaluated now, try again later")
}
