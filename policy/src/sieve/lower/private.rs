//! The product's own actions.

use grammar::sieve::Argument;

use super::super::compile::Compiler;
use super::super::program::{Act, Private, Str};
use super::Call;
use crate::message::address;

fn with(c: &mut Compiler<'_, '_>, call: &Call<'_>, action: Private) {
    let strings = c.strings_at(call, 0);
    c.act(Act::Private {
        action,
        strings,
        number: None,
    });
}

macro_rules! plain {
    ($($name:ident $action:ident,)*) => {
        $(pub(in super::super) fn $name(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
            with(c, call, Private::$action);
        })*
    };
}

plain! {
    jettison Jettison,
    addprefix AddPrefix,
    addsuffix AddSuffix,
    hold Hold,
    addconversiontag AddConversionTag,
    setconversiontag SetConversionTag,
    removeconversiontag RemoveConversionTag,
    novacation NoVacation,
    transactionlog TransactionLog,
    refuse Refuse,
}

/// Reports the first constant that `bad` finds fault with.
fn checked(
    c: &mut Compiler<'_, '_>,
    call: &Call<'_>,
    action: Private,
    help: &str,
    bad: impl Fn(&str) -> Option<String>,
) {
    for text in call.texts(0) {
        if let Str::Const(value) = c.string(text)
            && let Some(message) = bad(&value)
        {
            return c.error("S129", text.span, message, help);
        }
    }
    with(c, call, action);
}

pub(in super::super) fn addtag(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    checked(c, call, Private::AddTag, "use another character", |tag| {
        tag.contains('|')
            .then(|| format!("the tag \"{tag}\" holds a vertical bar"))
    });
}

pub(in super::super) fn spamadjust(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    checked(
        c,
        call,
        Private::SpamAdjust,
        "begin it with a number, as in \"+2.5 reason\"",
        |score| {
            super::super::spam::leading_number(score)
                .is_none()
                .then(|| format!("\"{score}\" does not begin with a number"))
        },
    );
}

pub(in super::super) fn virusset(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    checked(
        c,
        call,
        Private::VirusSet,
        "write a digit from \"0\" to \"5\"",
        |value| {
            let good = value.parse::<u8>().is_ok_and(|v| v <= 5);
            (!good).then(|| format!("\"{value}\" is not a virus value"))
        },
    );
}

pub(in super::super) fn capture(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let action = if call.has("journal").is_some() {
        Private::CaptureJournal
    } else if call.has("message").is_some() {
        Private::CaptureMessage
    } else {
        Private::CaptureDsn
    };
    checked(c, call, action, "write one address", |value| {
        address::single(value)
            .is_none()
            .then(|| format!("\"{value}\" is not an address"))
    });
}

pub(in super::super) fn setenvelopefrom(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    checked(
        c,
        call,
        Private::SetEnvelopeFrom,
        "write one address, or \"\" for the null sender",
        |value| {
            let bad = matches!(address::envelope(value), address::Address::Invalid(_));
            bad.then(|| format!("\"{value}\" is not an address"))
        },
    );
}

pub(in super::super) fn setnotify(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    checked(
        c,
        call,
        Private::SetNotify,
        "use NEVER, or SUCCESS, FAILURE and DELAY with commas",
        bad_conditions,
    );
}

/// What is wrong with a comma list of delivery conditions.
pub(in super::super) fn bad_conditions(value: &str) -> Option<String> {
    let words: Vec<String> = value.split(',').map(|w| w.trim().to_ascii_uppercase()).collect();
    let unknown = words
        .iter()
        .find(|w| !["NEVER", "SUCCESS", "FAILURE", "DELAY"].contains(&w.as_str()));
    if let Some(word) = unknown {
        return Some(format!("there is no delivery condition \"{word}\""));
    }
    (words.len() > 1 && words.iter().any(|w| w == "NEVER"))
        .then(|| "NEVER stands beside other conditions".to_owned())
}

pub(in super::super) fn setret(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    checked(c, call, Private::SetRet, "write \"FULL\" or \"HDRS\"", |value| {
        let good = value.eq_ignore_ascii_case("FULL") || value.eq_ignore_ascii_case("HDRS");
        (!good).then(|| format!("\"{value}\" is not what can be returned"))
    });
}

/// A number argument as a string, since negative ones can only be written so.
fn numeric(c: &mut Compiler<'_, '_>, call: &Call<'_>, at: usize) -> Str {
    match call.params.get(at) {
        Some(Some(Argument::Number(n, _))) => Str::Const(n.to_string().into()),
        _ => c.string_at(call, at),
    }
}

pub(in super::super) fn setmtpriority(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let value = numeric(c, call, 0);
    if let Str::Const(v) = &value
        && !v.parse::<i8>().is_ok_and(|p| (-9..=9).contains(&p))
    {
        let message = format!("\"{v}\" is not a priority");
        return c.error(
            "S129",
            call.span,
            message,
            "write a number from -9 to 9, negative ones as a string",
        );
    }
    c.act(Act::Private {
        action: Private::SetMtPriority,
        strings: vec![value],
        number: None,
    });
}

pub(in super::super) fn adjustcounter(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let counter = call.param_number(0).unwrap_or(0);
    if !(1..=8).contains(&counter) {
        return c.error(
            "S129",
            call.span,
            format!("there is no site counter {counter}"),
            "use a counter from 1 to 8",
        );
    }
    let change = numeric(c, call, 1);
    c.act(Act::Private {
        action: Private::AdjustCounter,
        strings: vec![change],
        number: Some(counter),
    });
}
