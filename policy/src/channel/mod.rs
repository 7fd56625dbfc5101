//! Channels: what mail comes in and goes out by, and the keywords that shape them.
//!
//! Source: rewrite specification 1.3, 1.4; queue specification 14.

mod keyword;

use std::net::{IpAddr, SocketAddr};

use grammar::imta::{Block, ImtaFile, Word};
use grammar::{Diagnostic, Span};

use crate::address::Binding;

pub use keyword::{Arguments, KEYWORDS, Keyword, keyword};

/// One channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name, in lower case.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// Official host name: the channel tag.
    pub official_host: String,
    /// What the local host is called in messages queued to it.
    pub local_alias: Option<String>,
    /// Further hosts, with the names they are to be called by.
    pub extra_hosts: Vec<(String, Option<String>)>,
    /// What its keywords say.
    pub settings: Settings,
    /// The keywords themselves, those of `defaults` first.
    pub keywords: Vec<&'static str>,
}

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

/// Builds the channels of a parsed file.
pub fn build(file: &ImtaFile, diagnostics: &mut Vec<Diagnostic>) -> Vec<Channel> {
    let mut defaults: Vec<Word> = Vec::new();
    let mut channels: Vec<Channel> = Vec::new();
    let mut said: Vec<&'static str> = Vec::new();
    for block in &file.blocks {
        match block.name.as_str() {
            "defaults" => defaults.extend_from_slice(&block.words),
            "nodefaults" => defaults.clear(),
            _ => channels.extend(channel(block, &defaults, &channels, file, &mut said, diagnostics)),
        }
    }
    if let Some(first) = channels.first().filter(|c| c.name != "l") {
        diagnostics.push(
            Diagnostic::error(
                "C004",
                first.span,
                format!("the first channel is `{}`, not the local channel `l`", first.name),
            )
            .help("put the block of channel `l` before all others: its host name is the name of this host"),
        );
    }
    channels
}

fn channel(
    block: &Block,
    defaults: &[Word],
    others: &[Channel],
    file: &ImtaFile,
    said: &mut Vec<&'static str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Channel> {
    let name = block.name.clone();
    let odd = name.len() > 32
        || !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$'));
    if odd {
        let mut d = Diagnostic::error(
            "C005",
            block.span,
            format!("`{}` is not a channel name", block.name),
        );
        d = match file.rules_end {
            Some(end) => d
                .also(end, "this blank line ended the rewrite rules")
                .help("remove the blank line above, if this is a rewrite rule"),
            None => d.help("channel names have at most 32 letters, digits, `_` and `$`"),
        };
        diagnostics.push(d);
        return None;
    }
    if let Some(other) = others.iter().find(|c| c.name == name) {
        diagnostics.push(
            Diagnostic::error("C006", block.span, format!("channel `{name}` is defined twice"))
                .also(other.span, "first defined here"),
        );
        return None;
    }
    let mut settings = Settings::default();
    read_keywords(defaults, &name, &mut settings, said, diagnostics);
    read_keywords(&block.words, &name, &mut settings, said, diagnostics);
    let Some(official) = block.hosts.first().and_then(|h| h.first()) else {
        diagnostics.push(
            Diagnostic::error(
                "C001",
                block.span,
                format!("no official host name for channel `{name}`"),
            )
            .help(format!(
                "write the name on the next line, such as `{name}-daemon`"
            )),
        );
        return None;
    };
    let second = |words: &[Word]| words.get(1).map(|w| w.text.clone());
    let extra_hosts = block.hosts[1..]
        .iter()
        .filter_map(|h| h.first().map(|w| (w.text.clone(), second(h))))
        .collect();
    for words in &block.hosts {
        for word in words.iter().filter(|w| w.text.len() > 128) {
            diagnostics.push(Diagnostic::error(
                "C007",
                word.span,
                "official host name is too long: the limit is 128 octets",
            ));
        }
        for word in words.iter().skip(2) {
            diagnostics.push(Diagnostic::warning(
                "C008",
                word.span,
                "this word is ignored: a host line has a name and at most one second name",
            ));
        }
    }
    Some(Channel {
        name,
        span: block.span,
        official_host: official.text.clone(),
        local_alias: block.hosts.first().and_then(|h| second(h)),
        extra_hosts,
        settings,
        keywords: defaults
            .iter()
            .chain(&block.words)
            .filter(|w| !w.quoted)
            .filter_map(|w| keyword(&w.text).map(|k| k.name))
            .collect(),
    })
}

fn read_keywords(
    words: &[Word],
    channel: &str,
    settings: &mut Settings,
    said: &mut Vec<&'static str>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut rest = words;
    while let Some((word, tail)) = rest.split_first() {
        let Some(known) = keyword(&word.text) else {
            unknown(word, channel, diagnostics);
            rest = tail;
            continue;
        };
        let count = arguments(known.arguments, tail);
        let args = &tail[..count];
        rest = &tail[count..];
        let missing = matches!(
            known.arguments,
            Word | Arguments::Number | Arguments::Ages | Arguments::Durations
        ) && count == 0;
        let numeric = matches!(known.arguments, Arguments::Number | Arguments::Ages);
        let bad = args.iter().find(|a| numeric && a.text.parse::<u64>().is_err());
        use Arguments::Word;
        if missing || bad.is_some() {
            let what = match known.arguments {
                Arguments::Number => "a number",
                Arguments::Ages => "one to five numbers",
                Arguments::Durations => "one to eight quoted durations",
                _ => "an argument",
            };
            let span = bad.map_or(word.span, |b| b.span);
            diagnostics.push(Diagnostic::error(
                "C003",
                span,
                format!("keyword `{}` of channel `{channel}` needs {what}", known.name),
            ));
            continue;
        }
        if !known.effect && !said.contains(&known.name) {
            said.push(known.name);
            diagnostics.push(Diagnostic::note(
                "C010",
                word.span,
                format!("keyword `{}`: recognised, no effect in this version", known.name),
            ));
        }
        if let Err(problem) = apply(settings, known.name, args) {
            diagnostics.push(Diagnostic::error(
                "C009",
                args.first().map_or(word.span, |a| a.span),
                problem,
            ));
        }
    }
}

fn unknown(word: &Word, channel: &str, diagnostics: &mut Vec<Diagnostic>) {
    let names: Vec<String> = match diagnostics.len() < crate::mapping::SUGGESTION_LIMIT {
        true => KEYWORDS.iter().map(|k| k.name.to_string()).collect(),
        false => Vec::new(),
    };
    let near = crate::mapping::nearest(&word.text, names.iter());
    let mut d = Diagnostic::error(
        "C002",
        word.span,
        format!("unknown keyword `{}` on channel `{channel}`", word.text),
    );
    d = match near {
        Some(near) => d.help(format!("did you mean `{}`?", near.to_ascii_lowercase())),
        None => d.help("see docs/channels.md for all keywords"),
    };
    diagnostics.push(d);
}

/// How many of the following words are arguments.
fn arguments(kind: Arguments, tail: &[Word]) -> usize {
    let number = |w: &Word| w.text.trim_end_matches(',').parse::<u64>().is_ok();
    let run =
        |limit: usize, is: &dyn Fn(&Word) -> bool| tail.iter().take(limit).take_while(|w| is(w)).count();
    match kind {
        Arguments::None => 0,
        Arguments::Word | Arguments::Number => tail.len().min(1),
        Arguments::WordOptional => match tail {
            [_, second, ..] if keyword(&second.text).is_none() => 2,
            _ => tail.len().min(1),
        },
        Arguments::NumberOptional => run(1, &number),
        Arguments::Ages => run(5, &number),
        Arguments::Durations => run(8, &|w| w.quoted || duration(&w.text).is_some()),
    }
}

fn apply(s: &mut Settings, name: &str, args: &[Word]) -> Result<(), String> {
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
            let ages: Vec<u32> = args
                .iter()
                .filter_map(|a| a.text.trim_end_matches(',').parse().ok())
                .collect();
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

    /// The settings of a channel line, and the codes of what is said of it, notes left out.
    fn read(line: &str) -> (Option<Channel>, Vec<&'static str>) {
        let mut sources = grammar::Sources::new();
        let text = format!("\nl\nhere\n\ntcp_x {line}\nx-daemon\n");
        let file = sources.add("imta.cnf", text);
        let mut diagnostics = Vec::new();
        let none = |_: &str| Err("none".to_string());
        let parsed = grammar::imta::parse(&mut sources, file, &none, &mut diagnostics);
        let channels = build(&parsed, &mut diagnostics);
        let said = diagnostics
            .iter()
            .filter(|d| d.severity > grammar::Severity::Note);
        (
            channels.into_iter().find(|c| c.name == "tcp_x"),
            said.map(|d| d.code).collect(),
        )
    }

    #[test]
    fn values_that_cannot_be_used_do_not_load() {
        let cases: &[(&str, &[&str])] = &[
            ("interfaceaddress 192.0.2.1", &[]),
            ("interfaceaddress 2001:db8::1", &[]),
            ("interfaceaddress eth0", &["C009"]),
            ("interfaceaddress 192.0.2", &["C009"]),
            (r#"nameservers "192.0.2.1 192.0.2.2""#, &[]),
            ("nameservers 192.0.2.1:5353,[::1]:53", &[]),
            (r#"nameservers "192.0.2.1 ns.example""#, &["C009"]),
            (r#"nameservers """#, &["C009"]),
            ("port 70000", &["C009"]),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line).1, *expected, "{line}");
        }
    }

    #[test]
    fn the_last_keyword_of_a_group_counts() {
        let settings = |line| read(line).0.unwrap().settings;
        assert_eq!(settings("mx randommx").mx, MxUse::Random);
        assert_eq!(settings("randommx nonrandommx").mx, MxUse::Mx);
        assert_eq!(
            settings("nameservers 192.0.2.1 defaultnameservers").nameservers,
            None
        );
        let filter = settings("channelfilter file:///x").destination_filter;
        assert_eq!(filter.as_deref(), Some("file:///x"));
    }

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
