//! A whole site: configuration texts to one typed [`Site`], or to all that is wrong with them.
//!
//! Pure: the texts and a [`Reader`] for included files come from the caller, so the server, the tools,
//! the linter and the tests load a configuration in one way. Loading is all or nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use grammar::options::Setting;
use grammar::{Diagnostic, FileId, Reader, Sources, Span};

use crate::alias::Aliases;
use crate::channel::{self, Channel};
use crate::mapping;
use crate::options::Options;
use crate::program::Program;
use crate::rewrite::{self, ChannelFacts};

/// The texts of a configuration, each with the name to show for it.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Texts {
    /// `imta.cnf`; must be there.
    pub imta: Option<(String, String)>,
    /// `mappings`.
    pub mappings: Option<(String, String)>,
    /// `option.dat`.
    pub options: Option<(String, String)>,
    /// `aliases`.
    pub aliases: Option<(String, String)>,
    /// `dispatcher.cnf`.
    pub dispatcher: Option<(String, String)>,
    /// `general.txt`, the general text database.
    pub general: Option<(String, String)>,
    /// `reverse.txt`, the reverse text database.
    pub reverse: Option<(String, String)>,
    /// `forward.txt`, the forward text database.
    pub forward: Option<(String, String)>,
    /// `imta.filter`, the system Sieve script.
    pub filter: Option<(String, String)>,
    /// What `&/IMTA_HOST/` stands for, where the site says so; else the official name of channel `l`.
    pub host: Option<String>,
    /// What `&/IMTA_DEFAULTDOMAIN/` stands for.
    pub default_domain: Option<String>,
}

/// A loaded configuration. Immutable; the server swaps it as a whole.
#[derive(Debug)]
pub struct Site {
    /// MTA options.
    pub options: Options,
    /// Channels, in order; the first is `l`.
    pub channels: Vec<Channel>,
    /// The compiled policy.
    pub program: Arc<Program>,
    /// The alias file.
    pub aliases: Aliases,
    /// The general text database.
    pub general: HashMap<String, String>,
    /// The reverse text database; empty unless USE_TEXT_DATABASES has bit 2.
    pub reverse: HashMap<String, String>,
    /// The forward text database; empty unless USE_TEXT_DATABASES has bit 4.
    pub forward: HashMap<String, String>,
    /// Services of the dispatcher.
    pub services: Vec<Service>,
    /// All texts, for places in messages and traces.
    pub sources: Sources,
    /// Warnings and notes.
    pub diagnostics: Vec<Diagnostic>,
}

/// A configuration that does not load.
#[derive(Debug)]
pub struct LoadError {
    /// The texts.
    pub sources: Sources,
    /// All that is wrong, warnings included.
    pub diagnostics: Vec<Diagnostic>,
}

/// A service that the dispatcher runs (queue specification 2).
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

impl Site {
    /// A site of mapping tables alone, for tools.
    pub fn of_program(program: Program, sources: Sources, diagnostics: Vec<Diagnostic>) -> Self {
        Site {
            options: Options::default(),
            channels: Vec::new(),
            program: Arc::new(program),
            aliases: Aliases::default(),
            general: HashMap::new(),
            reverse: HashMap::new(),
            forward: HashMap::new(),
            services: Vec::new(),
            sources,
            diagnostics,
        }
    }

    /// A channel by name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|c| c.name == name)
    }

    /// The official name of this host.
    pub fn host(&self) -> &str {
        &self.program.rules.local_host
    }
}

/// Loads a configuration.
pub fn load(texts: &Texts, reader: &dyn Reader) -> Result<Site, LoadError> {
    let mut loader = Loader {
        sources: Sources::new(),
        diagnostics: Vec::new(),
        reader,
    };
    let site = loader.site(texts);
    if grammar::diagnostic::has_errors(&loader.diagnostics) {
        return Err(LoadError {
            sources: loader.sources,
            diagnostics: loader.diagnostics,
        });
    }
    Ok(Site {
        sources: loader.sources,
        diagnostics: loader.diagnostics,
        ..site
    })
}

/// Reads a general text database that is `file` of `sources`: a key and its template a line. Keys are put
/// in lower case.
pub fn general(
    sources: &mut Sources,
    file: FileId,
    reader: &dyn Reader,
    diagnostics: &mut Vec<Diagnostic>,
) -> HashMap<String, String> {
    let lines = grammar::lines::logical_lines(sources, file, Default::default(), reader, diagnostics);
    let mut general = HashMap::new();
    for line in lines.iter().filter(|l| !l.is_blank()) {
        let text = line.text.trim_ascii();
        let (key, value) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        if general
            .insert(key.to_lowercase(), value.trim_ascii_start().to_string())
            .is_some()
        {
            diagnostics.push(
                Diagnostic::warning(
                    "G001",
                    line.whole(),
                    format!("key `{key}` stands twice; this line counts"),
                )
                .help("remove one of the lines"),
            );
        }
    }
    general
}

struct Loader<'a> {
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
    reader: &'a dyn Reader,
}

impl Loader<'_> {
    fn add(&mut self, text: &Option<(String, String)>, texts: &Texts) -> Option<FileId> {
        let (name, text) = text.as_ref()?;
        Some(self.sources.add(name.as_str(), expand_macros(text, texts)))
    }

    fn site(&mut self, texts: &Texts) -> Site {
        let settings = match self.add(&texts.options, texts) {
            Some(file) => {
                grammar::options::parse(&mut self.sources, file, self.reader, &mut self.diagnostics)
            }
            None => Vec::new(),
        };
        let options = Options::new(&settings, &mut self.diagnostics);
        let mappings = match self.add(&texts.mappings, texts) {
            Some(file) => {
                grammar::mapping::parse(&mut self.sources, file, self.reader, &mut self.diagnostics)
            }
            None => Default::default(),
        };
        let (tables, names) = mapping::compile(&mappings, &mut self.diagnostics);
        let Some(file) = self.add(&texts.imta, texts) else {
            let file = self.sources.add("imta.cnf", "");
            self.diagnostics.push(
                Diagnostic::error("C011", Span::new(file, 0, 0), "there is no imta.cnf")
                    .help("a site needs rewrite rules and channels; `sluice up` writes an example"),
            );
            return Site {
                options,
                ..Site::of_program(Program::default(), Sources::new(), Vec::new())
            };
        };
        let imta = grammar::imta::parse(&mut self.sources, file, self.reader, &mut self.diagnostics);
        let channels = channel::build(&imta, &mut self.diagnostics);
        if channels.is_empty() {
            self.diagnostics.push(
                Diagnostic::error("C012", Span::new(file, 0, 0), "no channel is defined")
                    .help("after the rewrite rules write a blank line and the block of channel `l`"),
            );
        }
        let hosts = self.hosts(&channels);
        let facts = channels
            .iter()
            .map(|c| ChannelFacts {
                name: c.name.clone(),
                route_local: c.settings.route_local,
                no_rules: c.settings.no_rules,
            })
            .collect();
        let exists = |name: &str| names.contains_key(&name.to_ascii_uppercase());
        let failure = options.get("DOMAIN_FAILURE");
        let mut rules = rewrite::compile(&imta, facts, hosts, failure, &exists, &mut self.diagnostics);
        rules.local_host = channels
            .first()
            .map(|c| c.official_host.clone())
            .unwrap_or_default();
        self.check_references(&channels);
        let aliases = match self.add(&texts.aliases, texts) {
            Some(file) => {
                grammar::aliases::parse(&mut self.sources, file, self.reader, &mut self.diagnostics)
            }
            None => Vec::new(),
        };
        let general = self.text_database(&texts.general, texts);
        let text_databases = options.number("USE_TEXT_DATABASES", 0);
        let mut database = |bit, text| match text_databases & bit != 0 {
            true => self.text_database(text, texts),
            false => HashMap::new(),
        };
        let (reverse, forward) = (database(2, &texts.reverse), database(4, &texts.forward));
        let services = self.services(texts, &channels);
        Site {
            options,
            channels,
            program: Arc::new(Program { tables, names, rules }),
            aliases: Aliases::new(aliases),
            general,
            reverse,
            forward,
            services,
            sources: Sources::new(),
            diagnostics: Vec::new(),
        }
    }

    /// All host names of the channel table; a name that stands twice is an error.
    fn hosts(&mut self, channels: &[Channel]) -> Vec<(String, usize, Option<String>)> {
        let mut hosts: Vec<(String, usize, Option<String>)> = Vec::new();
        let mut seen: HashMap<String, Span> = HashMap::new();
        for (n, channel) in channels.iter().enumerate() {
            let official = std::iter::once((channel.official_host.clone(), None));
            let extra = channel.extra_hosts.iter().map(|(host, proper)| {
                (
                    host.clone(),
                    Some(proper.clone().unwrap_or_else(|| channel.official_host.clone())),
                )
            });
            for (host, proper) in official.chain(extra) {
                if let Some(first) = seen.insert(host.to_ascii_lowercase(), channel.span) {
                    self.diagnostics.push(
                        Diagnostic::error(
                            "C013",
                            channel.span,
                            format!("duplicate host in channel table: `{host}`"),
                        )
                        .also(first, "this channel has it, too")
                        .help("a stray blank line among the rewrite rules also causes this"),
                    );
                }
                hosts.push((host, n, proper));
            }
        }
        hosts
    }

    /// Channels that keywords name must exist.
    fn check_references(&mut self, channels: &[Channel]) {
        for channel in channels {
            let s = &channel.settings;
            for (keyword, target) in [
                ("saslswitchchannel", &s.sasl_switch),
                ("tlsswitchchannel", &s.tls_switch),
            ] {
                if let Some(target) = target
                    && !channels.iter().any(|c| &c.name == target)
                {
                    let message = format!(
                        "keyword `{keyword}` of channel `{}` names channel `{target}`, which does not exist",
                        channel.name
                    );
                    self.diagnostics.push(
                        Diagnostic::error("C014", channel.span, message)
                            .help("define the channel, or correct the name"),
                    );
                }
            }
        }
    }

    /// A text database: `key value` a line. Keys are in lower case.
    fn text_database(&mut self, text: &Option<(String, String)>, texts: &Texts) -> HashMap<String, String> {
        match self.add(text, texts) {
            Some(file) => general(&mut self.sources, file, self.reader, &mut self.diagnostics),
            None => HashMap::new(),
        }
    }

    fn services(&mut self, texts: &Texts, channels: &[Channel]) -> Vec<Service> {
        let Some(file) = self.add(&texts.dispatcher, texts) else {
            return Vec::new();
        };
        let settings = grammar::options::parse(&mut self.sources, file, self.reader, &mut self.diagnostics);
        let mut sections: Vec<&str> = Vec::new();
        // the last setting of a name in a section counts
        let mut by_name: HashMap<(&str, String), &Setting> = HashMap::new();
        let mut seen: HashSet<&str> = HashSet::new();
        for setting in &settings {
            by_name.insert((&setting.section, setting.name.to_ascii_uppercase()), setting);
            if seen.insert(&setting.section) && setting.section.to_ascii_uppercase().starts_with("SERVICE") {
                sections.push(&setting.section);
            }
        }
        let mut services = Vec::new();
        for section in sections {
            let name = section.split_once('=').map_or("", |(_, n)| n.trim()).to_string();
            let find = |wanted: &str| {
                let is = |section| by_name.get(&(section, wanted.to_string())).copied();
                is(section).or_else(|| is(""))
            };
            let ports = self.ports(find("PORT"));
            let tls_ports = self.ports(find("TLS_PORT"));
            let parameter = find("PARAMETER");
            let mail = !is_manage_sieve(&name);
            let channel = parameter
                .filter(|_| mail)
                .and_then(|p| p.value.split_once('='))
                .filter(|(key, _)| key.trim().eq_ignore_ascii_case("CHANNEL"))
                .map_or(if mail { "tcp_local" } else { "" }, |(_, channel)| channel.trim())
                .to_ascii_lowercase();
            if mail && !channels.iter().any(|c| c.name == channel) {
                let span = parameter.map_or(Span::new(file, 0, 0), |p| p.value_span);
                self.diagnostics.push(
                    Diagnostic::error(
                        "D001",
                        span,
                        format!("service {name} uses channel `{channel}`, which does not exist"),
                    )
                    .help("define the channel in imta.cnf, or name another in `PARAMETER=CHANNEL=...`"),
                );
            }
            let interfaces = find("INTERFACE_ADDRESS")
                .map(|s| {
                    s.value
                        .split(',')
                        .map(|a| a.trim().to_string())
                        .filter(|a| !a.is_empty())
                        .collect()
                })
                .unwrap_or_default();
            let number =
                |wanted, default| find(wanted).and_then(Setting::number).unwrap_or(default).max(1) as usize;
            let max_sessions = number("MAX_PROCS", 20).saturating_mul(number("MAX_CONNS", 1000));
            services.push(Service {
                name,
                interfaces,
                ports,
                tls_ports,
                channel,
                max_sessions,
            });
        }
        for setting in &settings {
            if !DISPATCHER.contains(&setting.name.to_ascii_uppercase().as_str()) {
                self.diagnostics.push(Diagnostic::warning(
                    "D003",
                    setting.span,
                    format!("unknown dispatcher option `{}`", setting.name),
                ));
            }
        }
        services
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

/// Known options of `dispatcher.cnf`.
const DISPATCHER: &[&str] = &[
    "PORT",
    "TLS_PORT",
    "IMAGE",
    "PARAMETER",
    "LOGFILE",
    "INTERFACE_ADDRESS",
    "MIN_PROCS",
    "MAX_PROCS",
    "MIN_CONNS",
    "MAX_CONNS",
    "MAX_LIFE_TIME",
    "MAX_LIFE_CONNS",
    "MAX_IDLE_TIME",
    "MAX_SHUTDOWN",
    "MAX_HANDOFFS",
    "HISTORICAL_TIME",
    "BACKLOG",
    "DNS_VERIFY_DOMAIN",
    "ENABLE_RBL",
    "IDENT",
    "STACKSIZE",
    "USER",
    "DEBUG",
    "USE_NSLOG",
];

fn expand_macros(text: &str, texts: &Texts) -> String {
    let mut out = text.to_string();
    for (name, value) in [
        ("&/IMTA_HOST/", &texts.host),
        ("&/IMTA_DEFAULTDOMAIN/", &texts.default_domain),
    ] {
        if let Some(value) = value
            && out.contains(name)
        {
            out = out.replace(name, value);
        }
    }
    out
}
