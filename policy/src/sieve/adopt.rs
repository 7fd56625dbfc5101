//! Names that stand for values. The generic grammar reads a bare name behind a command as a test; where
//! `variables` is required it may be a variable, and only the table of commands can tell.

use std::collections::HashSet;

use grammar::sieve::{
    ASSIGNMENT, Argument, CONDITION, Command, Expression, Script, Step, Test, Tests, Text, Word,
};

use super::forms::{self, Form};

/// Moves names that are variables from tests to arguments, and expressions that are conditions from
/// arguments to tests. A script without `variables` stays as it is, unless `all` says that it has them anyhow.
pub(super) fn names(script: &mut Script, all: bool) {
    let mut assigned = HashSet::new();
    let required = all
        || script
            .commands
            .iter()
            .any(|c| c.name.is("require") && holds(&c.arguments, "variables"));
    if !required {
        return;
    }
    collect(&script.commands, &mut assigned);
    commands(&mut script.commands, &assigned);
}

fn holds(arguments: &[Argument], word: &str) -> bool {
    arguments.iter().any(|a| match a {
        Argument::String(text) => text.raw == word,
        Argument::List(texts, _) => texts.iter().any(|t| t.raw == word),
        _ => false,
    })
}

/// Names that the script assigns, in lower case. Recursion is bounded by the grammar's nesting.
fn collect(commands: &[Command], assigned: &mut HashSet<String>) {
    for command in commands {
        let names = ["set", "global", "extracttext", "setflag", "addflag"];
        if command.name.text == ASSIGNMENT || names.iter().any(|n| command.name.is(n)) {
            for argument in &command.arguments {
                match argument {
                    Argument::String(text) => {
                        assigned.insert(text.raw.to_ascii_lowercase());
                    }
                    Argument::List(texts, _) => {
                        assigned.extend(texts.iter().map(|t| t.raw.to_ascii_lowercase()))
                    }
                    _ => {}
                }
            }
        }
        if let Some(block) = &command.block {
            collect(&block.commands, assigned);
        }
    }
}

fn commands(all: &mut [Command], assigned: &HashSet<String>) {
    for command in all {
        if let Some(form) = forms::find(&command.name.text, false) {
            adopt(form, &mut command.arguments, &mut command.tests, assigned);
        }
        tests(&mut command.tests, assigned);
        if let Some(block) = &mut command.block {
            commands(&mut block.commands, assigned);
        }
    }
}

fn tests(all: &mut Tests, assigned: &HashSet<String>) {
    let list = match all {
        Tests::None => return,
        Tests::One(one) => std::slice::from_mut(&mut **one),
        Tests::List(list, _) => list.as_mut_slice(),
    };
    for test in list {
        if is_variable(test, assigned) && test.arguments.is_empty() && test.tests == Tests::None {
            *test = condition(variable(test.name.clone()));
        } else if let Some(form) = forms::find(&test.name.text, true) {
            adopt(form, &mut test.arguments, &mut test.tests, assigned);
        }
        tests(&mut test.tests, assigned);
    }
}

fn is_variable(test: &Test, assigned: &HashSet<String>) -> bool {
    forms::find(&test.name.text, true).is_none() && assigned.contains(&test.name.text.to_ascii_lowercase())
}

fn adopt(form: &Form, arguments: &mut Vec<Argument>, tests: &mut Tests, assigned: &HashSet<String>) {
    if form.tests == forms::Tests::None {
        while let Tests::One(test) = tests
            && is_variable(test, assigned)
        {
            arguments.push(Argument::String(variable(test.name.clone())));
            arguments.append(&mut test.arguments);
            *tests = std::mem::take(&mut test.tests);
        }
        return;
    }
    let computed = matches!(
        arguments.as_slice(),
        [Argument::String(Text {
            computed: Some(_),
            ..
        })]
    );
    if form.tests == forms::Tests::One
        && *tests == Tests::None
        && computed
        && let Some(Argument::String(text)) = arguments.pop()
    {
        *tests = Tests::One(Box::new(condition(text)));
    }
}

fn variable(name: Word) -> Text {
    let span = name.span;
    let steps = vec![(Step::Name(name.clone()), span)];
    Text {
        raw: name.text,
        multiline: false,
        span,
        computed: Some(Expression { steps }),
    }
}

/// An expression as a test.
pub(super) fn condition(text: Text) -> Test {
    let span = text.span;
    let name = Word {
        text: CONDITION.to_owned(),
        span,
    };
    Test {
        name,
        arguments: vec![Argument::String(text)],
        tests: Tests::None,
        span,
    }
}
