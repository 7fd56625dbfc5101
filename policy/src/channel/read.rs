//! The words of a channel line: keywords with their arguments.

use grammar::Diagnostic;
use grammar::imta::Word;

use super::keyword::{Arguments, Effect, KEYWORDS, keyword};
use super::settings::{Settings, apply, duration};
use crate::spelling::suggest;

/// The settings of a channel, or of `defaults`, and the keywords that made them.
#[derive(Debug, Clone, Default)]
pub(super) struct Read {
    pub settings: Settings,
    pub keywords: Vec<&'static str>,
}

/// Reads the words of a line; `said` are the keywords that were said to have no effect.
pub(super) fn read_keywords(
    words: &[Word],
    channel: &str,
    read: &mut Read,
    said: &mut Vec<&'static str>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut rest = words;
    while let Some((word, tail)) = rest.split_first() {
        let Some(known) = keyword(&word.text) else {
            unknown(word, channel, diagnostics);
            rest = tail;
            continue;
        };
        let count = arguments(known.arguments, tail);
        let args = &tail[..count];
        rest = &tail[count..];
        let missing = !matches!(known.arguments, Arguments::None | Arguments::NumberOptional) && count == 0;
        let numeric = known.arguments == Arguments::Number;
        let bad = args.iter().find(|a| numeric && a.text.parse::<u64>().is_err());
        if missing || bad.is_some() {
            let what = match known.arguments {
                Arguments::Number => "a number",
                Arguments::Ages => "one to five numbers",
                Arguments::Durations => "one to eight quoted durations",
                _ => "an argument",
            };
            let span = bad.map_or(word.span, |b| b.span);
            diagnostics.push(Diagnostic::error(
                "C003",
                span,
                format!("keyword `{}` of channel `{channel}` needs {what}", known.name),
            ));
            continue;
        }
        if known.effect == Effect::None && !said.contains(&known.name) {
            said.push(known.name);
            diagnostics.push(Diagnostic::note(
                "C010",
                word.span,
                format!("keyword `{}`: recognised, no effect in this version", known.name),
            ));
        }
        read.keywords.push(known.name);
        if let Err(problem) = apply(&mut read.settings, known.name, args) {
            diagnostics.push(Diagnostic::error(
                "C009",
                args.first().map_or(word.span, |a| a.span),
                problem,
            ));
        }
    }
}

fn unknown(word: &Word, channel: &str, diagnostics: &mut Vec<Diagnostic>) {
    let near = suggest(diagnostics.len(), &word.text, KEYWORDS.iter().map(|k| k.name));
    let mut d = Diagnostic::error(
        "C002",
        word.span,
        format!("unknown keyword `{}` on channel `{channel}`", word.text),
    );
    d = match near {
        Some(near) => d.help(format!("did you mean `{}`?", near.to_ascii_lowercase())),
        None => d.help("see docs/channels.md for all keywords"),
    };
    diagnostics.push(d);
}

/// How many of the following words are arguments.
fn arguments(kind: Arguments, tail: &[Word]) -> usize {
    let number = |w: &Word| w.text.trim_end_matches(',').parse::<u64>().is_ok();
    let run =
        |limit: usize, is: &dyn Fn(&Word) -> bool| tail.iter().take(limit).take_while(|w| is(w)).count();
    match kind {
        Arguments::None => 0,
        Arguments::Word | Arguments::Number => tail.len().min(1),
        Arguments::WordOptional => match tail {
            [_, second, ..] if keyword(&second.text).is_none() => 2,
            _ => tail.len().min(1),
        },
        Arguments::NumberOptional => run(1, &number),
        Arguments::Ages => run(5, &number),
        Arguments::Durations => run(8, &|w| w.quoted || duration(&w.text).is_some()),
    }
}
