//! Actions: what each does to the result, to the variables and to the header.

use std::sync::Arc;

use grammar::Span;

use super::evaluate::ask_once;
use super::frame::{Frame, Halt};
use super::matching::Values;
use super::outcome::{Action, Written};
use super::program::{Act, ByTime, FlagChange, Index, Matching, Modifier, Redirect, Str, Target};
use super::uri;
use super::values::indexed;
use super::{Level, pattern};
use crate::ask::{Answer, Ask, Read};
use crate::machine::Context;
use crate::message::{HeaderView, Message, Overlay, OverlayField, address, edit, field, mime};
use crate::trace::Kind;

/// Flags of one message at most; more are left out.
pub const MAX_FLAGS: usize = 128;

/// Fields that no script may delete or change.
const PROTECTED: &[&str] = &["received", "auto-submitted"];

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
                    Some(slot) => split_flags(&[self.variable(*slot).to_owned()]),
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
                let most = self.request.limits.max_addheaders;
                if self.request.level == Level::User && self.added_headers >= most {
                    return Err(Halt::fault(
                        format!("more than MAX_ADDHEADERS {most} addheader actions"),
                        span,
                    ));
                }
                self.added_headers += 1;
                let new = new_field(name, value, span)?;
                cx.trace.add(Kind::Action, Some(span), || "addheader".to_owned());
                let fields = self.edit();
                if *last {
                    fields.push(new)
                } else {
                    fields.insert(0, new)
                }
                Ok(())
            }
            Act::DeleteHeader {
                index,
                name,
                matching,
            } => {
                let name = self.render(cx, name, span)?;
                let places = self.select(cx, &name, *index, matching.as_ref(), span)?;
                cx.trace.add(Kind::Action, Some(span), || {
                    format!("deleteheader {name}: {} fields", places.len())
                });
                if !places.is_empty() {
                    let mut at = 0;
                    self.edit().retain(|_| {
                        at += 1;
                        places.binary_search(&(at - 1)).is_err()
                    });
                }
                Ok(())
            }
            Act::ReplaceHeader {
                index,
                name,
                matching,
                new_name,
                new_value,
            } => {
                let name = self.render(cx, name, span)?;
                let places = self.select(cx, &name, *index, matching.as_ref(), span)?;
                let new_name = self.render_option(cx, new_name.as_ref(), span)?;
                let new_value = self.render_option(cx, new_value.as_ref(), span)?;
                cx.trace.add(Kind::Action, Some(span), || {
                    format!("replaceheader {name}: {} fields", places.len())
                });
                for at in places {
                    let old = self.view().get(at).map(|(n, v)| (n.into_owned(), v.decoded()));
                    let Some((old_name, old_value)) = old else {
                        continue;
                    };
                    let new = new_field(
                        new_name.clone().unwrap_or(old_name),
                        new_value.clone().unwrap_or(old_value),
                        span,
                    )?;
                    if let Some(place) = self.edit().get_mut(at) {
                        *place = new;
                    }
                }
                Ok(())
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
                    fcc: self.render_option(cx, fcc.as_ref().map(|f| &f.mailbox), span)?,
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
                    Some(part) if part.kind().0 == "text" => mime::text(message.raw(), part),
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
                cx.build(self.message.raw().len() + text.len(), Some(span))?;
                let boundary = self.boundary(cx);
                let outer = edit::Outer {
                    subject: subject.clone(),
                    headers,
                    text,
                    owner: self.request.owner.clone(),
                    now: cx.facts.now,
                    boundary,
                };
                let raw = edit::enclose(&self.message, self.headers.as_ref(), &outer);
                self.changed(raw);
                self.done(cx, Action::Enclose { subject }, span);
                Ok(())
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

    fn no_delivery_before(&self, name: &str, span: Span) -> Result<(), Halt> {
        if self.rejected {
            return Err(Halt::fault(format!("`{name}` follows another rejection"), span));
        }
        if self.vacations > 0 {
            return Err(Halt::fault(format!("`{name}` cannot follow a vacation"), span));
        }
        let delivers = |a: &Action| {
            matches!(
                a,
                Action::Keep { .. } | Action::FileInto { .. } | Action::Redirect { .. }
            )
        };
        if self.actions.iter().any(|p| delivers(&p.action)) {
            return Err(Halt::fault(
                format!("`{name}` cannot follow a delivery of the message"),
                span,
            ));
        }
        Ok(())
    }

    pub(super) fn not_rejected(&self, name: &str, span: Span) -> Result<(), Halt> {
        if self.rejected {
            return Err(Halt::fault(format!("`{name}` cannot follow a rejection"), span));
        }
        Ok(())
    }

    fn action_flags(
        &self,
        cx: &mut Context<'_>,
        given: Option<&[Str]>,
        span: Span,
    ) -> Result<Vec<String>, Halt> {
        match given {
            Some(flags) => Ok(split_flags(&self.render_all(cx, flags, span)?)),
            None => Ok(self.flags.clone()),
        }
    }

    fn keep(&mut self, cx: &mut Context<'_>, given: Option<&[Str]>, span: Span) -> Result<(), Halt> {
        self.not_rejected("keep", span)?;
        let flags = self.action_flags(cx, given, span)?;
        self.cancelled = true;
        if !self.store_again("INBOX", &flags, false, given.is_some()) {
            self.done(
                cx,
                Action::Keep {
                    implicit: false,
                    flags,
                },
                span,
            );
        }
        Ok(())
    }

    /// Whether the message is stored in this mailbox already; then the last flags win.
    fn store_again(&mut self, mailbox: &str, flags: &[String], copy: bool, explicit: bool) -> bool {
        for performed in &mut self.actions {
            let (old, old_copy) = match &mut performed.action {
                Action::Keep { flags, .. } if is_inbox(mailbox) => (flags, None),
                Action::FileInto {
                    mailbox: m,
                    flags,
                    copy,
                    ..
                } if m == mailbox || (is_inbox(m) && is_inbox(mailbox)) => (flags, Some(copy)),
                _ => continue,
            };
            if explicit || !flags.is_empty() {
                *old = flags.to_vec();
            }
            if let Some(old_copy) = old_copy {
                *old_copy &= copy;
            }
            return true;
        }
        false
    }

    fn fileinto(
        &mut self,
        cx: &mut Context<'_>,
        mut action: Action,
        by: Option<(bool, String)>,
        explicit_flags: bool,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<(), Halt> {
        self.not_rejected("fileinto", span)?;
        let Action::FileInto {
            mailbox,
            copy,
            flags,
            specialuse,
            mailboxid,
            ..
        } = &mut action
        else {
            return Ok(());
        };
        if let Some((special, value)) = by {
            let ask = || {
                vec![Ask::Read(match special {
                    true => Read::SpecialUse {
                        mailbox: None,
                        flag: value.clone(),
                    },
                    false => Read::MailboxId { id: value.clone() },
                })]
            };
            if let Some(Answer::Found(name)) = ask_once(answers, ask)?.pop() {
                *mailbox = name;
                *(if special { specialuse } else { mailboxid }) = Some(value);
            } else if special {
                // Creating the mailbox, where that is asked for, gives it the flag.
                *specialuse = Some(value);
            }
        }
        if mailbox.is_empty() || mailbox.chars().any(char::is_control) {
            return Err(Halt::fault(
                format!("\"{mailbox}\" cannot be the name of a mailbox"),
                span,
            ));
        }
        let (mailbox, copy, flags) = (mailbox.clone(), *copy, flags.clone());
        self.cancelled |= !copy;
        if self.store_again(&mailbox, &flags, copy, explicit_flags) {
            return Ok(());
        }
        let filed = |a: &Action| matches!(a, Action::FileInto { .. });
        let most = self.request.limits.max_fileintos;
        self.limit("MAX_FILEINTOS", most, filed, span)?;
        self.done(cx, action, span);
        Ok(())
    }

    /// Refuses one more action of a kind than a user may have.
    fn limit(&self, name: &str, most: usize, is: impl Fn(&Action) -> bool, span: Span) -> Result<(), Halt> {
        let count = self.actions.iter().filter(|p| is(&p.action)).count();
        if self.request.level == Level::User && count >= most {
            return Err(Halt::fault(format!("more than {name} {most} actions"), span));
        }
        Ok(())
    }

    fn redirect(
        &mut self,
        cx: &mut Context<'_>,
        redirect: &Redirect,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<(), Halt> {
        self.not_rejected("redirect", span)?;
        let (list, addresses) = match &redirect.target {
            Target::Address(to) => (None, vec![self.render(cx, to, span)?]),
            Target::List(list) => {
                let list = self.render(cx, list, span)?;
                let ask = || vec![Ask::Read(Read::ListMembers { list: list.clone() })];
                let members = match ask_once(answers, ask)?.pop() {
                    Some(Answer::Found(members)) => members.lines().map(str::to_owned).collect(),
                    Some(Answer::Temporary(why)) => {
                        return Err(Halt::temporary(
                            format!("the list {list} cannot be read: {why}"),
                            span,
                        ));
                    }
                    _ => return Err(Halt::fault(format!("there is no list {list}"), span)),
                };
                (Some(list), members)
            }
        };
        let notify = match &redirect.notify {
            None => None,
            Some((strings, list)) => {
                let mut all = self.render_all(cx, strings, span)?;
                if let Some(why) = super::lower::private::bad_conditions(&all.join(",")) {
                    return Err(Halt::fault(why, span));
                }
                Some(match (list, all.len()) {
                    (false, 1) => Written::One(all.remove(0)),
                    _ => Written::Many(all),
                })
            }
        };
        let ret = self.render_option(cx, redirect.ret.as_ref(), span)?;
        let bymode = self.render_option(cx, redirect.by_mode.as_ref(), span)?;
        let (bytimerelative, bytimeabsolute) = match &redirect.by_time {
            None => (None, None),
            Some(ByTime::Relative(seconds)) => (Some(*seconds), None),
            Some(ByTime::Absolute(time)) => (None, Some(self.render(cx, time, span)?)),
        };
        self.cancelled |= !redirect.copy;
        for to in addresses {
            let Some(mailbox) = address::single(&to) else {
                return Err(Halt::fault(
                    format!("\"{to}\" is not an address to redirect to"),
                    span,
                ));
            };
            let text = if list.is_some() { mailbox.all() } else { to };
            let is_same = |a: &str| {
                address::single(a).is_some_and(|m| {
                    m.local == mailbox.local && m.domain.eq_ignore_ascii_case(&mailbox.domain)
                })
            };
            let before = self.actions.iter_mut().find_map(|p| match &mut p.action {
                Action::Redirect { address, copy, .. } if is_same(address) => Some(copy),
                _ => None,
            });
            if let Some(copy) = before {
                *copy &= redirect.copy;
                continue;
            }
            let most = self.request.limits.max_redirects;
            self.limit(
                "MAX_REDIRECTS",
                most,
                |a| matches!(a, Action::Redirect { .. }),
                span,
            )?;
            let owner = redirect.reset_from.unwrap_or(notify.is_some());
            let action = Action::Redirect {
                address: text,
                copy: redirect.copy,
                list: list.clone(),
                notify: notify.clone(),
                ret: ret.clone(),
                resent: redirect.resent.unwrap_or(self.request.redirect_add_resent),
                mailfrom: if owner { "owner" } else { "original" },
                bytimerelative,
                bytimeabsolute: bytimeabsolute.clone(),
                bymode: bymode.clone(),
                bytrace: redirect.by_trace,
            };
            self.done(cx, action, span);
        }
        Ok(())
    }

    fn notify(&mut self, cx: &mut Context<'_>, action: Action, span: Span) -> Result<(), Halt> {
        let Action::Notify { method, .. } = &action else {
            return Ok(());
        };
        let automatic = self
            .field_text("auto-submitted")
            .is_some_and(|v| !v.to_ascii_lowercase().starts_with("no"));
        if automatic {
            cx.trace.add(Kind::Action, Some(span), || {
                "no notification of an automatic message".to_owned()
            });
            return Ok(());
        }
        let again = |a: &Action| matches!(a, Action::Notify { method: m, .. } if m == method);
        if self.actions.iter().any(|p| again(&p.action)) {
            return Ok(());
        }
        let most = self.request.limits.max_notifys;
        let count = self
            .actions
            .iter()
            .filter(|p| matches!(p.action, Action::Notify { .. }))
            .count();
        if count >= most {
            return Err(Halt::fault(
                format!("more than MAX_NOTIFYS {most} notifications"),
                span,
            ));
        }
        self.done(cx, action, span);
        Ok(())
    }

    // The header.

    /// The fields to change.
    pub(super) fn edit(&mut self) -> &mut Vec<OverlayField> {
        let message = &self.message;
        let headers = self.headers.get_or_insert_with(|| Arc::new(Overlay::of(message)));
        &mut Arc::make_mut(headers).fields
    }

    /// Places of the fields that an edit is about, in ascending order.
    fn select(
        &mut self,
        cx: &mut Context<'_>,
        name: &str,
        index: Option<Index>,
        matching: Option<&Matching>,
        span: Span,
    ) -> Result<Vec<usize>, Halt> {
        if !field::is_name(name) {
            return Err(Halt::fault(
                format!("\"{name}\" cannot be the name of a header field"),
                span,
            ));
        }
        if PROTECTED.contains(&name.to_ascii_lowercase().as_str()) {
            cx.trace.add(Kind::Note, Some(span), || {
                format!("field {name} is never changed")
            });
            return Ok(Vec::new());
        }
        let places = self.view().places(name);
        cx.burn(self.view().len() as u64 / 16, Some(span))?;
        let places = indexed(&places, index).to_vec();
        let Some(matching) = matching else {
            return Ok(places);
        };
        if let super::compare::Match::Count(_) = matching.how {
            let values = Values {
                captures: false,
                ..Values::of(vec![String::new(); places.len()])
            };
            let all = self.compare(cx, matching, values, "deleteheader", span, &mut None)?;
            return Ok(if all { places } else { Vec::new() });
        }
        let mut out = Vec::new();
        for at in places {
            let text = self.view().get(at).map(|(_, v)| v.decoded()).unwrap_or_default();
            let values = Values {
                captures: false,
                ..Values::of(vec![text])
            };
            if self.compare(cx, matching, values, "field", span, &mut None)? {
                out.push(at);
            }
        }
        Ok(out)
    }

    /// Puts the tags in front of the subject, at the end, in every header that is to be delivered.
    pub(super) fn insert_tags(&mut self) {
        if self.tags.is_empty() {
            return;
        }
        let tags = std::mem::take(&mut self.tags);
        self.headers = Some(tagged(&self.message, self.headers.as_ref(), &tags));
        for performed in &mut self.actions {
            performed.headers = Some(tagged(&performed.message, performed.headers.as_ref(), &tags));
        }
    }

    // The message.

    fn replace(&mut self, cx: &mut Context<'_>, new: edit::New, span: Span) -> Result<(), Halt> {
        cx.build(self.message.raw().len() + new.text.len(), Some(span))?;
        let subject = new.subject.clone();
        let part = if self.looping() {
            self.part().filter(|p| *p > 0)
        } else {
            self.root().filter(|p| *p > 0)
        };
        let raw = match part {
            None => edit::replace_message(&self.message, self.headers.as_ref(), &new),
            Some(at) => match edit::replace_part(&self.message, at, &new) {
                Some(raw) => {
                    // Only the part's bytes are new; edits of the message's header stay.
                    self.message = Arc::new(Message::new(raw));
                    self.abandon_parts();
                    self.done(cx, Action::Replace { subject }, span);
                    return Ok(());
                }
                None => return Ok(()),
            },
        };
        self.changed(raw);
        self.done(cx, Action::Replace { subject }, span);
        Ok(())
    }

    /// Goes on with another message.
    fn changed(&mut self, raw: Vec<u8>) {
        self.message = Arc::new(Message::new(raw));
        self.headers = None;
        self.abandon_parts();
    }

    fn boundary(&self, cx: &mut Context<'_>) -> String {
        loop {
            let boundary = format!("sluice-{:016x}{:016x}", cx.random_bits(), cx.random_bits());
            if memchr::memmem::find(self.message.raw(), boundary.as_bytes()).is_none() {
                return boundary;
            }
        }
    }
}

/// The header with tags in front of its subject, those left out that are there already.
fn tagged(message: &Message, headers: Option<&Arc<Overlay>>, tags: &[String]) -> Arc<Overlay> {
    let view = HeaderView::message(message, headers);
    let at = view.places("subject").first().copied();
    let subject = at
        .and_then(|at| view.get(at))
        .map(|(_, v)| v.decoded())
        .unwrap_or_default();
    let mut front = String::new();
    for tag in tags.iter().filter(|t| !subject.contains(t.as_str())) {
        if !front.contains(tag.as_str()) {
            front.push_str(tag);
            front.push(' ');
        }
    }
    let value = format!("{front}{subject}").trim_end().to_owned();
    let mut overlay = headers.map_or_else(|| Overlay::of(message), |h| (**h).clone());
    let new = OverlayField::New {
        name: "Subject".to_owned(),
        value,
    };
    match at.and_then(|at| overlay.fields.get_mut(at)) {
        Some(place) => *place = new,
        None => overlay.fields.push(new),
    }
    Arc::new(overlay)
}

fn is_inbox(mailbox: &str) -> bool {
    mailbox.eq_ignore_ascii_case("INBOX")
}

fn new_field(name: String, value: String, span: Span) -> Result<OverlayField, Halt> {
    if !field::is_name(&name) {
        return Err(Halt::fault(
            format!("\"{name}\" cannot be the name of a header field"),
            span,
        ));
    }
    let value = value.replace(['\r', '\n', '\0'], " ").trim().to_owned();
    Ok(OverlayField::New { name, value })
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

fn is_flag(flag: &str) -> bool {
    const SYSTEM: &[&str] = &["\\answered", "\\flagged", "\\deleted", "\\seen", "\\draft"];
    match flag.strip_prefix('\\') {
        Some(_) => SYSTEM.contains(&flag.to_ascii_lowercase().as_str()),
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
