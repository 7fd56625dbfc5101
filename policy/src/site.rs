//! A whole site: configuration texts to one typed [`Site`], or to all that is wrong with them.
//!
//! Pure: the texts and a [`Reader`] for included files come from the caller, so the server, the tools,
//! the linter and the tests load a configuration in one way. Loading is all or nothing.

use std::collections::HashMap;
use std::sync::Arc;

use grammar::{Diagnostic, FileId, Reader, Sources, Span};

use crate::alias::Aliases;
use crate::channel::{self, Channel, Channels};
use crate::dispatcher;
use crate::mapping;
use crate::options::Options;
use crate::program::Program;
use crate::rewrite::{self, ChannelFacts};

pub use crate::dispatcher::Service;

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
    pub channels: Channels,
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

impl Site {
    /// A site of mapping tables alone, for tools.
    pub fn of_program(program: Program, sources: Sources, diagnostics: Vec<Diagnostic>) -> Self {
        Site {
            options: Options::default(),
            channels: Channels::default(),
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
        self.channels.named(name)
    }

    /// The official name of this host.
    pub fn host(&self) -> &str {
        &self.program.rules.local_host
    }
}

/// Loads a configuration.
pub fn load(texts: &Texts, reader: &dyn Reader) -> Result<Site, LoadError> {
    let values = Values::new(texts, reader);
    let mut loader = Loader {
        sources: Sources::new(),
        diagnostics: Vec::new(),
        reader: &values,
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
    fn add(&mut self, text: &Option<(String, String)>) -> Option<FileId> {
        let (name, text) = text.as_ref()?;
        Some(self.sources.add(name.as_str(), text.as_str()))
    }

    fn site(&mut self, texts: &Texts) -> Site {
        let settings = match self.add(&texts.options) {
            Some(file) => {
                grammar::options::parse(&mut self.sources, file, self.reader, &mut self.diagnostics)
            }
            None => Vec::new(),
        };
        let options = Options::new(&settings, &mut self.diagnostics);
        let mappings = match self.add(&texts.mappings) {
            Some(file) => {
                grammar::mapping::parse(&mut self.sources, file, self.reader, &mut self.diagnostics)
            }
            None => Default::default(),
        };
        let (tables, names) = mapping::compile(&mappings, &mut self.diagnostics);
        let Some(file) = self.add(&texts.imta) else {
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
        let failure = options
            .get("DOMAIN_FAILURE")
            .map(|text| (text, options.span("DOMAIN_FAILURE").unwrap_or_default()));
        let mut rules = rewrite::compile(&imta, facts, hosts, failure, &exists, &mut self.diagnostics);
        rules.local_host = channels
            .first()
            .map(|c| c.official_host.clone())
            .unwrap_or_default();
        self.check_references(&channels);
        let aliases = match self.add(&texts.aliases) {
            Some(file) => {
                grammar::aliases::parse(&mut self.sources, file, self.reader, &mut self.diagnostics)
            }
            None => Vec::new(),
        };
        let general = self.text_database(&texts.general);
        let text_databases = options.number("USE_TEXT_DATABASES", 0);
        let mut database = |bit, text| match text_databases & bit != 0 {
            true => self.text_database(text),
            false => self.unused(text, bit),
        };
        let reverse = database(2, &texts.reverse);
        let forward = database(4, &texts.forward);
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
    fn hosts(&mut self, channels: &Channels) -> Vec<(String, usize, Option<String>)> {
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
    fn check_references(&mut self, channels: &Channels) {
        for channel in channels {
            let s = &channel.settings;
            for (keyword, target) in [
                ("saslswitchchannel", &s.sasl_switch),
                ("tlsswitchchannel", &s.tls_switch),
            ] {
                if let Some(target) = target
                    && channels.named(target).is_none()
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
    fn text_database(&mut self, text: &Option<(String, String)>) -> HashMap<String, String> {
        match self.add(text) {
            Some(file) => general(&mut self.sources, file, self.reader, &mut self.diagnostics),
            None => HashMap::new(),
        }
    }

    /// A text database that is there and switched off.
    fn unused(&mut self, text: &Option<(String, String)>, bit: i64) -> HashMap<String, String> {
        if let Some(file) = self.add(text) {
            self.diagnostics.push(
                Diagnostic::note("G002", Span::new(file, 0, 0), "this file is not used")
                    .help(format!("set bit {bit} of USE_TEXT_DATABASES to use it")),
            );
        }
        HashMap::new()
    }

    fn services(&mut self, texts: &Texts, channels: &Channels) -> Vec<Service> {
        let Some(file) = self.add(&texts.dispatcher) else {
            return Vec::new();
        };
        let settings = grammar::options::parse(&mut self.sources, file, self.reader, &mut self.diagnostics);
        let exists = |name: &str| channels.named(name).is_some();
        dispatcher::services(file, &settings, &exists, &mut self.diagnostics)
    }
}

/// A reader that knows what the site calls itself.
struct Values<'a> {
    files: &'a dyn Reader,
    host: Option<String>,
    default_domain: Option<String>,
}

impl<'a> Values<'a> {
    fn new(texts: &Texts, files: &'a dyn Reader) -> Self {
        let imta = texts.imta.as_ref().map_or("", |(_, text)| text);
        Values {
            files,
            host: texts.host.clone().or_else(|| host_of_local_channel(imta)),
            default_domain: texts.default_domain.clone(),
        }
    }
}

impl Reader for Values<'_> {
    fn read(&self, name: &str) -> Result<String, String> {
        self.files.read(name)
    }

    fn value(&self, name: &str) -> Option<String> {
        match name {
            "IMTA_HOST" => self.host.clone(),
            "IMTA_DEFAULTDOMAIN" => self.default_domain.clone(),
            _ => None,
        }
    }
}

/// The official host name of channel `l`, where it is written out in the text itself.
fn host_of_local_channel(imta: &str) -> Option<String> {
    let mut lines = imta.lines().filter(|l| !l.starts_with('!'));
    let mut blank = false;
    loop {
        let line = lines.next()?;
        let first = line.split_ascii_whitespace().next();
        if blank && first.is_some_and(|word| word.eq_ignore_ascii_case("l")) {
            let mut last = line;
            while last.ends_with('\\') {
                last = lines.next()?;
            }
            let host = lines.next()?.split_ascii_whitespace().next()?;
            return (!host.contains("&/")).then(|| host.to_string());
        }
        blank = first.is_none();
    }
}
