//! From a checked command or test to instructions; what each argument means is decided here.

pub(super) mod action;
pub(super) mod callout;
pub(super) mod control;
pub(super) mod edit;
pub(super) mod private;
pub(super) mod test;

use std::collections::HashSet;

use aho_corasick::AhoCorasick;
use grammar::Span;
use grammar::sieve::{Argument, Block, Tests, Text, Word};
use memchr::memmem::Finder;

use super::compare::{Comparator, Glob, Match, Relation};
use super::compile::Compiler;
use super::forms::{Form, Tag};
use super::pattern;
use super::program::{Act, AddressPart, Index, Matching, Op, Ready, Str};
use crate::spelling::nearest;

/// A command or test that fits its form.
pub(super) struct Call<'a> {
    pub form: &'static Form,
    pub name: &'a Word,
    pub span: Span,
    pub tags: Vec<(&'static Tag, Span, Option<&'a Argument>)>,
    /// By the form's parameters; `None` for optional ones that were left out.
    pub params: Vec<Option<&'a Argument>>,
    pub tests: &'a Tests,
    pub block: Option<&'a Block>,
}

impl<'a> Call<'a> {
    /// Where the tag stands, if it is given.
    pub fn has(&self, tag: &str) -> Option<Span> {
        self.tags
            .iter()
            .find(|(t, _, _)| t.name == tag)
            .map(|(_, span, _)| *span)
    }

    fn value(&self, tag: &str) -> Option<&'a Argument> {
        self.tags
            .iter()
            .find(|(t, _, _)| t.name == tag)
            .and_then(|(_, _, value)| *value)
    }

    /// The string value of a tag.
    pub fn text(&self, tag: &str) -> Option<&'a Text> {
        match self.value(tag) {
            Some(Argument::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The strings of a tag's value.
    pub fn tag_texts(&self, tag: &str) -> Option<Vec<&'a Text>> {
        self.value(tag).map(flatten)
    }

    /// The number value of a tag.
    pub fn number(&self, tag: &str) -> Option<u64> {
        match self.value(tag) {
            Some(Argument::Number(n, _)) => Some(*n),
            _ => None,
        }
    }

    /// The string at a position.
    pub fn param(&self, at: usize) -> Option<&'a Text> {
        match self.params.get(at) {
            Some(Some(Argument::String(text))) => Some(text),
            _ => None,
        }
    }

    /// The number at a position.
    pub fn param_number(&self, at: usize) -> Option<u64> {
        match self.params.get(at) {
            Some(Some(Argument::Number(n, _))) => Some(*n),
            _ => None,
        }
    }

    /// The strings at a position; none where it was left out.
    pub fn texts(&self, at: usize) -> Vec<&'a Text> {
        self.params
            .get(at)
            .copied()
            .flatten()
            .map(flatten)
            .unwrap_or_default()
    }
}

fn flatten(argument: &Argument) -> Vec<&Text> {
    match argument {
        Argument::String(text) => vec![text],
        Argument::List(texts, _) => texts.iter().collect(),
        _ => Vec::new(),
    }
}

/// For forms that the compiler lowers itself.
pub(super) fn nothing(_: &mut Compiler<'_, '_>, _: &Call<'_>) {}

impl Compiler<'_, '_> {
    pub(super) fn act(&mut self, act: Act) {
        let span = self.span;
        self.emit(Op::Act(Box::new(act)), span);
    }

    /// The string at a position.
    pub(super) fn string_at(&mut self, call: &Call<'_>, at: usize) -> Str {
        match call.param(at) {
            Some(text) => self.string(text),
            None => Str::Const("".into()),
        }
    }

    pub(super) fn strings_at(&mut self, call: &Call<'_>, at: usize) -> Vec<Str> {
        self.strings(call.texts(at))
    }

    pub(super) fn tag_string(&mut self, call: &Call<'_>, tag: &str) -> Option<Str> {
        call.text(tag).map(|t| self.string(t))
    }

    pub(super) fn tag_strings(&mut self, call: &Call<'_>, tag: &str) -> Option<Vec<Str>> {
        call.tag_texts(tag).map(|t| self.strings(t))
    }

    /// Comparator, match type and keys.
    pub(super) fn matching(&mut self, call: &Call<'_>, keys: Vec<&Text>) -> Option<Matching> {
        let how = self.match_type(call)?;
        let comparator = self.comparator(call, how)?;
        let spans: Vec<Span> = keys.iter().map(|k| k.span).collect();
        let keys = self.strings(keys);
        let constants: Option<Vec<&str>> = keys
            .iter()
            .map(|k| match k {
                Str::Const(c) => Some(&**c),
                Str::Template(_) | Str::Computed(_) => None,
            })
            .collect();
        let ready = match constants {
            None => Ready::No,
            Some(constants) => self.prepare(comparator, how, &constants, &spans)?,
        };
        Some(Matching {
            comparator,
            how,
            keys,
            ready,
            asked: None,
        })
    }

    fn prepare(
        &mut self,
        comparator: Comparator,
        how: Match,
        keys: &[&str],
        spans: &[Span],
    ) -> Option<Ready> {
        /// Keys from which on one search for all of them pays.
        const MANY: usize = 4;
        let folded = || keys.iter().map(|k| comparator.fold(k).into_owned());
        let finders = || folded().map(|k| Finder::new(&k).into_owned()).collect();
        Some(match how {
            Match::Is if keys.len() >= MANY => Ready::Equal(folded().collect::<HashSet<_>>()),
            Match::Contains if keys.len() >= MANY && keys.iter().all(|k| !k.is_empty()) => {
                match AhoCorasick::new(folded()) {
                    Ok(all) => Ready::Contains(Box::new(all)),
                    Err(_) => Ready::Finders(finders()),
                }
            }
            Match::Is => Ready::Folded(folded().collect()),
            Match::Contains => Ready::Finders(finders()),
            Match::Matches => Ready::Globs(keys.iter().map(|k| Glob::new(comparator, k)).collect()),
            Match::Regex => {
                let mut all = Vec::new();
                for (key, span) in keys.iter().zip(spans) {
                    match pattern::compile(key, comparator) {
                        Ok(regex) => {
                            self.session.pattern_bytes += regex.size;
                            if self.session.pattern_bytes > pattern::MAX_PATTERN_BYTES {
                                self.error(
                                    "S124",
                                    *span,
                                    "the patterns of this program take too much room",
                                    "join several with `|`, or use `:contains`",
                                );
                                return None;
                            }
                            all.push(regex);
                        }
                        Err(why) => {
                            self.error(
                                "S124",
                                *span,
                                format!("this pattern cannot be used: {why}"),
                                "write a POSIX extended regular expression",
                            );
                            return None;
                        }
                    }
                }
                Ready::Regexes(all)
            }
            Match::Value(_) | Match::Count(_) | Match::List => Ready::No,
        })
    }

    fn match_type(&mut self, call: &Call<'_>) -> Option<Match> {
        for (name, how) in [
            ("is", Match::Is),
            ("contains", Match::Contains),
            ("matches", Match::Matches),
            ("regex", Match::Regex),
            ("list", Match::List),
        ] {
            if call.has(name).is_some() {
                return Some(how);
            }
        }
        for name in ["value", "count"] {
            if call.has(name).is_some() {
                let text = call.text(name)?;
                let relation = self.constant(text)?;
                let Some(relation) = Relation::by_name(&relation) else {
                    let message = format!("`:{name}` has no relation \"{relation}\"");
                    self.error(
                        "S117",
                        text.span,
                        message,
                        "use \"gt\", \"ge\", \"lt\", \"le\", \"eq\" or \"ne\"",
                    );
                    return None;
                };
                return Some(if name == "value" {
                    Match::Value(relation)
                } else {
                    Match::Count(relation)
                });
            }
        }
        Some(Match::Is)
    }

    fn comparator(&mut self, call: &Call<'_>, how: Match) -> Option<Comparator> {
        let Some(text) = call.text("comparator") else {
            return Some(Comparator::AsciiCasemap);
        };
        let name = self.constant(text)?;
        let Some(comparator) = Comparator::by_name(&name) else {
            let help = match nearest(&name, Comparator::NAMES.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("use one of {}", Comparator::NAMES.join(", ")),
            };
            self.error(
                "S116",
                text.span,
                format!("there is no comparator \"{name}\""),
                help,
            );
            return None;
        };
        let built_in = matches!(comparator, Comparator::Octet | Comparator::AsciiCasemap);
        let capability = format!("comparator-{name}");
        if !built_in && !self.required.has(&capability) {
            let message = format!("comparator \"{name}\" is used without its capability");
            self.error(
                "S103",
                text.span,
                message,
                format!("add `require \"{capability}\";` at the top of the script"),
            );
            return None;
        }
        if comparator == Comparator::AsciiNumeric
            && matches!(how, Match::Contains | Match::Matches | Match::Regex)
        {
            let message = "i;ascii-numeric compares numbers and cannot look for parts of them";
            self.error(
                "S118",
                text.span,
                message,
                "use `:is`, `:value` or `:count`, or another comparator",
            );
            return None;
        }
        Some(comparator)
    }

    pub(super) fn address_part(&mut self, call: &Call<'_>) -> AddressPart {
        for (name, part) in [
            ("localpart", AddressPart::Local),
            ("domain", AddressPart::Domain),
            ("user", AddressPart::User),
            ("detail", AddressPart::Detail),
        ] {
            if call.has(name).is_some() {
                return part;
            }
        }
        AddressPart::All
    }

    /// `:index` and `:last`.
    pub(super) fn index(&mut self, call: &Call<'_>) -> Option<Index> {
        match (call.has("index"), call.has("last")) {
            (None, Some(last)) => {
                self.error(
                    "S126",
                    last,
                    "`:last` stands without `:index`",
                    "write `:index 1 :last` for the last field",
                );
                None
            }
            (Some(span), last) => {
                let at = call.number("index").unwrap_or(0);
                if at == 0 {
                    self.error(
                        "S126",
                        span,
                        "`:index` counts from 1",
                        "write a number of 1 or more behind it",
                    );
                }
                Some(Index {
                    at,
                    last: last.is_some(),
                })
            }
            (None, None) => None,
        }
    }
}
