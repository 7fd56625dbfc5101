//! Expressions: compiled to steps over a stack of values, and run (specification B3).
//!
//! A value is a string, a signed 64-bit number or a list. Arithmetic takes numbers and strings that are
//! numbers; overflow and division by zero are run-time errors. Comparison is by number where both sides
//! are numbers, else by octets. Positions count from 1, negative ones from the end.

use std::borrow::Cow;
use std::cmp::Ordering;

use grammar::Span;
use grammar::sieve::{Expression, Step as Parsed};

use super::compile::Compiler;
use super::encode::{self, Coding};
use super::frame::{Frame, Halt};
use super::program::{Slot, Str};
use crate::machine::Context;
use crate::spelling::nearest;

/// What a variable holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    List(Vec<String>),
}

impl Default for Value {
    fn default() -> Self {
        Value::Text(String::new())
    }
}

impl Value {
    /// As it is put into a string: a number in decimal, a list joined by blanks.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) => text.into(),
            Value::Number(n) => n.to_string().into(),
            Value::List(list) => list.join(" ").into(),
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Value::Number(n) => Some(*n),
            Value::Text(text) => text.trim().parse().ok(),
            Value::List(_) => None,
        }
    }

    /// Whether it counts as true.
    pub fn holds(&self) -> bool {
        match self {
            Value::Text(text) => !text.is_empty() && text != "0",
            Value::Number(n) => *n != 0,
            Value::List(list) => !list.is_empty(),
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Text(Str),
    Number(i64),
    List(Vec<Str>),
    Variable(Slot),
    Call(Function, usize),
    /// Takes a value and one or two positions.
    Index {
        range: bool,
    },
    Not,
    Negate,
    Binary(&'static str),
}

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Encode(Coding),
    Decode(Coding),
    Find,
    Length,
    String,
    Integer,
    Upper,
    Lower,
    Size,
    True,
    False,
}

/// Functions with the fewest and the most arguments.
const FUNCTIONS: &[(&str, Function, usize, usize)] = &[
    ("encode", Function::Encode(Coding::Hex), 1, 1),
    ("decode", Function::Decode(Coding::Hex), 1, 1),
    ("find", Function::Find, 2, 4),
    ("length", Function::Length, 1, 1),
    ("string", Function::String, 1, 1),
    ("integer", Function::Integer, 1, 1),
    ("upper", Function::Upper, 1, 1),
    ("lower", Function::Lower, 1, 1),
    ("size", Function::Size, 0, 0),
    ("true", Function::True, 0, 0),
    ("false", Function::False, 0, 0),
];

impl Compiler<'_, '_> {
    /// Compiles an expression.
    pub(super) fn expression(&mut self, expression: &Expression) -> Str {
        let mut steps = Vec::with_capacity(expression.steps.len());
        for (step, span) in &expression.steps {
            let step = match step {
                Parsed::Text(text) => Step::Text(self.string(text)),
                Parsed::Number(n) => Step::Number(i64::try_from(*n).unwrap_or(i64::MAX)),
                Parsed::List(list) => Step::List(self.strings(list.iter().collect())),
                Parsed::Name(name) => Step::Variable(self.slot(&name.text)),
                Parsed::Unary(operator) => {
                    if *operator == "!" {
                        Step::Not
                    } else {
                        Step::Negate
                    }
                }
                Parsed::Binary(operator) => Step::Binary(operator),
                Parsed::Call {
                    name,
                    arguments,
                    tag,
                    range,
                } => {
                    let known = FUNCTIONS.iter().find(|(n, ..)| name.is(n));
                    match known {
                        Some((_, function, least, most)) => {
                            if !(*least..=*most).contains(arguments) || *range {
                                let message = format!(
                                    "`{}` takes {least} to {most} values, and has {arguments}",
                                    name.text
                                );
                                self.error("S131", *span, message, "give it as many values as it takes");
                            }
                            let function = self.coded(*function, tag.as_ref(), *span);
                            Step::Call(function, *arguments)
                        }
                        None if self.is_used(&name.text) && *arguments == 1 + usize::from(*range) => {
                            // The value lies below its positions on the stack.
                            steps.push((Step::Variable(self.slot(&name.text)), *span));
                            Step::Index { range: *range }
                        }
                        None => {
                            let help = match nearest(&name.text, FUNCTIONS.iter().map(|(n, ..)| *n)) {
                                Some(near) => format!("did you mean `{near}`?"),
                                None => {
                                    "use a function such as `upper`, or set the variable before".to_owned()
                                }
                            };
                            self.error(
                                "S131",
                                name.span,
                                format!("there is no function or variable `{}`", name.text),
                                help,
                            );
                            continue;
                        }
                    }
                }
            };
            steps.push((step, *span));
        }
        Str::Computed(steps.into())
    }

    /// The coding that a tag names.
    fn coded(&mut self, function: Function, tag: Option<&grammar::sieve::Word>, span: Span) -> Function {
        let Some(tag) = tag else { return function };
        let coding = Coding::by_name(&tag.text);
        match (function, coding) {
            (Function::Encode(_), Some(coding)) => Function::Encode(coding),
            (Function::Decode(_), Some(coding)) => Function::Decode(coding),
            (Function::Encode(_) | Function::Decode(_), None) => {
                let help = format!("use one of {}", Coding::NAMES.join(", "));
                self.error(
                    "S131",
                    tag.span,
                    format!("there is no coding `:{}`", tag.text),
                    help,
                );
                function
            }
            _ => {
                self.error(
                    "S131",
                    span,
                    "this function takes no tag",
                    format!("remove `:{}`", tag.text),
                );
                function
            }
        }
    }
}

impl Frame {
    /// The value of a string argument, computed or not.
    pub(super) fn value(&self, cx: &mut Context<'_>, string: &Str, span: Span) -> Result<Value, Halt> {
        let Str::Computed(steps) = string else {
            return Ok(Value::Text(self.render(cx, string, span)?));
        };
        let mut stack: Vec<Value> = Vec::new();
        for (step, at) in steps {
            cx.burn(1, Some(*at))?;
            let value = match step {
                Step::Text(text) => Value::Text(self.render(cx, text, *at)?),
                Step::Number(n) => Value::Number(*n),
                Step::List(list) => Value::List(self.render_all(cx, list, *at)?),
                Step::Variable(slot) => self.variable_value(*slot).clone(),
                Step::Not => Value::Number(i64::from(!stack.pop().unwrap_or_default().holds())),
                Step::Negate => {
                    let n = number(&stack.pop().unwrap_or_default(), *at)?;
                    Value::Number(n.checked_neg().ok_or_else(|| overflow(*at))?)
                }
                Step::Binary(operator) => {
                    let right = stack.pop().unwrap_or_default();
                    let left = stack.pop().unwrap_or_default();
                    binary(operator, &left, &right, *at)?
                }
                Step::Index { range } => {
                    let value = stack.pop().unwrap_or_default();
                    let end = if *range {
                        Some(number(&stack.pop().unwrap_or_default(), *at)?)
                    } else {
                        None
                    };
                    let start = number(&stack.pop().unwrap_or_default(), *at)?;
                    slice(&value, start, end.unwrap_or(start), *range)
                }
                Step::Call(function, arguments) => {
                    let given = stack.split_off(stack.len().saturating_sub(*arguments));
                    self.apply(*function, &given, *at)?
                }
            };
            let bytes = match &value {
                Value::Text(text) => text.len(),
                Value::Number(_) => 8,
                Value::List(list) => list.iter().map(|l| l.len() + 8).sum(),
            };
            cx.build(bytes, Some(*at))?;
            let most = self.request.limits.max_sieve_list_size;
            if let Value::List(list) = &value
                && list.len() > most
            {
                let message = format!(
                    "a list has {} strings, more than MAX_SIEVE_LIST_SIZE {most}",
                    list.len()
                );
                return Err(Halt::fault(message, *at));
            }
            stack.push(value);
        }
        Ok(stack.pop().unwrap_or_default())
    }

    fn apply(&self, function: Function, given: &[Value], at: Span) -> Result<Value, Halt> {
        let none = Value::default();
        let first = given.first().unwrap_or(&none);
        let flag = |value: bool| Value::Number(i64::from(value));
        Ok(match function {
            Function::Encode(coding) => Value::Text(encode::encode(coding, first.text().as_bytes())),
            Function::Decode(coding) => Value::Text(
                encode::decode(coding, &first.text())
                    .ok_or_else(|| Halt::fault("this cannot be decoded", at))?,
            ),
            Function::Find => {
                let mut bounds = given.iter().skip(2).map(|v| number(v, at));
                let bounds = (bounds.next().transpose()?, bounds.next().transpose()?);
                Value::Number(find(&first.text(), given.get(1).unwrap_or(&none), bounds))
            }
            Function::Length => Value::Number(match first {
                Value::List(list) => list.len() as i64,
                other => other.text().chars().count() as i64,
            }),
            Function::String => Value::Text(first.text().into_owned()),
            Function::Integer => Value::Number(number(first, at)?),
            Function::Upper => Value::Text(first.text().to_ascii_uppercase()),
            Function::Lower => Value::Text(first.text().to_ascii_lowercase()),
            Function::Size => Value::Number(i64::try_from(self.size()).unwrap_or(i64::MAX)),
            Function::True => flag(true),
            Function::False => flag(false),
        })
    }
}

fn overflow(at: Span) -> Halt {
    Halt::fault("this number grows beyond 64 bits", at)
}

fn number(value: &Value, at: Span) -> Result<i64, Halt> {
    value
        .number()
        .ok_or_else(|| Halt::fault(format!("\"{}\" is not a number", value.text()), at))
}

fn binary(operator: &str, left: &Value, right: &Value, at: Span) -> Result<Value, Halt> {
    let flag = |value: bool| Value::Number(i64::from(value));
    let order = || match (left.number(), right.number()) {
        (Some(l), Some(r)) => l.cmp(&r),
        _ => left.text().as_bytes().cmp(right.text().as_bytes()),
    };
    Ok(match operator {
        "||" => flag(left.holds() || right.holds()),
        "&&" => flag(left.holds() && right.holds()),
        "==" => flag(order() == Ordering::Equal),
        "!=" => flag(order() != Ordering::Equal),
        "<" => flag(order().is_lt()),
        "<=" => flag(order().is_le()),
        ">" => flag(order().is_gt()),
        ">=" => flag(order().is_ge()),
        "." => Value::Text(format!("{}{}", left.text(), right.text())),
        _ => {
            let (l, r) = (number(left, at)?, number(right, at)?);
            if r == 0 && matches!(operator, "/" | "%") {
                return Err(Halt::fault("this divides by zero", at));
            }
            let result = match operator {
                "+" => l.checked_add(r),
                "-" => l.checked_sub(r),
                "*" => l.checked_mul(r),
                "/" => l.checked_div(r),
                _ => l.checked_rem(r),
            };
            Value::Number(result.ok_or_else(|| overflow(at))?)
        }
    })
}

/// A position from 1, or from the end where negative, as an offset; `None` outside.
fn offset(position: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    let at = if position < 0 {
        len.checked_add(position)?
    } else {
        position.checked_sub(1)?
    };
    usize::try_from(at).ok().filter(|_| at < len)
}

/// The characters, or the strings of a list, from one position to another, both included.
fn slice(value: &Value, start: i64, end: i64, range: bool) -> Value {
    let bounds = |len: usize| Some((offset(start, len)?, offset(end.min(len as i64), len)?));
    match value {
        Value::List(list) => {
            let Some((from, to)) = bounds(list.len()) else {
                return Value::default();
            };
            let part = list.get(from..=to).unwrap_or_default();
            match part {
                [one] if !range => Value::Text(one.clone()),
                part => Value::List(part.to_vec()),
            }
        }
        other => {
            let text = other.text();
            let Some((from, to)) = bounds(text.chars().count()) else {
                return Value::default();
            };
            Value::Text(
                text.chars()
                    .skip(from)
                    .take((to + 1).saturating_sub(from))
                    .collect(),
            )
        }
    }
}

/// The position of what is looked for, 0 where it is not there.
fn find(what: &str, within: &Value, (from, to): (Option<i64>, Option<i64>)) -> i64 {
    let positions = |len: usize| {
        let start = offset(from.unwrap_or(1), len)?;
        let end = offset(to.unwrap_or(-1).min(len as i64), len)?;
        Some((start, end))
    };
    let found = match within {
        Value::List(list) => positions(list.len()).and_then(|(start, end)| {
            list.get(start..=end)
                .unwrap_or_default()
                .iter()
                .position(|l| l == what)
                .map(|i| start + i)
        }),
        other => {
            let text = other.text();
            positions(text.chars().count()).and_then(|(start, end)| {
                let part: String = text
                    .chars()
                    .skip(start)
                    .take((end + 1).saturating_sub(start))
                    .collect();
                let at = part.find(what)?;
                Some(start + part.get(..at)?.chars().count())
            })
        }
    };
    found.map_or(0, |at| at as i64 + 1)
}
