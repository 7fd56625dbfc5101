//! Actions that change the message: editheader (RFC 5293) and MIME editing (RFC 5703).

use super::super::compile::Compiler;
use super::super::program::{Act, Index, Matching, Str};
use super::Call;
use super::action::{modifiers, named_variable};
use crate::message::field;

/// Tags that say how patterns are compared.
const MATCHING: &[&str] = &[
    "is",
    "contains",
    "matches",
    "regex",
    "list",
    "value",
    "count",
    "comparator",
];

fn field_name(c: &mut Compiler<'_, '_>, name: &Str, span: grammar::Span) {
    if let Str::Const(name) = name
        && !field::is_name(name)
    {
        let message = format!("\"{name}\" cannot be the name of a header field");
        c.error(
            "S129",
            span,
            message,
            "use printable ASCII characters without a colon",
        );
    }
}

fn field_value(c: &mut Compiler<'_, '_>, value: &Str, span: grammar::Span) {
    if let Str::Const(value) = value
        && value.contains(['\r', '\n', '\0'])
    {
        c.error(
            "S129",
            span,
            "this value holds a line end or NUL",
            "write it in one line; it is folded as needed",
        );
    }
}

pub(in super::super) fn addheader(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let name = c.string_at(call, 0);
    let value = c.string_at(call, 1);
    if let (Some(n), Some(v)) = (call.param(0), call.param(1)) {
        field_name(c, &name, n.span);
        field_value(c, &value, v.span);
    }
    c.act(Act::AddHeader {
        last: call.has("last").is_some(),
        name,
        value,
    });
}

/// Name, index and patterns of a change to existing fields.
fn selection(c: &mut Compiler<'_, '_>, call: &Call<'_>) -> Option<(Str, Option<Index>, Option<Matching>)> {
    let name = c.string_at(call, 0);
    if let Some(text) = call.param(0) {
        field_name(c, &name, text.span);
    }
    let index = c.index(call);
    let patterns = call.texts(1);
    let matching = if patterns.is_empty() {
        let compares = MATCHING.iter().find_map(|tag| Some((tag, call.has(tag)?)));
        if let Some((tag, span)) = compares {
            c.warn(
                "S132",
                span,
                format!("`:{tag}` does nothing without patterns: all fields of the name are taken"),
                "add the patterns as a last argument, or leave the tag out",
            );
        }
        None
    } else {
        Some(c.matching(call, patterns)?)
    };
    Some((name, index, matching))
}

pub(in super::super) fn deleteheader(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let Some((name, index, matching)) = selection(c, call) else {
        return;
    };
    c.act(Act::DeleteHeader {
        index,
        name,
        matching,
    });
}

pub(in super::super) fn replaceheader(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let Some((name, index, matching)) = selection(c, call) else {
        return;
    };
    let new_name = c.tag_string(call, "newname");
    let new_value = c.tag_string(call, "newvalue");
    if let (Some(name), Some(text)) = (&new_name, call.text("newname")) {
        field_name(c, name, text.span);
    }
    if let (Some(value), Some(text)) = (&new_value, call.text("newvalue")) {
        field_value(c, value, text.span);
    }
    if new_name.is_none() && new_value.is_none() {
        let help = "add `:newname` or `:newvalue` with a string";
        return c.error(
            "S106",
            call.name.span,
            "`replaceheader` says not what to put there",
            help,
        );
    }
    c.act(Act::ReplaceHeader {
        index,
        name,
        matching,
        new_name,
        new_value,
    });
}

pub(in super::super) fn extracttext(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    if !c.in_loop() {
        let help = "put it into a `foreverypart` block";
        return c.error(
            "S127",
            call.name.span,
            "`extracttext` stands outside every loop",
            help,
        );
    }
    if !c.required.has("variables") {
        let help = "add `require \"variables\";` at the top of the script";
        return c.error(
            "S103",
            call.name.span,
            "`extracttext` is used without capability \"variables\"",
            help,
        );
    }
    let Some(slot) = named_variable(c, call, 0) else {
        return;
    };
    c.act(Act::ExtractText {
        first: call.number("first"),
        slot,
        modifiers: modifiers(call),
    });
}

pub(in super::super) fn replace(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let act = Act::Replace {
        mime: call.has("mime").is_some(),
        subject: c.tag_string(call, "subject"),
        from: c.tag_string(call, "from"),
        text: c.string_at(call, 0),
    };
    c.act(act);
}

pub(in super::super) fn enclose(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let act = Act::Enclose {
        subject: c.tag_string(call, "subject"),
        headers: c.tag_strings(call, "headers").unwrap_or_default(),
        text: c.string_at(call, 0),
    };
    c.act(act);
}
