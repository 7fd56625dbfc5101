//! The forms of a host that the rules are asked for.

use std::borrow::Cow;

/// One form of a host that is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `$*`.
    Any,
    /// The host as it is.
    Whole,
    /// A literal up to the dot at this byte: `[192.0.]`.
    LiteralHead(usize),
    /// `[]`.
    AnyLiteral,
    /// `[*.*.*.*]`, with so many wildcards.
    LiteralStars(usize),
    /// So many wildcards, and the host from the dot at this byte, or its end: `*.*.example.com`.
    Stars(usize, usize),
    /// The host from the dot at this byte: `.example.com`.
    Suffix(usize),
    /// `.`.
    Rest,
    /// `$%` or `$!`, after all else failed.
    LastResort(&'static str),
}

impl Form {
    /// `$D`: the part of the host that matched.
    pub(super) fn domain(self, host: &str) -> Cow<'_, str> {
        match self {
            Form::Whole => host.into(),
            Form::LiteralHead(dot) => format!("{}.]", &host[..dot]).into(),
            Form::AnyLiteral => "[]".into(),
            Form::LiteralStars(n) => format!("[{}]", vec!["*"; n].join(".")).into(),
            // the dot at the end of a host is no domain
            Form::Stars(_, at) => Some(&host[at..]).filter(|d| *d != ".").unwrap_or_default().into(),
            Form::Suffix(dot) => host[dot..].into(),
            Form::Rest => ".".into(),
            Form::Any | Form::LastResort(_) => "".into(),
        }
    }

    /// `$H`: the part of the host that did not match.
    pub(super) fn host(self, host: &str) -> &str {
        match self {
            Form::Any | Form::Rest | Form::LastResort(_) => host,
            Form::LiteralStars(_) => literal(host).0,
            Form::Stars(_, at) | Form::Suffix(at) => &host[..at],
            Form::Whole | Form::LiteralHead(_) | Form::AnyLiteral => "",
        }
    }

    /// `$L`: the part of a literal that did not match.
    pub(super) fn literal(self, host: &str) -> &str {
        match self {
            Form::LiteralHead(dot) => &host[dot + 1..literal(host).0.len() + 1],
            Form::AnyLiteral | Form::LiteralStars(_) => literal(host).0,
            _ => "",
        }
    }

    /// Appends the pattern that is looked up; `folded` is the host in lower case.
    fn pattern(self, folded: &str, out: &mut String) {
        match self {
            Form::Any => out.push_str("$*"),
            Form::LastResort(pattern) => out.push_str(pattern),
            Form::Stars(n, _) => {
                for i in 0..n {
                    out.push_str(if i == 0 { "*" } else { ".*" });
                }
                out.push_str(&self.domain(folded));
            }
            _ => out.push_str(&self.domain(folded)),
        }
    }
}

/// What a literal has between its brackets, and what follows them.
fn literal(host: &str) -> (&str, &str) {
    let inner = host.strip_prefix('[').unwrap_or_default();
    inner.split_once(']').unwrap_or((inner, ""))
}

/// The forms of a host, one after another. The patterns are written one at a time: most hosts are found by one of
/// the first.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// The host, in lower case.
    pub folded: String,
    forms: Vec<Form>,
    next: usize,
    /// The tag of the rules, and the pattern of the form after it.
    pub pattern: String,
    tag: usize,
}

impl Probes {
    /// Begins to look for a host in the order of the manual (rewrite specification 4.2, 4.3, 4.8), `match_any` with
    /// `$*` first.
    pub(super) fn start(&mut self, host: &str, tag: &str, match_any: bool) {
        self.folded.clear();
        self.folded.push_str(host);
        self.folded.make_ascii_lowercase();
        self.forms.clear();
        self.forms.extend(match_any.then_some(Form::Any));
        self.forms.push(Form::Whole);
        if host.starts_with('[') {
            self.literals(host);
        } else {
            let dots = host.match_indices('.').map(|(dot, _)| dot);
            for (n, at) in dots.chain([host.len()]).enumerate() {
                self.forms.push(Form::Stars(n + 1, at));
                if at + 1 < host.len() {
                    self.forms.push(Form::Suffix(at));
                }
            }
        }
        self.forms.push(Form::Rest);
        self.go(tag);
    }

    fn literals(&mut self, host: &str) {
        let (inner, after) = literal(host);
        let mut stars = 1;
        if !inner.contains(':') {
            let dots = inner.match_indices('.').map(|(dot, _)| dot + 1);
            self.forms.extend(dots.rev().map(Form::LiteralHead));
            stars += inner.matches('.').count();
        }
        self.forms.push(Form::AnyLiteral);
        self.forms.push(Form::LiteralStars(stars));
        if after.starts_with('.') {
            let start = host.len() - after.len();
            let dots = after.match_indices('.').map(|(dot, _)| start + dot);
            self.forms.extend(dots.map(Form::Suffix));
        }
    }

    /// Begins to look for the rule of last resort.
    pub(super) fn start_last_resort(&mut self, pattern: &'static str, tag: &str) {
        self.forms.clear();
        self.forms.push(Form::LastResort(pattern));
        self.go(tag);
    }

    fn go(&mut self, tag: &str) {
        self.next = 0;
        self.pattern.clear();
        self.pattern.push_str(tag);
        self.tag = tag.len();
        self.write();
    }

    fn write(&mut self) {
        self.pattern.truncate(self.tag);
        if let Some(form) = self.forms.get(self.next) {
            form.pattern(&self.folded, &mut self.pattern);
        }
    }

    /// The form that is looked up; [`Probes::pattern`] is its pattern.
    pub(super) fn form(&self) -> Option<Form> {
        self.forms.get(self.next).copied()
    }

    /// Goes on to the next form.
    pub(super) fn advance(&mut self) {
        self.next += 1;
        self.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pattern, `$D`, `$H` and `$L` of each form.
    fn forms(host: &str) -> String {
        let mut probes = Probes::default();
        probes.start(host, "t|", true);
        let mut all = Vec::new();
        while let Some(form) = probes.form() {
            let (pattern, domain) = (&probes.pattern, form.domain(host));
            all.push(format!(
                "{pattern}/{domain}/{}/{}",
                form.host(host),
                form.literal(host)
            ));
            probes.advance();
        }
        all.join(" ")
    }

    #[test]
    fn forms_in_the_order_of_the_manual() {
        for (host, expected) in [
            (
                "a.B.c",
                "t|$*//a.B.c/ t|a.b.c/a.B.c// t|*.b.c/.B.c/a/ t|.b.c/.B.c/a/ t|*.*.c/.c/a.B/ t|.c/.c/a.B/ \
                 t|*.*.*//a.B.c/ t|././a.B.c/",
            ),
            ("x", "t|$*//x/ t|x/x// t|*//x/ t|././x/"),
            ("a.", "t|$*//a./ t|a./a.// t|*//a/ t|*.*//a./ t|././a./"),
            ("", "t|$*/// t|/// t|*/// t|././/"),
            (
                "[1.2.3]",
                "t|$*//[1.2.3]/ t|[1.2.3]/[1.2.3]// t|[1.2.]/[1.2.]//3 t|[1.]/[1.]//2.3 t|[]/[]//1.2.3 \
                 t|[*.*.*]/[*.*.*]/1.2.3/1.2.3 t|././[1.2.3]/",
            ),
            (
                "[IPv6:::1].x.y",
                "t|$*//[IPv6:::1].x.y/ t|[ipv6:::1].x.y/[IPv6:::1].x.y// t|[]/[]//IPv6:::1 \
                 t|[*]/[*]/IPv6:::1/IPv6:::1 t|.x.y/.x.y/[IPv6:::1]/ t|.y/.y/[IPv6:::1].x/ t|././[IPv6:::1].x.y/",
            ),
            (
                "[1.2",
                "t|$*//[1.2/ t|[1.2/[1.2// t|[1.]/[1.]//2 t|[]/[]//1.2 t|[*.*]/[*.*]/1.2/1.2 t|././[1.2/",
            ),
            (
                "[1]x",
                "t|$*//[1]x/ t|[1]x/[1]x// t|[]/[]//1 t|[*]/[*]/1/1 t|././[1]x/",
            ),
        ] {
            assert_eq!(forms(host), expected, "{host}");
        }
    }
}
