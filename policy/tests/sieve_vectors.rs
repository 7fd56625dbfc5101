//! Every vector of `tests/vectors/sieve.jsonl`, run by the machine with canned answers.

use std::sync::Arc;

use grammar::Sources;
use policy::message::{HeaderView, Message};
use policy::sieve::{
    ActionLimits, Envelope, Level, LevelResult, Library, Merged, Mode, Options, Place, Request, SieveOutcome,
    Verdict, compile, merge,
};
use policy::{Answer, Ask, Facts, Limits, Machine, Outcome, Read, Step, Trace};
use serde_json::Value;

/// Vectors that do not pass yet, each with the reason. Must only shrink.
const NOT_YET: &[(&str, &str)] = &[];

/// Vectors that are believed to be wrong, each with the source.
const DISPUTED: &[(&str, &str)] = &[];

#[test]
fn vectors() {
    let text = include_str!("../../tests/vectors/sieve.jsonl");
    let mut failures = Vec::new();
    let mut passed = 0;
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let vector: Value = serde_json::from_str(line).unwrap();
        let id = vector["id"].as_str().unwrap();
        let excused = NOT_YET.iter().chain(DISPUTED).any(|(i, _)| *i == id);
        match (run(&vector), excused) {
            (Ok(()), false) => passed += 1,
            (Err(_), true) => {}
            (Ok(()), true) => failures.push(format!("{id}: passes now, take it off the list")),
            (Err(why), false) => {
                failures.push(format!("{id} ({}): {why}", vector["note"].as_str().unwrap_or("")))
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{passed} passed, {} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(passed >= 120, "only {passed} vectors ran");
}

struct Scripts<'a>(&'a Value);

impl Library for Scripts<'_> {
    fn script(&self, place: Place, name: &str) -> Result<Option<String>, String> {
        Ok(self
            .0
            .get(format!("{}/{name}", place.word()))
            .and_then(Value::as_str)
            .map(str::to_owned))
    }
}

fn limits(config: &Value) -> ActionLimits {
    let mut limits = if config["mode"] == "oms" {
        ActionLimits::default()
    } else {
        ActionLimits::strict()
    };
    let Some(options) = config["options"].as_object() else {
        return limits;
    };
    for (name, value) in options {
        let n = value.as_u64().unwrap() as usize;
        match name.as_str() {
            "max_redirects" | "max_forwards" => limits.max_redirects = n,
            "max_vacations" => limits.max_vacations = n,
            "max_fileintos" => limits.max_fileintos = n,
            "max_addheaders" => limits.max_addheaders = n,
            "max_notifys" => limits.max_notifys = n,
            "max_duplicates" => limits.max_duplicates = n,
            other => panic!("option {other}"),
        }
    }
    limits
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .map(|a| a.iter().map(|v| v.as_str().unwrap().to_owned()).collect())
        .unwrap_or_default()
}

/// Seconds since 1970 of `2026-03-15T10:00:00Z`.
fn instant(text: &str) -> i64 {
    let d = text.strip_suffix('Z').unwrap();
    let part = |r: std::ops::Range<usize>| d[r].parse::<i64>().unwrap();
    let (y, m, day) = (part(0..4), part(5..7), part(8..10));
    let y2 = if m <= 2 { y - 1 } else { y };
    let era = y2.div_euclid(400);
    let yoe = y2 - era * 400;
    let doy = (153 * ((m + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    days * 86_400 + part(11..13) * 3600 + part(14..16) * 60 + part(17..19)
}

struct Run {
    merged: Merged,
    error: Option<String>,
    message: Arc<Message>,
    trace: String,
}

/// The run, or the compile errors.
fn evaluate(vector: &Value) -> Result<Run, String> {
    let config = &vector["config"];
    let own = config["level"].as_str().unwrap_or("user");
    let mut levels = vec![(own, vector["script"].as_str().unwrap())];
    if let Some(script) = config["user_script"].as_str() {
        levels.push(("user", script));
    }
    if let Some(script) = config["system_script"].as_str() {
        levels.insert(0, ("system", script));
    }
    let message = Arc::new(Message::new(vector["message"].as_str().unwrap().as_bytes()));
    let envelope = Envelope {
        from: vector["envelope"]["from"].as_str().unwrap().to_owned(),
        to: vector["envelope"]["to"].as_str().unwrap().to_owned(),
        ..Envelope::default()
    };
    let limits = limits(config);
    let mut notify_methods = strings(&config["notify_methods"]);
    if notify_methods.is_empty() {
        notify_methods.push("mailto".to_owned());
    }
    let mode = if config["mode"] == "oms" {
        Mode::Oms
    } else {
        Mode::Strict
    };
    let options = Options {
        mode,
        limits,
        notify_methods: notify_methods.clone(),
        ..Options::default()
    };
    let mut results: Vec<LevelResult> = Vec::new();
    let mut error = None;
    let mut trace = String::new();
    for (level, script) in levels {
        let mut sources = Sources::new();
        let file = sources.add("script", script);
        let library = Scripts(&vector["scripts"]);
        let (program, _) = compile(&mut sources, file, &library, &options).map_err(|d| {
            d.iter()
                .map(|d| d.render(&sources, false))
                .collect::<Vec<_>>()
                .join("\n")
        })?;
        let before = results.last().map(|r| &r.outcome);
        let mut request = Request::new(Arc::new(program), Arc::clone(&message), envelope.clone());
        request.level = if level == "system" {
            Level::System
        } else {
            Level::User
        };
        request.limits = limits;
        request.notify_methods = notify_methods.clone();
        request.environment.insert("name".to_owned(), "sluice".to_owned());
        request.virus = config["virus"]["value"].as_u64().map(|v| v as u8);
        if let Some(before) = before {
            request.follow(before);
        }
        let now = config["now"].as_str().map_or(0, instant);
        let (outcome, text) = drive(request, now, config, &sources);
        trace.push_str(&text);
        error = error.or_else(|| outcome.error.as_ref().map(|f| f.to_string()));
        results.push(LevelResult {
            level: if level == "system" {
                Level::System
            } else {
                Level::User
            },
            outcome,
        });
    }
    let message = results.last().map(|r| Arc::clone(&r.outcome.message)).unwrap();
    Ok(Run {
        merged: merge(results),
        error,
        message,
        trace,
    })
}

fn drive(request: Request, now: i64, config: &Value, sources: &Sources) -> (SieveOutcome, String) {
    let mut machine = Machine::new(Arc::default(), Limits::default());
    machine.trace = Trace::on(true);
    machine.start_sieve(request);
    let facts = Facts { now, seed: 7 };
    loop {
        match machine.step(&facts) {
            Step::Done(Ok(Outcome::Sieve(outcome))) => {
                return (*outcome, policy::trace::render(machine.trace.events(), sources));
            }
            Step::Done(other) => panic!("{other:?}"),
            Step::Ask(asks) => {
                let answers = asks.iter().map(|a| answer(a, config)).collect();
                machine.answer(answers).unwrap();
            }
        }
    }
}

fn answer(ask: &Ask, config: &Value) -> Answer {
    let yes = |b: bool| {
        if b {
            Answer::Found(String::new())
        } else {
            Answer::NotFound
        }
    };
    match ask {
        Ask::Read(Read::Mailbox { name }) => yes(strings(&config["mailboxes"]).contains(name)),
        Ask::Read(Read::SpecialUse { mailbox, flag }) => {
            let all = config["specialuse"].as_object().into_iter().flatten();
            let mut found =
                all.filter(|(m, f)| mailbox.as_ref().is_none_or(|x| x == *m) && strings(f).contains(flag));
            found
                .next()
                .map_or(Answer::NotFound, |(m, _)| Answer::Found(m.clone()))
        }
        Ask::Read(Read::MailboxId { id }) => config["mailboxids"][id]
            .as_str()
            .map_or(Answer::NotFound, |m| Answer::Found(m.to_owned())),
        Ask::Read(Read::ListMember { list, value }) => yes(strings(&config["lists"][list])
            .iter()
            .any(|m| m.eq_ignore_ascii_case(value))),
        Ask::Read(Read::ListExists { list }) => yes(config["lists"].get(list).is_some()),
        Ask::Read(Read::ListMembers { list }) => Answer::Found(strings(&config["lists"][list]).join("\n")),
        Ask::Read(Read::Duplicate { handle, id, .. }) => {
            let seen = config["duplicates_seen"].as_array().cloned().unwrap_or_default();
            yes(seen
                .iter()
                .any(|s| s["handle"] == handle.as_str() && s["id"] == id.as_str()))
        }
        other => panic!("{other}"),
    }
}

fn run(vector: &Value) -> Result<(), String> {
    let expect = &vector["expect"];
    let wants_compile_error = expect["compile_error"] == true;
    let run = match evaluate(vector) {
        Err(_) if wants_compile_error => return Ok(()),
        Err(errors) => return Err(format!("does not compile:\n{errors}")),
        Ok(_) if wants_compile_error => return Err("compiles".to_owned()),
        Ok(run) => run,
    };
    let wants_error = expect["runtime_error"] == true;
    if wants_error != run.error.is_some() {
        return Err(format!("run-time error {:?}\n{}", run.error, run.trace));
    }
    let actions = serde_json::to_value(&run.merged.actions).unwrap();
    let got = actions.as_array().unwrap();
    let want = expect["actions"].as_array().unwrap();
    let same = got.len() == want.len() && got.iter().zip(want).all(|(g, w)| agrees(g, w));
    if !same {
        let show = |a: &[Value]| a.iter().map(Value::to_string).collect::<Vec<_>>().join("\n  ");
        return Err(format!(
            "\n  {}\nwanted\n  {}\n{}",
            show(got),
            show(want),
            run.trace
        ));
    }
    let view = HeaderView::message(&run.message, run.merged.headers.as_ref());
    let values = |name: &str| view.values(name).iter().map(|v| v.decoded()).collect::<Vec<_>>();
    for (name, want) in expect["headers_final"].as_object().into_iter().flatten() {
        if values(name) != strings(want) {
            return Err(format!("{name}: {:?}, wanted {want}", values(name)));
        }
    }
    for name in strings(&expect["headers_absent"]) {
        if !values(&name).is_empty() {
            return Err(format!("{name} is there"));
        }
    }
    if let Some(want) = expect["subject_final"].as_str()
        && values("subject") != [want]
    {
        return Err(format!("subject {:?}, wanted {want}", values("subject")));
    }
    Ok(())
}

/// Whether an action has what the vector lists; what it does not list is not compared.
fn agrees(got: &Value, want: &Value) -> bool {
    want.as_object().unwrap().iter().all(|(key, w)| {
        let g = &got[key];
        if key == "flags" {
            let sorted = |v: &Value| {
                let mut all: Vec<String> = strings(v).iter().map(|f| f.to_ascii_lowercase()).collect();
                all.sort();
                all
            };
            return sorted(g) == sorted(w);
        }
        g == w || (g.is_null() && *w == Value::Bool(false))
    })
}

#[test]
fn verdicts_have_the_documented_names() {
    assert_eq!(Verdict::EReject.word(), "ereject");
}
