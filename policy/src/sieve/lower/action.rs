//! Actions of the base language and of the delivery extensions.

use grammar::Span;
use grammar::sieve::{Argument, Text};

use super::super::compile::Compiler;
use super::super::perform::{SYSTEM_FLAGS, is_flag};
use super::super::program::{
    Act, ByTime, Fcc, FlagChange, Modifier, Period, Redirect, Slot, Str, Target, Vacation,
};
use super::super::uri;
use super::Call;
use super::test::{flag_variable, variable};
use crate::message::address;
use crate::spelling::nearest;

pub(in super::super) fn keep(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let flags = tag_flags(c, call);
    c.act(Act::Keep { flags });
}

pub(in super::super) fn discard(c: &mut Compiler<'_, '_>, _: &Call<'_>) {
    c.act(Act::Discard);
}

/// The value of `:flags`.
fn tag_flags(c: &mut Compiler<'_, '_>, call: &Call<'_>) -> Option<Vec<Str>> {
    let flags = c.tag_strings(call, "flags")?;
    check_flags(c, &flags, &call.tag_texts("flags").unwrap_or_default());
    Some(flags)
}

/// Constants that can be no flag: they are left out when the script runs.
pub(super) fn check_flags(c: &mut Compiler<'_, '_>, flags: &[Str], texts: &[&Text]) {
    for (flag, text) in flags.iter().zip(texts) {
        let Str::Const(flags) = flag else { continue };
        for flag in flags.split_whitespace().filter(|f| !is_flag(f)) {
            let help = match nearest(flag, SYSTEM_FLAGS.iter().copied()) {
                Some(near) if flag.starts_with('\\') => format!("did you mean \"\\{near}\"?"),
                _ => "a flag is a word, or one of \\\\Answered, \\\\Flagged, \\\\Deleted, \\\\Seen and \\\\Draft".into(),
            };
            let message = format!("\"{flag}\" is no flag, and is left out");
            c.warn("S133", text.span, message, help);
        }
    }
}

/// A mailbox name that can never be one.
fn check_mailbox(c: &mut Compiler<'_, '_>, name: &Str, span: Span) {
    if let Str::Const(name) = name
        && (name.is_empty() || name.chars().any(char::is_control))
    {
        c.error(
            "S129",
            span,
            "this cannot be the name of a mailbox",
            "write a name without control characters",
        );
    }
}

pub(in super::super) fn fileinto(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let mailbox = c.string_at(call, 0);
    if let Some(text) = call.param(0) {
        check_mailbox(c, &mailbox, text.span);
    }
    let act = Act::FileInto {
        mailbox,
        copy: call.has("copy").is_some(),
        create: call.has("create").is_some(),
        flags: tag_flags(c, call),
        specialuse: c.tag_string(call, "specialuse"),
        mailboxid: c.tag_string(call, "mailboxid"),
    };
    c.act(act);
}

/// Reports a constant that is no address.
fn check_address(c: &mut Compiler<'_, '_>, value: &Str, span: Span) {
    if let Str::Const(value) = value
        && address::single(value).is_none()
    {
        let message = format!("\"{value}\" is not an address");
        c.error(
            "S121",
            span,
            message,
            "write one address, as in \"user@host.example\"",
        );
    }
}

fn one_of(c: &mut Compiler<'_, '_>, call: &Call<'_>, tag: &str, allowed: &[&str]) -> Option<Str> {
    let text = call.text(tag)?;
    let value = c.string(text);
    if let Str::Const(v) = &value
        && !allowed.iter().any(|a| a.eq_ignore_ascii_case(v))
    {
        let names: Vec<String> = allowed.iter().map(|a| format!("\"{a}\"")).collect();
        let message = format!("`:{tag}` cannot be \"{v}\"");
        c.error("S129", text.span, message, format!("use {}", names.join(" or ")));
    }
    Some(value)
}

/// Checks `:notify` of a redirect: lists of conditions, or NEVER alone.
fn check_conditions(c: &mut Compiler<'_, '_>, texts: &[&Text]) {
    let mut all = Vec::new();
    for text in texts {
        let Str::Const(value) = c.string(text) else { return };
        all.extend(
            value
                .split(',')
                .map(|w| (w.trim().to_ascii_uppercase(), text.span)),
        );
    }
    for (word, span) in &all {
        if !["NEVER", "SUCCESS", "FAILURE", "DELAY"].contains(&word.as_str()) {
            let message = format!("there is no delivery condition \"{word}\"");
            c.error("S129", *span, message, "use NEVER, or SUCCESS, FAILURE and DELAY");
        } else if word == "NEVER" && all.len() > 1 {
            c.error(
                "S129",
                *span,
                "NEVER stands beside other conditions",
                "keep either NEVER or the others",
            );
        }
    }
}

pub(in super::super) fn redirect(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let to = c.string_at(call, 0);
    let span = call.param(0).map_or(call.span, |t| t.span);
    let target = if call.has("list").is_some() {
        if let Str::Const(name) = &to
            && !uri::is_list(name)
        {
            let message = format!("\"{name}\" cannot be the name of a list");
            c.error(
                "S129",
                span,
                message,
                "write an absolute URI, or a name that begins with `:`",
            );
        }
        Target::List(to)
    } else {
        check_address(c, &to, span);
        Target::Address(to)
    };
    let notify = call.tag_texts("notify").map(|texts| {
        check_conditions(c, &texts);
        let list = call
            .tags
            .iter()
            .any(|(t, _, v)| t.name == "notify" && matches!(v, Some(Argument::List(..))));
        (c.strings(texts), list)
    });
    let by_time = match (
        call.number("bytimerelative"),
        c.tag_string(call, "bytimeabsolute"),
    ) {
        (Some(seconds), _) => Some(ByTime::Relative(seconds)),
        (None, Some(time)) => Some(ByTime::Absolute(time)),
        (None, None) => None,
    };
    let either = |yes: &str, no: &str| call.has(yes).map(|_| true).or(call.has(no).map(|_| false));
    let act = Act::Redirect(Redirect {
        target,
        copy: call.has("copy").is_some(),
        notify,
        ret: one_of(c, call, "ret", &["FULL", "HDRS"]),
        by_time,
        by_mode: one_of(c, call, "bymode", &["notify", "return"]),
        by_trace: call.has("bytrace").is_some(),
        resent: either("resent", "noresent"),
        reset_from: either("resetmailfrom", "keepmailfrom"),
    });
    c.act(act);
}

pub(in super::super) fn reject(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let reason = c.string_at(call, 0);
    c.act(Act::Reject {
        reason,
        extended: false,
    });
}

pub(in super::super) fn ereject(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let reason = c.string_at(call, 0);
    c.act(Act::Reject {
        reason,
        extended: true,
    });
}

/// Modifiers in the order they are applied.
pub(super) fn modifiers(call: &Call<'_>) -> Vec<Modifier> {
    let all = [
        ("lower", Modifier::Lower),
        ("upper", Modifier::Upper),
        ("lowerfirst", Modifier::LowerFirst),
        ("upperfirst", Modifier::UpperFirst),
        ("quotewildcard", Modifier::QuoteWildcard),
        ("quoteregex", Modifier::QuoteRegex),
        ("encodeurl", Modifier::EncodeUrl),
        ("length", Modifier::Length),
    ];
    all.into_iter()
        .filter(|(name, _)| call.has(name).is_some())
        .map(|(_, m)| m)
        .collect()
}

pub(super) fn named_variable(c: &mut Compiler<'_, '_>, call: &Call<'_>, at: usize) -> Option<Slot> {
    let text = call.param(at)?;
    let name = c.constant(text)?;
    variable(c, text, &name)
}

pub(in super::super) fn set(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let Some(slot) = named_variable(c, call, 0) else {
        return;
    };
    let value = c.string_at(call, 1);
    let most = c.session.options.limits.max_value;
    if let (Str::Const(v), Some(text)) = (&value, call.param(1))
        && v.chars().count() > most
    {
        let message = format!("this value has more than the {most} characters that a variable holds");
        c.error("S122", text.span, message, "shorten it");
    }
    c.act(Act::Set {
        slot,
        modifiers: modifiers(call),
        value,
    });
}

fn change_flags(c: &mut Compiler<'_, '_>, call: &Call<'_>, change: FlagChange) {
    let variable = match call.param(0) {
        Some(text) => match flag_variable(c, text) {
            Some(slot) => Some(slot),
            None => return,
        },
        None => None,
    };
    let flags = c.strings_at(call, 1);
    check_flags(c, &flags, &call.texts(1));
    c.act(Act::ChangeFlags {
        change,
        variable,
        flags,
    });
}

pub(in super::super) fn setflag(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    change_flags(c, call, FlagChange::Set);
}

pub(in super::super) fn addflag(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    change_flags(c, call, FlagChange::Add);
}

pub(in super::super) fn removeflag(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    change_flags(c, call, FlagChange::Remove);
}

/// `:fcc` and the tags that go with it.
fn fcc(c: &mut Compiler<'_, '_>, call: &Call<'_>) -> Option<Fcc> {
    let Some(mailbox) = c.tag_string(call, "fcc") else {
        for tag in ["create", "flags", "specialuse", "mailboxid"] {
            if let Some(span) = call.has(tag) {
                c.error(
                    "S129",
                    span,
                    format!("`:{tag}` stands without `:fcc`"),
                    "add `:fcc` with a mailbox before it",
                );
            }
        }
        return None;
    };
    Some(Fcc {
        mailbox,
        create: call.has("create").is_some(),
        flags: tag_flags(c, call),
        specialuse: c.tag_string(call, "specialuse"),
        mailboxid: c.tag_string(call, "mailboxid"),
    })
}

pub(in super::super) fn vacation(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    c.session.recipient_specific = true;
    let Some(reason_text) = call.param(0) else { return };
    let period = call
        .number("days")
        .map(Period::Days)
        .or_else(|| call.number("hours").map(Period::Hours))
        .or_else(|| call.number("seconds").map(Period::Seconds));
    let from = c.tag_string(call, "from");
    if let (Some(from), Some(text)) = (&from, call.text("from")) {
        check_address(c, from, text.span);
    }
    let addresses = call.tag_texts("addresses").unwrap_or_default();
    for text in &addresses {
        let value = c.string(text);
        check_address(c, &value, text.span);
    }
    let addresses = c.strings(addresses);
    let reason = c.string(reason_text);
    let mime = call.has("mime").is_some();
    if mime && let Str::Const(text) = &reason {
        let header = text.split("\r\n\r\n").next().unwrap_or("");
        if !header.is_ascii() {
            c.error(
                "S129",
                reason_text.span,
                "the header of this MIME part holds 8-bit text",
                "encode it as RFC 2047 has it",
            );
        }
    }
    // Parameters as written, each with its length, an absent one marked: no two lists look alike.
    let slot = |text: Option<&Text>| text.map_or("-;".to_owned(), |t| format!("{}:{};", t.raw.len(), t.raw));
    let fingerprint = format!(
        "{}{}{}{}",
        slot(call.text("subject")),
        slot(call.text("from")),
        if mime { "1;" } else { "0;" },
        slot(Some(reason_text))
    );
    let act = Act::Vacation(Vacation {
        period,
        subject: c.tag_string(call, "subject"),
        from,
        addresses,
        mime,
        handle: c.tag_string(call, "handle"),
        reply: call.has("reply").is_some(),
        echo: call.has("echo").is_some(),
        reason,
        fcc: fcc(c, call),
        fingerprint,
    });
    c.act(act);
}

pub(in super::super) fn notify(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let method = c.string_at(call, 0);
    if let (Str::Const(value), Some(text)) = (&method, call.param(0))
        && let Some(why) = uri::bad_method(value, &c.session.options.notify_methods)
    {
        let offered = c.session.options.notify_methods.join(", ");
        c.error("S129", text.span, why, format!("methods offered: {offered}"));
    }
    let importance = one_of(c, call, "importance", &["1", "2", "3"]);
    for text in call.tag_texts("options").unwrap_or_default() {
        let value = c.string(text);
        if matches!(&value, Str::Const(v) if v.split_once('=').is_none_or(|(name, _)| name.is_empty())) {
            c.error(
                "S129",
                text.span,
                "this option is not `name=value`",
                "write it as \"name=value\"",
            );
        }
    }
    let act = Act::Notify {
        from: c.tag_string(call, "from"),
        importance,
        options: c.tag_strings(call, "options").unwrap_or_default(),
        message: c.tag_string(call, "message"),
        method,
        fcc: fcc(c, call),
    };
    c.act(act);
}

pub(in super::super) fn assign(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let value = c.string_at(call, 1);
    let Some(slot) = named_variable(c, call, 0) else {
        return;
    };
    c.act(Act::Assign { slot, value });
}
