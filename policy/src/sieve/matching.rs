//! Values against keys.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use grammar::Span;

use super::compare::{Comparator, Exhausted, Glob, Match, Subject};
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
    /// The texts as each comparator folds them, made when they are asked for.
    pub(super) folds: [OnceLock<Vec<Arc<str>>>; Comparator::NAMES.len()],
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
            ..Values::default()
        }
    }

    /// The texts in the form in which equal ones are equal octets.
    pub fn folded(&self, comparator: Comparator) -> &[Arc<str>] {
        let fold = |text: &Arc<str>| match comparator.fold(text) {
            Cow::Borrowed(same) if same.len() == text.len() => Arc::clone(text),
            folded => folded.into(),
        };
        match self.folds.get(comparator as usize) {
            Some(place) => place.get_or_init(|| self.texts.iter().map(fold).collect()),
            None => &self.texts,
        }
    }
}

impl Frame {
    /// Whether any value meets any key. `what` is for the trace.
    pub(super) fn compare(
        &mut self,
        cx: &mut Context<'_>,
        matching: &Matching,
        values: &Values,
        what: What<'_>,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<bool, Halt> {
        let keys = match (&matching.ready, matching.how) {
            (Ready::No, _) => self.render_all(cx, &matching.keys, span)?,
            _ => Vec::new(),
        };
        burn(cx, matching, values, span)?;
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
            Match::Is | Match::Contains => simple(matching, &keys, values),
            Match::Matches => self.globs(cx, matching, &keys, values, span)?,
            Match::Regex => self.regexes(cx, matching, &keys, values, span)?,
        };
        trace(cx, matching, values, what, found, span);
        Ok(found)
    }

    /// The same where the answer is known already.
    pub(super) fn known(
        &self,
        cx: &mut Context<'_>,
        matching: &Matching,
        values: &Values,
        what: What<'_>,
        found: bool,
        span: Span,
    ) -> Result<bool, Halt> {
        burn(cx, matching, values, span)?;
        trace(cx, matching, values, what, found, span);
        Ok(found)
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
        let folded = values.folded(matching.comparator);
        for (value, folded) in values.texts.iter().zip(folded) {
            let subject = Subject::new(matching.comparator, value, folded);
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
                // most patterns do not match, and places for groups take time
                if !pattern.regex.is_match(value) {
                    continue;
                }
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
        values: &Values,
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

/// Takes the fuel of a comparison.
fn burn(cx: &mut Context<'_>, matching: &Matching, values: &Values, span: Span) -> Result<(), Halt> {
    let bytes: usize = values.texts.iter().map(|t| t.len()).sum();
    let indexed = matches!(matching.ready, Ready::Equal(_) | Ready::Contains(_));
    let rounds = if indexed { 1 } else { matching.keys.len() as u64 };
    // A search for fixed text is much quicker than other steps, and bodies are long.
    let quick = matches!(matching.how, Match::Is | Match::Contains);
    let scanned = bytes as u64 / if quick { 128 } else { 16 };
    cx.burn(values.texts.len() as u64 * rounds + scanned * rounds, Some(span))?;
    Ok(())
}

/// `:is` and `:contains`.
fn simple(matching: &Matching, keys: &[String], values: &Values) -> bool {
    let texts = values.folded(matching.comparator);
    match &matching.ready {
        Ready::Equal(set) => texts.iter().any(|text| set.contains(&**text)),
        Ready::Contains(all) => texts.iter().any(|text| all.is_match(&**text)),
        Ready::Folded(keys) => texts.iter().any(|text| keys.iter().any(|k| **k == **text)),
        Ready::Finders(keys) => texts
            .iter()
            .any(|text| keys.iter().any(|k| k.find(text.as_bytes()).is_some())),
        _ => keys.iter().any(|key| {
            let key = matching.comparator.fold(key);
            texts.iter().any(|text| match matching.how {
                Match::Contains => memchr::memmem::find(text.as_bytes(), key.as_bytes()).is_some(),
                _ => *key == **text,
            })
        }),
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
