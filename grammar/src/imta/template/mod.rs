//! The template language of rewrite rules (rewrite specification 5): one linear scanner.
//!
//! Used when a file is loaded, and at run time for results that are expanded again (general database,
//! mappings, DOMAIN_FAILURE).

mod scan;

use std::ops::Range;

use self::scan::{Scanner, Within};
use crate::diagnostic::Diagnostic;
use crate::mapping::Case;
use crate::source::Span;

/// One part of a rewrite template.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it does.
    pub kind: PartKind,
    /// Its place; the default span for text made at run time.
    pub span: Span,
}

/// Which condition a letter sets on the use of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// `$E`: envelope addresses only.
    Envelope,
    /// `$B`: header and body addresses only.
    Header,
    /// `$F`: forward-pointing addresses only.
    Forward,
    /// `$R`: backward-pointing addresses only.
    Backward,
    /// `$A`: the host was right of `@`.
    At,
    /// `$P`: the host was right of `%`.
    Percent,
    /// `$S`: the host came from a source route.
    Route,
    /// `$X`: the host was left of `!`.
    Bang,
}

/// What a part of a rewrite template does.
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    /// Puts text in.
    Text(String),
    /// `@`: the next field begins.
    At,
    /// `%`: the next field begins.
    Percent,
    /// `$U`, `$0U`, `$1U`: local part, without subaddress, subaddress alone.
    Local(Option<u8>),
    /// `$D`, `$nD`: the part that matched, without its first n components.
    Domain(u8),
    /// `$H`, `$nH`: the part that did not match.
    Host(u8),
    /// `$L`: the part of a literal that did not match.
    Literal,
    /// `$&n`, from the left of the host part.
    HostFromLeft(u8),
    /// `$!n`, from the right of the host part.
    HostFromRight(u8),
    /// `$*n`, from the left of the domain part.
    DomainFromLeft(u8),
    /// `$#n`, from the right of the domain part.
    DomainFromRight(u8),
    /// `$nA`: a character of the address.
    AddressCharacter(u8),
    /// `$A` in a URL: the whole address.
    Address,
    /// `$S` in a URL: the subaddress.
    Subaddress,
    /// `$nX`: a component of the mail host.
    MailHost(u8),
    /// `$\`, `$^`, `$_`.
    Case(Case),
    /// `$=`.
    QuoteLdap,
    /// `$W`: a unique string.
    Unique,
    /// `$(key)`.
    General(Vec<Part>),
    /// `${table,argument}`.
    Mapping {
        /// The table.
        table: String,
        /// What is looked up.
        argument: Vec<Part>,
    },
    /// `$]url[`.
    Url(Vec<Part>),
    /// `$[image,routine,argument]`.
    Routine {
        /// Image.
        image: String,
        /// Routine.
        routine: String,
        /// Argument.
        argument: Vec<Part>,
    },
    /// `$.text`: what stands for the result of a look-up that fails for the time being.
    Temporary(String),
    /// `$,`: what follows up to `@` is the recorded destination host.
    DestinationHost,
    /// `$E $B $F $R $A $P $S $X`.
    When(Match),
    /// `$Mchan`, `$Nchan`: source channel is, is not.
    Source {
        /// Must be this channel.
        is: bool,
        /// The channel, may hold `*`.
        channel: String,
    },
    /// `$1M`, `$1N`: source channel is, is not, an internal reprocessing channel.
    Internal {
        /// Must be one.
        is: bool,
    },
    /// `$Qchan`, `$Cchan`: destination channel is, is not.
    Destination {
        /// Must be this channel.
        is: bool,
        /// The channel, may hold `*`.
        channel: String,
    },
    /// `$Vdomain`, `$Zdomain`: the domain is served here, is not.
    DomainCheck {
        /// Must be served here.
        is: bool,
        /// The domain.
        domain: Vec<Part>,
    },
    /// `$1~`: check now.
    CheckNow,
    /// `$Ttag`.
    Tag(String),
    /// `$?text`, `$n?text`.
    ErrorText {
        /// Status as class*1000000 + subject*1000 + detail, 0 where none is given.
        status: u32,
        /// The text.
        text: String,
    },
}

/// Scans a template; `at` turns byte ranges of `text` into places.
pub fn parse_template(
    text: &str,
    at: &dyn Fn(Range<usize>) -> Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Part> {
    if let Some(error) = text.strip_prefix("$?") {
        // the template that is an error text and nothing else runs to the end of the line
        let kind = PartKind::ErrorText {
            status: 0,
            text: error.to_string(),
        };
        return vec![Part {
            kind,
            span: at(0..text.len()),
        }];
    }
    let mut text_end = text.len();
    if let Some(blank) = text.find([' ', '\t'])
        && !text[..blank].contains('?')
    {
        diagnostics.push(
            Diagnostic::warning(
                "R002",
                at(blank..text.len()),
                "this text is ignored: the template ended at the blank before it",
            )
            .help("templates hold no blanks, except in the text of `$?`"),
        );
        text_end = blank;
    }
    Scanner {
        text: &text[..text_end],
        base: 0,
        at,
        diagnostics,
        within: Within::Template,
    }
    .parts()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_said() {
        // template, what is said, the words that it points at
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("$U$0U$1U%$H$2D$1M$1N$1~@x", &[]),
            ("$2U@x", &[("R019", "$2U")]),
            (
                "$3L$1E$2(k)@x",
                &[("R019", "$3L"), ("R019", "$1E"), ("R019", "$2(")],
            ),
            ("$2Mtcp_a@x", &[("R019", "$2M")]),
            ("$U$~@x", &[("R019", "$~")]),
            ("$99999999999D@x", &[("R019", "$99999999999D")]),
            ("$4000000?later$5001001?never", &[]),
            ("$2000000?ok", &[("R020", "$2000000?")]),
            ("$99999999999?ok", &[("R020", "$99999999999?")]),
            ("$Mtcp_a$U@x", &[("R021", "$U")]),
            ("$U@x$Mtcp_a$E", &[("R021", "$E")]),
            ("$U@x$Ttag$0H", &[("R021", "$0H")]),
            ("$U@x$?no such host $H", &[("R021", "$H")]),
            ("$U@x$Mtcp_a$Ntcp_b$Ttag|", &[]),
            ("$U$M@x$V", &[("R022", "$M"), ("R022", "$V")]),
        ];
        for (text, expected) in cases {
            let at = |r: Range<usize>| Span::new(crate::FileId(0), r.start, r.end);
            let mut diagnostics = Vec::new();
            parse_template(text, &at, &mut diagnostics);
            let said: Vec<_> = diagnostics
                .iter()
                .map(|d| (d.code, &text[d.span().start as usize..d.span().end as usize]))
                .collect();
            assert_eq!(said, *expected, "{text}");
        }
    }
}
