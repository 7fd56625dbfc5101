//! Compiles and runs scripts for the tables of tests.

#![allow(dead_code)]

use std::sync::Arc;

use grammar::Sources;
use policy::message::{HeaderView, Message};
use policy::sieve::{Action, Envelope, Library, Options, Place, Request, SieveOutcome, compile};
use policy::{Answer, Ask, Effect, Facts, Limits, Machine, Outcome, Read, Step, Trace};

/// 2026-03-15 10:00:00 UTC.
pub const NOW: i64 = 1_773_568_800;

pub const PLAIN: &str = "From: \"Coyote, Wile E.\" <coyote@desert.example.org>\r\nTo: roadrunner+acme@birds.example.com\r\n\
    Cc: Tweety <tweety@cage.example.org>, b@c.example\r\nSubject: =?utf-8?q?Caf=C3=A9_order?= for you\r\n\
    Date: Tue, 01 Apr 1997 09:06:31 -0800\r\nMessage-ID: <m1@desert.example.org>\r\nX-Prio: 7\r\nX-Empty:\r\n\
    X-Multi: one\r\nX-Multi: two\r\nX-Multi: three\r\n\r\nBody line one.\r\nSecond line with MAGIC word.\r\n";

pub const MIME: &str = "From: a@x.example\r\nTo: b@y.example\r\nSubject: mime\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\npreamble text\r\n--outer\r\n\
    Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\n\
    Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nHello pl=E4in\r\n\
    --inner\r\nContent-Type: text/html\r\n\r\n<p>Hello <b>html</b></p>\r\n--inner--\r\n--outer\r\n\
    Content-Type: application/pdf; name=\"doc.pdf\"\r\nContent-Disposition: attachment; filename=\"doc.pdf\"\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQ=\r\n--outer\r\nContent-Type: message/rfc822\r\n\r\n\
    From: nested@z.example\r\nSubject: inner subject\r\n\r\nnested body words\r\n--outer--\r\nepilogue\r\n";

/// Included scripts, by `personal/name`.
pub struct Scripts(pub &'static [(&'static str, &'static str)]);

impl Library for Scripts {
    fn script(&self, place: Place, name: &str) -> Result<Option<String>, String> {
        let name = format!("{}/{name}", place.word());
        Ok(self
            .0
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, text)| (*text).to_owned()))
    }
}

/// Every error of a script as `code line:column`.
pub fn errors(script: &str, options: &Options) -> Vec<String> {
    let mut sources = Sources::new();
    let file = sources.add("s", script);
    match compile(&mut sources, file, &Scripts(&[]), options) {
        Ok(_) => Vec::new(),
        Err(all) => all
            .iter()
            .map(|d| {
                assert!(d.help.is_some(), "{} has no help", d.message);
                let place = sources.place(d.span());
                format!("{} {}:{}", d.code, place.line, place.column)
            })
            .collect(),
    }
}

/// Every warning of a script that compiles, as `code line:column help`; `required` stands on a line before it,
/// which is not counted.
#[allow(dead_code)]
pub fn warnings(script: &str, required: &str) -> Vec<String> {
    let mut sources = Sources::new();
    let file = sources.add("s", format!("{required}\n{script}"));
    let (_, all) = compile(&mut sources, file, &Scripts(&[]), &Options::default())
        .unwrap_or_else(|all| panic!("{script}: {all:?}"));
    all.iter()
        .map(|d| {
            let place = sources.place(d.span());
            let help = d.help.as_deref().unwrap_or_default();
            format!("{} {}:{} {help}", d.code, place.line - 1, place.column)
        })
        .collect()
}

/// Compiles, lets `change` set the request up, and runs.
pub fn run(
    script: &str,
    message: &str,
    library: &Scripts,
    options: &Options,
    change: impl FnOnce(&mut Request),
) -> SieveOutcome {
    let mut sources = Sources::new();
    let file = sources.add("s", script);
    let (program, _) = compile(&mut sources, file, library, options).unwrap_or_else(|d| {
        panic!(
            "{}",
            d.iter()
                .map(|d| d.render(&sources, false))
                .collect::<Vec<_>>()
                .join("\n")
        )
    });
    let envelope = Envelope {
        from: "coyote@desert.example.org".into(),
        to: "roadrunner+acme@birds.example.com".into(),
        ..Envelope::default()
    };
    let message = Arc::new(Message::new(message.as_bytes()));
    let mut request = Request::new(Arc::new(program), message, envelope);
    change(&mut request);
    let mut machine = Machine::new(Arc::default(), Limits::default());
    machine.start_sieve(request);
    let facts = Facts { now: NOW, seed: 7 };
    loop {
        match machine.step(&facts) {
            Step::Done(Ok(Outcome::Sieve(outcome))) => return *outcome,
            Step::Done(other) => panic!("{other:?}"),
            Step::Ask(asks) => machine.answer(asks.iter().map(answer).collect()).unwrap(),
        }
    }
}

/// A small world: one list, two mailboxes, one annotation, one identifier seen before.
fn answer(ask: &Ask) -> Answer {
    let yes = |b: bool| {
        if b {
            Answer::Found(String::new())
        } else {
            Answer::NotFound
        }
    };
    match ask {
        Ask::Read(Read::Mailbox { name }) => yes(name == "INBOX" || name == "Have"),
        Ask::Read(Read::SpecialUse { flag, .. }) if flag == "\\Junk" => Answer::Found("Spam".into()),
        Ask::Read(Read::MailboxId { id }) if id == "F1" => Answer::Found("Byid".into()),
        Ask::Read(Read::Metadata { mailbox, annotation }) if annotation == "/private/x" => {
            Answer::Found(mailbox.clone().unwrap_or_else(|| "server".into()))
        }
        Ask::Read(Read::ListMember { list, value }) if list == ":friends" && value.starts_with("coyote") => {
            Answer::Found("Wile E.|genius".into())
        }
        Ask::Read(Read::ListMember { list, .. }) if list == ":down" => Answer::Temporary("no server".into()),
        Ask::Read(Read::ListExists { list }) => yes(list == ":friends"),
        Ask::Read(Read::ListMembers { list }) if list == ":friends" => {
            Answer::Found("a@x.example\nb@x.example".into())
        }
        Ask::Read(Read::Duplicate { id, .. }) => yes(id == "seen"),
        Ask::Read(Read::Routine(r)) | Ask::Effect(Effect::Routine(r)) => {
            match format!("{},{},{}", r.image, r.routine, r.argument).as_str() {
                "check_memcache.so,fetch,,,p:k" => Answer::Found("value".into()),
                "check_memcache.so,throttle,32,,k,10,60" => Answer::Found(String::new()),
                "check_memcache.so,store,,h1;h2:1,k,v,60" => Answer::Found(String::new()),
                "check_metermaid.so,adjust_and_test,t,k,-5,>=5" => Answer::Found(String::new()),
                _ => Answer::NotFound,
            }
        }
        Ask::Effect(Effect::MeterMaidAt { host, port, .. }) => {
            yes(host.as_deref() == Some("h") && *port == Some(7))
        }
        _ => Answer::NotFound,
    }
}

/// The actions in short: `fileinto A; keep`, an implicit keep as `(keep)`, an error as `error: ...`.
pub fn summary(outcome: &SieveOutcome) -> String {
    if let Some(fault) = &outcome.error {
        return format!("error: {fault}");
    }
    let flags = |f: &[String]| {
        if f.is_empty() {
            String::new()
        } else {
            format!(" [{}]", f.join(" "))
        }
    };
    let one = |a: &Action| match a {
        Action::Keep {
            implicit: true,
            flags: f,
        } => format!("(keep{})", flags(f)),
        Action::Keep { flags: f, .. } => format!("keep{}", flags(f)),
        Action::FileInto {
            mailbox,
            copy,
            flags: f,
            ..
        } => {
            format!("{}{}{}", mailbox, if *copy { " copy" } else { "" }, flags(f))
        }
        Action::Redirect { address, .. } => format!("to {address}"),
        Action::Vacation { reason, .. } => format!("vacation {reason}"),
        Action::Notify { method, .. } => format!("notify {method}"),
        Action::Reject { reason } => format!("reject {reason}"),
        Action::EReject { reason } => format!("ereject {reason}"),
        other => format!("{other:?}")
            .split([' ', '{'])
            .next()
            .unwrap()
            .to_lowercase(),
    };
    outcome
        .actions
        .iter()
        .map(|p| one(&p.action))
        .collect::<Vec<_>>()
        .join("; ")
}

/// All values of a field at the end.
pub fn header(outcome: &SieveOutcome, name: &str) -> Vec<String> {
    let view = HeaderView::message(&outcome.message, outcome.headers.as_ref());
    view.values(name).iter().map(|v| v.decoded()).collect()
}

/// The trace of a run.
pub fn trace(script: &str, message: &str) -> String {
    let mut sources = Sources::new();
    let file = sources.add("s", script);
    let (program, _) = compile(&mut sources, file, &Scripts(&[]), &Options::default()).unwrap();
    let message = Arc::new(Message::new(message.as_bytes()));
    let mut machine = Machine::new(Arc::default(), Limits::default());
    machine.trace = Trace::on(true);
    machine.start_sieve(Request::new(Arc::new(program), message, Envelope::default()));
    assert!(matches!(machine.step(&Facts::default()), Step::Done(Ok(_))));
    policy::trace::render(machine.trace.events(), &sources)
}
