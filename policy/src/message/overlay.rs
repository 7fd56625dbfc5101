//! Header edits: which fields of the original header stand where, and which are new.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Header, LARGE_HEADER, Message, field};

/// One field of an edited header.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum OverlayField {
    /// The field of this index in the original header.
    Original(usize),
    /// A new one, unencoded.
    New {
        /// Its name.
        name: String,
        /// Its value, one line of UTF-8.
        value: String,
    },
}

/// An edited header. Each delivery keeps the one it was made with.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Overlay {
    /// Fields from the top.
    pub fields: Vec<OverlayField>,
}

impl Overlay {
    /// The header as it was.
    pub fn of(message: &Message) -> Self {
        Overlay {
            fields: (0..message.header().fields.len())
                .map(OverlayField::Original)
                .collect(),
        }
    }
}

/// A header to look at: of a message, edited or not, or of a part.
#[derive(Debug, Clone)]
pub struct HeaderView<'a> {
    message: &'a Message,
    header: &'a Header,
    overlay: Option<&'a Arc<Overlay>>,
}

impl<'a> HeaderView<'a> {
    /// The header of a message as edited.
    pub fn message(message: &'a Message, overlay: Option<&'a Arc<Overlay>>) -> Self {
        HeaderView {
            message,
            header: message.header(),
            overlay,
        }
    }

    /// The header of a part.
    pub fn part(message: &'a Message, header: &'a Header) -> Self {
        HeaderView {
            message,
            header,
            overlay: None,
        }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.overlay.map_or(self.header.fields.len(), |o| o.fields.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name and raw body of the field at a place.
    pub fn get(&self, at: usize) -> Option<(Cow<'a, str>, RawValue<'a>)> {
        let original = |i: usize| {
            let field = self.header.fields.get(i)?;
            let name = String::from_utf8_lossy(self.message.slice(&field.name));
            Some((name, RawValue::Wire(self.message.slice(&field.value))))
        };
        match self.overlay {
            None => original(at),
            Some(overlay) => match overlay.fields.get(at)? {
                OverlayField::Original(i) => original(*i),
                OverlayField::New { name, value } => Some((name.into(), RawValue::Text(value))),
            },
        }
    }

    /// Places of all fields of this name, from the top.
    pub fn places(&self, name: &str) -> Vec<usize> {
        let original = self.header.places(self.message.raw(), name);
        let Some(overlay) = self.overlay else {
            return original;
        };
        let is = |field: &OverlayField| match field {
            OverlayField::Original(i) => original.binary_search(i).is_ok(),
            OverlayField::New { name: n, .. } => n.eq_ignore_ascii_case(name),
        };
        overlay
            .fields
            .iter()
            .enumerate()
            .filter(|(_, f)| is(f))
            .map(|(at, _)| at)
            .collect()
    }

    /// Calls `each` with the body of every field of this name, from the top, until it fails.
    pub fn each<E>(&self, name: &str, each: &mut dyn FnMut(RawValue<'a>) -> Result<(), E>) -> Result<(), E> {
        if self.overlay.is_some() || self.header.fields.len() >= LARGE_HEADER {
            return self.values(name).into_iter().try_for_each(each);
        }
        for field in &self.header.fields {
            let this = self.message.slice(&field.name);
            if this.eq_ignore_ascii_case(name.as_bytes()) {
                each(RawValue::Wire(self.message.slice(&field.value)))?;
            }
        }
        Ok(())
    }

    /// Bodies of all fields of this name, from the top.
    pub fn values(&self, name: &str) -> Vec<RawValue<'a>> {
        self.places(name)
            .into_iter()
            .filter_map(|at| Some(self.get(at)?.1))
            .collect()
    }
}

/// A field body.
#[derive(Debug, Clone, Copy)]
pub enum RawValue<'a> {
    /// As it came: folded, encoded.
    Wire(&'a [u8]),
    /// As a script gave it.
    Text(&'a str),
}

impl RawValue<'_> {
    /// Unfolded, trimmed, encoded words decoded.
    pub fn decoded(&self) -> String {
        match self {
            RawValue::Wire(raw) => field::decoded(raw),
            RawValue::Text(text) => text.trim().to_owned(),
        }
    }

    /// Unfolded and trimmed only, as structured fields are read.
    pub fn unfolded(&self) -> String {
        match self {
            RawValue::Wire(raw) => field::unfolded(raw),
            RawValue::Text(text) => text.trim().to_owned(),
        }
    }

    /// Bytes it takes.
    pub fn len(&self) -> usize {
        match self {
            RawValue::Wire(raw) => raw.len(),
            RawValue::Text(text) => text.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
