//! Sieve scripts on messages, the program compiled once and the message parsed once, as in the server.

use std::fmt::Write as _;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use policy::message::Message;
use policy::sieve::{ActionLimits, Envelope, NoLibrary, Options, Program, Request, compile};
use policy::{Facts, Limits, Machine, Outcome, Step};

/// A message with this many octets; from 16 KiB on, most of it is attachments in base64.
fn message(octets: usize) -> Arc<Message> {
    let mut text = String::from(
        "Received: from mx.sender.example (mx.sender.example [192.0.2.7])\r\n\
         \tby mail.example.com with ESMTPS id 4f1c; Tue, 24 Nov 2026 10:00:00 +0000\r\n\
         Return-Path: <alice@sender.example>\r\n\
         Message-ID: <20261124.1000@sender.example>\r\n\
         Date: Tue, 24 Nov 2026 10:00:00 +0000\r\n\
         From: Alice Sender <alice@sender.example>\r\n\
         To: Bob Receiver <bob@example.com>, team@example.com\r\n\
         Cc: =?utf-8?q?J=C3=BCrgen?= <juergen@example.org>\r\n\
         Subject: Re: minutes of the weekly meeting, and a plan for the next quarter\r\n\
         List-Id: The team <team.example.com>\r\n\
         X-Mailer: Mailer 1.0 (bench)\r\n\
         X-Spam-Score: 1.5\r\n\
         MIME-Version: 1.0\r\n",
    );
    let lines = "The quick brown fox jumps over the lazy dog while nobody at all is watching it.\r\n";
    if octets < 16 << 10 {
        text += "Content-Type: text/plain; charset=utf-8\r\n\r\n";
        while text.len() + lines.len() <= octets {
            text += lines;
        }
        return Arc::new(Message::new(text.into_bytes()));
    }
    text += "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n";
    for _ in 0..40 {
        text += lines;
    }
    let attachments = 3;
    for n in 0..attachments {
        let _ = write!(
            text,
            "--b\r\nContent-Type: application/octet-stream; name=\"{n}.bin\"\r\n\
             Content-Disposition: attachment; filename=\"{n}.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        );
        let end = text.len() + octets.saturating_sub(text.len()) / (attachments - n);
        while text.len() < end {
            text += "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3\r\n";
        }
    }
    text += "--b--\r\n";
    Arc::new(Message::new(text.into_bytes()))
}

/// Fields that the rules look at in turn.
const FIELDS: &[&str] = &["subject", "from", "to", "list-id", "x-mailer"];

/// A rule that does not match, of one of these shapes: `header`, `mixed`, `regex`, `body`.
fn rule(kind: &str, n: usize) -> String {
    let field = FIELDS[n % FIELDS.len()];
    let test = match (kind, n % 4) {
        ("header", _) => format!("header :contains \"{field}\" \"keyword {n} of many\""),
        ("regex", _) => format!("header :regex \"{field}\" \"(ticket|case)[ -]?{n}[0-9]+ (open|closed)\""),
        ("body", _) => format!("body :contains \"phrase number {n} to be found\""),
        (_, 0) => format!("header :contains [\"{field}\", \"cc\"] [\"word {n}\", \"other {n}\"]"),
        (_, 1) => format!("address :domain :is \"from\" \"host{n}.example\""),
        (_, 2) => format!("header :matches \"{field}\" \"*[list-{n}]*\""),
        (_, _) => format!("allof (address :is \"to\" \"user{n}@example.com\", not exists \"x-loop-{n}\")"),
    };
    format!("if {test} {{ fileinto \"Box{n}\"; }}\n")
}

/// That many rules of a kind, and one at the end that matches.
fn rules(kind: &str, many: usize) -> String {
    let mut script = String::from("require [\"fileinto\", \"body\", \"regex\"];\n");
    for n in 0..many {
        script += &rule(kind, n);
    }
    script + "if header :contains \"subject\" \"weekly meeting\" { fileinto \"Team\"; }\n"
}

/// What a user has after some years: lists, senders, a few words, a vacation that is over.
fn user_script() -> String {
    let mut script = String::from(
        "require [\"fileinto\", \"imap4flags\", \"variables\", \"envelope\", \"subaddress\"];\n\
         if header :is \"x-spam-flag\" \"YES\" { fileinto \"Spam\"; stop; }\n\
         if envelope :detail \"to\" \"shop\" { fileinto \"Shop\"; stop; }\n\
         if size :over 10M { addflag \"$Large\"; }\n",
    );
    for n in 0..12 {
        let _ = writeln!(
            script,
            "if header :contains \"list-id\" \"list{n}.lists.example\" {{ fileinto \"Lists.{n}\"; stop; }}"
        );
    }
    for n in 0..8 {
        let _ = writeln!(
            script,
            "if address :is \"from\" [\"person{n}@a.example\", \"person{n}@b.example\"] {{ addflag \"\\\\Flagged\"; }}"
        );
    }
    for n in 0..6 {
        let _ = writeln!(
            script,
            "if header :matches \"subject\" \"*[project-{n}]*\" {{ set \"rest\" \"${{2}}\"; fileinto \"Projects.{n}\"; stop; }}"
        );
    }
    script + "if header :contains \"subject\" \"weekly meeting\" { fileinto \"Team\"; stop; }\n"
}

fn program(script: &str) -> Arc<Program> {
    let mut sources = grammar::Sources::new();
    let file = sources.add("bench", script);
    let options = Options {
        limits: ActionLimits {
            max_sieve_list_size: 10_000,
            ..ActionLimits::default()
        },
        ..Options::default()
    };
    let (program, _) = compile(&mut sources, file, &NoLibrary, &options).expect("the script compiles");
    Arc::new(program)
}

fn run(machine: &mut Machine, program: &Arc<Program>, message: &Arc<Message>) -> usize {
    let envelope = Envelope {
        from: "alice@sender.example".into(),
        to: "bob@example.com".into(),
        ..Envelope::default()
    };
    machine.start_sieve(Request::new(Arc::clone(program), Arc::clone(message), envelope));
    match machine.step(&Facts {
        now: 1_795_514_400,
        seed: 7,
    }) {
        Step::Done(Ok(Outcome::Sieve(outcome))) => {
            assert!(outcome.error.is_none(), "{:?}", outcome.error);
            outcome.actions.len()
        }
        other => panic!("{other:?}"),
    }
}

/// Evaluates a script on a message that has been parsed before.
fn evaluate(bencher: Bencher<'_, '_>, script: &str, octets: usize) {
    let (program, message) = (program(script), message(octets));
    let mut machine = Machine::new(Arc::default(), Limits::default());
    assert_eq!(run(&mut machine, &program, &message), 1);
    bencher
        .counter(ItemsCount::new(1u32))
        .bench_local(|| run(&mut machine, &program, &message));
}

/// The figures that the peer is known by: evaluation alone, of a parsed message of 4 KiB.
#[divan::bench(args = [
    ("header", 10), ("header", 100), ("header", 1_000), ("mixed", 10), ("mixed", 100), ("mixed", 1_000),
    ("regex", 10), ("regex", 100), ("regex", 1_000), ("body", 10), ("body", 100),
])]
fn parsed(bencher: Bencher<'_, '_>, (kind, many): (&str, usize)) {
    evaluate(bencher, &rules(kind, many), 4 << 10);
}

/// A body script reads the text, and one part in raw form.
const BODY: &str = "require [\"fileinto\", \"body\"];\n\
    if anyof (body :contains [\"lottery\", \"inheritance\", \"wire transfer\", \"act now\"],\n\
              body :raw :contains \"X5O!P%@AP\",\n\
              body :content \"text/html\" :contains \"display:none\") { discard; stop; }\n\
    if header :contains \"subject\" \"weekly meeting\" { fileinto \"Team\"; }\n";

fn script(name: &str) -> String {
    match name {
        "30 user rules" => user_script(),
        "1,000 system rules" => rules("mixed", 1_000),
        _ => BODY.to_string(),
    }
}

const SCRIPTS: &[(&str, usize)] = &[
    ("30 user rules", 4),
    ("30 user rules", 100),
    ("1,000 system rules", 4),
    ("1,000 system rules", 100),
    ("body", 4),
    ("body", 100),
];

/// A message of so many KiB that nobody has looked at yet: parsing, as much as the script asks for, is in it.
#[divan::bench(args = SCRIPTS)]
fn message_once(bencher: Bencher<'_, '_>, (name, kibibytes): (&str, usize)) {
    let (program, message) = (program(&script(name)), message(kibibytes << 10));
    let mut machine = Machine::new(Arc::default(), Limits::default());
    bencher
        .counter(ItemsCount::new(1u32))
        .with_inputs(|| Arc::new(Message::new(message.raw())))
        .bench_local_values(|message| run(&mut machine, &program, &message));
}

/// The same on a message that another script has looked at before.
#[divan::bench(args = SCRIPTS)]
fn message_again(bencher: Bencher<'_, '_>, (name, kibibytes): (&str, usize)) {
    evaluate(bencher, &script(name), kibibytes << 10);
}

/// Compiling, which the server does once.
#[divan::bench(args = ["30 user rules", "1,000 system rules", "body"])]
fn compiling(bencher: Bencher<'_, '_>, name: &str) {
    let text = script(name);
    bencher.bench_local(|| program(&text));
}
