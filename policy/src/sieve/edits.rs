//! Changes of the message: header fields, subject tags, parts and the whole.

use std::sync::Arc;

use grammar::Span;

use super::Level;
use super::compare::Match;
use super::filter_result::HeaderEdit;
use super::frame::{Frame, Halt};
use super::matching::{Values, What};
use super::outcome::Action;
use super::program::{Index, Matching};
use super::values::indexed;
use crate::machine::Context;
use crate::message::{HeaderView, Message, Overlay, OverlayField, edit, field};
use crate::trace::Kind;

/// Fields that no script may delete or change.
const PROTECTED: &[&str] = &["received", "auto-submitted"];

impl Frame {
    pub(super) fn add_header(
        &mut self,
        cx: &mut Context<'_>,
        last: bool,
        name: String,
        value: String,
        span: Span,
    ) -> Result<(), Halt> {
        let most = self.request.limits.max_addheaders;
        if self.request.level == Level::User && self.added_headers >= most {
            return Err(Halt::fault(
                format!("more than MAX_ADDHEADERS {most} addheader actions"),
                span,
            ));
        }
        self.added_headers += 1;
        cx.trace
            .add(Kind::Action, Some(span), || format!("addheader {name}"));
        let tags: &[(&str, Option<&str>)] = if last { &[(":last", None)] } else { &[] };
        let edit = HeaderEdit::new(self.actions.len(), "addheader", tags, &[&name, &value]);
        let new = new_field(name, value, span)?;
        self.edits.push(edit);
        let fields = self.edit();
        if last {
            fields.push(new)
        } else {
            fields.insert(0, new)
        }
        Ok(())
    }

    pub(super) fn delete_header(
        &mut self,
        cx: &mut Context<'_>,
        name: &str,
        index: Option<Index>,
        matching: Option<&Matching>,
        span: Span,
    ) -> Result<(), Halt> {
        let places = self.select(cx, name, index, matching, span)?;
        cx.trace.add(Kind::Action, Some(span), || {
            format!("deleteheader {name}: {} fields", places.len())
        });
        self.edits
            .push(HeaderEdit::new(self.actions.len(), "deleteheader", &[], &[name]));
        if !places.is_empty() {
            let mut at = 0;
            self.edit().retain(|_| {
                at += 1;
                places.binary_search(&(at - 1)).is_err()
            });
        }
        Ok(())
    }

    pub(super) fn replace_header(
        &mut self,
        cx: &mut Context<'_>,
        name: &str,
        index: Option<Index>,
        matching: Option<&Matching>,
        (new_name, new_value): (Option<String>, Option<String>),
        span: Span,
    ) -> Result<(), Halt> {
        let places = self.select(cx, name, index, matching, span)?;
        cx.trace.add(Kind::Action, Some(span), || {
            format!("replaceheader {name}: {} fields", places.len())
        });
        let tags: Vec<(&str, Option<&str>)> = [
            (":newname", new_name.as_deref()),
            (":newvalue", new_value.as_deref()),
        ]
        .into_iter()
        .filter(|(_, value)| value.is_some())
        .collect();
        let edit = HeaderEdit::new(self.actions.len(), "replaceheader", &tags, &[name]);
        self.edits.push(edit);
        for at in places {
            let old = self.view().get(at).map(|(n, v)| (n.into_owned(), v.decoded()));
            let Some((old_name, old_value)) = old else {
                continue;
            };
            let name = new_name.clone().unwrap_or(old_name);
            let new = new_field(name, new_value.clone().unwrap_or(old_value), span)?;
            if let Some(place) = self.edit().get_mut(at) {
                *place = new;
            }
        }
        Ok(())
    }

    pub(super) fn enclose(
        &mut self,
        cx: &mut Context<'_>,
        subject: Option<String>,
        headers: Vec<String>,
        text: String,
        span: Span,
    ) -> Result<(), Halt> {
        cx.burn((self.message.raw().len() + text.len()) as u64 / 16, Some(span))?;
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
        self.unenclosed
            .get_or_insert((Arc::clone(&self.message), self.headers.clone()));
        self.changed(raw);
        self.done(cx, Action::Enclose { subject }, span);
        Ok(())
    }

    /// The fields to change.
    pub(super) fn edit(&mut self) -> &mut Vec<OverlayField> {
        self.forget();
        let message = &self.message;
        let headers = self.headers.get_or_insert_with(|| Arc::new(Overlay::of(message)));
        &mut Arc::make_mut(headers).fields
    }

    /// Places of the fields that an edit is about, in ascending order.
    pub(super) fn select(
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
        if let Match::Count(_) = matching.how {
            let values = Values {
                captures: false,
                ..Values::of(vec![String::new(); places.len()])
            };
            let all = self.compare(cx, matching, &values, What("deleteheader", &[]), span, &mut None)?;
            return Ok(if all { places } else { Vec::new() });
        }
        let mut out = Vec::new();
        for at in places {
            let text = self.view().get(at).map(|(_, v)| v.decoded()).unwrap_or_default();
            let values = Values {
                captures: false,
                ..Values::of(vec![text])
            };
            if self.compare(cx, matching, &values, What("field", &[]), span, &mut None)? {
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

    pub(super) fn replace(&mut self, cx: &mut Context<'_>, new: edit::New, span: Span) -> Result<(), Halt> {
        cx.burn(
            (self.message.raw().len() + new.text.len()) as u64 / 16,
            Some(span),
        )?;
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
                    self.forget();
                    self.abandon_parts();
                    self.done(cx, Action::Replace { subject }, span);
                    return Ok(());
                }
                None => return Ok(()),
            },
        };
        self.changed(raw);
        self.unenclosed = None;
        self.done(cx, Action::Replace { subject }, span);
        Ok(())
    }

    /// Goes on with another message.
    pub(super) fn changed(&mut self, raw: Vec<u8>) {
        self.message = Arc::new(Message::new(raw));
        self.headers = None;
        self.forget();
        self.abandon_parts();
    }

    pub(super) fn boundary(&self, cx: &mut Context<'_>) -> String {
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
