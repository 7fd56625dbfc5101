//! Every vector of `tests/vectors/sieve.jsonl`, run by `sluice sieve run --cases`.

mod common;

use std::path::Path;

use cli::{Exit, Program};
use common::run;
use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/sieve.jsonl");

#[test]
fn vectors() {
    let args = ["sieve", "run", "--json", "--cases", FILE];
    let ran = run(Program::Sluice, Path::new("."), &args, "", false);
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    let text = std::fs::read_to_string(FILE).unwrap();
    let vectors: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let results: Vec<Value> = ran
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(vectors.len(), results.len());
    assert!(vectors.len() >= 120);
    let failures: Vec<String> = vectors
        .iter()
        .zip(&results)
        .filter_map(|(v, r)| differs(&v["expect"], r).map(|why| format!("{}: {why}\n  {r}", v["id"])))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn folded(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    let mut all: Vec<String> = all.map(|v| v.as_str().unwrap().to_ascii_lowercase()).collect();
    all.sort();
    all
}

fn differs(want: &Value, got: &Value) -> Option<String> {
    let is = |v: &Value| *v == Value::Bool(true);
    for key in ["compile_error", "runtime_error"] {
        if is(&want[key]) != is(&got[key]) {
            return Some(format!("{key} should be {}", is(&want[key])));
        }
    }
    if is(&want["compile_error"]) {
        return got["errors"]
            .as_array()
            .unwrap()
            .is_empty()
            .then(|| "no errors".into());
    }
    let (wanted, actions) = (
        want["actions"].as_array().unwrap(),
        got["actions"].as_array().unwrap(),
    );
    let agree = |g: &Value, w: &Value| {
        w.as_object().unwrap().iter().all(|(key, w)| {
            let g = &g[key];
            if key == "flags" {
                return folded(g) == folded(w);
            }
            g == w || (g.is_null() && *w == Value::Bool(false))
        })
    };
    if wanted.len() != actions.len() || !actions.iter().zip(wanted).all(|(g, w)| agree(g, w)) {
        return Some(format!("actions should be {}", want["actions"]));
    }
    let header = |name: &str| {
        let all = got["headers_final"].as_object().unwrap();
        all.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.clone())
    };
    for (name, values) in want["headers_final"].as_object().into_iter().flatten() {
        if header(name).as_ref() != Some(values) {
            return Some(format!("{name} should be {values}"));
        }
    }
    for name in want["headers_absent"].as_array().into_iter().flatten() {
        if header(name.as_str().unwrap()).is_some() {
            return Some(format!("{name} should be gone"));
        }
    }
    let subject = &want["subject_final"];
    (!subject.is_null() && *subject != got["subject_final"]).then(|| format!("subject should be {subject}"))
}
