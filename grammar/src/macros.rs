//! `&/NAME/`: what a site calls itself, written once (rewrite specification 1.1).
//!
//! The [`Reader`] knows the values. They are put in where lines are read, so that included files have them, too,
//! and places still point at what was typed.

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::source::{Reader, Span};

/// The macros of a text, each with its name.
pub(crate) fn find(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text.get(from..)?.find("&/")?;
            let rest = &text[start + 2..];
            let name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            let len = rest.find(|c| !name(c)).unwrap_or(rest.len());
            from = start + 2 + len;
            if len > 0 && rest[len..].starts_with('/') {
                from += 1;
                return Some((start..from, &rest[..len]));
            }
        }
    })
}

/// The value of a macro that was found; one that is not known is reported.
pub(crate) fn value(
    name: &str,
    reader: &dyn Reader,
    span: Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    let value = reader.value(name);
    if value.is_none() {
        diagnostics.push(
            Diagnostic::warning(
                "L006",
                span,
                format!("`&/{name}/` stands for nothing here, and stays as it is written"),
            )
            .help("`&/IMTA_HOST/` and `&/IMTA_DEFAULTDOMAIN/` are known, where the site has a host and a default domain"),
        );
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_macros() {
        let names = |text: &'static str| -> Vec<_> { find(text).collect() };
        assert_eq!(names("a&/X_1/b&/Y/"), [(1..7, "X_1"), (8..12, "Y")]);
        assert_eq!(names("&/&/X/"), [(2..6, "X")]);
        for none in ["", "&/", "&//", "&/x/", "&/X", "& /X/", "$&e9&/"] {
            assert_eq!(names(none), [], "{none}");
        }
    }
}
