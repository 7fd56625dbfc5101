//! What tests look at: header fields, addresses, envelope parts, body parts, dates.

use std::sync::Arc;

use grammar::Span;

use super::frame::{Frame, Halt};
use super::matching::Values;
use super::program::{AddressPart, Aspect, Index, Mime, Str, Transform, Zone};
use crate::machine::Context;
use crate::message::address::{self, Address};
use crate::message::date::{self, Date};
use crate::message::field::Media;
use crate::message::mime::{self, Content, Part};
use crate::message::{HeaderView, RawValue, Slice};

/// The part of an address that is compared; `None` where it has none.
pub(super) fn address_value(address: &Address, part: AddressPart, separator: char) -> Option<String> {
    match (address, part) {
        (Address::Valid(m), AddressPart::All) => Some(m.all()),
        (Address::Valid(m), AddressPart::Local) => Some(m.local.clone()),
        (Address::Valid(m), AddressPart::Domain) => Some(m.domain.clone()),
        (Address::Valid(m), AddressPart::User) => Some(m.subaddress(separator).0.to_owned()),
        (Address::Valid(m), AddressPart::Detail) if m.local.is_empty() && m.domain.is_empty() => {
            Some(String::new())
        }
        (Address::Valid(m), AddressPart::Detail) => m.subaddress(separator).1.map(str::to_owned),
        (Address::Invalid(text), AddressPart::All) => Some(text.clone()),
        (Address::Invalid(_), _) => None,
    }
}

impl Frame {
    /// The headers that a test looks at: of the message, or with `:mime` of the current part, with
    /// `:anychild` of all parts below it too.
    fn parts_to_search(&self, mime: Option<&Mime>, span: Span) -> Result<Vec<Option<usize>>, Halt> {
        match mime {
            None => Ok(vec![self.root()]),
            Some(Mime { anychild: false, .. }) => Ok(vec![self.part()]),
            Some(Mime { anychild: true, .. }) => {
                let tree = self.message.tree();
                if tree.truncated {
                    return Err(Halt::fault(
                        "this message has too many or too deeply nested parts to search",
                        span,
                    ));
                }
                let top = self.part().unwrap_or(0);
                let end = tree.parts.get(top).map_or(0, |p| p.end);
                Ok((top..end).map(Some).collect())
            }
        }
    }

    /// Calls `each` with every field of these names, in the order of the header.
    fn each_field(
        &self,
        cx: &mut Context<'_>,
        names: &[Str],
        index: Option<Index>,
        mime: Option<&Mime>,
        span: Span,
        each: &mut dyn FnMut(RawValue<'_>, &str),
    ) -> Result<(), Halt> {
        let names = self.render_all(cx, names, span)?;
        for part in self.parts_to_search(mime, span)? {
            let view = Frame::header(&self.message, self.headers.as_ref(), part);
            cx.burn(view.len() as u64 * names.len() as u64 / 16, Some(span))?;
            let mut places: Vec<usize> = names.iter().flat_map(|n| view.places(n)).collect();
            places.sort_unstable();
            places.dedup();
            for at in indexed(&places, index) {
                let Some((name, value)) = view.get(*at) else {
                    continue;
                };
                cx.burn(1 + value.len() as u64 / 16, Some(span))?;
                each(value, &name);
            }
        }
        Ok(())
    }

    pub(super) fn header_values(
        &self,
        cx: &mut Context<'_>,
        names: &[Str],
        index: Option<Index>,
        mime: Option<&Mime>,
        span: Span,
    ) -> Result<Values, Halt> {
        let mut texts = Vec::new();
        let parameters = match mime.map(|m| &m.aspect) {
            Some(Aspect::Parameters(names)) => self.render_all(cx, names, span)?,
            _ => Vec::new(),
        };
        self.each_field(cx, names, index, mime, span, &mut |value, name| {
            let aspect = mime.map_or(&Aspect::Whole, |m| &m.aspect);
            if let Aspect::Whole = aspect {
                return texts.push(value.decoded());
            }
            let typed = name.eq_ignore_ascii_case("content-type");
            if !typed && !name.eq_ignore_ascii_case("content-disposition") {
                return;
            }
            let Some(media) = Media::read(value.unfolded().as_bytes()) else {
                return;
            };
            match aspect {
                Aspect::Type => texts.push(media.kind),
                Aspect::Subtype if typed => texts.push(media.subtype),
                Aspect::ContentType if typed => texts.push(format!("{}/{}", media.kind, media.subtype)),
                Aspect::ContentType => texts.push(media.kind),
                Aspect::Parameters(_) => {
                    texts.extend(
                        parameters
                            .iter()
                            .filter_map(|p| media.parameter(p).map(str::to_owned)),
                    );
                }
                Aspect::Subtype | Aspect::Whole => {}
            }
        })?;
        self.default_types(cx, names, index, mime, &mut texts, span)?;
        Ok(Values::of(texts))
    }

    /// A part without `Content-Type` is `text/plain`, or a message within a digest.
    fn default_types(
        &self,
        cx: &mut Context<'_>,
        names: &[Str],
        index: Option<Index>,
        mime: Option<&Mime>,
        texts: &mut Vec<String>,
        span: Span,
    ) -> Result<(), Halt> {
        let Some(mime) = mime else { return Ok(()) };
        let typed = names
            .iter()
            .any(|n| matches!(n, Str::Const(n) if n.eq_ignore_ascii_case("content-type")));
        if !typed || index.is_some() {
            return Ok(());
        }
        for part in self.parts_to_search(Some(mime), span)? {
            let tree = self.message.tree();
            let Some(part) = tree
                .parts
                .get(part.unwrap_or(0))
                .filter(|p| p.content_type.is_none())
            else {
                continue;
            };
            cx.burn(1, Some(span))?;
            let (kind, subtype) = part.kind();
            match mime.aspect {
                Aspect::Type => texts.push(kind.to_owned()),
                Aspect::Subtype => texts.push(subtype.to_owned()),
                Aspect::ContentType => texts.push(format!("{kind}/{subtype}")),
                Aspect::Whole | Aspect::Parameters(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn address_values(
        &self,
        cx: &mut Context<'_>,
        names: &[Str],
        part: AddressPart,
        index: Option<Index>,
        mime: Option<&Mime>,
        span: Span,
    ) -> Result<Values, Halt> {
        let mut texts = Vec::new();
        let separator = self.request.subaddress;
        self.each_field(cx, names, index, mime, span, &mut |value, _| {
            let all = address::list(&value.unfolded());
            texts.extend(all.iter().filter_map(|a| address_value(a, part, separator)));
        })?;
        Ok(Values::of(texts))
    }

    pub(super) fn exists(
        &self,
        cx: &mut Context<'_>,
        names: &[Str],
        mime: Option<&Mime>,
        span: Span,
    ) -> Result<bool, Halt> {
        for name in names {
            if let (Str::Const(name), None, None) = (name, mime, self.root()) {
                if !self.has_field(cx, name, span)? {
                    return Ok(false);
                }
                continue;
            }
            let mut found = false;
            self.each_field(cx, std::slice::from_ref(name), None, mime, span, &mut |_, _| {
                found = true
            })?;
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the message has a field of this name; takes the fuel of looking at all of them.
    fn has_field(&self, cx: &mut Context<'_>, name: &str, span: Span) -> Result<bool, Halt> {
        let view = self.view();
        cx.burn(view.len() as u64 / 16, Some(span))?;
        let mut found = false;
        view.each(name, &mut |value| {
            found = true;
            cx.burn(1 + value.len() as u64 / 16, Some(span))
        })?;
        Ok(found)
    }

    pub(super) fn envelope_values(
        &self,
        cx: &mut Context<'_>,
        parts: &[Str],
        part: AddressPart,
        span: Span,
    ) -> Result<Values, Halt> {
        let envelope = &self.request.envelope;
        let mut values = Values::of(Vec::new());
        let mut null = 0;
        for name in self.render_all(cx, parts, span)? {
            let address = match name.to_ascii_lowercase().as_str() {
                "from" => &envelope.from,
                "to" => &envelope.to,
                other => {
                    if part == AddressPart::All {
                        values
                            .texts
                            .extend(self.envelope_part(other, span)?.into_iter().map(Arc::from));
                    }
                    continue;
                }
            };
            let address = address::envelope(address);
            null += usize::from(address == Address::Valid(address::Mailbox::default()));
            values
                .texts
                .extend(address_value(&address, part, self.request.subaddress).map(Arc::from));
        }
        values.count = Some(values.texts.len().saturating_sub(null));
        Ok(values)
    }

    fn envelope_part(&self, name: &str, span: Span) -> Result<Vec<String>, Halt> {
        let e = &self.request.envelope;
        let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
        Ok(match name {
            "auth" => one(&e.auth),
            "notify" => e.notify.clone(),
            "orcpt" => one(&e.orcpt),
            "ret" => one(&e.ret),
            "envid" => one(&e.envid),
            "bytimerelative" => e.by_time.iter().map(i64::to_string).collect(),
            "bymode" => one(&e.by_mode),
            "bytrace" => e
                .by_time
                .iter()
                .filter(|_| e.by_trace)
                .map(|_| "true".to_owned())
                .collect(),
            "conversiontag" => {
                self.system_only("envelope part \"conversiontag\"", span)?;
                e.conversion_tags.clone()
            }
            _ => Vec::new(),
        })
    }

    /// Refuses what only scripts of the system may use.
    pub(super) fn system_only(&self, what: &str, span: Span) -> Result<(), Halt> {
        match self.request.level {
            super::Level::System => Ok(()),
            super::Level::User => Err(Halt::fault(
                format!("{what} is for scripts of the system only"),
                span,
            )),
        }
    }

    pub(super) fn size(&self) -> u64 {
        let tree = |at: usize| self.message.tree().parts.get(at);
        match self.part() {
            None => self.message.size(),
            Some(at) => match tree(at) {
                Some(part) if part.content == Content::Leaf => {
                    mime::data(self.message.raw(), part).len() as u64
                }
                _ => 0,
            },
        }
    }

    pub(super) fn body_values(
        &self,
        cx: &mut Context<'_>,
        transform: &Transform,
        span: Span,
    ) -> Result<Values, Halt> {
        let message = &self.message;
        let raw = message.raw();
        let mut texts: Vec<Arc<str>> = Vec::new();
        let root = self.root();
        let no_captures = |texts| Values {
            captures: false,
            ..Values::shared(texts)
        };
        if root.is_none() && message.body().is_none() {
            return Ok(no_captures(texts));
        }
        // The text itself is decoded once a message and kept with it.
        cx.burn(1 + raw.len() as u64 / 512, Some(span))?;
        let lossy = |range: &Slice| Arc::from(String::from_utf8_lossy(message.slice(range)));
        if let Transform::Raw = transform {
            let part = root.and_then(|at| message.tree().parts.get(at));
            texts.extend(match part {
                Some(part) => part.body.as_ref().map(lossy),
                None => message.body_text(),
            });
            return Ok(no_captures(texts));
        }
        let tree = message.tree();
        if tree.truncated {
            return Err(Halt::fault(
                "this message has too many or too deeply nested parts to search",
                span,
            ));
        }
        let wanted = match transform {
            Transform::Content(types) => Some(self.render_all(cx, types, span)?),
            _ => None,
        };
        let top = root.unwrap_or(0);
        let end = tree.parts.get(top).map_or(0, |p| p.end);
        for part in tree.parts.get(top..end).unwrap_or_default() {
            let (kind, subtype) = part.kind();
            let Some(body) = &part.body else { continue };
            match &wanted {
                None if kind != "text" => continue,
                Some(wanted) if !wanted.iter().any(|w| is_type(w, kind, subtype)) => continue,
                _ => {}
            }
            match &part.content {
                Content::Multipart { prologue, epilogue } => texts.extend([lossy(prologue), lossy(epilogue)]),
                Content::Message => {
                    let inner = |p: &&Part| p.whole.start == body.start && p.depth == part.depth + 1;
                    let header = tree.parts.iter().find(inner);
                    let end = header.and_then(|p| p.body.as_ref()).map_or(body.end, |b| b.start);
                    texts.push(lossy(&(body.start..end)));
                }
                Content::Leaf if wanted.is_none() => texts.push(mime::readable(raw, part)),
                Content::Leaf => texts.push(mime::text(raw, part)),
            }
        }
        Ok(no_captures(texts))
    }

    /// The date of a field in the zone asked for.
    pub(super) fn date_values(
        &self,
        cx: &mut Context<'_>,
        (field, part): (&Str, &Str),
        zone: &Zone,
        index: Option<Index>,
        span: Span,
    ) -> Result<Values, Halt> {
        let part = self.render(cx, part, span)?;
        let shift = self.zone(cx, zone, span)?;
        let index = index.or(Some(Index { at: 1, last: false }));
        let mut texts = Vec::new();
        self.each_field(
            cx,
            std::slice::from_ref(field),
            index,
            None,
            span,
            &mut |value, _| {
                let Some(date) = date::of_field(&value.unfolded()) else {
                    return;
                };
                let date = Date {
                    zone: shift.unwrap_or(date.zone),
                    ..date
                };
                texts.extend(date.part(&part));
            },
        )?;
        Ok(Values::of(texts))
    }

    pub(super) fn now_values(
        &self,
        cx: &mut Context<'_>,
        zone: &Zone,
        part: &Str,
        span: Span,
    ) -> Result<Values, Halt> {
        let part = self.render(cx, part, span)?;
        let zone = self.zone(cx, zone, span)?.unwrap_or(0);
        let now = Date {
            seconds: cx.facts.now,
            zone,
        };
        Ok(Values {
            count: Some(1),
            ..Values::of(now.part(&part).into_iter().collect())
        })
    }

    /// Minutes east of UTC; `None` for the zone of the field.
    fn zone(&self, cx: &mut Context<'_>, zone: &Zone, span: Span) -> Result<Option<i32>, Halt> {
        Ok(match zone {
            Zone::Local => Some(self.request.zone),
            Zone::Original => None,
            Zone::Given(text) => {
                let text = self.render(cx, text, span)?;
                Some(
                    date::zone(&text)
                        .ok_or_else(|| Halt::fault(format!("\"{text}\" is not a time zone"), span))?,
                )
            }
        })
    }

    /// Whether the header has a field of this name, edits included.
    pub(super) fn view(&self) -> HeaderView<'_> {
        HeaderView::message(&self.message, self.headers.as_ref())
    }
}

/// The places that an index leaves.
pub(super) fn indexed(places: &[usize], index: Option<Index>) -> &[usize] {
    let Some(index) = index else { return places };
    let Some(back) = usize::try_from(index.at)
        .ok()
        .filter(|n| (1..=places.len()).contains(n))
    else {
        return &[];
    };
    let at = if index.last { places.len() - back } else { back - 1 };
    places.get(at..=at).unwrap_or_default()
}

/// Whether a `:content` type names this type.
fn is_type(wanted: &str, kind: &str, subtype: &str) -> bool {
    if wanted.is_empty() {
        return true;
    }
    match wanted.split_once('/') {
        None => wanted.eq_ignore_ascii_case(kind),
        Some((k, s)) => {
            !k.is_empty() && !s.is_empty() && k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subtype)
        }
    }
}
