//! The match and mapping vectors of the specification.

use std::sync::Arc;

use grammar::Sources;
use policy::mapping::FlagSet;
use policy::pattern::{Pattern, Scratch};
use policy::program::Program;
use policy::{Answer, Facts, Limits, Machine, Outcome, Step, Trace};

fn vectors(name: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn program(text: &str) -> (Program, Sources) {
    let mut sources = Sources::new();
    let file = sources.add("mappings", text);
    let mut diagnostics = Vec::new();
    let parsed = grammar::mapping::parse(
        &mut sources,
        file,
        &|_: &str| Err("none".to_string()),
        &mut diagnostics,
    );
    let program = Program::from_mappings(&parsed, &mut diagnostics);
    let errors: Vec<_> = diagnostics
        .iter()
        .filter(|d| d.severity == grammar::Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    (program, sources)
}

#[test]
fn match_vectors() {
    let vectors = vectors("match.jsonl");
    assert!(vectors.len() >= 60);
    for v in &vectors {
        let (pattern, target) = (v["pattern"].as_str().unwrap(), v["target"].as_str().unwrap());
        let mut diagnostics = Vec::new();
        let at = |r: std::ops::Range<usize>| grammar::Span::new(Default::default(), r.start, r.end);
        let elements = grammar::mapping::parse_pattern(pattern, &at, &mut diagnostics);
        let compiled = Pattern::new(&elements);
        let mut scratch = Scratch::default();
        let mut fuel = 1_000_000;
        let folded = target.to_ascii_lowercase();
        let matched = compiled
            .matches(target, folded.as_bytes(), &mut scratch, &mut fuel)
            .unwrap();
        assert_eq!(matched, v["matched"].as_bool().unwrap(), "{v}");
        if let (true, Some(fields)) = (matched, v["fields"].as_array()) {
            let got: Vec<&str> = scratch
                .captures
                .iter()
                .map(|&(a, b)| &target[a as usize..b as usize])
                .collect();
            let expected: Vec<&str> = fields.iter().map(|f| f.as_str().unwrap()).collect();
            assert_eq!(got, expected, "{v}");
        }
    }
}

#[test]
fn mapping_vectors() {
    let vectors = vectors("mapping.jsonl");
    assert!(vectors.len() >= 60);
    let mut failures = Vec::new();
    for v in &vectors {
        let (program, sources) = program(v["mapping_file"].as_str().unwrap());
        let mut machine = Machine::new(Arc::new(program), Limits::default());
        machine.trace = Trace::on(false);
        let table = machine.program().table(v["table"].as_str().unwrap()).unwrap();
        machine.start_mapping(
            table,
            v["input"].as_str().unwrap(),
            FlagSet::of(v["flags_in"].as_str().unwrap()),
        );
        let facts = Facts { now: 0, seed: 7 };
        let result = loop {
            match machine.step(&facts) {
                Step::Done(done) => break done.unwrap(),
                Step::Ask(asks) => machine.answer(vec![Answer::NotFound; asks.len()]).unwrap(),
            }
        };
        let Outcome::Mapping(result) = result else {
            panic!()
        };
        let output = (result.matched > 0).then_some(result.output.as_str());
        let mut expected: Vec<char> = v["flags_out"].as_str().unwrap().chars().collect();
        expected.sort_unstable();
        let flags: Vec<char> = result.flags.iter().collect();
        if output != v["output"].as_str() || flags != expected {
            let trace = policy::trace::render(machine.trace.events(), &sources);
            failures.push(format!(
                "{}: got {output:?} {flags:?}, want {} {expected:?}\n{trace}",
                v["id"], v["output"]
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
