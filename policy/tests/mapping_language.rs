//! Mapping templates at work, where the vectors say nothing: callouts whose results are templates.

use grammar::Sources;
use policy::mapping::{FlagSet, MappingResult};
use policy::program::Program;
use policy::{Answer, Facts, Limits, Machine, Outcome, Step};

/// Looks `x` up in a table `T` of these entries; each callout is answered with `answer`.
fn look_up(entries: &str, answer: &str) -> MappingResult {
    let mut sources = Sources::new();
    let file = sources.add("mappings", format!("T\n\n{entries}"));
    let mut diagnostics = Vec::new();
    let none = |_: &str| Err("none".to_string());
    let parsed = grammar::mapping::parse(&mut sources, file, &none, &mut diagnostics);
    let program = Program::from_mappings(&parsed, &mut diagnostics);
    let table = program.table("T").unwrap();
    let mut machine = Machine::new(program.into(), Limits::default());
    machine.start_mapping(table, "x", FlagSet::default());
    loop {
        match machine.step(&Facts::default()) {
            Step::Done(Ok(Outcome::Mapping(result))) => return result,
            Step::Done(other) => panic!("{other:?}"),
            Step::Ask(asks) => machine
                .answer(asks.iter().map(|_| Answer::Found(answer.into())).collect())
                .unwrap(),
        }
    }
}

#[test]
fn a_stop_ends_the_whole_template_wherever_it_stands() {
    // entries; what each callout answers; the output; the flags
    let cases = [
        ("  *  a$C$Y$+1Eb$N\n  *  c\n", "", "a", "Y"),
        ("  *  a${k}b$N$C\n  *  c\n", "r$Y$+1Es", "ar", "Y"),
        ("  *  a$[im,ro]b$N$C\n  *  c\n", "r$+1E", "ar", ""),
        ("  *  a${k$+1Ek}b$N$C\n  *  c\n", "r", "a", ""),
        ("  *  a${k}b$N\n", "r$E", "arb", "N"),
    ];
    for (entries, answer, output, flags) in cases {
        let result = look_up(entries, answer);
        assert_eq!(result.output, output, "{entries}");
        assert_eq!(result.flags, FlagSet::of(flags), "{entries}");
    }
}
