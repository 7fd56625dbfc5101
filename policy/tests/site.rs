//! The example site loads, and addresses go where they should.

use std::sync::Arc;

use policy::rewrite::{Request, Rewritten};
use policy::site::{Site, Texts, load};
use policy::{Answer, Ask, Facts, Limits, Machine, Outcome, Read, Step, Trace};

fn example() -> Site {
    let read = |name: &str| {
        let path = format!("{}/../examples/relay/{name}", env!("CARGO_MANIFEST_DIR"));
        Some((name.to_string(), std::fs::read_to_string(path).unwrap()))
    };
    let texts = Texts {
        imta: read("imta.cnf"),
        mappings: read("mappings"),
        options: read("option.dat"),
        aliases: read("aliases"),
        dispatcher: read("dispatcher.cnf"),
        host: Some("mail.example.com".into()),
        default_domain: Some("example.com".into()),
        ..Texts::default()
    };
    match load(&texts, &|_: &str| Err("no includes".to_string())) {
        Ok(site) => {
            for d in &site.diagnostics {
                assert!(
                    d.severity < grammar::Severity::Warning,
                    "{}",
                    d.render(&site.sources, false)
                );
            }
            site
        }
        Err(e) => panic!(
            "{}",
            e.diagnostics
                .iter()
                .map(|d| d.render(&e.sources, false))
                .collect::<String>()
        ),
    }
}

fn rewrite(site: &Site, request: Request) -> (Rewritten, String) {
    let mut machine = Machine::new(Arc::clone(&site.program), Limits::default());
    machine.trace = Trace::on(false);
    machine.start_rewrite(request);
    loop {
        match machine.step(&Facts::default()) {
            Step::Done(done) => {
                let Outcome::Address(result) = done.unwrap() else {
                    panic!()
                };
                return (
                    result,
                    policy::trace::render(machine.trace.events(), &site.sources),
                );
            }
            Step::Ask(asks) => {
                let answers = asks.iter().map(|a| match a {
                    Ask::Read(Read::DomainIsLocal { domain }) if domain == "example.com" => {
                        Answer::Found(String::new())
                    }
                    _ => Answer::NotFound,
                });
                machine.answer(answers.collect()).unwrap();
            }
        }
    }
}

#[test]
fn addresses_go_where_they_should() {
    let site = example();
    let cases = [
        ("alice@example.com", true, "alice@example.com", Some("l")),
        (
            "alice@mail.example.com",
            true,
            "alice@mail.example.com",
            Some("l"),
        ),
        ("alice", true, "alice@mail.example.com", Some("l")),
        ("x@other.example", true, "x@other.example", Some("tcp_local")),
        (
            "x%other.example@example.com",
            true,
            "x@other.example",
            Some("tcp_local"),
        ),
        (
            "@example.com:x@other.example",
            true,
            "x@other.example",
            Some("tcp_local"),
        ),
        (
            "other.example!x@example.com",
            true,
            "x@other.example",
            Some("tcp_local"),
        ),
        (
            "\"x@other.example\"@example.com",
            true,
            "\"x@other.example\"@example.com",
            Some("l"),
        ),
        (
            "a@host.example.com",
            true,
            "a@host.example.com",
            Some("tcp_intranet"),
        ),
        ("a@[192.0.2.1]", true, "a@[192.0.2.1]", Some("tcp_local")),
        ("alice@ims-ms-daemon", true, "alice@ims-ms-daemon", Some("ims-ms")),
        ("x@[127.0.0.1]", false, "x@[127.0.0.1]", Some("tcp_intranet")),
        ("x@[127.0.0.2]", false, "x@[127.0.0.2]", Some("tcp_local")),
        ("a@b@c", true, "a@b@c", None),
    ];
    for (address, forward, expected, channel) in cases {
        let request = Request {
            address: address.into(),
            envelope: true,
            forward,
            source_channel: "tcp_local".into(),
            ..Request::default()
        };
        let (result, trace) = rewrite(&site, request);
        assert_eq!(
            (result.address.as_str(), result.channel.as_deref()),
            (expected, channel),
            "{address}\n{trace}"
        );
    }
}

#[test]
fn all_errors_of_a_configuration_come_at_once() {
    let texts = Texts {
        imta: Some((
            "imta.cnf".into(),
            "a $U@b$(x\n\nl\nhost\n\ntcp_local smpt\ntcp-daemon\n\ntcp_auth\nTCP-daemon\n".into(),
        )),
        mappings: Some(("mappings".into(), "T\n\n  $(1.2.3) $Y\n".into())),
        options: Some(("option.dat".into(), "nonsense\nACCESS_ORCTP=1\n".into())),
        ..Texts::default()
    };
    let error = load(&texts, &|_: &str| Err(String::new())).unwrap_err();
    let codes: Vec<_> = error.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["O001", "O010", "P001", "R008", "C002", "C013", "R012"]);
    let text = error.diagnostics[4].render(&error.sources, false);
    assert!(text.contains("did you mean `smtp`?"), "{text}");
}

#[test]
fn macros_have_their_values_in_included_files_and_places_are_those_of_the_file() {
    let imta =
        "</rules\n&/IMTA_HOST/  $U%$D@&/IMTA_HOST/$(x\n&/OTHER/  $U@here\n\n! local\nl \\\n  logging\nhere\n";
    let load_it = |host: Option<&str>| {
        let texts = Texts {
            imta: Some(("imta.cnf".into(), imta.into())),
            host: host.map(str::to_string),
            ..Texts::default()
        };
        load(&texts, &|_: &str| Ok("a  $U@&/IMTA_HOST/\n".to_string()))
    };
    for (host, codes) in [
        (None, vec!["L006", "R008"]),
        (Some("there"), vec!["L006", "R008", "R012"]),
    ] {
        let error = load_it(host).unwrap_err();
        let said: Vec<_> = error.diagnostics.iter().map(|d| d.code).collect();
        assert_eq!(said, codes, "{host:?}");
        assert_eq!(error.sources.text(error.diagnostics[0].span()), "&/OTHER/");
        assert_eq!(error.sources.text(error.diagnostics[1].span()), "$(x");
    }
}

#[test]
fn a_text_database_that_is_switched_off_is_said() {
    let text = |text: &str| Some(("file".to_string(), text.to_string()));
    for (bits, expected) in [(0, 2), (2, 1), (4, 1), (6, 0)] {
        let texts = Texts {
            imta: text(".  $U%$H@here\n\nl\nhere\n"),
            options: text(&format!("USE_TEXT_DATABASES={bits}\n")),
            reverse: text("a b\n"),
            forward: text("a b\n"),
            ..Texts::default()
        };
        let site = load(&texts, &|_: &str| Err(String::new())).unwrap();
        let said = site.diagnostics.iter().filter(|d| d.code == "G002").count();
        assert_eq!(said, expected, "{bits}");
    }
}
