//! Tests.

use grammar::sieve::Text;

use super::super::compare::Match;
use super::super::compile::Compiler;
use super::super::program::{Aspect, DuplicateId, Matching, Mime, Op, Slot, Str, Test, Transform, Zone};
use super::super::text::is_identifier;
use super::super::{Mode, uri};
use super::Call;
use crate::message::date;
use crate::spelling::nearest;

fn emit(c: &mut Compiler<'_, '_>, call: &Call<'_>, test: Test) {
    c.emit(Op::Test(Box::new(test)), call.span);
}

/// Keys at a position, with comparator and match type.
fn keys(c: &mut Compiler<'_, '_>, call: &Call<'_>, at: usize) -> Option<Matching> {
    let texts = call.texts(at);
    let spans: Vec<_> = texts.iter().map(|t| t.span).collect();
    let matching = c.matching(call, texts)?;
    if matching.how == Match::List {
        for (key, span) in matching.keys.iter().zip(spans) {
            list_name(c, key, span);
        }
    }
    Some(matching)
}

fn list_name(c: &mut Compiler<'_, '_>, name: &Str, span: grammar::Span) {
    if let Str::Const(name) = name
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
}

fn mime(c: &mut Compiler<'_, '_>, call: &Call<'_>) -> Option<Mime> {
    let aspects = ["type", "subtype", "contenttype", "param"];
    if call.has("mime").is_none() {
        for tag in aspects.into_iter().chain(["anychild"]) {
            if let Some(span) = call.has(tag) {
                c.error(
                    "S129",
                    span,
                    format!("`:{tag}` stands without `:mime`"),
                    "add `:mime` before it",
                );
            }
        }
        return None;
    }
    let aspect = if call.has("type").is_some() {
        Aspect::Type
    } else if call.has("subtype").is_some() {
        Aspect::Subtype
    } else if call.has("contenttype").is_some() {
        Aspect::ContentType
    } else if let Some(names) = c.tag_strings(call, "param") {
        Aspect::Parameters(names)
    } else {
        Aspect::Whole
    };
    Some(Mime {
        anychild: call.has("anychild").is_some(),
        aspect,
    })
}

pub(in super::super) fn header(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let names = c.strings_at(call, 0);
    let index = c.index(call);
    let mime = mime(c, call);
    let Some(matching) = keys(c, call, 1) else { return };
    emit(
        c,
        call,
        Test::Header {
            names,
            matching,
            index,
            mime,
        },
    );
}

/// Fields that hold addresses.
const ADDRESS_FIELDS: &[&str] = &[
    "from",
    "to",
    "cc",
    "bcc",
    "sender",
    "reply-to",
    "resent-from",
    "resent-to",
    "resent-cc",
    "resent-bcc",
    "resent-sender",
    "resent-reply-to",
    "return-path",
    "delivered-to",
    "x-original-to",
    "errors-to",
    "envelope-to",
    "apparently-to",
    "mail-followup-to",
    "mail-reply-to",
    "disposition-notification-to",
    "return-receipt-to",
    "x-envelope-to",
    "x-envelope-from",
    "approved",
    "list-post",
    "list-owner",
];

pub(in super::super) fn address(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let texts = call.texts(0);
    for text in &texts {
        let Str::Const(name) = c.string(text) else {
            continue;
        };
        let lower = name.to_ascii_lowercase();
        if !ADDRESS_FIELDS.contains(&lower.as_str()) && !lower.starts_with("x-") {
            let help = match nearest(&lower, ADDRESS_FIELDS.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"? `header` looks at any field"),
                None => "use `header` for this field".to_owned(),
            };
            c.error(
                "S120",
                text.span,
                format!("field \"{name}\" holds no addresses"),
                help,
            );
        }
    }
    let names = c.strings(texts);
    let part = c.address_part(call);
    let index = c.index(call);
    let mime = mime(c, call);
    let Some(matching) = keys(c, call, 1) else { return };
    emit(
        c,
        call,
        Test::Address {
            names,
            part,
            matching,
            index,
            mime,
        },
    );
}

/// Envelope parts, each with the capability it needs besides `envelope`.
const ENVELOPE_PARTS: &[(&str, &str)] = &[
    ("from", "envelope"),
    ("to", "envelope"),
    ("auth", "envelope"),
    ("conversiontag", "envelope"),
    ("notify", "envelope-dsn"),
    ("orcpt", "envelope-dsn"),
    ("ret", "envelope-dsn"),
    ("envid", "envelope-dsn"),
    ("bytimerelative", "envelope-deliverby"),
    ("bytimeabsolute", "envelope-deliverby"),
    ("bymode", "envelope-deliverby"),
    ("bytrace", "envelope-deliverby"),
];

pub(in super::super) fn envelope(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let texts = call.texts(0);
    for text in &texts {
        let Str::Const(name) = c.string(text) else {
            c.session.recipient_specific = true;
            continue;
        };
        let lower = name.to_ascii_lowercase();
        if !matches!(
            lower.as_str(),
            "from" | "auth" | "conversiontag" | "ret" | "envid"
        ) {
            c.session.recipient_specific = true;
        }
        match ENVELOPE_PARTS.iter().find(|(n, _)| *n == lower) {
            Some((_, capability)) if !c.required.has(capability) => {
                let message =
                    format!("envelope part \"{name}\" is used without its capability \"{capability}\"");
                c.error(
                    "S103",
                    text.span,
                    message,
                    format!("add `require \"{capability}\";` at the top of the script"),
                );
            }
            Some(_) => {}
            None => {
                let help = match nearest(&lower, ENVELOPE_PARTS.iter().map(|(n, _)| *n)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "use \"from\" or \"to\"".to_owned(),
                };
                c.error(
                    "S119",
                    text.span,
                    format!("the envelope has no part \"{name}\""),
                    help,
                );
            }
        }
    }
    let parts = c.strings(texts);
    let part = c.address_part(call);
    let Some(matching) = keys(c, call, 1) else { return };
    emit(
        c,
        call,
        Test::Envelope {
            parts,
            part,
            matching,
        },
    );
}

pub(in super::super) fn exists(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let names = c.strings_at(call, 0);
    let mime = mime(c, call);
    emit(c, call, Test::Exists { names, mime });
}

pub(in super::super) fn size(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let over = call.has("over").is_some();
    if !over && call.has("under").is_none() {
        return c.error(
            "S106",
            call.name.span,
            "`size` lacks its direction",
            "write `:over` or `:under` before the number",
        );
    }
    let limit = call.param_number(0).unwrap_or(0);
    emit(c, call, Test::Size { over, limit });
}

pub(in super::super) fn string(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let sources = c.strings_at(call, 0);
    let Some(matching) = keys(c, call, 1) else { return };
    emit(c, call, Test::String { sources, matching });
}

pub(in super::super) fn hasflag(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let mut variables = None;
    if call.params.first().is_some_and(Option::is_some) {
        let mut slots = Vec::new();
        for text in call.texts(0) {
            slots.extend(flag_variable(c, text));
        }
        variables = Some(slots);
    }
    let Some(matching) = keys(c, call, 1) else { return };
    if matching.how == Match::Is {
        super::action::check_flags(c, &matching.keys, &call.texts(1));
    }
    emit(c, call, Test::HasFlag { variables, matching });
}

/// The variable that holds flags.
pub(in super::super) fn flag_variable(c: &mut Compiler<'_, '_>, text: &Text) -> Option<Slot> {
    if !c.required.has("variables") {
        let help = "add `require \"variables\";` at the top, or leave the variable out";
        c.error(
            "S103",
            text.span,
            "a variable for flags needs capability \"variables\"",
            help,
        );
        return None;
    }
    let name = c.constant(text)?;
    variable(c, text, &name)
}

/// The slot of a variable that a script names, which must not be a match variable.
pub(in super::super) fn variable(c: &mut Compiler<'_, '_>, text: &Text, name: &str) -> Option<Slot> {
    let lower = name.to_ascii_lowercase();
    if let Some(shared) = lower.strip_prefix("global.")
        && c.required.has("include")
        && is_identifier(shared)
    {
        return Some(c.global(shared));
    }
    if !is_identifier(&lower) || lower.len() > super::super::MAX_VARIABLE_NAME {
        let help = if lower.contains('.') {
            "use a name without a namespace, or `global.` with `require \"include\"`"
        } else {
            "use letters, digits and `_`, a letter first"
        };
        c.error(
            "S122",
            text.span,
            format!("\"{name}\" cannot be the name of a variable"),
            help,
        );
        return None;
    }
    Some(c.slot(&lower))
}

pub(in super::super) fn body(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let transform = if call.has("raw").is_some() {
        Transform::Raw
    } else if let Some(types) = c.tag_strings(call, "content") {
        Transform::Content(types)
    } else {
        Transform::Text
    };
    let texts = call.texts(0);
    let spans: Vec<_> = texts.iter().map(|t| t.span).collect();
    let Some(matching) = c.matching(call, texts) else {
        return;
    };
    if c.session.options.mode == Mode::Oms {
        for (key, span) in matching.keys.iter().zip(spans) {
            if !matches!(key, Str::Const(_)) {
                let help = "write the key out: all keys must be known before the message is read";
                c.error("S129", span, "a key of `body` holds a variable", help);
            }
        }
    }
    emit(c, call, Test::Body { transform, matching });
}

fn zone(c: &mut Compiler<'_, '_>, call: &Call<'_>) -> Zone {
    if call.has("originalzone").is_some() {
        return Zone::Original;
    }
    let Some(text) = call.text("zone") else {
        return Zone::Local;
    };
    let zone = c.string(text);
    if let Str::Const(value) = &zone
        && date::zone(value).is_none()
    {
        c.error(
            "S125",
            text.span,
            format!("\"{value}\" is not a time zone"),
            "write a sign and four digits, as in \"+0100\"",
        );
    }
    Zone::Given(zone)
}

fn date_part(c: &mut Compiler<'_, '_>, call: &Call<'_>, at: usize) -> Str {
    let part = c.string_at(call, at);
    if let (Str::Const(value), Some(text)) = (&part, call.param(at))
        && !date::PARTS.contains(&value.to_ascii_lowercase().as_str())
    {
        let help = match nearest(value, date::PARTS.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("use one of {}", date::PARTS.join(", ")),
        };
        c.error("S125", text.span, format!("a date has no part \"{value}\""), help);
    }
    part
}

pub(in super::super) fn date(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let field = c.string_at(call, 0);
    let zone = zone(c, call);
    let part = date_part(c, call, 1);
    let index = c.index(call);
    let Some(matching) = keys(c, call, 2) else { return };
    emit(
        c,
        call,
        Test::Date {
            field,
            zone,
            part,
            matching,
            index,
        },
    );
}

pub(in super::super) fn currentdate(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let zone = zone(c, call);
    let part = date_part(c, call, 0);
    let Some(matching) = keys(c, call, 1) else { return };
    emit(c, call, Test::CurrentDate { zone, part, matching });
}

/// Items of the environment (RFC 5183, and those of the product).
const ENVIRONMENT: &[&str] = &[
    "domain",
    "host",
    "location",
    "name",
    "phase",
    "remote-host",
    "remote-ip",
    "version",
    "vnd.sun.source-channel",
    "vnd.sun.destination-channel",
    "vnd.sun.autoreply-internal",
    "vnd.sun.authenticated-sender-address",
    "vnd.sun.authenticated-sender-id",
    "vnd.oracle.last-verdict",
];

pub(in super::super) fn environment(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let item = c.string_at(call, 0);
    if !matches!(&item, Str::Const(i) if !i.eq_ignore_ascii_case("vnd.oracle.last-verdict")) {
        c.session.recipient_specific = true;
    }
    if let (Str::Const(name), Some(text)) = (&item, call.param(0))
        && !ENVIRONMENT.iter().any(|known| known.eq_ignore_ascii_case(name))
    {
        let help = match nearest(name, ENVIRONMENT.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("known are {}", ENVIRONMENT.join(", ")),
        };
        let message = format!("there is no environment item \"{name}\": this test is always false");
        c.warn("S134", text.span, message, help);
    }
    let Some(matching) = keys(c, call, 1) else { return };
    emit(c, call, Test::Environment { item, matching });
}

pub(in super::super) fn spamtest(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let Some(matching) = keys(c, call, 0) else { return };
    emit(
        c,
        call,
        Test::Spam {
            percent: call.has("percent").is_some(),
            matching,
        },
    );
}

pub(in super::super) fn virustest(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let Some(matching) = keys(c, call, 0) else { return };
    emit(c, call, Test::Virus { matching });
}

pub(in super::super) fn duplicate(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    c.session.recipient_specific = true;
    let handle = c
        .tag_string(call, "handle")
        .unwrap_or_else(|| Str::Const("".into()));
    let source = if let Some(name) = c.tag_string(call, "header") {
        DuplicateId::Header(name)
    } else if let Some(id) = c.tag_string(call, "uniqueid") {
        DuplicateId::Unique(id)
    } else {
        DuplicateId::MessageId
    };
    let (seconds, last) = (call.number("seconds"), call.has("last").is_some());
    emit(
        c,
        call,
        Test::Duplicate {
            handle,
            source,
            seconds,
            last,
        },
    );
}

pub(in super::super) fn mailboxexists(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    c.session.recipient_specific = true;
    let names = c.strings_at(call, 0);
    emit(c, call, Test::MailboxExists { names });
}

pub(in super::super) fn metadata(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    c.session.recipient_specific = true;
    let mailbox = Some(c.string_at(call, 0));
    let annotation = c.string_at(call, 1);
    let Some(matching) = keys(c, call, 2) else { return };
    emit(
        c,
        call,
        Test::Metadata {
            mailbox,
            annotation,
            matching,
        },
    );
}

pub(in super::super) fn metadataexists(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    c.session.recipient_specific = true;
    let mailbox = Some(c.string_at(call, 0));
    let annotations = c.strings_at(call, 1);
    emit(c, call, Test::MetadataExists { mailbox, annotations });
}

pub(in super::super) fn servermetadata(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let annotation = c.string_at(call, 0);
    let Some(matching) = keys(c, call, 1) else { return };
    emit(
        c,
        call,
        Test::Metadata {
            mailbox: None,
            annotation,
            matching,
        },
    );
}

pub(in super::super) fn servermetadataexists(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let annotations = c.strings_at(call, 0);
    emit(
        c,
        call,
        Test::MetadataExists {
            mailbox: None,
            annotations,
        },
    );
}

pub(in super::super) fn specialuse_exists(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    c.session.recipient_specific = true;
    let mailbox = call.param(0).map(|t| c.string(t));
    let flags = c.strings_at(call, 1);
    emit(c, call, Test::SpecialUseExists { mailbox, flags });
}

pub(in super::super) fn mailboxidexists(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    c.session.recipient_specific = true;
    let ids = c.strings_at(call, 0);
    emit(c, call, Test::MailboxIdExists { ids });
}

pub(in super::super) fn valid_notify_method(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let uris = c.strings_at(call, 0);
    emit(c, call, Test::ValidNotifyMethod { uris });
}

pub(in super::super) fn notify_method_capability(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let uri = c.string_at(call, 0);
    let capability = c.string_at(call, 1);
    let Some(matching) = keys(c, call, 2) else { return };
    emit(
        c,
        call,
        Test::NotifyCapability {
            uri,
            capability,
            matching,
        },
    );
}

pub(in super::super) fn valid_ext_list(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    c.session.recipient_specific = true;
    let texts = call.texts(0);
    let spans: Vec<_> = texts.iter().map(|t| t.span).collect();
    let uris = c.strings(texts);
    for (uri, span) in uris.iter().zip(spans) {
        list_name(c, uri, span);
    }
    emit(c, call, Test::ValidList { uris });
}

pub(in super::super) fn condition(c: &mut Compiler<'_, '_>, call: &Call<'_>) {
    let value = c.string_at(call, 0);
    emit(c, call, Test::Truth(value));
}
