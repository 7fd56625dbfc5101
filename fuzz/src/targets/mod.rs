//! The languages of a configuration, addresses, and what is made of them.

mod reference;

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use grammar::{Diagnostic, Sources, Span};
use policy::address::{Address, Binding};
use policy::mapping::FlagSet;
use policy::pattern::{Pattern, Scratch};
use policy::pattern_set::{Cursor, PatternSet};
use policy::program::{Program, TableId};
use policy::rewrite::Request;
use policy::site::{Site, Texts, load};
use policy::{Answer, Ask, Facts, Limits, Machine, Outcome, RunError, Step};

/// A target: its name, which is that of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets of this module.
pub const TARGETS: &[Target] = &[
    ("mapping_file", mapping_file),
    ("pattern_match", pattern_match),
    ("template", template),
    ("imta_cnf", imta_cnf),
    ("aliases", aliases),
    ("option_file", option_file),
    ("address", address),
    ("sieve_format", sieve_format),
];

/// Bounds that keep one run short.
fn limits() -> Limits {
    Limits {
        fuel: 200_000,
        memory: 1 << 20,
        ..Limits::default()
    }
}

fn text_of(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Included files: one that is plain, one that includes itself.
fn reader(name: &str) -> Result<String, String> {
    match name {
        "/plain" => Ok("\n  included  $Y\nIMTA_INCLUDED=1\n\n".to_string()),
        "/again" => Ok("</again\n</again\n</plain\n".to_string()),
        _ => Err("no such file".to_string()),
    }
}

/// A place within a text; asserts that it is one.
fn place_in(text: &str) -> impl Fn(Range<usize>) -> Span + '_ {
    move |r| {
        assert!(text.get(r.clone()).is_some(), "{r:?} is no place in {text:?}");
        Span::new(Default::default(), r.start, r.end)
    }
}

/// All places exist; a few messages are drawn.
fn check(diagnostics: &[Diagnostic], sources: &Sources) {
    for (n, diagnostic) in diagnostics.iter().enumerate() {
        for label in &diagnostic.labels {
            let span = label.span;
            let file = sources.file(span.file).map_or("", |f| &*f.text);
            let place = file.get(span.start as usize..span.end as usize);
            assert!(place.is_some(), "{diagnostic:?} points outside");
        }
        if n < 4 {
            assert!(diagnostic.render(sources, false).contains(diagnostic.code));
        }
    }
}

/// Runs an evaluation to its end. Each question gets another answer; some of the texts found are `found`.
fn run(machine: &mut Machine, found: &str) -> Result<Outcome, RunError> {
    let facts = Facts { now: 0, seed: 3 };
    let mut count = 0u32;
    loop {
        match machine.step(&facts) {
            Step::Done(done) => return done,
            Step::Ask(asks) => {
                let answer = |ask: &Ask| {
                    count += 1;
                    match (ask, count % 5) {
                        (_, 1 | 4) => Answer::Found(found.to_string()),
                        (_, 2) => Answer::NotFound,
                        (_, 3) => Answer::Temporary("not now".to_string()),
                        _ => Answer::Found("17".to_string()),
                    }
                };
                let answers = asks.iter().map(answer).collect();
                machine.answer(answers).expect("each question has its answer");
            }
        }
    }
}

/// The same evaluation twice has one result.
fn run_twice(machine: &mut Machine, start: impl Fn(&mut Machine), found: &str) {
    start(machine);
    let first = format!("{:?}", run(machine, found));
    start(machine);
    assert_eq!(first, format!("{:?}", run(machine, found)), "not deterministic");
}

/// A mapping file: parsed, compiled, and its tables asked.
pub fn mapping_file(octets: &[u8]) {
    let text = text_of(octets);
    let mut sources = Sources::new();
    let file = sources.add("mappings", text.as_str());
    let mut diagnostics = Vec::new();
    let parsed = grammar::mapping::parse(&mut sources, file, &reader, &mut diagnostics);
    let program = Arc::new(Program::from_mappings(&parsed, &mut diagnostics));
    check(&diagnostics, &sources);
    let mut machine = Machine::new(Arc::clone(&program), limits());
    let first = parsed.tables.first().and_then(|t| t.entries.first());
    let subject = first.map_or("", |e| &e.pattern_text);
    for n in 0..program.tables().len().min(4) {
        for input in ["tcp_local|a@b.example|l|ü@[10.0.0.1]", "127.0.0.1", subject] {
            let start = |m: &mut Machine| m.start_mapping(TableId(n as u32), input, FlagSet::of("Aé"));
            run_twice(&mut machine, start, "a$0$|T;x|$Y");
        }
    }
}

/// A pattern, a line end, and a subject. The matcher agrees with a plain one, an index with a scan.
pub fn pattern_match(octets: &[u8]) {
    let text = text_of(octets);
    let (pattern_text, subject) = text.split_once('\n').unwrap_or((&text, ""));
    let mut diagnostics = Vec::new();
    let elements = grammar::mapping::parse_pattern(pattern_text, &place_in(pattern_text), &mut diagnostics);
    assert!(
        elements.len() <= grammar::mapping::ELEMENT_LIMIT,
        "{pattern_text:?}"
    );
    let pattern = Pattern::new(&elements);
    let folded = subject.to_ascii_lowercase();
    let mut scratch = Scratch::default();
    let mut fuel = 2_000_000;
    let matched = pattern.matches(subject, folded.as_bytes(), &mut scratch, &mut fuel);
    if matched == Ok(true) {
        assert_eq!(
            scratch.captures.len(),
            pattern.fields(),
            "{pattern_text:?} {subject:?}"
        );
        for &(a, b) in &scratch.captures {
            let field = subject.get(a as usize..b as usize);
            assert!(
                field.is_some(),
                "a field of {pattern_text:?} cuts a character of {subject:?}"
            );
        }
    }
    if let (Ok(matched), Some(expected)) = (matched, reference::matches(&elements, subject)) {
        let found = matched.then(|| scratch.captures.clone());
        assert_eq!(found, expected, "pattern {pattern_text:?}, subject {subject:?}");
    }
    if pattern_text.len() > 64 || subject.len() > 256 {
        return;
    }
    // the first of each pair is what another line end cuts off
    let mut patterns: Vec<Pattern> = (0..16)
        .map(|n| {
            Pattern::new(&grammar::mapping::parse_pattern(
                &format!("no{n}*"),
                &place_in(""),
                &mut Vec::new(),
            ))
        })
        .collect();
    patterns.insert(5, pattern.clone());
    patterns.push(pattern);
    let set = PatternSet::new(patterns);
    let mut cursor = Cursor::default();
    set.cursor(folded.as_bytes(), &mut cursor);
    let mut from = 0;
    loop {
        let mut fuel = 2_000_000;
        let Ok(found) = set.next(subject, folded.as_bytes(), &cursor, from, &mut scratch, &mut fuel) else {
            return;
        };
        assert_eq!(
            found,
            set.scan(subject, from, &mut Scratch::default()),
            "{pattern_text:?} {subject:?}"
        );
        match found {
            Some(n) => from = n + 1,
            None => return,
        }
    }
}

/// A template of either language, as a file has it and as a look-up returns it.
pub fn template(octets: &[u8]) {
    static PROGRAM: LazyLock<Arc<Program>> = LazyLock::new(|| {
        let mut sources = Sources::new();
        let file = sources.add("mappings", "T\n\n  *|%*  ${$0}$C\n  *  ${$0}$|T;x|$Y\n");
        let parsed = grammar::mapping::parse(&mut sources, file, &reader, &mut Vec::new());
        Arc::new(Program::from_mappings(&parsed, &mut Vec::new()))
    });
    let text = text_of(octets);
    let at = place_in(&text);
    grammar::mapping::parse_template(&text, &at, &mut Vec::new());
    grammar::imta::parse_template(&text, &at, &mut Vec::new());
    let mut machine = Machine::new(Arc::clone(&PROGRAM), limits());
    for input in ["é$b*|x)y", "Q"] {
        let start = |m: &mut Machine| m.start_mapping(TableId(0), input, FlagSet::of("A"));
        run_twice(&mut machine, start, &text);
    }
}

const ADDRESSES: &[&str] = &[
    "alice@example.com",
    "a%b@example.com",
    "@example.com,@b:c!d@[192.0.2.1]",
    "Zoë+sub@deep.sub.dömäin.example",
    "bare",
];

fn request(address: &str, forward: bool) -> Request {
    Request {
        address: address.to_string(),
        envelope: true,
        forward,
        source_channel: "tcp_local".to_string(),
        ..Request::default()
    }
}

/// An `imta.cnf`: loaded, and addresses rewritten with it.
pub fn imta_cnf(octets: &[u8]) {
    let text = text_of(octets);
    let texts = Texts {
        imta: Some(("imta.cnf".to_string(), text)),
        mappings: Some(("mappings".to_string(), "T\n\n  *  $U$0$Y\n".to_string())),
        host: Some("mail.example.com".to_string()),
        default_domain: Some("example.com".to_string()),
        ..Texts::default()
    };
    let site = match load(&texts, &reader) {
        Ok(site) => site,
        Err(error) => return check(&error.diagnostics, &error.sources),
    };
    check(&site.diagnostics, &site.sources);
    let mut machine = Machine::new(Arc::clone(&site.program), limits());
    for address in ADDRESSES {
        for forward in [true, false] {
            run_twice(
                &mut machine,
                |m| m.start_rewrite(request(address, forward)),
                "$U@l-daemon",
            );
        }
    }
}

/// An alias file: parsed, and addresses looked up.
pub fn aliases(octets: &[u8]) {
    let mut sources = Sources::new();
    let file = sources.add("aliases", text_of(octets));
    let mut diagnostics = Vec::new();
    let parsed = grammar::aliases::parse(&mut sources, file, &reader, &mut diagnostics);
    check(&diagnostics, &sources);
    let names: Vec<String> = parsed.iter().take(4).map(|a| a.name.clone()).collect();
    let table = policy::alias::Aliases::new(parsed);
    for text in ADDRESSES.iter().copied().chain(names.iter().map(String::as_str)) {
        if let Ok(address) = Address::parse(text) {
            for domains in 0..8 {
                table.find(&address, domains, domains % 2 == 0, Default::default());
            }
        }
    }
}

/// An option file, and all options of it.
pub fn option_file(octets: &[u8]) {
    let mut sources = Sources::new();
    let file = sources.add("option.dat", text_of(octets));
    let mut diagnostics = Vec::new();
    let settings = grammar::options::parse(&mut sources, file, &reader, &mut diagnostics);
    for setting in &settings {
        setting.number();
    }
    policy::options::Options::new(&settings, &mut diagnostics);
    check(&diagnostics, &sources);
}

/// An address: parsed, printed, taken apart, rewritten.
pub fn address(octets: &[u8]) {
    static SITE: LazyLock<Site> = LazyLock::new(|| {
        let imta = "$*  $A$E$F$U%$H$V$H@l-daemon\nexample.com  $U%$D@l-daemon\n\
                    []  $E$R${T,$L}$U%[$L]@tcp_local-daemon\n*.example  $U%$&0.$D@tcp_local-daemon\n\
                    $%  $1U$0U%$H@l-daemon\n.  $U%$H@tcp_local-daemon\n\nl\nl-daemon\n\n\
                    tcp_local smtp\ntcp_local-daemon\n";
        let texts = Texts {
            imta: Some(("imta.cnf".to_string(), imta.to_string())),
            mappings: Some(("mappings".to_string(), "T\n\n  10.*  $Y$0\n".to_string())),
            ..Texts::default()
        };
        load(&texts, &reader).expect("the rules load")
    });
    let text = text_of(octets);
    let mut machine = Machine::new(Arc::clone(&SITE.program), limits());
    for forward in [true, false] {
        run_twice(&mut machine, |m| m.start_rewrite(request(&text, forward)), "x");
    }
    let Ok(address) = Address::parse(&text) else {
        return;
    };
    let printed = address.to_string();
    assert_eq!(
        Address::parse(&printed).as_ref(),
        Ok(&address),
        "{text:?} printed as {printed:?}"
    );
    policy::address::split_subaddress(&address.local, '+');
    for binding in [
        Binding::PercentOverBang,
        Binding::BangOverPercent,
        Binding::PercentOnly,
    ] {
        let mut rest = address.clone();
        let mut hosts = 0;
        while let Some(specification) = rest.first_host(binding) {
            rest.replaced(&specification, "local", "host.example", Some("via.example"));
            let shorter = rest.without(&specification);
            let (before, after) = (rest.to_string().len(), shorter.to_string().len());
            assert!(after < before, "{rest} without {specification:?} is {shorter}");
            rest = shorter;
            hosts += 1;
        }
        assert!(hosts <= text.len());
    }
}

/// The layout of a script: a script that parses has one, and it is the same script.
pub fn sieve_format(octets: &[u8]) {
    use grammar::sieve::{FormatError, format, parse};
    let text = text_of(octets);
    let mut sources = Sources::new();
    let file = sources.add("script", text.as_str());
    let (_, found) = parse(&sources, file);
    check(&found, &sources);
    match format(&text) {
        Ok(out) => {
            assert!(found.is_empty(), "formatted, though wrong: {text:?}");
            match format(&out) {
                Ok(again) => assert_eq!(again, out, "another layout the second time: {text:?}"),
                Err(error) => panic!("{error}: {out:?}"),
            }
        }
        Err(FormatError::Syntax(_)) => assert!(!found.is_empty(), "refused: {text:?}"),
        Err(error) => panic!("{error}: {text:?}"),
    }
}
