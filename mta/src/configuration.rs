//! The configuration in force: the loaded site and what the transfer agent derives from it.
//!
//! [`read`] finds the texts of a site folder and hands them to [`policy::site::load`]; the server and every
//! tool read a site through it. A server holds one [`Configuration`] and swaps it as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grammar::{Diagnostic, Reader, Sources, Span};
use policy::site::{LoadError, Site, Texts};

use crate::filter::SiteScripts;
use crate::log::options::LogOptions;
use crate::metermaid::settings::Settings;

pub mod image;
mod lint;

/// Names of the parts of a site folder.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The site folder.
    pub root: PathBuf,
}

impl Layout {
    /// The layout of a site folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Layout { root: root.into() }
    }

    /// Configuration texts.
    pub fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    /// The user file.
    pub fn users(&self) -> PathBuf {
        self.config().join("users")
    }

    /// The spool.
    pub fn queue(&self) -> PathBuf {
        self.root.join("queue")
    }

    /// Logs.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Maildirs, one folder a user.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Certificate and key.
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// The control socket; readable by its owner only.
    pub fn control(&self) -> PathBuf {
        self.root.join("run").join("control")
    }

    /// Addresses that the running server listens on, one a line: service, address.
    pub fn listening(&self) -> PathBuf {
        self.root.join("run").join("listening")
    }

    /// The compiled configuration that `imsimta cnbuild` writes.
    pub fn image(&self) -> PathBuf {
        self.config().join("config_data")
    }
}

/// A site and what is derived from it.
#[derive(Debug)]
pub struct Configuration {
    /// The loaded site.
    pub site: Arc<Site>,
    /// What its LOG_* options ask for.
    pub log: LogOptions,
    /// What `msg.conf` sets for MeterMaid.
    pub metermaid: Settings,
    /// Texts that are newer than the compiled configuration that was loaded.
    pub stale: Vec<String>,
    /// The Sieve scripts of the site.
    pub scripts: SiteScripts,
}

/// Reads the configuration texts of a site folder.
pub fn texts(layout: &Layout) -> Texts {
    let dir = layout.config();
    let read = |name: &str| {
        let path = dir.join(name);
        let text = std::fs::read(&path).ok()?;
        let shown = shown_name(&path);
        Some((shown, String::from_utf8_lossy(&text).into_owned()))
    };
    let mut texts = Texts {
        imta: read("imta.cnf"),
        mappings: read("mappings"),
        options: read("option.dat"),
        aliases: read("aliases"),
        dispatcher: read("dispatcher.cnf"),
        general: read("general.txt"),
        reverse: read("reverse.txt"),
        forward: read("forward.txt"),
        filter: read("imta.filter"),
        ..Texts::default()
    };
    for (key, value) in conf(layout) {
        match key.to_ascii_lowercase().as_str() {
            "local.hostname" => texts.host = Some(value),
            "service.defaultdomain" => texts.default_domain = Some(value),
            _ => {}
        }
    }
    texts
}

/// All keys of `msg.conf` as written; where one stands twice, the last counts.
pub fn conf(layout: &Layout) -> BTreeMap<String, String> {
    let text = std::fs::read(layout.config().join("msg.conf")).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .filter(|line| !line.trim_start().starts_with(['!', '#']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_string(), value.trim().trim_matches('"').to_string()))
        .collect()
}

/// Puts what `msg.conf` sets for MeterMaid into a configuration. Never part of the compiled one: it has a secret.
fn with_metermaid(mut configuration: Configuration, layout: &Layout) -> Result<Configuration, LoadError> {
    let mut sources = Sources::new();
    let file = sources.add(shown_name(&layout.config().join("msg.conf")), "");
    match Settings::parse(&conf(layout)) {
        Ok(settings) => {
            configuration.metermaid = settings;
            Ok(configuration)
        }
        Err(error) => {
            let d = Diagnostic::error("C021", Span::new(file, 0, 0), error.to_string());
            Err(LoadError {
                sources,
                diagnostics: vec![d],
            })
        }
    }
}

/// A path as messages show it: relative to the working directory where that is shorter.
fn shown_name(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let short = here.and_then(|h| path.strip_prefix(h).ok().map(Path::to_path_buf));
    short.unwrap_or_else(|| path.to_path_buf()).display().to_string()
}

/// Reads an included file: a full path, or `IMTA_TABLE:name` for one of the configuration folder.
pub fn include(layout: &Layout, name: &str) -> Result<String, String> {
    let path = match name.split_once(':') {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("IMTA_TABLE") => layout.config().join(rest),
        _ => PathBuf::from(name),
    };
    if !path.is_absolute() && !path.starts_with(layout.config()) {
        return Err("the path must be absolute, or begin with `IMTA_TABLE:`".to_string());
    }
    let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_string())
}

/// Loads the configuration of a site folder: the compiled one where there is one, else the texts.
pub fn read(layout: &Layout) -> Result<Configuration, LoadError> {
    match image::load(layout) {
        Ok(Some(image)) => {
            let stale = image.stale(layout);
            let reader = |name: &str| match image.includes.get(name) {
                Some(text) => Ok(text.clone()),
                None => Err("it is not in the compiled configuration; run `imsimta cnbuild`".to_string()),
            };
            let mut configuration = load(&image.texts, &reader)?;
            configuration.stale = stale;
            with_metermaid(configuration, layout)
        }
        Ok(None) => read_text(layout),
        Err(error) => {
            let mut sources = Sources::new();
            let file = sources.add(shown_name(&layout.image()), "");
            let help = "run `imsimta cnbuild` to compile it again, or remove the file to use the texts";
            let d = Diagnostic::error("C020", Span::new(file, 0, 0), error.to_string()).help(help);
            Err(LoadError {
                sources,
                diagnostics: vec![d],
            })
        }
    }
}

/// Loads the texts of a site folder, whether or not there is a compiled configuration.
pub fn read_text(layout: &Layout) -> Result<Configuration, LoadError> {
    with_metermaid(load(&texts(layout), &|name: &str| include(layout, name))?, layout)
}

/// Loads given texts.
pub fn load(texts: &Texts, reader: &dyn Reader) -> Result<Configuration, LoadError> {
    let mut site = policy::site::load(texts, reader)?;
    let (mut sources, mut problems) = (site.sources.clone(), Vec::new());
    let read = |name: &str| reader.read(name);
    let scripts = SiteScripts::load(&site, texts.filter.as_ref(), &read, &mut sources, &mut problems);
    problems.extend(lint::unprobed(&site));
    let fatal = grammar::diagnostic::has_errors(&problems);
    site.diagnostics.extend(problems);
    if fatal {
        return Err(LoadError {
            sources,
            diagnostics: site.diagnostics,
        });
    }
    site.sources = sources;
    match LogOptions::from_options(|name| site.options.get(name)) {
        Ok(log) => Ok(Configuration {
            site: Arc::new(site),
            log,
            metermaid: Settings::default(),
            stale: Vec::new(),
            scripts,
        }),
        Err(error) => {
            let mut diagnostics = site.diagnostics;
            let span = site
                .options
                .span(error_option(&error.to_string()))
                .unwrap_or_default();
            diagnostics.push(Diagnostic::error("O013", span, error.to_string()));
            Err(LoadError {
                sources: site.sources,
                diagnostics,
            })
        }
    }
}

/// The option that an error text names.
fn error_option(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_uppercase() && c != '_')
        .find(|w| w.starts_with("LOG_"))
        .unwrap_or("LOG_FORMAT")
}
