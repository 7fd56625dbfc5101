//! String arguments: encoded characters (RFC 5228 2.4.2.4) and variable references (RFC 5229 3).

use super::program::{Piece, Slot, Str};

/// The highest match variable, `${99}`.
pub(super) const MAX_MATCH_VARIABLE: usize = 99;

/// Why a string cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadText {
    /// The words that are wrong.
    pub words: String,
    pub message: String,
    pub help: String,
}

/// Replaces `${hex:...}` and `${unicode:...}`; what is malformed stays.
pub(super) fn decode_characters(text: &str) -> Result<String, BadText> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        let close = rest.find('}');
        let inner = close.and_then(|c| rest.get(2..c));
        let (keyword, codes) = inner.and_then(|i| i.split_once(':')).unwrap_or(("", ""));
        let decoded = if keyword.eq_ignore_ascii_case("hex") {
            hex(codes)
        } else if keyword.eq_ignore_ascii_case("unicode") {
            unicode(codes)?
        } else {
            None
        };
        match (decoded, close) {
            (Some(decoded), Some(close)) => {
                bytes.extend_from_slice(&decoded);
                rest = rest.get(close + 1..).unwrap_or("");
            }
            _ => {
                bytes.extend_from_slice(b"${");
                rest = &rest[2..];
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    })
}

fn codes(text: &str, digits: usize) -> Option<Vec<u32>> {
    let mut out = Vec::new();
    for word in text.split([' ', '\t', '\r', '\n']).filter(|w| !w.is_empty()) {
        if word.len() > digits || !word.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        out.push(u32::from_str_radix(word, 16).ok()?);
    }
    (!out.is_empty()).then_some(out)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    codes(text, 2)?
        .into_iter()
        .map(|c| u8::try_from(c).ok())
        .collect()
}

fn unicode(text: &str) -> Result<Option<Vec<u8>>, BadText> {
    let Some(codes) = codes(text, 6) else {
        return Ok(None);
    };
    let mut out = String::new();
    for code in codes {
        match char::from_u32(code) {
            Some(c) => out.push(c),
            None => {
                return Err(BadText {
                    words: text.trim().to_owned(),
                    message: format!("{code:X} is not a Unicode character"),
                    help: "use a code point up to 10FFFF outside D800 to DFFF".to_owned(),
                });
            }
        }
    }
    Ok(Some(out.into_bytes()))
}

/// Splits a string at its variable references. `slot` gives the place of a variable by its name in lower
/// case and its namespace, or refuses the namespace.
pub(super) fn split_variables(
    text: &str,
    slot: &mut dyn FnMut(Option<&str>, &str) -> Option<Slot>,
) -> Result<Str, BadText> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = rest.find('}').and_then(|c| Some((rest.get(2..c)?, c + 1)));
        let piece = match reference {
            Some((inner, _)) if is_number(inner) => {
                let number = inner.parse::<usize>().ok().filter(|n| *n <= MAX_MATCH_VARIABLE);
                Some(Piece::Match(number.ok_or_else(|| BadText {
                    words: format!("${{{inner}}}"),
                    message: format!("`${{{inner}}}` is above the highest match variable"),
                    help: format!("use ${{0}} to ${{{MAX_MATCH_VARIABLE}}}"),
                })?))
            }
            Some((inner, _)) if inner.split('.').all(is_identifier) => {
                let name = inner.to_ascii_lowercase();
                let (space, name) = match name.rsplit_once('.') {
                    Some((space, name)) => (Some(space), name),
                    None => (None, name.as_str()),
                };
                Some(Piece::Variable(slot(space, name).ok_or_else(|| BadText {
                    words: format!("${{{inner}}}"),
                    message: format!("there is no namespace `{}` here", space.unwrap_or("")),
                    help: "use a plain variable name, or `global.` with `require \"include\"`".to_owned(),
                })?))
            }
            _ => None,
        };
        match (piece, reference) {
            (Some(piece), Some((_, len))) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
                }
                pieces.push(piece);
                rest = rest.get(len..).unwrap_or("");
            }
            _ => {
                literal.push_str("${");
                rest = &rest[2..];
            }
        }
    }
    literal.push_str(rest);
    if pieces.is_empty() {
        return Ok(Str::Const(literal.into()));
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal.into()));
    }
    Ok(Str::Template(pieces.into()))
}

/// Whether this may name a variable.
pub(super) fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_characters() {
        for (text, want) in [
            ("${hex:24 24}/${Unicode: 0040 e9}", "$$/@é"),
            (
                "${hex:40 }/${hex: }/${hex:zz}/${HEX:41}",
                "@/${hex: }/${hex:zz}/A",
            ),
            ("${hex:4${hex:30}}", "${hex:40}"),
            ("${hex:123}${", "${hex:123}${"),
        ] {
            assert_eq!(decode_characters(text).unwrap(), want, "{text}");
        }
        assert!(decode_characters("${unicode:D800}").is_err());
        assert!(decode_characters("${unicode:110000}").is_err());
    }

    #[test]
    fn splits_references() {
        let mut seen = Vec::new();
        let mut slot = |space: Option<&str>, name: &str| {
            seen.push(name.to_owned());
            (space != Some("no")).then_some(Slot::Local(0))
        };
        let text = "${full}|${BAD${Company}|&%${}!|${doh!}|${1}";
        let Str::Template(pieces) = split_variables(text, &mut slot).unwrap() else {
            panic!()
        };
        assert_eq!(pieces.len(), 5);
        assert_eq!(pieces[3], Piece::Text("|&%${}!|${doh!}|".into()).clone());
        assert!(split_variables("${no.x}", &mut slot).is_err());
        assert!(split_variables("${100}", &mut slot).is_err());
        assert_eq!(seen, ["full", "company", "x"]);
    }
}
