//! The scripts: those of the site, compiled with its configuration, and those of the users, compiled when they change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use grammar::diagnostic::Severity;
use grammar::{Diagnostic, Sources};
use policy::sieve::{ActionLimits, Options, Program, compile};
use policy::site::Site;

use super::library::{self, OfSite, Seen, Shelf};
use crate::directory::Directory;

/// Compiled user scripts kept (FILTER_CACHE_SIZE).
pub const CACHE: usize = 1000;

/// A compiled script with its text.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) program: Arc<Program>,
    pub(super) sources: Arc<Sources>,
}

/// The scripts of the site.
#[derive(Debug, Clone, Default)]
pub struct SiteScripts {
    /// `imta.filter`.
    pub(super) system: Option<Script>,
    /// Those that channel keywords name, by their URL.
    pub(super) by_url: HashMap<String, Script>,
}

impl SiteScripts {
    /// Compiles the scripts that a configuration names; what is wrong with them goes to `diagnostics`, with
    /// the texts in `sources`.
    pub fn load(
        site: &Site,
        system: Option<&(String, String)>,
        read: &dyn Fn(&str) -> Result<String, String>,
        sources: &mut Sources,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut scripts = SiteScripts::default();
        let options = options(ActionLimits::of_site(&site.options));
        let library = OfSite { read };
        let mut add = |name: &str, text: &str| {
            let file = sources.add(name, text);
            match compile(sources, file, &library, &options) {
                Ok((program, warnings)) => {
                    diagnostics.extend(warnings);
                    Some(Script {
                        program: Arc::new(program),
                        sources: Arc::new(sources.clone()),
                    })
                }
                Err(errors) => {
                    diagnostics.extend(errors);
                    None
                }
            }
        };
        if let Some((name, text)) = system {
            scripts.system = add(name, text);
        }
        let mut unread = Vec::new();
        for channel in &site.channels {
            let settings = &channel.settings;
            for url in [&settings.source_filter, &settings.destination_filter]
                .into_iter()
                .flatten()
            {
                if scripts.by_url.contains_key(url) {
                    continue;
                }
                match read(url.strip_prefix("file:").unwrap_or(url)) {
                    Ok(text) => {
                        if let Some(script) = add(url, &text) {
                            scripts.by_url.insert(url.clone(), script);
                        }
                    }
                    Err(why) => unread.push((channel.span, url.clone(), why)),
                }
            }
        }
        for (span, url, why) in unread {
            diagnostics.push(
                Diagnostic::error(
                    "C021",
                    span,
                    format!("the Sieve script `{url}` cannot be read: {why}"),
                )
                .help("name a file by its full path, as `file:IMTA_TABLE:name.filter`"),
            );
        }
        scripts
    }
}

/// A script that does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// The first error, on one line with its place.
    pub first: String,
    /// All errors, each drawn at its word.
    pub all: String,
}

impl From<String> for Bad {
    fn from(why: String) -> Self {
        Bad {
            first: why.clone(),
            all: why,
        }
    }
}

/// On whose behalf a script runs: whom its mail comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The primary address.
    pub address: String,
    /// Other addresses that are the owner's.
    pub others: Vec<String>,
}

/// The users' scripts: a file each, compiled when it changes.
#[derive(Debug)]
pub struct UserScripts {
    folder: PathBuf,
    directory: Arc<ArcSwap<Directory>>,
    cache: Mutex<HashMap<String, Cached>>,
}

#[derive(Debug, Clone)]
struct Cached {
    limits: ActionLimits,
    /// The script and all that it includes.
    seen: Vec<Seen>,
    script: Result<Script, Arc<Bad>>,
}

impl UserScripts {
    /// The scripts in a folder, `USER.sieve` each, of the users of a directory.
    pub fn new(folder: PathBuf, directory: Arc<ArcSwap<Directory>>) -> Self {
        UserScripts {
            folder,
            directory,
            cache: Mutex::default(),
        }
    }

    /// Whose a script is: the user's own addresses; `address` is that of a recipient whom nobody knows.
    pub fn owner(&self, uid: &str, address: &str) -> Owner {
        let directory = self.directory.load();
        match directory.by_uid(uid) {
            Some(user) => Owner {
                address: user.mail.clone(),
                others: user.aliases.clone(),
            },
            None => Owner {
                address: address.to_string(),
                others: Vec::new(),
            },
        }
    }

    /// The script of a user, or what is wrong with it; `None` where there is none.
    pub fn of(&self, uid: &str, limits: ActionLimits) -> Option<Result<Script, Arc<Bad>>> {
        // a user name may not leave the folder
        crate::directory::user::check_uid(uid).ok()?;
        let path = self.folder.join(format!("{uid}.sieve"));
        let own = Seen::at(path);
        if !own.is_there() {
            return None;
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cache.get(uid)
            && cached.limits == limits
            && cached.seen.first() == Some(&own)
            && cached.seen.iter().skip(1).all(Seen::is_unchanged)
        {
            return Some(cached.script.clone());
        }
        let shelf = Shelf::of_user(&self.folder, uid);
        let name = format!("sieve/{uid}.sieve");
        let script = read_script(own.path(), &name, &shelf, limits).map_err(Arc::new);
        let seen = std::iter::once(own).chain(shelf.into_seen()).collect();
        if cache.len() >= CACHE {
            cache.clear();
        }
        if let Err(bad) = &script {
            // once for each change of the script, not for each message
            crate::notice::send(&format!(
                "the Sieve script of {uid} does not compile, mail is kept: {}",
                bad.first
            ));
        }
        cache.insert(
            uid.to_string(),
            Cached {
                limits,
                seen,
                script: script.clone(),
            },
        );
        Some(script)
    }
}

/// What the compiler has to know of this site.
pub fn options(limits: ActionLimits) -> Options {
    Options {
        limits,
        ..Options::default()
    }
}

/// Compiles a script, which its errors call by `name`.
fn read_script(path: &Path, name: &str, shelf: &Shelf, limits: ActionLimits) -> Result<Script, Bad> {
    let unread = |why: String| Bad::from(format!("{name} cannot be read: {why}"));
    let text = library::read(path).map_err(unread)?;
    let text = text.ok_or_else(|| unread("it is gone".into()))?;
    let mut sources = Sources::new();
    let file = sources.add(name, text);
    match compile(&mut sources, file, shelf, &options(limits)) {
        Ok((program, _)) => Ok(Script {
            program: Arc::new(program),
            sources: Arc::new(sources),
        }),
        Err(errors) => {
            let first = errors
                .iter()
                .find(|d| d.severity == Severity::Error)
                .map(|d| format!("{}: {}", sources.place(d.span()), d.message));
            let all: Vec<String> = errors
                .iter()
                .map(|d| d.render(&sources, false).trim_end().to_string())
                .collect();
            Err(Bad {
                first: first.unwrap_or_default(),
                all: all.join("\n\n"),
            })
        }
    }
}
