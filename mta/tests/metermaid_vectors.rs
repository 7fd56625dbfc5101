//! The vectors of the access specification for MeterMaid (`mm-`), `conn_throttle.so` (`ct-`) and database
//! URLs (`mc-`).

use mta::memcache_url::{DEFAULT_PORT, MemcacheUrl};
use mta::metermaid::call::Tables;
use mta::metermaid::conn_throttle::ConnThrottle;
use mta::metermaid::options::TableOptions;
use mta::metermaid::{Millis, Outcome};
use serde_json::Value;

/// The vectors whose id begins with `prefix`; there must be some.
fn vectors(prefix: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/access.jsonl");
    let text = std::fs::read_to_string(path).expect(path);
    let vectors: Vec<Value> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).expect(line))
        .filter(|vector: &Value| id(vector).starts_with(prefix))
        .collect();
    assert!(!vectors.is_empty(), "no vector in {path} begins with {prefix}");
    vectors
}

fn id(vector: &Value) -> &str {
    vector["id"].as_str().expect("every vector has an id")
}

/// A value of a vector's configuration as a configuration file would have it.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Does the vector's operations in turn and compares what each gives.
fn run_operations(vector: &Value, mut run: impl FnMut(&str, Millis) -> Outcome) {
    let operations = vector["event"]["ops"].as_array().expect("ops");
    let expected = vector["expect"]["results"].as_array().expect("results");
    assert_eq!(operations.len(), expected.len(), "{}", id(vector));
    assert!(!operations.is_empty(), "{}", id(vector));
    for (number, (operation, expected)) in operations.iter().zip(expected).enumerate() {
        let call = operation["call"].as_str().expect("call");
        let seconds = operation["t"].as_f64().expect("t");
        let outcome = run(call, (seconds * 1000.0) as Millis);
        let result = match &outcome {
            Outcome::Success(None) => "success".to_owned(),
            Outcome::Success(Some(text)) => format!("success:{text}"),
            Outcome::Fail | Outcome::Error(_) => "fail".to_owned(),
        };
        let name = format!(
            "{} operation {number}, {call} at {seconds} s: {outcome:?}",
            id(vector)
        );
        assert_eq!(result, expected.as_str().expect("result"), "{name}");
    }
}

#[test]
fn metermaid() {
    for vector in vectors("mm-") {
        let set = vector["config"]["metermaid_table"]
            .as_object()
            .expect("metermaid_table");
        let set: Vec<(String, String)> = set
            .iter()
            .map(|(name, value)| (name.clone(), as_text(value)))
            .collect();
        let options = TableOptions::parse(set.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let options = options.unwrap_or_else(|error| panic!("{}: {error}", id(&vector)));
        assert!(
            options.ignored.is_empty(),
            "{}: {:?} have no effect",
            id(&vector),
            options.ignored
        );
        let mut tables = Tables::default();
        tables.define("T", &options);
        run_operations(&vector, |call, now| tables.run(call, now));
    }
}

#[test]
fn conn_throttle() {
    for vector in vectors("ct-") {
        let mut counts = ConnThrottle::default();
        run_operations(&vector, |call, now| counts.run(call, now));
    }
}

#[test]
fn memcache_urls() {
    for vector in vectors("mc-") {
        let options = vector["config"]["options"].as_object().expect("options");
        let table = vector["event"]["table"].as_str().expect("table").to_lowercase();
        let url = options[&format!("{table}_url")].as_str().expect("url");
        let host = options.get("memcache_host").and_then(Value::as_str);
        let port = options
            .get("memcache_port")
            .and_then(Value::as_u64)
            .unwrap_or(DEFAULT_PORT.into());
        let parsed = MemcacheUrl::parse(url, host, u16::try_from(port).expect("port"));
        let expect = &vector["expect"];
        match parsed {
            Err(error) => assert!(expect.get("error").is_some(), "{}: {error}", id(&vector)),
            Ok(parsed) => {
                let key = parsed.key(vector["event"]["lookup"].as_str().expect("lookup"));
                let got = (
                    Some(parsed.host.as_str()),
                    Some(u64::from(parsed.port)),
                    Some(key.as_str()),
                );
                let expected = (
                    expect["server"].as_str(),
                    expect["port"].as_u64(),
                    expect["key"].as_str(),
                );
                assert_eq!(got, expected, "{}", id(&vector));
            }
        }
    }
}
