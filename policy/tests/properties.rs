//! What holds for any text: quoting, sets of flags, and machines that are asked twice.

use std::sync::Arc;

use grammar::mapping::{Element, parse_pattern, parse_template};
use policy::mapping::FlagSet;
use policy::pattern::{Pattern, Scratch};
use policy::program::Program;
use policy::{Answer, Facts, Limits, Machine, Step};
use proptest::prelude::*;

fn span(_: std::ops::Range<usize>) -> grammar::Span {
    grammar::Span::default()
}

/// Every character with a `$` before it, in a pattern, where that alone quotes.
fn quoted(text: &str) -> String {
    let quote = |c: char| match c {
        '$' | '*' | '%' | ' ' | '\t' => format!("${c}"),
        c => c.to_string(),
    };
    text.chars().map(quote).collect()
}

/// Runs an evaluation with these answers, then `NotFound`; what it came to, all it asked, and the trace.
fn run(machine: &mut Machine, input: &str, answers: &[Option<String>], seed: u64) -> String {
    let table = machine.program().table("T").unwrap();
    machine.trace = policy::Trace::on(true);
    machine.start_mapping(table, input, FlagSet::of("A"));
    let mut answers = answers.iter();
    let mut log = String::new();
    loop {
        match machine.step(&Facts { now: 0, seed }) {
            Step::Done(done) => {
                let trace = policy::trace::render(machine.trace.events(), &grammar::Sources::new());
                return format!("{log}{done:?}\n{trace}");
            }
            Step::Ask(asks) => {
                log += &format!("{asks:?}\n");
                let answer = |_| match answers.next() {
                    Some(Some(text)) => Answer::Found(text.clone()),
                    _ => Answer::NotFound,
                };
                machine.answer(asks.iter().map(answer).collect()).unwrap();
            }
        }
    }
}

proptest! {
    #[test]
    fn a_quoted_text_matches_itself_and_nothing_else(text in "\\PC{1,30}", other in "\\PC{0,30}") {
        let mut diagnostics = Vec::new();
        let elements = parse_pattern(&quoted(&text), &span, &mut diagnostics);
        prop_assert_eq!(&elements, &vec![Element::Literal(text.clone())]);
        prop_assert!(diagnostics.is_empty());
        let pattern = Pattern::new(&elements);
        for subject in [&text, &other, &text.to_ascii_uppercase()] {
            let folded = subject.to_ascii_lowercase();
            let matched = pattern.matches(subject, folded.as_bytes(), &mut Scratch::default(), &mut 1000);
            prop_assert_eq!(matched, Ok(subject.eq_ignore_ascii_case(&text)));
        }
    }

    #[test]
    fn a_quoted_template_puts_its_text_in(text in "\\PC{1,30}") {
        let quoted = text.replace('$', "$$").replace(' ', "$ ");
        let mut sources = grammar::Sources::new();
        let file = sources.add("mappings", format!("T\n\n  *  {quoted}\n"));
        let reader = |_: &str| Err("no includes".to_string());
        let mut diagnostics = Vec::new();
        let parsed = grammar::mapping::parse(&mut sources, file, &reader, &mut diagnostics);
        // a backslash at the end goes on with the next line
        prop_assume!(!text.ends_with('\\'));
        prop_assert!(diagnostics.is_empty(), "{:?}", diagnostics);
        prop_assert_eq!(&parsed.tables[0].entries[0].template, &parse_template(&quoted, &span, &mut Vec::new())
            .into_iter()
            .zip(&parsed.tables[0].entries[0].template)
            .map(|(part, at)| grammar::mapping::Part { span: at.span, ..part })
            .collect::<Vec<_>>());
        let mut machine = Machine::new(
            Arc::new(Program::from_mappings(&parsed, &mut diagnostics)),
            Limits::default(),
        );
        let table = machine.program().table("T").unwrap();
        machine.start_mapping(table, "x", FlagSet::default());
        let Step::Done(Ok(policy::Outcome::Mapping(result))) = machine.step(&Facts::default()) else {
            return Err(TestCaseError::fail("not done"));
        };
        prop_assert_eq!(result.output, text);
    }

    #[test]
    fn the_same_answers_lead_to_the_same_end(
        input in "\\PC{0,20}",
        answers in prop::collection::vec(prop::option::of("[a-c$0CRL|*]{0,8}"), 0..12),
        seed: u64,
    ) {
        let text = "T\n\n  *a*  $0${$1}$1$C\n  *|*  $?50?$|U;$1|$]u$0[$R\n  *  $#s|16|4|0#$[im,ro,$0]$L\n\n\
                    U\n\n  *  ${$0}$Y\n";
        let mut sources = grammar::Sources::new();
        let file = sources.add("mappings", text);
        let reader = |_: &str| Err("no includes".to_string());
        let parsed = grammar::mapping::parse(&mut sources, file, &reader, &mut Vec::new());
        let program = Arc::new(Program::from_mappings(&parsed, &mut Vec::new()));
        let mut machine = Machine::new(Arc::clone(&program), Limits::default());
        let first = run(&mut machine, &input, &answers, seed);
        prop_assert_eq!(&first, &run(&mut machine, &input, &answers, seed), "a machine used again");
        let mut fresh = Machine::new(program, Limits::default());
        prop_assert_eq!(&first, &run(&mut fresh, &input, &answers, seed), "a new machine");
    }

    #[test]
    fn flags_are_a_set_of_ascii_characters(flags in "[ -~é😀]{0,20}", asked in any::<char>()) {
        let set = FlagSet::of(&flags);
        prop_assert_eq!(set.contains(asked), asked.is_ascii() && flags.contains(asked));
        let mut sorted: Vec<char> = flags.chars().filter(char::is_ascii).collect();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), sorted.clone());
        prop_assert_eq!(set.is_empty(), sorted.is_empty());
        prop_assert_eq!(FlagSet::of(&set.to_string()), set);
        for flag in sorted {
            prop_assert!(set.has(flag.to_ascii_lowercase()) && set.has(flag.to_ascii_uppercase()));
        }
    }
}
