//! Actions: dispatch, variables and flags.

use std::sync::Arc;

use grammar::Span;

use super::frame::{Frame, Halt};
use super::outcome::Action;
use super::pattern;
use super::program::{Act, FlagChange, Modifier};
use super::uri;
use crate::ask::Answer;
use crate::machine::Context;
use crate::message::{edit, mime};
use crate::trace::Kind;

/// Flags of one message at most; more are left out.
pub const MAX_FLAGS: usize = 128;

impl Frame {
    pub(super) fn perform(
        &mut self,
        cx: &mut Context<'_>,
        act: &Act,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<(), Halt> {
        match act {
            Act::Keep { flags } => self.keep(cx, flags.as_deref(), span),
            Act::FileInto {
                mailbox,
                copy,
                create,
                flags,
                specialuse,
                mailboxid,
            } => {
                let by = match (specialuse, mailboxid) {
                    (Some(flag), _) => Some((true, self.render(cx, flag, span)?)),
                    (None, Some(id)) => Some((false, self.render(cx, id, span)?)),
                    (None, None) => None,
                };
                let action = Action::FileInto {
                    mailbox: self.render(cx, mailbox, span)?,
                    copy: *copy,
                    create: *create,
                    flags: self.action_flags(cx, flags.as_deref(), span)?,
                    specialuse: None,
                    mailboxid: None,
                };
                self.fileinto(cx, action, by, flags.is_some(), span, answers)
            }
            Act::Redirect(redirect) => self.redirect(cx, redirect, span, answers),
            Act::Assign { slot, value } => {
                let value = self.value(cx, value, span)?;
                self.assign_value(cx, *slot, value, span);
                Ok(())
            }
            Act::Callout(callout) => self.callout(cx, callout, span, answers).map(|_| ()),
            Act::Discard => {
                self.cancelled = true;
                if !self.actions.iter().any(|p| p.action == Action::Discard) {
                    self.done(cx, Action::Discard, span);
                }
                Ok(())
            }
            Act::Reject { reason, extended } => {
                let reason = self.render(cx, reason, span)?;
                let name = if *extended { "ereject" } else { "reject" };
                self.no_delivery_before(name, span)?;
                self.cancelled = true;
                self.rejected = true;
                let action = if *extended {
                    Action::EReject { reason }
                } else {
                    Action::Reject { reason }
                };
                self.done(cx, action, span);
                Ok(())
            }
            Act::Set {
                slot,
                modifiers,
                value,
            } => {
                let value = self.render(cx, value, span)?;
                let value = modified(cx, value, modifiers, span)?;
                self.assign(cx, *slot, value, span);
                Ok(())
            }
            Act::ChangeFlags {
                change,
                variable,
                flags,
            } => {
                let given = split_flags(&self.render_all(cx, flags, span)?);
                let old = match variable {
                    Some(slot) => split_flags(&[self.variable(*slot).into_owned()]),
                    None => std::mem::take(&mut self.flags),
                };
                let same = |a: &String, b: &String| a.eq_ignore_ascii_case(b);
                let new = match change {
                    FlagChange::Set => given,
                    FlagChange::Add => split_flags(&[old, given].concat()),
                    FlagChange::Remove => old
                        .into_iter()
                        .filter(|f| !given.iter().any(|g| same(f, g)))
                        .collect(),
                };
                cx.trace
                    .add(Kind::Flag, Some(span), || format!("flags: {}", new.join(" ")));
                match variable {
                    Some(slot) => self.assign(cx, *slot, new.join(" "), span),
                    None => self.flags = new,
                }
                Ok(())
            }
            Act::Vacation(vacation) => self.vacation(cx, vacation, span),
            Act::AddHeader { last, name, value } => {
                let name = self.render(cx, name, span)?;
                let value = self.render(cx, value, span)?;
                self.add_header(cx, *last, name, value, span)
            }
            Act::DeleteHeader {
                index,
                name,
                matching,
            } => {
                let name = self.render(cx, name, span)?;
                self.delete_header(cx, &name, *index, matching.as_ref(), span)
            }
            Act::ReplaceHeader {
                index,
                name,
                matching,
                new_name,
                new_value,
            } => {
                let name = self.render(cx, name, span)?;
                let new_name = self.render_option(cx, new_name.as_ref(), span)?;
                let new_value = self.render_option(cx, new_value.as_ref(), span)?;
                self.replace_header(cx, &name, *index, matching.as_ref(), (new_name, new_value), span)
            }
            Act::Notify {
                from,
                importance,
                options,
                message,
                method,
                fcc,
            } => {
                let method = self.render(cx, method, span)?;
                if let Some(why) = uri::bad_method(&method, &self.request.notify_methods) {
                    return Err(Halt::fault(why, span));
                }
                let action = Action::Notify {
                    method,
                    message: self.render_option(cx, message.as_ref(), span)?,
                    importance: self.render_option(cx, importance.as_ref(), span)?,
                    from: self.render_option(cx, from.as_ref(), span)?,
                    options: self.render_all(cx, options, span)?,
                    fcc: self.fcc(cx, fcc.as_ref(), span)?,
                };
                self.notify(cx, action, span)
            }
            Act::ExtractText {
                first,
                slot,
                modifiers,
            } => {
                let message = Arc::clone(&self.message);
                let part = message.tree().parts.get(self.part().unwrap_or(0));
                let mut text = match part {
                    Some(part) if part.kind().0 == "text" => mime::text(message.raw(), part).to_string(),
                    _ => String::new(),
                };
                if let Some(first) = first.and_then(|f| usize::try_from(f).ok())
                    && let Some((at, _)) = text.char_indices().nth(first)
                {
                    text.truncate(at);
                }
                cx.build(text.len(), Some(span))?;
                let text = modified(cx, text, modifiers, span)?;
                self.assign(cx, *slot, text, span);
                Ok(())
            }
            Act::Replace {
                mime,
                subject,
                from,
                text,
            } => {
                let new = edit::New {
                    mime: *mime,
                    subject: self.render_option(cx, subject.as_ref(), span)?,
                    from: self.render_option(cx, from.as_ref(), span)?,
                    text: self.render(cx, text, span)?,
                };
                self.replace(cx, new, span)
            }
            Act::Enclose {
                subject,
                headers,
                text,
            } => {
                let subject = self.render_option(cx, subject.as_ref(), span)?;
                let headers = self.render_all(cx, headers, span)?;
                let text = self.render(cx, text, span)?;
                self.enclose(cx, subject, headers, text, span)
            }
            Act::Private {
                action,
                strings,
                number,
            } => self.private(cx, *action, strings, *number, span),
        }
    }

    /// Adds an action and says so.
    pub(super) fn done(&mut self, cx: &mut Context<'_>, action: Action, span: Span) {
        cx.trace.add(Kind::Action, Some(span), || serde_name(&action));
        self.push(action, Some(span));
    }
}

fn serde_name(action: &Action) -> String {
    match action {
        Action::Keep { .. } => "keep".to_owned(),
        Action::FileInto { mailbox, .. } => format!("fileinto \"{mailbox}\""),
        Action::Redirect { address, .. } => format!("redirect \"{address}\""),
        Action::Vacation { to, .. } => format!("vacation to {to}"),
        Action::Notify { method, .. } => format!("notify \"{method}\""),
        Action::Reject { reason } => format!("reject \"{reason}\""),
        Action::EReject { reason } => format!("ereject \"{reason}\""),
        other => {
            let text = format!("{other:?}");
            text.split([' ', '{']).next().unwrap_or("").to_ascii_lowercase()
        }
    }
}

/// Flags of strings: split at blanks, the impossible left out, each once.
pub(super) fn split_flags(texts: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for flag in texts.iter().flat_map(|t| t.split_whitespace()) {
        if out.len() < MAX_FLAGS && is_flag(flag) && !out.iter().any(|o| o.eq_ignore_ascii_case(flag)) {
            out.push(flag.to_owned());
        }
    }
    out
}

/// The flags that begin with a backslash.
pub(super) const SYSTEM_FLAGS: &[&str] = &["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"];

/// Whether a word can be a flag.
pub(super) fn is_flag(flag: &str) -> bool {
    match flag.strip_prefix('\\') {
        Some(_) => SYSTEM_FLAGS.iter().any(|f| f.eq_ignore_ascii_case(flag)),
        None => flag
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b)),
    }
}

/// A value after the modifiers of `set`.
fn modified(
    cx: &mut Context<'_>,
    mut value: String,
    modifiers: &[Modifier],
    span: Span,
) -> Result<String, Halt> {
    for modifier in modifiers {
        cx.build(value.len(), Some(span))?;
        let first = |value: String, change: fn(&mut str)| {
            let mut value = value;
            if let Some(first) = value.get_mut(..1) {
                change(first);
            }
            value
        };
        value = match modifier {
            Modifier::Lower => value.to_ascii_lowercase(),
            Modifier::Upper => value.to_ascii_uppercase(),
            Modifier::LowerFirst => first(value, str::make_ascii_lowercase),
            Modifier::UpperFirst => first(value, str::make_ascii_uppercase),
            Modifier::QuoteWildcard => quoted(&value, "*?\\"),
            Modifier::QuoteRegex => quoted(&value, pattern::SPECIALS),
            Modifier::EncodeUrl => {
                let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
                let encode = |b: u8| {
                    if unreserved(b) {
                        char::from(b).to_string()
                    } else {
                        format!("%{b:02X}")
                    }
                };
                value.bytes().map(encode).collect()
            }
            Modifier::Length => value.chars().count().to_string(),
        };
    }
    Ok(value)
}

fn quoted(value: &str, specials: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if specials.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
