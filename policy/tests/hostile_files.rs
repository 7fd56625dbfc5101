//! Files of a megabyte, made so that each line or character is wrong, or costs as much as it can: reading
//! them takes time in proportion to their size, and so does showing what is wrong.
//!
//! `SLUICE_HOSTILE_BYTES=1000000 cargo test --release -p sluice-policy --test hostile_files -- --nocapture`
//! prints how long each takes.

use std::time::Instant;

use grammar::{Diagnostic, Sources};
use policy::program::Program;
use policy::site::{Texts, load};

/// Messages of one file that are drawn.
const DRAWN: usize = 20;

#[derive(Clone, Copy, PartialEq)]
enum Language {
    Mappings,
    Imta,
    Aliases,
    Options,
    Dispatcher,
}

use Language::{Aliases, Dispatcher, Imta, Mappings, Options};

/// Name, language, what the file begins with, and what is repeated; `#` stands for a number.
const FILES: &[(&str, Language, &str, &str)] = &[
    ("many tables", Mappings, "", "T#\n\n"),
    ("one table again and again", Mappings, "", "T\n\n  a b\n\n"),
    (
        "entries outside of tables",
        Mappings,
        "T\n\n  a b\n\n",
        "  x y\n\nx#\n",
    ),
    ("wrong elements", Mappings, "T\n\n", "  $(1.2.3) $9\n"),
    ("wrong elements in one line", Mappings, "T\n\n  ", "$(1.2.3)"),
    ("back matches in one line", Mappings, "T\n\n  *", "$9*"),
    ("open callouts in one line", Mappings, "T\n\n  * ", "$[${$]$|$#"),
    ("nested callouts", Mappings, "T\n\n  * ", "${"),
    ("wrong parts in one line", Mappings, "T\n\n  * ", "$é"),
    ("unknown tables", Mappings, "T\n\nU\n\n", "  x# $|V#;x|\n"),
    ("unknown tables among many", Mappings, "", "T#\n\n  x $|U#;x|\n\n"),
    ("ignored text", Mappings, "T\n\n", "  a b c\n"),
    ("wild", Mappings, "T\n\n  ", "*a%"),
    ("modifiers", Mappings, "T\n\n  ", "$_@^"),
    ("dollars", Mappings, "T\n\n  a ", "$$"),
    ("an open set", Mappings, "T\n\n  ", "$["),
    ("open addresses", Mappings, "T\n\n  ", "$(${$<"),
    ("blanks", Mappings, "T\n\n  a b", " "),
    ("continued lines", Mappings, "T\n\n  a ", "b\\\n"),
    ("comments", Mappings, "T\n\n  a\\\n", "!\n"),
    ("odd lines", Mappings, "", "$\n"),
    ("rules without a template", Imta, "", "a\n"),
    ("wrong parts of rules", Imta, "", "a $q$(\n"),
    ("wrong parts of one rule", Imta, "a ", "$q"),
    ("open look-ups in one rule", Imta, "a ", "$(${$]$["),
    ("rules for one host", Imta, "", "a $U@b\n"),
    ("unknown channels", Imta, "", "a# $U@b#\n"),
    ("operands", Imta, "a ", "$M$"),
    ("digits", Imta, "a $", "9"),
    ("channels", Imta, "\n", "c#\nh#\n\n"),
    (
        "channels that name others",
        Imta,
        "\n",
        "c# saslswitchchannel d#\nh#\n\n",
    ),
    ("unknown keywords", Imta, "\n", "c# xyzzy plugh\nh#\n\n"),
    ("keywords of one channel", Imta, "\nc ", "smtp xyzzy "),
    ("hosts of one channel", Imta, "\nc\n", "h#\n"),
    ("one host again and again", Imta, "\nc\n", "h\n"),
    ("quotes", Imta, "\nc ", "\" "),
    ("defaults", Imta, "\n", "defaults smtp\n\n"),
    ("aliases", Aliases, "", "a#:b\n"),
    ("one alias again and again", Aliases, "", "a:b\n"),
    ("members", Aliases, "a:b", ",c"),
    ("quoted members", Aliases, "a:", "\"b\\\","),
    ("no aliases", Aliases, "", "a\n"),
    ("no members", Aliases, "", "a#:\n"),
    ("no settings", Options, "", "a\n"),
    ("unknown options", Options, "", "A#=1\n"),
    ("one option again and again", Options, "", "LOG_FORMAT=1\n"),
    ("continued options", Options, "A=", "b\\\n"),
    ("sections", Options, "", "[X#]\nA=1\n"),
    ("open sections", Options, "", "[\n"),
    ("includes", Options, "", "<x\n"),
    ("services", Dispatcher, "", "[SERVICE=S#]\nPORT=1\n"),
    ("ports", Dispatcher, "[SERVICE=S]\nPORT=", "x,"),
    ("unknown dispatcher options", Dispatcher, "", "A#=1\n"),
];

fn reader(_: &str) -> Result<String, String> {
    Err("no includes".to_string())
}

fn text(start: &str, unit: &str, bytes: usize) -> String {
    let mut text = start.to_string();
    let mut n = 0;
    while text.len() < bytes {
        n += 1;
        text += &unit.replace('#', &n.to_string());
    }
    text + "\n"
}

fn read(language: Language, text: String) -> (Vec<Diagnostic>, Sources) {
    let mut sources = Sources::new();
    let mut diagnostics = Vec::new();
    let of = |wanted| (language == wanted).then(|| ("file".to_string(), text.clone()));
    match language {
        Mappings => {
            let file = sources.add("file", text.clone());
            let parsed = grammar::mapping::parse(&mut sources, file, &reader, &mut diagnostics);
            Program::from_mappings(&parsed, &mut diagnostics);
            (diagnostics, sources)
        }
        _ => {
            let texts = Texts {
                imta: of(Imta).or(Some((
                    "imta.cnf".into(),
                    ".  $U%$H@l-daemon\n\nl\nl-daemon\n".into(),
                ))),
                aliases: of(Aliases),
                options: of(Options),
                dispatcher: of(Dispatcher),
                ..Texts::default()
            };
            match load(&texts, &reader) {
                Ok(site) => (site.diagnostics, site.sources),
                Err(error) => (error.diagnostics, error.sources),
            }
        }
    }
}

#[test]
fn hostile_files_cost_what_their_size_does() {
    let bytes = std::env::var("SLUICE_HOSTILE_BYTES")
        .ok()
        .and_then(|b| b.parse().ok())
        .unwrap_or(10_000);
    for &(name, language, start, unit) in FILES {
        let text = text(start, unit, bytes);
        let begun = Instant::now();
        let (diagnostics, sources) = read(language, text);
        let read = begun.elapsed();
        for diagnostic in diagnostics.iter().take(DRAWN) {
            let drawn = diagnostic.render(&sources, false);
            assert!(drawn.len() < 20_000, "{name}: a message of {} bytes", drawn.len());
        }
        let count = diagnostics.len();
        println!(
            "{name}: read in {read:.1?}, {count} messages, with those drawn {:.1?}",
            begun.elapsed()
        );
    }
}
