//! A script as tokens and comments: every character but white space is in one of them.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier.
    Word,
    /// `:name`.
    Tag,
    Number,
    /// A quoted string.
    Quoted,
    /// A `text:` block to the dot that ends it.
    Multiline,
    /// `#` to the end of its line.
    Hash,
    /// `/*` to `*/`.
    Bracket,
    /// `( ) [ ] { } , ;`.
    Mark,
    /// Anything else: operators of expressions.
    Operator,
}

/// A token, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'s> {
    pub kind: Kind,
    pub text: &'s str,
    /// Line ends between the token before it and this one.
    pub lines: usize,
}

impl Token<'_> {
    pub fn is(&self, mark: &str) -> bool {
        self.kind == Kind::Mark && self.text == mark
    }

    pub fn is_comment(&self) -> bool {
        matches!(self.kind, Kind::Hash | Kind::Bracket)
    }
}

/// The line end of a script: that of the first line that ends between tokens. Strings keep theirs.
pub(super) fn line_end(text: &str) -> &'static str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.starts_with("\r\n") {
            return "\r\n";
        }
        if rest.is_empty() || rest.starts_with('\n') {
            return "\n";
        }
        let (kind, length) = token(rest);
        let comment_end = kind == Kind::Hash && rest[..length].ends_with('\r');
        rest = &rest[length - usize::from(comment_end)..];
    }
}

/// Cuts a script up. What no grammar reads becomes operators of one character.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut lines = 0;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        if blank > 0 {
            lines += rest[..blank].matches('\n').count();
            at += blank;
            continue;
        }
        let (kind, length) = token(rest);
        let text = &rest[..length];
        // the end of a line in CRLF, and blanks before it, belong to no comment
        let text = if kind == Kind::Hash { text.trim_end() } else { text };
        out.push(Token { kind, text, lines });
        lines = 0;
        at += length;
    }
    out
}

fn word_end(text: &str) -> usize {
    let other = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.find(other).unwrap_or(text.len())
}

/// The kind and length of the token that a text begins with; never empty.
fn token(rest: &str) -> (Kind, usize) {
    let mut chars = rest.chars();
    let first = chars.next().unwrap_or(' ');
    let second = chars.next().unwrap_or(' ');
    let begins_word = |c: char| c.is_ascii_alphabetic() || c == '_';
    match first {
        '#' => (Kind::Hash, rest.find('\n').unwrap_or(rest.len())),
        '/' if second == '*' => {
            let end = rest[2..].find("*/").map_or(rest.len(), |n| n + 4);
            (Kind::Bracket, end)
        }
        '"' => (Kind::Quoted, quoted(rest)),
        ':' if begins_word(second) => (Kind::Tag, 1 + word_end(&rest[1..])),
        '0'..='9' => (Kind::Number, word_end(rest)),
        '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' => (Kind::Mark, 1),
        c if begins_word(c) => {
            let end = word_end(rest);
            match multiline(&rest[end..]).filter(|_| rest[..end].eq_ignore_ascii_case("text")) {
                Some(block) => (Kind::Multiline, end + block),
                None => (Kind::Word, end),
            }
        }
        _ => {
            let two = [":=", "==", "!=", "<=", ">=", "||", "&&"];
            let length = match two.iter().find(|o| rest.starts_with(**o)) {
                Some(operator) => operator.len(),
                None => first.len_utf8(),
            };
            (Kind::Operator, length)
        }
    }
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of what follows the word of a `text:` block, if it is one.
fn multiline(rest: &str) -> Option<usize> {
    let head = rest.strip_prefix(':')?.find('\n')? + 2;
    let opening = rest[1..head].trim();
    if !(opening.is_empty() || opening.starts_with('#')) {
        return None;
    }
    let mut at = head;
    for line in rest[head..].split_inclusive('\n') {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        if bare.strip_suffix('\r').unwrap_or(bare) == "." {
            return Some(at + 1);
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (
                "if not header :is\n\"a\" [\"b\\\"\"]{stop;}",
                &[
                    "if",
                    "not",
                    "header",
                    ":is",
                    "\"a\"",
                    "[",
                    "\"b\\\"\"",
                    "]",
                    "{",
                    "stop",
                    ";",
                    "}",
                ],
            ),
            (
                "# one \r\n/* t\nwo */keep;",
                &["# one", "/* t\nwo */", "keep", ";"],
            ),
            (
                "x text: # c\r\n..a\r\n.\r\n;",
                &["x", "text: # c\r\n..a\r\n.", ";"],
            ),
            ("text:a;", &["text", ":a", ";"]),
            ("text:\n.", &["text:\n."]),
            ("a:=b!=-1K;", &["a", ":=", "b", "!=", "-", "1K", ";"]),
            ("s(2:x)", &["s", "(", "2", ":x", ")"]),
            ("é", &["é"]),
        ];
        for (text, want) in cases {
            let got: Vec<&str> = tokens(text).iter().map(|t| t.text).collect();
            assert_eq!(&got, want, "{text}");
        }
    }
}
