//! The operators `memcache` and `metermaid`, as test and as action (specification B7).

use grammar::sieve::Argument;

use super::super::compile::Compiler;
use super::super::program::{Act, Callout, Op, Server, Str, Test};
use super::Call;

/// An operation with what it takes behind the key.
struct Operation {
    name: &'static str,
    /// What each argument is called.
    takes: &'static [&'static str],
    /// Whether `:timeout` makes sense.
    timeout: bool,
}

const fn op(name: &'static str, takes: &'static [&'static str], timeout: bool) -> Operation {
    Operation { name, takes, timeout }
}

const MEMCACHE: &[Operation] = &[
    op("store", &["value"], true),
    op("add", &["value"], true),
    op("replace", &["value"], true),
    op("append", &["value"], false),
    op("prepend", &["value"], false),
    op("fetch", &[], false),
    op("remove", &[], false),
    op("adjust", &["delta"], true),
    op("test", &["expression"], false),
    op("adjust_and_test", &["delta", "expression"], true),
    op("throttle", &["quota", "quota time"], false),
    op("greylisting", &["lockout", "timeout"], false),
];

const METERMAID: &[Operation] = &[
    op("throttle", &[], false),
    op("query", &[], false),
    op("greylisting", &[], false),
    op("store", &["value"], false),
    op("fetch", &[], false),
    op("remove", &[], false),
    op("adjust", &["delta"], false),
    op("test", &["expression"], false),
    op("adjust_and_test", &["delta", "expression"], false),
];

fn callout(c: &mut Compiler<'_, '_>, call: &Call<'_>) -> Option<Callout> {
    let memcache = call.form.name == "memcache";
    let operations = if memcache { MEMCACHE } else { METERMAID };
    let Some(operation) = operations.iter().find(|o| call.has(o.name).is_some()) else {
        let names: Vec<String> = operations.iter().map(|o| format!("`:{}`", o.name)).collect();
        let message = format!("`{}` lacks its operation", call.form.name);
        c.error(
            "S106",
            call.name.span,
            message,
            format!("write one of {}", names.join(", ")),
        );
        return None;
    };
    let given: Vec<&Argument> = call.params.iter().skip(1).copied().flatten().collect();
    if given.len() != operation.takes.len() {
        let wants = match operation.takes {
            [] => "a key alone".to_owned(),
            takes => format!("a key and {}", takes.join(" and ")),
        };
        let message = format!("`:{}` takes {wants}", operation.name);
        c.error(
            "S107",
            call.span,
            message,
            format!("write {wants} behind the tags"),
        );
        return None;
    }
    for (tag, allowed) in [
        ("timeout", operation.timeout),
        ("penalize", operation.name == "throttle"),
    ] {
        if let Some(span) = call.has(tag).filter(|_| !allowed) {
            c.error(
                "S105",
                span,
                format!("`:{tag}` does not go with `:{}`", operation.name),
                "remove it",
            );
        }
    }
    let mut rest = Vec::new();
    for (argument, what) in given.into_iter().zip(operation.takes) {
        let value = match argument {
            Argument::Number(n, _) => Str::Const(n.to_string().into()),
            Argument::String(text) => c.string(text),
            _ => Str::Const("".into()),
        };
        if let Str::Const(text) = &value
            && let Some(help) = malformed(what, text)
        {
            c.error("S129", argument.span(), format!("\"{text}\" is no {what}"), help);
        }
        rest.push(value);
    }
    if !memcache && call.has("table").is_none() {
        c.error(
            "S106",
            call.name.span,
            "`metermaid` lacks its table",
            "add `:table` with its name",
        );
        return None;
    }
    let server = Server {
        hosts: c
            .tag_strings(call, "host")
            .or_else(|| c.tag_strings(call, "server"))
            .unwrap_or_default(),
        port: call.number("port"),
        secret: c.tag_string(call, "secret"),
    };
    c.session.recipient_specific = true;
    Some(Callout {
        memcache,
        operation: operation.name,
        server,
        prefix: c.tag_string(call, if memcache { "tableprefix" } else { "table" }),
        key: c.string_at(call, 0),
        rest,
        timeout: call.number("timeout"),
        penalize: call.has("penalize").is_some(),
        captures: operation.name == "fetch" && c.required.has("variables"),
    })
}

/// How a constant argument has to look, where it does not.
pub(in super::super) fn malformed(what: &str, text: &str) -> Option<&'static str> {
    let number = |t: &str| t.strip_prefix('+').unwrap_or(t).parse::<i64>().is_ok();
    match what {
        "delta" if !number(text) => Some("write a number, as in 5, \"+5\" or \"-5\""),
        "quota" | "quota time" | "lockout" | "timeout" if text.parse::<u64>().is_err() => {
            Some("write a number")
        }
        "expression" => {
            let operand = [">=", "<=", "=", ">", "<"]
                .iter()
                .find_map(|o| text.strip_prefix(o));
            let good = operand.is_some_and(|n| number(n.trim()));
            (!good).then_some("write an operator and a number, as in \">=5\"")
        }
        _ => None,
    }
}

pub(in super::super) fn test(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    if let Some(callout) = callout(c, call) {
        c.emit(Op::Test(Box::new(Test::Callout(callout))), call.span);
    }
}

pub(in super::super) fn action(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    if let Some(callout) = callout(c, call) {
        c.act(Act::Callout(callout));
    }
}
