//! What the keywords of a channel say, typed.

use std::net::{IpAddr, SocketAddr};

use grammar::imta::Word;

use crate::address::Binding;

/// Whether something is done never, where possible, or always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Need {
    /// Never.
    #[default]
    No,
    /// Where the other side can.
    May,
    /// Always; else it is an error.
    Must,
}

/// Which hosts a channel looks up for delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MxUse {
    /// MX on port 25, addresses only on others.
    #[default]
    Default,
    /// MX always, equal preferences in the order received.
    Mx,
    /// MX always, equal preferences shuffled.
    Random,
    /// Addresses only.
    NoMx,
}

/// Which forms of an address with a subaddress are looked up among the aliases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subaddress {
    /// `name+sub`.
    Exact,
    /// `name+sub`, then `name+*`.
    Wild,
    /// `name+sub`, `name+*`, then `name`.
    #[default]
    Relaxed,
}

/// What the keywords of a channel say; the defaults are those of the product.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `smtp`: speaks SMTP.
    pub smtp: bool,
    /// `switchchannel`: the client's address may change the source channel.
    pub switch_channel: bool,
    /// `allowswitchchannel`: may be switched to.
    pub allow_switch: bool,
    /// `maysaslserver`, `mustsaslserver`.
    pub sasl_server: Need,
    /// `saslswitchchannel`.
    pub sasl_switch: Option<String>,
    /// `maytlsserver`, `musttlsserver`.
    pub tls_server: Need,
    /// `maytlsclient`, `musttlsclient`.
    pub tls_client: Need,
    /// `tlsswitchchannel`.
    pub tls_switch: Option<String>,
    /// `mx`, `nomx`.
    pub mx: MxUse,
    /// `daemon`.
    pub daemon: Option<String>,
    /// `port`.
    pub port: Option<u16>,
    /// `interfaceaddress`.
    pub interface: Option<String>,
    /// `nameservers`.
    pub nameservers: Option<String>,
    /// `noehlo`.
    pub no_ehlo: bool,
    /// `nochunkingserver`.
    pub no_chunking: bool,
    /// `logging`.
    pub logging: bool,
    /// `defaulthost`: the domain that completes addresses without one, and that for recipients.
    pub default_host: Option<(String, Option<String>)>,
    /// `remotehost`: the client's name completes them.
    pub remote_host: bool,
    /// `aliaslocal`.
    pub alias_local: bool,
    /// `routelocal`.
    pub route_local: bool,
    /// `norules`.
    pub no_rules: bool,
    /// `noreverse`: addresses of messages queued to it are not reversed.
    pub no_reverse: bool,
    /// `description`.
    pub description: Option<String>,
    /// How a local part is looked up that has a subaddress.
    pub subaddress: Subaddress,
    /// `bangoverpercent`, `percentonly`.
    pub binding: Binding,
    /// `dequeue_removeroute`.
    pub remove_route: bool,
    /// `blocklimit`, in blocks, of messages queued to it.
    pub block_limit: Option<u64>,
    /// `sourceblocklimit`, in blocks, of messages that come by it.
    pub source_block_limit: Option<u64>,
    /// `recipientlimit`.
    pub recipient_limit: Option<u32>,
    /// `recipientcutoff`.
    pub recipient_cutoff: Option<u32>,
    /// `missingrecipientpolicy`, 0 to 6: what becomes of a message that comes by it without To, Cc and Bcc.
    pub missing_recipients: Option<u8>,
    /// `transactionlimit`.
    pub transaction_limit: Option<u32>,
    /// `disconnectbadcommandlimit`.
    pub bad_command_limit: Option<u32>,
    /// `holdlimit`.
    pub hold_limit: Option<u32>,
    /// `maxjobs`: deliveries at once.
    pub max_jobs: Option<u32>,
    /// `pool`.
    pub pool: Option<String>,
    /// `single`, `single_sys`.
    pub grouping: Grouping,
    /// `urgentnotices`, `normalnotices`, `nonurgentnotices`: ages at which is warned and, at the last,
    /// returned.
    pub notices: [Vec<u32>; 3],
    /// `urgentbackoff`, `normalbackoff`, `nonurgentbackoff`: seconds before each retry.
    pub backoff: [Vec<u64>; 3],
    /// `sourcefilter`: URL of the Sieve script for messages that come by it.
    pub source_filter: Option<String>,
    /// `destinationfilter`: URL of the Sieve script for messages queued to it.
    pub destination_filter: Option<String>,
}

/// Which recipients share a queue entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grouping {
    /// All of a channel.
    #[default]
    Multiple,
    /// Those of one destination host.
    System,
    /// None.
    Single,
}

/// Takes a keyword that is known, with its arguments.
pub(super) fn apply(s: &mut Settings, name: &str, args: &[Word]) -> Result<(), String> {
    let word = || args.first().map(|a| a.text.clone());
    let number = || args.first().and_then(|a| a.text.parse::<u64>().ok());
    let small = || number().map(|n| n.min(u32::MAX.into()) as u32);
    match name {
        "smtp" | "smtp_cr" | "smtp_crlf" | "smtp_crorlf" | "smtp_lf" => s.smtp = true,
        "switchchannel" => s.switch_channel = true,
        "noswitchchannel" => s.switch_channel = false,
        "allowswitchchannel" => s.allow_switch = true,
        "noallowswitchchannel" => s.allow_switch = false,
        "maysaslserver" => s.sasl_server = Need::May,
        "mustsaslserver" => s.sasl_server = Need::Must,
        "nosaslserver" | "nosasl" => s.sasl_server = Need::No,
        "saslswitchchannel" => s.sasl_switch = word().map(|w| w.to_ascii_lowercase()),
        "nosaslswitchchannel" => s.sasl_switch = None,
        "maytlsserver" => s.tls_server = Need::May,
        "musttlsserver" => s.tls_server = Need::Must,
        "notlsserver" => s.tls_server = Need::No,
        "maytlsclient" => s.tls_client = Need::May,
        "musttlsclient" => s.tls_client = Need::Must,
        "notlsclient" => s.tls_client = Need::No,
        "maytls" => (s.tls_server, s.tls_client) = (Need::May, Need::May),
        "musttls" => (s.tls_server, s.tls_client) = (Need::Must, Need::Must),
        "notls" => (s.tls_server, s.tls_client) = (Need::No, Need::No),
        "tlsswitchchannel" => s.tls_switch = word().map(|w| w.to_ascii_lowercase()),
        "mx" | "nonrandommx" => s.mx = MxUse::Mx,
        "randommx" => s.mx = MxUse::Random,
        "nomx" => s.mx = MxUse::NoMx,
        "defaultmx" => s.mx = MxUse::Default,
        "daemon" => s.daemon = word(),
        "port" => {
            let port = number().and_then(|n| u16::try_from(n).ok()).filter(|p| *p > 0);
            s.port = Some(port.ok_or("a port is a number from 1 to 65535")?);
        }
        "interfaceaddress" => {
            let address = word().filter(|w| w.parse::<IpAddr>().is_ok());
            s.interface = Some(address.ok_or("an interface is an IP address of this host")?);
        }
        "nameservers" => {
            let servers = word().filter(|w| {
                let mut all = w.split([' ', ',']).filter(|a| !a.is_empty()).peekable();
                all.peek().is_some()
                    && all.all(|a| a.parse::<IpAddr>().is_ok() || a.parse::<SocketAddr>().is_ok())
            });
            s.nameservers =
                Some(servers.ok_or("name servers are IP addresses, as in `\"192.0.2.1 192.0.2.2\"`")?);
        }
        "defaultnameservers" => s.nameservers = None,
        "ehlo" => s.no_ehlo = false,
        "noehlo" => s.no_ehlo = true,
        "chunkingserver" => s.no_chunking = false,
        "nochunkingserver" => s.no_chunking = true,
        "logging" => s.logging = true,
        "nologging" => s.logging = false,
        "defaulthost" => s.default_host = word().map(|w| (w, args.get(1).map(|a| a.text.clone()))),
        "nodefaulthost" => s.default_host = None,
        "remotehost" => s.remote_host = true,
        "noremotehost" => s.remote_host = false,
        "aliaslocal" => s.alias_local = true,
        "noaliaslocal" => s.alias_local = false,
        "routelocal" => s.route_local = true,
        "noroutelocal" => s.route_local = false,
        "norules" => s.no_rules = true,
        "rules" => s.no_rules = false,
        "noreverse" => s.no_reverse = true,
        "reverse" => s.no_reverse = false,
        "description" => s.description = word(),
        "subaddressexact" => s.subaddress = Subaddress::Exact,
        "subaddresswild" => s.subaddress = Subaddress::Wild,
        "subaddressrelaxed" => s.subaddress = Subaddress::Relaxed,
        "bangoverpercent" => s.binding = Binding::BangOverPercent,
        "nobangoverpercent" => s.binding = Binding::PercentOverBang,
        "percentonly" => s.binding = Binding::PercentOnly,
        "dequeue_removeroute" => s.remove_route = true,
        "blocklimit" => s.block_limit = number(),
        "noblocklimit" => s.block_limit = None,
        "sourceblocklimit" => s.source_block_limit = number(),
        "nosourceblocklimit" => s.source_block_limit = None,
        "recipientlimit" => s.recipient_limit = small(),
        "recipientcutoff" => s.recipient_cutoff = small(),
        "missingrecipientpolicy" => match number() {
            Some(n @ 0..=6) => s.missing_recipients = Some(n as u8),
            _ => return Err(format!("`{name}` takes 0 to 6, see docs/channels.md")),
        },
        "transactionlimit" => s.transaction_limit = small(),
        "disconnectbadcommandlimit" => s.bad_command_limit = small(),
        "holdlimit" => s.hold_limit = small(),
        "noholdlimit" => s.hold_limit = None,
        "maxjobs" => s.max_jobs = small(),
        "pool" => s.pool = word(),
        "multiple" => s.grouping = Grouping::Multiple,
        "single_sys" => s.grouping = Grouping::System,
        "single" => s.grouping = Grouping::Single,
        "sourcefilter" => s.source_filter = word(),
        "nosourcefilter" => s.source_filter = None,
        "destinationfilter" | "channelfilter" => s.destination_filter = word(),
        "nodestinationfilter" => s.destination_filter = None,
        "notices" | "urgentnotices" | "normalnotices" | "nonurgentnotices" => {
            let ages: Option<Vec<u32>> = args.iter().map(|a| age(&a.text)).collect();
            let ages = ages.ok_or("the ages must be numbers below 4,294,967,296")?;
            if ages.contains(&0) || ages.windows(2).any(|w| w[0] >= w[1]) {
                return Err("the ages must be positive and increase from left to right".into());
            }
            classes(name, "notices", &mut s.notices, &ages);
        }
        "backoff" | "urgentbackoff" | "normalbackoff" | "nonurgentbackoff" => {
            let mut waits = Vec::new();
            for arg in args {
                let wait = duration(&arg.text)
                    .filter(|w| *w > 0)
                    .ok_or_else(|| format!("`{}` is not an ISO 8601 duration such as `pt30m`", arg.text))?;
                waits.push(wait);
            }
            classes(name, "backoff", &mut s.backoff, &waits);
        }
        _ => {}
    }
    Ok(())
}

/// Sets one priority class, or all three.
fn classes<T: Clone>(name: &str, family: &str, target: &mut [Vec<T>; 3], values: &[T]) {
    match name.strip_suffix(family) {
        Some("urgent") => target[0] = values.to_vec(),
        Some("normal") => target[1] = values.to_vec(),
        Some("nonurgent") => target[2] = values.to_vec(),
        _ => target.fill(values.to_vec()),
    }
}

/// One of several ages; a comma may follow it.
fn age(word: &str) -> Option<u32> {
    word.strip_suffix(',').unwrap_or(word).parse().ok()
}

/// Seconds of an ISO 8601 duration `P[nY][nM][nW][nD][T[nH][nM][nS]]`, letters in any case.
pub fn duration(text: &str) -> Option<u64> {
    let text = text.to_ascii_uppercase();
    let (date, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((date, time)) => (date.to_string(), time.to_string()),
        None => (text[1..].to_string(), String::new()),
    };
    let mut total = 0u64;
    let mut found = false;
    for (part, units) in [
        (
            &date,
            &[('Y', 31_536_000), ('M', 2_592_000), ('W', 604_800), ('D', 86_400)][..],
        ),
        (&time, &[('H', 3600), ('M', 60), ('S', 1)][..]),
    ] {
        let mut digits = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let (_, seconds) = units.iter().find(|(letter, _)| *letter == c)?;
            total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(*seconds)?)?;
            digits.clear();
            found = true;
        }
        if !digits.is_empty() {
            return None;
        }
    }
    found.then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let cases = [
            ("pt5m", Some(300)),
            ("P1DT2H", Some(93_600)),
            ("PT", None),
            ("5m", None),
            ("p1w", Some(604_800)),
            ("pt5", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(duration(text), seconds, "{text}");
        }
    }
}
