//! The files of a site, as the test tools of mapping tables need them.
//!
//! [`load`] finds the mapping file, reads it with its includes and the general text file beside it,
//! prints every diagnostic, and gives compiled tables, or fails as a whole. `IMTA_TABLE:name` is the file
//! `name` in the directory of the mapping file. Texts must be UTF-8 and at most [`TEXT_LIMIT`] bytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grammar::diagnostic::has_errors;
use grammar::{Diagnostic, Severity, Sources};
use mta::configuration::{Layout, NO_TABLE_PATH, image, table_path};
use policy::program::Program;

use crate::Failure;
use crate::console::Console;

/// Largest text that is read, in bytes: what the includes of a file may have in total.
pub const TEXT_LIMIT: u64 = grammar::lines::TOTAL_LIMIT as u64;

/// Diagnostics printed in full; the others are counted. Each is drawn from the text, which may be long.
const SHOWN_LIMIT: usize = 50;

/// Whether a compiled configuration is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Image {
    /// That of the site, where there is one.
    #[default]
    Site,
    /// This file.
    File(String),
    /// None: the text files are read.
    None,
}

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Whether a compiled configuration is used.
    pub image: Image,
    /// The mapping file; the site's where none is named.
    pub mapping_file: Option<String>,
    /// An option file to check.
    pub option_file: Option<String>,
}

/// Compiled mapping tables, and what belongs to them.
#[derive(Debug)]
pub struct Mappings {
    /// The tables.
    pub program: Arc<Program>,
    /// The texts, for places in traces.
    pub sources: Sources,
    /// The general text file, keys in lower case; `None` where there is no such file.
    pub general: Option<HashMap<String, String>>,
    /// What `IMTA_TABLE:` stands for.
    pub directory: PathBuf,
}

/// Loads mapping tables and prints all diagnostics.
pub fn load(choice: &Choice, console: &mut Console<'_>) -> Result<Mappings, Failure> {
    let config = console.site.join("config");
    if let Some(mappings) = from_image(choice, &config, console)? {
        return Ok(mappings);
    }
    from_text(choice, &config, console)
}

/// The texts of the tables, wherever they come from.
struct Texts<'a> {
    mappings: (String, String),
    general: Option<(String, String)>,
    directory: PathBuf,
    reader: &'a dyn grammar::Reader,
}

/// The tables of a compiled configuration, `None` where the text is to be read.
fn from_image(
    choice: &Choice,
    config: &Path,
    console: &mut Console<'_>,
) -> Result<Option<Mappings>, Failure> {
    let layout = Layout::new(console.site.clone());
    let path = match &choice.image {
        Image::None => return Ok(None),
        Image::File(name) => PathBuf::from(name),
        Image::Site => layout.image(),
    };
    let failed = |e: image::ImageError| Failure::Config(format!("{}: {e}", path.display()));
    let Some(image) = image::load_file(&path).map_err(failed)? else {
        return match &choice.image {
            Image::File(name) => Err(Failure::Config(format!(
                "there is no compiled configuration `{name}`"
            ))),
            _ => Ok(None),
        };
    };
    if let Some(name) = &choice.mapping_file {
        console.note(&format!(
            "`{name}` is not used: the compiled configuration {} is; add -noimage_file to read the text",
            path.display()
        ));
    }
    for file in image.stale(&layout) {
        console.note(&image::stale_note(&file));
    }
    let reader = |name: &str| {
        let text = image.includes.get(name).cloned();
        text.ok_or_else(|| "it is not in the compiled configuration".to_string())
    };
    let mappings = image.texts.mappings.clone();
    let mappings =
        mappings.ok_or_else(|| Failure::Config("the compiled configuration has no mapping tables".into()))?;
    let texts = Texts {
        mappings,
        general: image.texts.general.clone(),
        directory: config.to_path_buf(),
        reader: &reader,
    };
    build(choice, texts, console).map(Some)
}

fn from_text(choice: &Choice, config: &Path, console: &mut Console<'_>) -> Result<Mappings, Failure> {
    let (name, path) = match &choice.mapping_file {
        Some(name) => (name.clone(), given_path(name, config)),
        None => {
            let path = config.join("mappings");
            (path.display().to_string(), path)
        }
    };
    let text = read_text(&path).map_err(|why| {
        Failure::Config(match choice.mapping_file {
            Some(_) => format!("cannot read the mapping file `{name}`: {why}"),
            None => format!(
                "cannot read the mapping file `{name}`: {why}; name it with `-mapping_file=FILE`, or the site's \
                 directory in the environment variable SLUICE_SITE"
            ),
        })
    })?;
    let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let reader = |name: &str| {
        let path = table_path(&directory, name).ok_or(NO_TABLE_PATH)?;
        read_text(&path)
    };
    let general = directory.join("general.txt");
    let general = match general.exists() {
        false => None,
        true => {
            let name = general.display().to_string();
            let text = read_text(&general).map_err(|why| {
                Failure::Config(format!("cannot read the general text file `{name}`: {why}"))
            })?;
            Some((name, text))
        }
    };
    let texts = Texts {
        mappings: (name, text),
        general,
        directory: directory.clone(),
        reader: &reader,
    };
    build(choice, texts, console)
}

/// Compiles texts and prints what is to be said of them.
fn build(choice: &Choice, texts: Texts<'_>, console: &mut Console<'_>) -> Result<Mappings, Failure> {
    let Texts {
        mappings: (name, text),
        general,
        directory,
        reader,
    } = texts;
    let mut sources = Sources::new();
    let mut diagnostics = Vec::new();
    let file = sources.add(name.as_str(), text);
    let parsed = grammar::mapping::parse(&mut sources, file, reader, &mut diagnostics);
    let program = Program::from_mappings(&parsed, &mut diagnostics);
    if let Some(name) = &choice.option_file {
        let text = read_text(&given_path(name, &directory))
            .map_err(|why| Failure::Config(format!("cannot read the option file `{name}`: {why}")))?;
        let file = sources.add(name.as_str(), text);
        let settings = grammar::options::parse(&mut sources, file, reader, &mut diagnostics);
        policy::options::Options::new(&settings, &mut diagnostics);
    }
    let general = general.map(|(name, text)| {
        let file = sources.add(name, text);
        policy::site::general(&mut sources, file, reader, &mut diagnostics)
    });
    show(&diagnostics, &sources, console);
    if has_errors(&diagnostics) {
        let errors = diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count();
        let s = if errors == 1 { "" } else { "s" };
        return Err(Failure::Config(format!(
            "`{name}` does not load: {errors} error{s}"
        )));
    }
    Ok(Mappings {
        program: Arc::new(program),
        sources,
        general,
        directory,
    })
}

/// Prints diagnostics on the error stream: all of them, or where they are very many the worst.
pub fn show(diagnostics: &[Diagnostic], sources: &Sources, console: &mut Console<'_>) {
    let mut order: Vec<&Diagnostic> = diagnostics.iter().collect();
    if order.len() > SHOWN_LIMIT {
        order.sort_by_key(|d| std::cmp::Reverse(d.severity));
    }
    for diagnostic in order.iter().take(SHOWN_LIMIT) {
        let text = diagnostic.render(sources, console.colour);
        let _ = writeln!(console.err, "{text}\n");
    }
    if order.len() > SHOWN_LIMIT {
        console.note(&format!(
            "{} more messages are not shown",
            order.len() - SHOWN_LIMIT
        ));
    }
}

/// The path of a file that a command line names: as a configuration does, or any other path.
pub fn given_path(name: &str, directory: &Path) -> PathBuf {
    table_path(directory, name).unwrap_or_else(|| PathBuf::from(name))
}

/// A text file, or a sentence that says why it cannot be read.
pub fn read_text(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|e| explain(&e))?;
    let mut bytes = Vec::new();
    file.take(TEXT_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| explain(&e))?;
    if bytes.len() as u64 > TEXT_LIMIT {
        return Err(format!("it is larger than {} MiB", TEXT_LIMIT >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error
            .as_bytes()
            .iter()
            .take(good)
            .filter(|b| **b == b'\n')
            .count()
            + 1;
        format!("line {line} is not UTF-8; convert the file, for example with iconv")
    })
}

/// An error of the file system in words.
pub fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "this user may not open it".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    }
}
