//! Control commands that need no shape of their own.

use super::super::Place;
use super::super::compile::Compiler;
use super::super::program::{Include, Op};
use super::super::text::is_identifier;
use super::Call;

pub(in super::super) fn stop(c: &mut Compiler<'_, '_>, _: &Call<'_>) {
    let span = c.span;
    c.emit(Op::Stop, span);
}

pub(in super::super) fn error(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let message = c.string_at(call, 0);
    c.emit(Op::Error(message), call.span);
}

pub(in super::super) fn leave(c: &mut Compiler<'_, '_>, _: &Call<'_>) {
    let span = c.span;
    c.emit(Op::Return, span);
}

pub(in super::super) fn break_loop(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    c.leave_loop(call, false);
}

pub(in super::super) fn continue_loop(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    c.leave_loop(call, true);
}

pub(in super::super) fn include(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let Some(text) = call.param(0) else { return };
    // The name is never expanded, whatever it holds.
    let name = text.value(false);
    if c.required.has("variables") && c.constant(text).is_none() {
        return;
    }
    if !is_script_name(&name) {
        let help = "use 1 to 128 characters without control characters and `/`";
        return c.error(
            "S128",
            text.span,
            format!("\"{name}\" cannot be the name of a script"),
            help,
        );
    }
    let place = if call.has("global").is_some() {
        Place::Global
    } else {
        Place::Personal
    };
    let (name, script) = c.session.include(place, &name, text.span);
    let optional = call.has("optional").is_some();
    if script.is_none() && !optional {
        let message = format!("there is no script {name}; reaching this will be an error");
        c.warn(
            "S128",
            text.span,
            message,
            "install the script, or add `:optional`",
        );
    }
    let include = Include {
        name,
        script,
        once: call.has("once").is_some(),
        optional,
    };
    let span = c.span;
    c.emit(Op::Include(Box::new(include)), span);
}

/// The rules of ManageSieve (RFC 5804, 1.6), and no path separators.
fn is_script_name(name: &str) -> bool {
    let good = |c: char| !c.is_control() && !matches!(c, '/' | '\u{2028}' | '\u{2029}');
    !name.is_empty() && name.chars().count() <= 128 && name.chars().all(good)
}

pub(in super::super) fn global(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    if !c.required.has("variables") {
        let help = "add `require \"variables\";` at the top of the script";
        return c.error(
            "S103",
            call.name.span,
            "`global` is used without its capability \"variables\"",
            help,
        );
    }
    for text in call.texts(0) {
        let Some(name) = c.constant(text) else { continue };
        if !is_identifier(&name) {
            let message = format!("\"{name}\" cannot be the name of a variable");
            c.error(
                "S122",
                text.span,
                message,
                "use letters, digits and `_`, a letter first",
            );
        } else if !c.declare_global(&name.to_ascii_lowercase()) {
            let message = format!("\"{name}\" is used before it is declared global");
            c.error("S128", text.span, message, "move `global` before its first use");
        }
    }
}
