//! Formats 4 to 6: fields by their names.

use std::borrow::Cow;

use super::super::field::FIELDS;
use super::super::options::Format;
use super::super::record::{Direction, HeaderRecord};
use super::{Parsed, ReadError, code, number, process};

/// An entry that is filled by attribute name.
struct Named<'a> {
    parsed: Parsed<'a>,
    timed: bool,
}

impl<'a> Named<'a> {
    fn new(element: &str) -> Option<Named<'a>> {
        let parsed = match element {
            "en" => Parsed::Message(Box::default()),
            "co" => Parsed::Connection(Box::default()),
            "he" => Parsed::Header(HeaderRecord::default()),
            _ => return None,
        };
        Some(Named { parsed, timed: false })
    }

    fn set(&mut self, name: &str, value: Cow<'a, str>) -> Result<(), ReadError> {
        if name == "ts" {
            let time = value.parse().map_err(|_| ReadError::Time(value.to_string()))?;
            match &mut self.parsed {
                Parsed::Message(record) => record.time = time,
                Parsed::Connection(record) => record.time = time,
                Parsed::Header(record) => record.time = time,
            }
            self.timed = true;
            return Ok(());
        }
        match &mut self.parsed {
            Parsed::Message(record) => match name {
                "no" => record.node = value,
                "pi" => record.process = process(&value)?,
                "sc" => record.source_channel = value,
                "dc" => record.destination_channel = value,
                "ac" => record.code = code(&value)?,
                "sz" => record.size = number("size", &value)?.unwrap_or(0),
                _ => {
                    let Some(field) = FIELDS.iter().find(|field| field.attribute == name) else {
                        return Ok(());
                    };
                    let text = value.clone();
                    if !(field.set)(record, value) {
                        return Err(ReadError::Field {
                            field: field.attribute,
                            text: text.into_owned(),
                        });
                    }
                }
            },
            Parsed::Connection(record) => match name {
                "no" => record.node = value,
                "pi" => record.process = process(&value)?,
                "sc" => record.channel = value,
                "dr" => {
                    record.direction = Direction::parse(&value).ok_or(ReadError::Field {
                        field: "direction",
                        text: value.into_owned(),
                    })?;
                }
                "ac" => record.code = code(&value)?,
                "tr" => record.transport = value,
                "ap" => record.application = value,
                "mi" => record.tag = value,
                "us" => record.username = value,
                "di" => record.diagnostic = value,
                "ct" => record.open_seconds = number("connection time", &value)?,
                _ => {}
            },
            Parsed::Header(record) => match name {
                "no" => record.node = value,
                "pi" => record.process = process(&value)?,
                "va" => record.line = value,
                _ => {}
            },
        }
        Ok(())
    }

    fn end(self) -> Result<Parsed<'a>, ReadError> {
        if !self.timed {
            return Err(ReadError::Ends("time"));
        }
        let code = match &self.parsed {
            Parsed::Message(record) => Some(record.code),
            Parsed::Connection(record) => Some(record.code),
            Parsed::Header(_) => None,
        };
        match code {
            Some(code) if code.as_str().is_empty() => Err(ReadError::Ends("code")),
            _ => Ok(self.parsed),
        }
    }
}

pub(super) fn xml(line: &str) -> Result<Parsed<'_>, ReadError> {
    let inner = line
        .trim()
        .strip_prefix('<')
        .ok_or(ReadError::Xml("no `<` at the start"))?;
    let mut rest = inner
        .strip_suffix("/>")
        .ok_or(ReadError::Xml("no `/>` at the end"))?;
    let (element, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let mut named = Named::new(element).ok_or(ReadError::Xml("another element"))?;
    rest = after.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once('=')
            .ok_or(ReadError::Xml("an attribute without value"))?;
        let after = after.trim_start();
        let quote = match after.as_bytes().first() {
            Some(b'"') => '"',
            Some(b'\'') => '\'',
            _ => return Err(ReadError::Xml("a value without quotes")),
        };
        let (value, after) = after
            .get(1..)
            .and_then(|value| value.split_once(quote))
            .ok_or(ReadError::Xml("a value that does not end"))?;
        named.set(name.trim_end(), unescape(value)?)?;
        rest = after.trim_start();
        if !rest.is_empty() && rest.len() == after.len() {
            return Err(ReadError::Xml("no blank between attributes"));
        }
    }
    named.end()
}

fn unescape(value: &str) -> Result<Cow<'_, str>, ReadError> {
    if value.contains('<') {
        return Err(ReadError::Xml("`<` in a value"));
    }
    if !value.contains('&') {
        return Ok(value.into());
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, after) = after
            .split_once(';')
            .ok_or(ReadError::Xml("an entity that does not end"))?;
        let number = match name.strip_prefix('#') {
            Some(digits) => match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => digits.parse().ok(),
            },
            None => None,
        };
        out.push(match (name, number) {
            ("amp", _) => '&',
            ("lt", _) => '<',
            ("gt", _) => '>',
            ("quot", _) => '"',
            ("apos", _) => '\'',
            (_, Some(number)) => char::from_u32(number).ok_or(ReadError::Xml("a number of no character"))?,
            _ => return Err(ReadError::Xml("an unknown entity")),
        });
        rest = after;
    }
    out.push_str(rest);
    Ok(out.into())
}

pub(super) fn json(line: &str, format: Format) -> Result<Parsed<'_>, ReadError> {
    use serde_json::Value;
    let error = |text: &str| ReadError::Json(text.to_string());
    let value: Value = serde_json::from_str(line).map_err(|e| ReadError::Json(e.to_string()))?;
    let Value::Object(mut object) = value else {
        return Err(error("no object"));
    };
    let element = if format == Format::FlatJson {
        match object.remove("type") {
            Some(Value::String(element)) => element,
            _ => return Err(error("no \"type\"")),
        }
    } else {
        let (element, inner) = object.into_iter().next().ok_or(error("an empty object"))?;
        let Value::Object(inner) = inner else {
            return Err(error("no object within the object"));
        };
        object = inner;
        element
    };
    let mut named = Named::new(&element).ok_or(error("neither en, co nor he"))?;
    for (name, value) in object {
        match value {
            Value::String(text) => named.set(&name, text.into())?,
            Value::Number(number) => named.set(&name, number.to_string().into())?,
            _ => {}
        }
    }
    named.end()
}
