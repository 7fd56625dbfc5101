//! The vectors of the access specification for the tables of the policy points: results read (`probe`) and
//! probes built (`build`).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use grammar::Sources;
use mta::access::{
    FromAccess, InternalIp, MailAccess, OrigMailAccess, OrigSendAccess, Point, PolicyPoint, PortAccess,
    PortProbe, RecipientFacts, ReplyFacts, SendAccess, SessionFacts,
};
use policy::mapping::{FlagSet, MappingResult};
use policy::options::Options;
use policy::program::Program;
use policy::{Answer, Ask, Effect, Facts, Limits, Machine, Outcome, Read, Step, Trace};
use serde_json::{Value, json};

/// Vectors whose expectation is not met on purpose, each with the reason. None so far.
const DISPUTED: &[(&str, &str)] = &[];

/// Tables whose vectors are run by other tests, and how their ids begin.
const ELSEWHERE: &[(&str, &str)] = &[
    ("METERMAID", "mm-"),
    ("CONN_THROTTLE", "ct-"),
    ("GENERAL_DATABASE", "mc-"),
    ("ALIAS_DATABASE", "mc-"),
    ("MAILFROM", "mx-00"),
    ("DELIVERY", "mx-00"),
];

fn vectors() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/access.jsonl");
    let text = std::fs::read_to_string(path).expect(path);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

fn id(vector: &Value) -> &str {
    vector["id"].as_str().expect("every vector has an id")
}

fn table(vector: &Value) -> &str {
    vector["event"]["table"]
        .as_str()
        .expect("every vector has a table")
}

fn is_build(vector: &Value) -> bool {
    vector["event"].get("build").is_some()
}

fn options(vector: &Value) -> Options {
    let mut options = Options::default();
    for (name, value) in vector["config"]["options"].as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        options.set(name, &text);
    }
    options
}

/// Answers a question from the vector's stubs; a routine without one fails.
fn canned(vector: &Value, ask: &Ask) -> Answer {
    let (Ask::Read(Read::Routine(routine)) | Ask::Effect(Effect::Routine(routine))) = ask else {
        return Answer::NotFound;
    };
    let key = format!("{},{},{}", routine.image, routine.routine, routine.argument);
    match vector["config"]["callouts"].get(&key) {
        Some(stub) if stub["ok"] == json!(true) => {
            Answer::Found(stub["text"].as_str().unwrap_or("").to_owned())
        }
        _ => Answer::NotFound,
    }
}

/// Looks the vector's probe up in its table; the trace is for failures.
fn look_up(vector: &Value) -> (Option<MappingResult>, String) {
    let mut sources = Sources::new();
    let text = vector["config"]["mappings"].as_str().expect("mappings");
    let file = sources.add("mappings", text);
    let mut diagnostics = Vec::new();
    let none = |_: &str| Err("there is no other file".to_string());
    let parsed = grammar::mapping::parse(&mut sources, file, &none, &mut diagnostics);
    let program = Program::from_mappings(&parsed, &mut diagnostics);
    assert!(
        !grammar::diagnostic::has_errors(&diagnostics),
        "{}: {diagnostics:?}",
        id(vector)
    );
    let mut machine = Machine::new(Arc::new(program), Limits::default());
    machine.trace = Trace::on(true);
    let Some(number) = machine.program().table(table(vector)) else {
        return (None, "there is no such table".to_owned());
    };
    let (probe, flags) = (&vector["event"]["probe"], &vector["event"]["flags"]);
    let flags = FlagSet::of(flags.as_str().expect("flags"));
    machine.start_mapping(number, probe.as_str().expect("probe"), flags);
    let result = loop {
        match machine.step(&Facts { now: 0, seed: 7 }) {
            Step::Done(Ok(Outcome::Mapping(result))) => break result,
            Step::Done(other) => panic!("{}: {other:?}", id(vector)),
            Step::Ask(asks) => {
                let answers = asks.iter().map(|ask| canned(vector, ask)).collect();
                machine.answer(answers).expect("as many answers as questions");
            }
        }
    };
    let trace = policy::trace::render(machine.trace.events(), &sources);
    (Some(result), trace)
}

/// What is wrong with a decision, as JSON, against an expectation: null is not compared, effects are
/// compared in full, `4xx` and `5xx` are classes.
fn differences(decision: &Value, expect: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, wanted) in expect.as_object().expect("expect") {
        let got = &decision[name];
        let class = wanted.as_str().and_then(|code| code.strip_suffix("xx"));
        let same = match class {
            Some(class) => got.as_str().is_some_and(|code| code.starts_with(class)),
            None => wanted.is_null() || got == wanted,
        };
        if !same {
            wrong.push(format!("{name}: got {got}, want {wanted}"));
        }
    }
    // nothing may be sent where nothing is refused
    if decision["accepted"] == json!(true) {
        for name in ["smtp_code", "enhanced", "text", "reply"] {
            if !decision[name].is_null() {
                wrong.push(format!("{name}: got {} though accepted", decision[name]));
            }
        }
    }
    wrong
}

#[test]
fn decisions() {
    let mut failures = Vec::new();
    let mut seen = 0;
    for vector in vectors().iter().filter(|vector| !is_build(vector)) {
        let Some(point) = Point::by_table(table(vector)) else {
            continue;
        };
        seen += 1;
        let session = &vector["config"]["session"];
        let (result, trace) = look_up(vector);
        let probe = vector["event"]["probe"].as_str().expect("probe");
        let facts = ReplyFacts {
            sasl_offered: session["sasl_offered"] == json!(true),
            authenticated: session["authenticated"] == json!(true),
            address: point.address_in(probe),
            ..ReplyFacts::default()
        };
        let decision = point.decide(result.as_ref(), &facts);
        let json = serde_json::to_value(&decision).expect("a decision is JSON");
        let wrong = differences(&json, &vector["expect"]);
        let disputed = DISPUTED.iter().any(|(disputed, _)| *disputed == id(vector));
        if wrong.is_empty() == disputed {
            failures.push(format!("{}: {wrong:?}\n{trace}", id(vector)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(
        seen >= 60,
        "only {seen} vectors for the tables of the policy points"
    );
}

/// The facts of a `build` event, owned.
struct Build {
    session: SessionFacts,
    texts: Value,
    tags: Vec<String>,
}

impl Build {
    fn of(vector: &Value) -> Build {
        let facts = &vector["event"]["build"];
        let text = |name: &str| facts[name].as_str().unwrap_or("").to_owned();
        let peer = |ip: &str, port: &str| {
            let ip: IpAddr = text(ip).parse().expect("an address");
            (
                ip,
                u16::try_from(facts[port].as_u64().expect("a port")).expect("a port"),
            )
        };
        // the vectors have addresses even where they have no protocol: mail that did not come by SMTP
        let smtp = facts["protocol"].is_string();
        let session = SessionFacts {
            server: smtp.then(|| peer("server_ip", "server_port")),
            client: smtp.then(|| peer("client_ip", "client_port")),
            protocol: text("protocol"),
            helo: text("helo"),
            tls: facts["tls"].as_str().map(str::to_owned),
            submit_type: text("submit_type"),
            channel: text("src_channel"),
            auth_address: text("auth_from"),
            ..SessionFacts::default()
        };
        let tags = facts["tags"].as_array().expect("tags").iter();
        let tags = tags.map(|tag| tag.as_str().expect("a tag").to_owned()).collect();
        Build {
            session,
            texts: facts.clone(),
            tags,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.texts[name].as_str().unwrap_or("")
    }

    fn recipient(&self, channel: &str, to: &str) -> RecipientFacts<'_> {
        let count = |name: &str| self.texts[name].as_u64().unwrap_or(0) as u32;
        RecipientFacts {
            from: self.text("mail_from"),
            channel: self.text(channel),
            to: self.text(to),
            orcpt: self.texts["orcpt"].as_str(),
            submitted: self.text("rcpt"),
            rcpt_count: count("rcpt_count"),
            total_recipients: count("total_rcpts"),
            tags: &self.tags,
            ..RecipientFacts::default()
        }
    }
}

fn probe(point: &impl PolicyPoint, options: &Options) -> String {
    let mut out = String::new();
    point.probe(options, &mut out);
    out
}

#[test]
fn probes() {
    let mut seen = 0;
    for vector in vectors().iter().filter(|vector| is_build(vector)) {
        seen += 1;
        let (build, options) = (Build::of(vector), options(vector));
        let session = &build.session;
        let before = build.recipient("orig_dst_channel", "orig_to");
        let after = build.recipient("dst_channel", "to");
        let (before, after) = (&before, &after);
        let got = match Point::by_table(table(vector)) {
            Some(Point::OrigSendAccess) => probe(
                &OrigSendAccess {
                    session,
                    recipient: before,
                },
                &options,
            ),
            Some(Point::SendAccess) => probe(
                &SendAccess {
                    session,
                    recipient: after,
                },
                &options,
            ),
            Some(Point::OrigMailAccess) => probe(
                &OrigMailAccess {
                    session,
                    recipient: before,
                },
                &options,
            ),
            Some(Point::MailAccess) => probe(
                &MailAccess {
                    session,
                    recipient: after,
                },
                &options,
            ),
            Some(Point::FromAccess) => {
                let from = build.text("mail_from");
                probe(&FromAccess { session, from }, &options)
            }
            Some(Point::PortAccess) => {
                let by = PortProbe::Dispatcher;
                probe(&PortAccess { session, by }, &options)
            }
            Some(Point::InternalIp) => {
                let (client, _) = session.client.expect("a client");
                probe(&InternalIp(client), &options)
            }
            other => panic!("{}: no facts for {other:?}", id(vector)),
        };
        assert_eq!(
            Some(got.as_str()),
            vector["expect"]["probe"].as_str(),
            "{}",
            id(vector)
        );
    }
    assert!(seen >= 8, "only {seen} vectors build a probe");
}

/// No vector is left out silently: each is of a table of the policy points, or of one that another test has.
#[test]
fn every_vector_is_run_somewhere() {
    let mut ids = BTreeSet::new();
    let mut elsewhere = 0;
    for vector in &vectors() {
        assert!(ids.insert(id(vector).to_owned()), "{} stands twice", id(vector));
        if Point::by_table(table(vector)).is_some() {
            let event = &vector["event"];
            let runnable = event.get("probe").is_some() != event.get("build").is_some();
            assert!(runnable, "{} has neither probe nor facts", id(vector));
            continue;
        }
        let known = ELSEWHERE
            .iter()
            .any(|(name, prefix)| *name == table(vector) && id(vector).starts_with(prefix));
        assert!(known, "{}: no test runs table {}", id(vector), table(vector));
        elsewhere += 1;
    }
    for (disputed, reason) in DISPUTED {
        assert!(ids.contains(*disputed), "{disputed} ({reason}) is no vector");
    }
    assert_eq!((ids.len(), elsewhere), (92, 16));
}
