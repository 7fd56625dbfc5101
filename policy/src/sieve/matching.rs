//! Values against keys.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use grammar::Span;

use super::compare::{Exhausted, Glob, Match, Subject};
use super::frame::{Frame, Halt};
use super::pattern;
use super::program::{Matching, Ready, Str};
use crate::ask::{Answer, Ask, Read};
use crate::machine::{Context, RunError};
use crate::trace::Kind;

/// Members looked up in external lists by one test at most.
pub const MAX_LIST_LOOKUPS: usize = 100;

/// A test for the trace: its name, and the fields or other names that it looks at.
#[derive(Clone, Copy)]
pub(super) struct What<'a>(pub &'static str, pub &'a [Str]);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        for (n, name) in self.1.iter().take(5).enumerate() {
            write!(f, "{}{}", if n == 0 { " " } else { "," }, constant(name))?;
        }
        Ok(())
    }
}

/// What is known of a string before it is computed.
fn constant(string: &Str) -> Cow<'_, str> {
    match string {
        Str::Const(text) => shorten(text),
        Str::Template(_) | Str::Computed(_) => "(computed)".into(),
    }
}

/// What a test compares.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub texts: Vec<Arc<str>>,
    /// What `:count` counts, where that is not the number of texts.
    pub count: Option<usize>,
    /// Whether a match may set match variables.
    pub captures: bool,
}

impl Values {
    pub fn of(texts: Vec<String>) -> Self {
        Values::shared(texts.into_iter().map(Arc::from).collect())
    }

    pub fn shared(texts: Vec<Arc<str>>) -> Self {
        Values {
            texts,
            count: None,
            captures: true,
        }
    }
}

impl Frame {
    /// Whether any value meets any key. `what` is for the trace.
    pub(super) fn compare(
        &mut self,
        cx: &mut Context<'_>,
        matching: &Matching,
        values: Values,
        what: What<'_>,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<bool, Halt> {
        let keys = match (&matching.ready, matching.how) {
            (Ready::No, _) => self.render_all(cx, &matching.keys, span)?,
            _ => Vec::new(),
        };
        let bytes: usize = values.texts.iter().map(|t| t.len()).sum();
        let key_count = matching.keys.len() as u64;
        let indexed = matches!(matching.ready, Ready::Equal(_) | Ready::Contains(_));
        let rounds = if indexed { 1 } else { key_count };
        // A search for fixed text is much quicker than other steps, and bodies are long.
        let quick = matches!(matching.how, Match::Is | Match::Contains);
        let scanned = bytes as u64 / if quick { 128 } else { 16 };
        cx.burn(values.texts.len() as u64 * rounds + scanned * rounds, Some(span))?;
        let found = match matching.how {
            Match::Count(relation) => {
                let count = values.count.unwrap_or(values.texts.len()).to_string();
                keys.iter()
                    .any(|k| relation.holds(matching.comparator.order(&count, k)))
            }
            Match::Value(relation) => values.texts.iter().any(|v| {
                keys.iter()
                    .any(|k| relation.holds(matching.comparator.order(v, k)))
            }),
            Match::List => return self.list(cx, &keys, values, what, span, answers),
            Match::Is | Match::Contains => self.simple(matching, &keys, &values),
            Match::Matches => self.globs(cx, matching, &keys, &values, span)?,
            Match::Regex => self.regexes(cx, matching, &keys, &values, span)?,
        };
        trace(cx, matching, &values, what, found, span);
        Ok(found)
    }

    fn simple(&mut self, matching: &Matching, keys: &[String], values: &Values) -> bool {
        let fold = |v: &str| matching.comparator.fold(v).into_owned();
        let dynamic;
        let folded = match &matching.ready {
            Ready::Equal(set) => return values.texts.iter().any(|v| set.contains(&fold(v))),
            Ready::Contains(all) => return values.texts.iter().any(|v| all.is_match(&fold(v))),
            Ready::Folded(folded) => folded,
            _ => {
                dynamic = keys.iter().map(|k| fold(k)).collect::<Vec<_>>();
                &dynamic
            }
        };
        let contains = matching.how == Match::Contains;
        values.texts.iter().any(|v| {
            let value = matching.comparator.fold(v);
            folded.iter().any(|k| {
                if contains {
                    memchr::memmem::find(value.as_bytes(), k.as_bytes()).is_some()
                } else {
                    *value == **k
                }
            })
        })
    }

    fn globs(
        &mut self,
        cx: &mut Context<'_>,
        matching: &Matching,
        keys: &[String],
        values: &Values,
        span: Span,
    ) -> Result<bool, Halt> {
        let built;
        let globs = match &matching.ready {
            Ready::Globs(globs) => globs,
            _ => {
                built = keys
                    .iter()
                    .map(|k| Glob::new(matching.comparator, k))
                    .collect::<Vec<_>>();
                &built
            }
        };
        for value in &values.texts {
            let subject = Subject::new(matching.comparator, value);
            for glob in globs {
                let mut fuel = cx.fuel();
                let result = glob.captures(&subject, &mut fuel);
                cx.set_fuel(fuel);
                let taken = match result {
                    Ok(taken) => taken,
                    Err(Exhausted) => {
                        return Err(Halt::Error(RunError::Fuel {
                            limit: cx.limits.fuel,
                            span: Some(span),
                        }));
                    }
                };
                if let Some(taken) = taken {
                    if values.captures {
                        self.set_matched(cx, value.to_string(), taken, span)?;
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn regexes(
        &mut self,
        cx: &mut Context<'_>,
        matching: &Matching,
        keys: &[String],
        values: &Values,
        span: Span,
    ) -> Result<bool, Halt> {
        let mut built = Vec::new();
        let regexes = match &matching.ready {
            Ready::Regexes(all) => all,
            _ => {
                for key in keys {
                    cx.burn(20_000 + 1000 * key.len() as u64, Some(span))?;
                    built.push(pattern::compile(key, matching.comparator).map_err(|why| {
                        Halt::fault(format!("the pattern \"{key}\" cannot be used: {why}"), span)
                    })?);
                }
                &built
            }
        };
        for value in &values.texts {
            for pattern in regexes {
                // At worst every byte moves every state.
                let work = (value.len() as u64).saturating_mul(pattern.weight) / 16;
                cx.burn(1 + work, Some(span))?;
                let Some(found) = pattern.regex.captures(value) else {
                    continue;
                };
                if values.captures {
                    let group = |n: usize| found.get(n).map_or(String::new(), |m| m.as_str().to_owned());
                    let groups = (1..found.len()).map(group).collect();
                    self.set_matched(cx, group(0), groups, span)?;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `:list`: asks for every value and list at once.
    fn list(
        &mut self,
        cx: &mut Context<'_>,
        lists: &[String],
        values: Values,
        what: What<'_>,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<bool, Halt> {
        let pairs: Vec<(&String, &Arc<str>)> = values
            .texts
            .iter()
            .flat_map(|v| lists.iter().map(move |l| (l, v)))
            .collect();
        if pairs.is_empty() {
            return Ok(false);
        }
        if pairs.len() > MAX_LIST_LOOKUPS {
            let message = format!(
                "this test would look up {} members, more than {MAX_LIST_LOOKUPS}",
                pairs.len()
            );
            return Err(Halt::fault(message, span));
        }
        let Some(answers) = answers.take() else {
            let ask = |(list, value): &(&String, &Arc<str>)| {
                Ask::Read(Read::ListMember {
                    list: (*list).clone(),
                    value: value.to_string(),
                })
            };
            return Err(Halt::Ask(pairs.iter().map(ask).collect()));
        };
        for ((list, value), answer) in pairs.iter().zip(answers) {
            match answer {
                Answer::Found(properties) => {
                    let properties = properties
                        .split('|')
                        .filter(|p| !p.is_empty())
                        .map(str::to_owned)
                        .collect();
                    cx.trace.add(Kind::Test, Some(span), || {
                        format!("{what} :list: \"{value}\" is in {list}")
                    });
                    if values.captures {
                        self.set_matched(cx, value.to_string(), properties, span)?;
                    }
                    return Ok(true);
                }
                Answer::Temporary(why) => {
                    return Err(Halt::temporary(
                        format!("the list {list} cannot be read: {why}"),
                        span,
                    ));
                }
                Answer::NotFound | Answer::NotConfigured(_) => {}
            }
        }
        cx.trace.add(Kind::Test, Some(span), || {
            format!("{what} :list: no value is in a list")
        });
        Ok(false)
    }

    fn set_matched(
        &mut self,
        cx: &mut Context<'_>,
        whole: String,
        mut groups: Vec<String>,
        span: Span,
    ) -> Result<(), Halt> {
        groups.truncate(super::text::MAX_MATCH_VARIABLE);
        let bytes = whole.len() + groups.iter().map(String::len).sum::<usize>();
        cx.build(bytes, Some(span))?;
        for (n, group) in groups.iter().enumerate() {
            cx.trace.add(Kind::Field, Some(span), || {
                format!("${{{}}} = \"{group}\"", n + 1)
            });
        }
        groups.insert(0, whole);
        self.matched = groups;
        Ok(())
    }
}

/// Writes what a test compared and what came of it.
fn trace(
    cx: &mut Context<'_>,
    matching: &Matching,
    values: &Values,
    what: What<'_>,
    found: bool,
    span: Span,
) {
    cx.trace.add(Kind::Test, Some(span), || {
        let how = match matching.how {
            Match::Is => ":is",
            Match::Contains => ":contains",
            Match::Matches => ":matches",
            Match::Regex => ":regex",
            Match::Value(_) => ":value",
            Match::Count(_) => ":count",
            Match::List => ":list",
        };
        let key = |k: &Str| constant(k).into_owned();
        let show = |texts: Vec<String>| {
            let more = texts.len().saturating_sub(5);
            let mut shown: Vec<String> = texts.into_iter().take(5).map(|t| format!("\"{t}\"")).collect();
            if more > 0 {
                shown.push(format!("and {more} more"));
            }
            if shown.is_empty() {
                "nothing".to_owned()
            } else {
                shown.join(", ")
            }
        };
        let keys = show(matching.keys.iter().map(key).collect());
        let seen = match matching.how {
            Match::Count(_) => format!("{} values", values.count.unwrap_or(values.texts.len())),
            _ => show(values.texts.iter().map(|v| shorten(v).into_owned()).collect()),
        };
        format!(
            "{what} {how} {keys}: {seen}: {}",
            if found { "true" } else { "false" }
        )
    });
}

/// A value cut to what is useful in a trace.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}...", &text[..at]).into(),
        None => text.into(),
    }
}
