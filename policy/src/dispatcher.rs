//! `dispatcher.cnf`: the services that listen, their ports and the channels that their mail comes in by.
//!
//! Settings before the first `[SERVICE=name]` are defaults for all services. Nothing is guessed: a number that
//! is none, a PARAMETER that names no channel and a section that is no service do not load, and a setting that
//! this version does not look at is said so.
//!
//! Source: queue specification 2.

use std::collections::{HashMap, HashSet};

use grammar::options::Setting;
use grammar::{Diagnostic, FileId, Span};

use crate::spelling::suggest;

/// A service that the dispatcher runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name, `SMTP`.
    pub name: String,
    /// Addresses to listen on; empty: all.
    pub interfaces: Vec<String>,
    /// Ports without TLS from the first octet; 0: any free port.
    pub ports: Vec<u16>,
    /// Ports with TLS from the first octet.
    pub tls_ports: Vec<u16>,
    /// Source channel of its sessions; empty where it takes no mail.
    pub channel: String,
    /// Sessions at once: MAX_PROCS times MAX_CONNS.
    pub max_sessions: usize,
}

impl Service {
    /// Whether it serves ManageSieve (RFC 5804), which takes no mail and has no channel.
    pub fn is_manage_sieve(&self) -> bool {
        is_manage_sieve(&self.name)
    }
}

fn is_manage_sieve(name: &str) -> bool {
    name.eq_ignore_ascii_case("MANAGESIEVE")
}

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It works.
    Works,
    /// It tunes a server of another build, and means nothing to this one.
    None,
    /// It would refuse clients, and does not in this version.
    Refuses,
}

/// All settings and what becomes of them.
const SETTINGS: &[(&str, Effect)] = &[
    ("PORT", Effect::Works),
    ("TLS_PORT", Effect::Works),
    ("PARAMETER", Effect::Works),
    ("INTERFACE_ADDRESS", Effect::Works),
    ("MAX_PROCS", Effect::Works),
    ("MAX_CONNS", Effect::Works),
    ("IMAGE", Effect::None),
    ("LOGFILE", Effect::None),
    ("MIN_PROCS", Effect::None),
    ("MIN_CONNS", Effect::None),
    ("MAX_LIFE_TIME", Effect::None),
    ("MAX_LIFE_CONNS", Effect::None),
    ("MAX_IDLE_TIME", Effect::None),
    ("MAX_SHUTDOWN", Effect::None),
    ("MAX_HANDOFFS", Effect::None),
    ("HISTORICAL_TIME", Effect::None),
    ("BACKLOG", Effect::None),
    (DNS_VERIFY_DOMAIN, Effect::Refuses),
    ("ENABLE_RBL", Effect::Refuses),
    ("IDENT", Effect::None),
    ("STACKSIZE", Effect::None),
    ("USER", Effect::None),
    ("DEBUG", Effect::None),
    ("USE_NSLOG", Effect::None),
];

/// The one setting that may stand several times.
const DNS_VERIFY_DOMAIN: &str = "DNS_VERIFY_DOMAIN";

/// MAX_PROCS where the file says nothing.
const MAX_PROCS: usize = 20;

/// MAX_CONNS where the file says nothing.
const MAX_CONNS: usize = 1000;

/// The services of a file whose settings are parsed; `channel_exists` is asked by names in lower case.
pub fn services(
    file: FileId,
    settings: &[Setting],
    channel_exists: &dyn Fn(&str) -> bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Service> {
    let mut reader = Reader {
        file,
        channel_exists,
        diagnostics,
        by_name: HashMap::new(),
    };
    let sections = reader.sort(settings);
    sections
        .into_iter()
        .map(|(section, name, span)| reader.service(section, name, span))
        .collect()
}

struct Reader<'a> {
    file: FileId,
    channel_exists: &'a dyn Fn(&str) -> bool,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// By section and name in upper case.
    by_name: HashMap<(&'a str, String), &'a Setting>,
}

impl<'a> Reader<'a> {
    /// Sorts settings by section and name; gives the sections that are services, in order, with their names.
    fn sort(&mut self, settings: &'a [Setting]) -> Vec<(&'a str, &'a str, Span)> {
        let mut sections: Vec<(&str, &str, Span)> = Vec::new();
        let mut seen: HashSet<&str> = HashSet::new();
        let mut said: HashSet<&str> = HashSet::new();
        for setting in settings {
            let section = setting.section.as_str();
            if !section.is_empty() && seen.insert(section) {
                match service_name(section) {
                    Some(name) => sections.push((section, name, setting.span)),
                    None => self.diagnostics.push(
                        Diagnostic::error(
                            "D006",
                            setting.span,
                            format!("the section `[{section}]` that this stands in is no service"),
                        )
                        .help("write `[SERVICE=NAME]`"),
                    ),
                }
            }
            let name = setting.name.to_ascii_uppercase();
            let known = SETTINGS.iter().find(|(known, _)| *known == name);
            self.say_effect(setting, known.copied(), &mut said);
            let repeatable = name == DNS_VERIFY_DOMAIN;
            if let Some(first) = self.by_name.insert((section, name), setting)
                && !repeatable
            {
                self.diagnostics.push(
                    Diagnostic::warning(
                        "D008",
                        setting.span,
                        format!("{} is set twice; this one counts", setting.name),
                    )
                    .also(first.span, "set before here"),
                );
            }
        }
        sections
    }

    /// Says that a setting is not known, or does nothing; each name once.
    fn say_effect(
        &mut self,
        setting: &'a Setting,
        known: Option<(&'static str, Effect)>,
        said: &mut HashSet<&'static str>,
    ) {
        let Some((name, effect)) = known else {
            let near = suggest(
                self.diagnostics.len(),
                &setting.name,
                SETTINGS.iter().map(|(n, _)| *n),
            );
            let mut d = Diagnostic::warning(
                "D003",
                setting.span,
                format!("unknown dispatcher option `{}`", setting.name),
            );
            if let Some(near) = near {
                d = d.help(format!("did you mean `{near}`?"));
            }
            self.diagnostics.push(d);
            return;
        };
        let lmtp = name == "IMAGE" && setting.value.to_ascii_lowercase().contains("lmtp");
        if lmtp {
            self.diagnostics.push(
                Diagnostic::warning(
                    "D007",
                    setting.span,
                    "there is no LMTP server: this service speaks SMTP",
                )
                .help("remove the service, or deliver by SMTP"),
            );
            return;
        }
        if effect == Effect::Works || !said.insert(name) {
            return;
        }
        self.diagnostics.push(match effect {
            Effect::Refuses => Diagnostic::warning(
                "D007",
                setting.span,
                format!("{name}: recognised, no effect in this version: it refuses nobody"),
            )
            .help("look clients up in PORT_ACCESS, with `$[IMTA_LIB:dns_verify.so,...]`"),
            _ => Diagnostic::note(
                "D007",
                setting.span,
                format!("{name}: recognised, no effect in this version"),
            ),
        });
    }

    /// A setting of a section, or its default.
    fn find(&self, section: &'a str, name: &str) -> Option<&'a Setting> {
        let of = |section| self.by_name.get(&(section, name.to_string())).copied();
        of(section).or_else(|| of(""))
    }

    fn service(&mut self, section: &'a str, name: &str, span: Span) -> Service {
        let ports = self.ports(self.find(section, "PORT"));
        let tls_ports = self.ports(self.find(section, "TLS_PORT"));
        if ["PORT", "TLS_PORT"]
            .iter()
            .all(|n| self.find(section, n).is_none())
        {
            self.diagnostics.push(
                Diagnostic::warning(
                    "D009",
                    span,
                    format!("service {name} has no port: it does not listen"),
                )
                .help("write `PORT=25`"),
            );
        }
        let interfaces = self.find(section, "INTERFACE_ADDRESS").map(|s| {
            let addresses = s.value.split(',').map(|a| a.trim().to_string());
            addresses.filter(|a| !a.is_empty()).collect()
        });
        let processes = self.number(self.find(section, "MAX_PROCS"), MAX_PROCS);
        let connections = self.number(self.find(section, "MAX_CONNS"), MAX_CONNS);
        Service {
            name: name.to_string(),
            interfaces: interfaces.unwrap_or_default(),
            ports,
            tls_ports,
            channel: self.channel(section, name),
            max_sessions: processes.saturating_mul(connections),
        }
    }

    /// The channel that PARAMETER names; `tcp_local` where there is none.
    fn channel(&mut self, section: &'a str, name: &str) -> String {
        if is_manage_sieve(name) {
            let own = self.by_name.get(&(section, "PARAMETER".to_string()));
            if let Some(parameter) = own {
                self.diagnostics.push(
                    Diagnostic::warning(
                        "D007",
                        parameter.span,
                        "a ManageSieve service has no channel: PARAMETER has no effect",
                    )
                    .help("remove the line"),
                );
            }
            return String::new();
        }
        let parameter = self.find(section, "PARAMETER");
        let channel = match parameter {
            None => "tcp_local".to_string(),
            Some(parameter) => {
                let named = parameter.value.split_once('=').filter(|(key, channel)| {
                    key.trim().eq_ignore_ascii_case("CHANNEL") && !channel.trim().is_empty()
                });
                let Some((_, channel)) = named else {
                    self.diagnostics.push(
                        Diagnostic::error(
                            "D004",
                            parameter.value_span,
                            format!("PARAMETER of service {name} names no channel"),
                        )
                        .help("write `PARAMETER=CHANNEL=tcp_local`, or leave it out, which means the same"),
                    );
                    return String::new();
                };
                channel.trim().to_ascii_lowercase()
            }
        };
        if !(self.channel_exists)(&channel) {
            let span = parameter.map_or(Span::new(self.file, 0, 0), |p| p.value_span);
            self.diagnostics.push(
                Diagnostic::error(
                    "D001",
                    span,
                    format!("service {name} uses channel `{channel}`, which does not exist"),
                )
                .help("define the channel in imta.cnf, or name another in `PARAMETER=CHANNEL=...`"),
            );
        }
        channel
    }

    fn number(&mut self, setting: Option<&Setting>, default: usize) -> usize {
        let Some(setting) = setting else { return default };
        let number = setting.number().and_then(|n| usize::try_from(n).ok());
        number.filter(|n| *n > 0).unwrap_or_else(|| {
            self.diagnostics.push(
                Diagnostic::error(
                    "D005",
                    setting.value_span,
                    format!("{} needs a number of at least 1", setting.name),
                )
                .help("numbers are decimal, or `base%digits`"),
            );
            default
        })
    }

    fn ports(&mut self, setting: Option<&Setting>) -> Vec<u16> {
        let Some(setting) = setting else { return Vec::new() };
        let mut ports = Vec::new();
        for port in setting.value.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            match port.parse() {
                Ok(port) => ports.push(port),
                Err(_) => self.diagnostics.push(
                    Diagnostic::error("D002", setting.value_span, format!("`{port}` is not a port"))
                        .help("ports are numbers from 1 to 65535, separated by commas"),
                ),
            }
        }
        ports
    }
}

/// The name in `SERVICE=name`.
fn service_name(section: &str) -> Option<&str> {
    let (key, name) = section.split_once('=')?;
    let name = name.trim();
    (key.trim().eq_ignore_ascii_case("SERVICE") && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Service>, Vec<(&'static str, usize)>) {
        let mut sources = grammar::Sources::new();
        let file = sources.add("dispatcher.cnf", text);
        let mut diagnostics = Vec::new();
        let none = |_: &str| Err("none".to_string());
        let settings = grammar::options::parse(&mut sources, file, &none, &mut diagnostics);
        let services = services(
            file,
            &settings,
            &|name| name.starts_with("tcp_"),
            &mut diagnostics,
        );
        let said = diagnostics
            .iter()
            .map(|d| (d.code, sources.place(d.span()).line))
            .collect();
        (services, said)
    }

    #[test]
    fn nothing_that_is_written_is_dropped_without_a_word() {
        let service = "[SERVICE=SMTP]\nPORT=25\n";
        let cases: &[(&str, &[(&str, usize)])] = &[
            ("PARAMETER=CHANNEL=tcp_x\n", &[]),
            ("PARAMETER = channel = TCP_X\n", &[]),
            ("PARAMETER=tcp_x\n", &[("D004", 3)]),
            ("PARAMETER=CHANEL=tcp_x\n", &[("D004", 3)]),
            ("PARAMETER=CHANNEL=\n", &[("D004", 3)]),
            ("PARAMETER=CHANNEL=x\n", &[("D001", 3)]),
            ("MAX_PROCS=abc\n", &[("D005", 3)]),
            ("MAX_PROCS=0\n", &[("D005", 3)]),
            ("MAX_CONNS=-1\n", &[("D005", 3)]),
            ("MAX_CONNS=16%1f\n", &[]),
            ("PORT=26\n", &[("D008", 3)]),
            ("port=26\n", &[("D008", 3)]),
            ("DNS_VERIFY_DOMAIN=a\nDNS_VERIFY_DOMAIN=b\n", &[("D007", 3)]),
            (
                "ENABLE_RBL=1\nIDENT=1\nUSER=x\n",
                &[("D007", 3), ("D007", 4), ("D007", 5)],
            ),
            ("IMAGE=IMTA_BIN:tcp_lmtp_server\n", &[("D007", 3)]),
            ("MAX_PROC=1\n", &[("D003", 3)]),
            ("[SERVICE]\nPORT=1\n", &[("D006", 4)]),
            ("[SERVICES=X]\nPORT=1\n", &[("D006", 4)]),
            ("[SERVICE=]\nPORT=1\n", &[("D006", 4)]),
            ("[SERVICE=X]\nMAX_CONNS=1\n", &[("D009", 4)]),
            (
                "[SERVICE=MANAGESIEVE]\nPORT=1\nPARAMETER=CHANNEL=tcp_x\n",
                &[("D007", 5)],
            ),
        ];
        for (text, expected) in cases {
            let (_, said) = read(&format!("{service}{text}"));
            assert_eq!(said, *expected, "{text}");
        }
    }

    #[test]
    fn settings_before_the_first_service_are_defaults() {
        let (services, said) =
            read("MAX_PROCS=2\nMAX_CONNS=3\nPORT=1\n\n[SERVICE=A]\nPORT=2,3\n[SERVICE=B]\nMAX_CONNS=5\n");
        assert_eq!(said, []);
        let short: Vec<_> = services
            .iter()
            .map(|s| (&s.ports[..], s.max_sessions, s.channel.as_str()))
            .collect();
        assert_eq!(
            short,
            [(&[2, 3][..], 6, "tcp_local"), (&[1][..], 10, "tcp_local")]
        );
    }
}
