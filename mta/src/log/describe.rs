//! The texts of fields that have a form of their own: transport, source system, diagnostics.
//!
//! Log watchers match these, so they are made in one place. Text from a peer goes in as it is; the writer
//! makes it safe.
//!
//! Source: logging specification 3.1 (field 16), 3.2, 3.3.

use std::net::{IpAddr, SocketAddr};

/// `U` entry of a failed authentication: the tag that log watchers look for.
pub const BAD_PASSWORD: &str = "Bad password";

/// Transport information: `TCP|local-ip|local-port|remote-ip|remote-port`, whichever side opened it.
///
/// An IPv4 address mapped into IPv6 is shown as IPv4.
pub fn transport(local: SocketAddr, remote: SocketAddr) -> String {
    let (l, r) = (local.ip().to_canonical(), remote.ip().to_canonical());
    format!("TCP|{l}|{}|{r}|{}", local.port(), remote.port())
}

/// Source system of a message received: `helo-name (dns-name [ip])`.
///
/// Without a DNS name `helo-name ([ip])`; without a HELO name the address takes its place.
pub fn source_system(helo: Option<&str>, dns_name: Option<&str>, ip: IpAddr) -> String {
    let ip = ip.to_canonical();
    let helo = helo.map_or_else(|| format!("[{ip}]"), str::to_string);
    match dns_name {
        Some(dns_name) => format!("{helo} ({dns_name} [{ip}])"),
        None => format!("{helo} ([{ip}])"),
    }
}

/// Which protocol a reply came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyType {
    /// `smtp;`
    Smtp,
    /// `lmtp;`
    Lmtp,
}

/// Diagnostic of a delivery: `dns;HOST (TRANSPORT) (BANNER) smtp;REPLY`.
///
/// `host` is left out with `LOG_REMOTE_MTA`. `parts` stand in parentheses: the transport with the channel option
/// LOG_TRANSPORTINFO, the banner (the text after 220) with LOG_BANNER, and what an operator should know of how the
/// connection came about. `reply` is the final one to RCPT or DATA.
pub fn delivery_diagnostic<'a>(
    host: Option<&str>,
    parts: impl IntoIterator<Item = &'a str>,
    reply_type: ReplyType,
    reply: &str,
) -> String {
    let mut text = String::new();
    if let Some(host) = host {
        text.push_str("dns;");
        text.push_str(host);
        text.push(' ');
    }
    for part in parts {
        text.push('(');
        text.push_str(part);
        text.push_str(") ");
    }
    text.push_str(match reply_type {
        ReplyType::Smtp => "smtp;",
        ReplyType::Lmtp => "lmtp;",
    });
    text.push_str(reply);
    text
}

/// Diagnostic of a connection that could not be opened; `error` in the words of the system.
pub fn connect_diagnostic(remote: SocketAddr, error: &str) -> String {
    format!("TCP active open: Failed connect() {remote}  Error: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_vectors() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let ip = "192.160.253.66".parse().unwrap();
        let transport4 = transport(address("206.184.139.12:2788"), address("192.160.253.66:25"));
        for (have, want) in [
            (transport4.clone(), "TCP|206.184.139.12|2788|192.160.253.66|25"),
            (
                transport(address("[::1]:25"), address("[::ffff:10.0.0.1]:9")),
                "TCP|::1|25|10.0.0.1|9",
            ),
            (
                source_system(Some("siroe.com"), Some("siroe.com"), ip),
                "siroe.com (siroe.com [192.160.253.66])",
            ),
            (
                source_system(Some("elara.example.com"), None, ip),
                "elara.example.com ([192.160.253.66])",
            ),
            (
                source_system(None, None, ip),
                "[192.160.253.66] ([192.160.253.66])",
            ),
            (
                delivery_diagnostic(
                    Some("mx.x"),
                    [transport4.as_str(), "mx.x ESMTP"],
                    ReplyType::Smtp,
                    "250 ok",
                ),
                "dns;mx.x (TCP|206.184.139.12|2788|192.160.253.66|25) (mx.x ESMTP) smtp;250 ok",
            ),
            (
                delivery_diagnostic(None, [], ReplyType::Lmtp, "250 ok"),
                "lmtp;250 ok",
            ),
            (
                connect_diagnostic(address("192.1.1.1:25"), "no route to host"),
                "TCP active open: Failed connect() 192.1.1.1:25  Error: no route to host",
            ),
        ] {
            assert_eq!(have, want);
        }
    }
}
