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
use crate::filter::library::SHARED;
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
    /// What `msg.conf` says of the server's certificate.
    pub tls: crate::tls::own::Wanted,
    /// Texts that are newer than the compiled configuration that was loaded.
    pub stale: Vec<String>,
    /// The Sieve scripts of the site.
    pub scripts: SiteScripts,
}

impl Configuration {
    /// A sentence about each text that is newer than the compiled configuration.
    pub fn stale_notes(&self) -> impl Iterator<Item = String> {
        self.stale.iter().map(|file| image::stale_note(file))
    }
}

/// Reads the configuration texts of a site folder. A file that is there and cannot be read is an error: without
/// its tables the site would load, and relay for everybody.
pub fn texts(layout: &Layout) -> Result<Texts, LoadError> {
    let mut unread = LoadError {
        sources: Sources::new(),
        diagnostics: Vec::new(),
    };
    let mut read = |name: &str| match read_text_file(&layout.config().join(name)) {
        Ok(text) => text,
        Err(error) => {
            let LoadError { sources, diagnostics } = &mut unread;
            diagnostics.push(error.diagnostic(sources));
            None
        }
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
    let (_, conf) = read(MSG_CONF).unwrap_or_default();
    for (key, value) in keys(&conf) {
        match key.to_ascii_lowercase().as_str() {
            "local.hostname" => texts.host = Some(value),
            "service.defaultdomain" => texts.default_domain = Some(value),
            _ => {}
        }
    }
    match unread.diagnostics.is_empty() {
        true => Ok(texts),
        false => Err(unread),
    }
}

const MSG_CONF: &str = "msg.conf";

/// A text of the configuration that is there and cannot be used.
struct Unread {
    path: PathBuf,
    text: String,
    /// Where in the text it is wrong.
    at: usize,
    why: String,
    help: &'static str,
}

impl Unread {
    fn diagnostic(self, sources: &mut Sources) -> Diagnostic {
        let shown = shown_name(&self.path);
        let message = format!("{shown} cannot be read: {}", self.why);
        let file = sources.add(shown, self.text);
        Diagnostic::error("C022", Span::new(file, self.at, self.at), message).help(self.help)
    }
}

/// Name and content of a text; `None` where there is no such file.
fn read_text_file(path: &Path) -> Result<Option<(String, String)>, Unread> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Unread {
                path: path.to_path_buf(),
                text: String::new(),
                at: 0,
                why: error.to_string(),
                help: "let the user that Sluice runs as read it, or remove it to do without",
            });
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some((shown_name(path), text))),
        Err(error) => Err(Unread {
            path: path.to_path_buf(),
            at: error.utf8_error().valid_up_to(),
            text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            why: "it is not UTF-8 text".to_string(),
            help: "convert it: `iconv -f latin1 -t utf-8`, or what it was written in",
        }),
    }
}

/// All keys of `msg.conf` as written; where one stands twice, the last counts.
pub fn conf(layout: &Layout) -> Result<BTreeMap<String, String>, LoadError> {
    match read_text_file(&layout.config().join(MSG_CONF)) {
        Ok(text) => Ok(keys(&text.unwrap_or_default().1)),
        Err(error) => {
            let mut sources = Sources::new();
            let diagnostics = vec![error.diagnostic(&mut sources)];
            Err(LoadError { sources, diagnostics })
        }
    }
}

fn keys(conf: &str) -> BTreeMap<String, String> {
    conf.lines()
        .filter(|line| !line.trim_start().starts_with(['!', '#']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_string(), value.trim().trim_matches('"').to_string()))
        .collect()
}

/// Puts what `msg.conf` sets for MeterMaid and TLS into a configuration. Never part of the compiled one: it has a
/// secret.
fn with_conf(mut configuration: Configuration, layout: &Layout) -> Result<Configuration, LoadError> {
    let mut sources = Sources::new();
    let file = sources.add(shown_name(&layout.config().join("msg.conf")), "");
    let keys = conf(layout)?;
    configuration.tls = crate::tls::own::Wanted::parse(&keys);
    match Settings::parse(&keys) {
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

/// The file that a configuration names: by its full path, or as `IMTA_TABLE:name` where it lies in `folder`, the
/// folder of that configuration. `None` for any other name: it would mean another file wherever a program starts.
pub fn table_path(folder: &Path, name: &str) -> Option<PathBuf> {
    match name.split_once(':') {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("IMTA_TABLE") => {
            Some(folder.join(rest.trim_start_matches('/')))
        }
        _ => Some(PathBuf::from(name)).filter(|path| path.is_absolute()),
    }
}

/// What is wrong with a name that [`table_path`] does not take.
pub const NO_TABLE_PATH: &str = "this is not a full path, nor `IMTA_TABLE:name`";

/// Why a text is not read that is not there.
pub const NO_FILE: &str = "there is no such file";

/// Why a text is not read that was not there when the configuration was compiled.
pub const NOT_COMPILED: &str = "it is not in the compiled configuration; run `imsimta cnbuild`";

/// Reads an included file, see [`table_path`]; also a Sieve script that all share ([`SHARED`]).
pub fn include(layout: &Layout, name: &str) -> Result<String, String> {
    let path = match name.strip_prefix(SHARED) {
        Some(script) => layout.root.join(SHARED).join(script),
        None => table_path(&layout.config(), name).ok_or(NO_TABLE_PATH)?,
    };
    match read_text_file(&path) {
        Ok(Some((_, text))) => Ok(text),
        Ok(None) => Err(NO_FILE.to_string()),
        Err(error) => Err(error.why),
    }
}

/// Loads the configuration of a site folder: the compiled one where there is one, else the texts.
pub fn read(layout: &Layout) -> Result<Configuration, LoadError> {
    match image::load(layout) {
        Ok(Some(image)) => {
            let stale = image.stale(layout);
            let reader = |name: &str| match image.includes.get(name) {
                Some(text) => Ok(text.clone()),
                None => Err(NOT_COMPILED.to_string()),
            };
            let mut configuration = load(&image.texts, &reader)?;
            configuration.stale = stale;
            with_conf(configuration, layout)
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
    with_conf(
        load(&texts(layout)?, &|name: &str| include(layout, name))?,
        layout,
    )
}

/// Loads given texts.
pub fn load(texts: &Texts, reader: &dyn Reader) -> Result<Configuration, LoadError> {
    let mut site = policy::site::load(texts, reader)?;
    let (mut sources, mut problems) = (site.sources.clone(), Vec::new());
    let read = |name: &str| reader.read(name);
    let scripts = SiteScripts::load(&site, texts.filter.as_ref(), &read, &mut sources, &mut problems);
    problems.extend(lint::unprobed(&site));
    problems.extend(lint::unreachable_aliases(&site));
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
            tls: Default::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A site folder of its own with what a configuration needs.
    fn layout(name: &str, files: &[(&str, &[u8])]) -> Layout {
        let root = std::env::temp_dir().join(format!("sluice-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let layout = Layout::new(root);
        std::fs::create_dir_all(layout.config()).unwrap();
        let imta: &[u8] = b"\nl\nmail.example.com\n\ntcp_local smtp\ntcp_local-daemon\n";
        for (name, text) in [("imta.cnf", imta)].iter().chain(files) {
            std::fs::write(layout.config().join(name), text).unwrap();
        }
        layout
    }

    #[test]
    fn aliases_that_are_never_looked_up_are_named() {
        let aliases = b"staff: a@example.com\nstaff@example.com: a@example.com\n*@b.example: a@b.example\n\
            postmaster: a@example.com\n";
        for (domains, unreachable) in [
            ("7", &[][..]),
            ("6", &["staff"]),
            ("1", &["staff@example.com", "*@b.example"]),
        ] {
            let options = format!("ALIAS_DOMAINS={domains}\n");
            let layout = layout(
                "aliases",
                &[("aliases", aliases), ("option.dat", options.as_bytes())],
            );
            let site = read(&layout).unwrap().site;
            let said: Vec<_> = site.diagnostics.iter().filter(|d| d.code == "A006").collect();
            assert_eq!(said.len(), unreachable.len(), "{domains}: {said:?}");
            for (d, name) in said.iter().zip(unreachable) {
                assert!(d.message.contains(&format!("`{name}`")), "{domains}: {d:?}");
            }
            std::fs::remove_dir_all(&layout.root).unwrap();
        }
    }

    #[test]
    fn a_text_that_cannot_be_read_is_not_taken_for_one_that_is_not_there() {
        let layout = layout(
            "unread",
            &[("aliases", b"! gr\xfc\xdfe\n"), ("msg.conf", b"a=\xff")],
        );
        // a folder is the one thing that root cannot read either
        std::fs::create_dir(layout.config().join("mappings")).unwrap();
        let error = read(&layout).unwrap_err();
        let messages: Vec<_> = error
            .diagnostics
            .iter()
            .map(|d| (d.code, d.message.clone()))
            .collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
        assert!(messages.iter().all(|(code, _)| *code == "C022"));
        assert!(
            messages[0].1.contains("mappings cannot be read: "),
            "{messages:?}"
        );
        assert!(
            messages[1]
                .1
                .contains("aliases cannot be read: it is not UTF-8 text")
        );
        let drawn = error.diagnostics[1].render(&error.sources, false);
        assert!(drawn.contains("aliases:1:5"), "{drawn}");
        assert!(conf(&layout).is_err());
        // nor does a compiled configuration hide it
        std::fs::remove_dir(layout.config().join("mappings")).unwrap();
        std::fs::remove_file(layout.config().join("aliases")).unwrap();
        std::fs::remove_file(layout.config().join("msg.conf")).unwrap();
        image::build(&layout).unwrap().unwrap();
        std::fs::create_dir(layout.config().join("mappings")).unwrap();
        let stale = read(&layout).unwrap().stale;
        assert!(stale.len() == 1 && stale[0].ends_with("mappings"), "{stale:?}");
        std::fs::remove_dir_all(&layout.root).unwrap();
    }
}
