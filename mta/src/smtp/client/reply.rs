//! Replies of a server: reading them strictly, and saying what they mean.
//!
//! Accepted is `nnn text`, continued by `nnn-text` lines with the same code, each ended by CRLF (a bare LF
//! is tolerated: nothing can be smuggled in a reply). Refused: other first octets, codes outside 200 to
//! 599, codes that change within a reply, more than [`MAX_LINES`] lines or [`MAX_LINE`] octets in one.

/// Lines of one reply.
pub const MAX_LINES: usize = 100;

/// Octets of one line, its end included.
pub const MAX_LINE: usize = 2048;

/// Octets of a reply that are kept for logs and notifications.
pub const MAX_TEXT: usize = 1024;

/// One complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The text of each line, without code and line end; control characters are replaced by `?`.
    pub lines: Vec<String>,
}

impl Reply {
    /// 2yz.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4yz.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The enhanced status code at the start of the text (RFC 2034), if its class fits the reply's.
    pub fn enhanced(&self) -> Option<&str> {
        let word = self.lines.first()?.split(' ').next()?;
        let mut parts = word.split('.');
        let class = parts.next()?;
        let number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let fits = class.len() == 1 && class.parse() == Ok(self.code / 100);
        (fits && number(parts.next()?) && number(parts.next()?) && parts.next().is_none()).then_some(word)
    }

    /// The enhanced status code, or `4.0.0`, `5.0.0` and so on where the server gave none.
    pub fn status(&self) -> String {
        match self.enhanced() {
            Some(code) => code.to_string(),
            None => format!("{}.0.0", self.code / 100),
        }
    }

    /// The whole reply on one line, code first; at most [`MAX_TEXT`] octets.
    pub fn text(&self) -> String {
        let mut text = self.code.to_string();
        for line in self.lines.iter().filter(|line| !line.is_empty()) {
            text.push(' ');
            text.push_str(line);
            if text.len() > MAX_TEXT {
                break;
            }
        }
        cut(&mut text, MAX_TEXT);
        text
    }
}

/// Shortens a text to at most `limit` octets, between two characters.
pub(crate) fn cut(text: &mut String, limit: usize) {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// Puts a reply together from its lines.
#[derive(Debug, Default)]
pub struct Assembler {
    code: Option<u16>,
    lines: Vec<String>,
}

impl Assembler {
    /// Takes one line without its line end; `Ok(Some)` when it was the last of the reply.
    ///
    /// # Errors
    /// What is wrong with the line, as the end of a sentence.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, &'static str> {
        let (digits, rest) = line
            .split_at_checked(3)
            .ok_or("a line is shorter than a reply code")?;
        let code = match digits {
            [a @ b'2'..=b'5', b, c] if b.is_ascii_digit() && c.is_ascii_digit() => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => return Err("a line does not begin with a reply code"),
        };
        let (last, text) = match rest {
            [] => (true, rest),
            [b' ', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            _ => return Err("the reply code is not followed by a space or a hyphen"),
        };
        if *self.code.get_or_insert(code) != code {
            return Err("the reply code changes within the reply");
        }
        if self.lines.len() == MAX_LINES {
            return Err("the reply has too many lines");
        }
        let clean = |c: char| if c.is_control() { '?' } else { c };
        self.lines.push(
            String::from_utf8_lossy(text)
                .trim_end()
                .chars()
                .map(clean)
                .collect(),
        );
        if !last {
            return Ok(None);
        }
        self.code = None;
        Ok(Some(Reply {
            code,
            lines: std::mem::take(&mut self.lines),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Option<Reply>, &'static str> {
        let mut assembler = Assembler::default();
        let mut last = Ok(None);
        for line in lines {
            last = assembler.line(line.as_bytes());
            if last.is_err() {
                break;
            }
        }
        last
    }

    #[test]
    fn replies() {
        let cases: &[(&str, &[&str], Result<&str, &str>)] = &[
            ("one line", &["250 2.1.0 Ok"], Ok("250 2.1.0 Ok")),
            ("code alone", &["354"], Ok("354")),
            ("several lines", &["250-a", "250-", "250 b"], Ok("250 a b")),
            (
                "control characters",
                &["550 no\u{1b}[31m\tway"],
                Ok("550 no?[31m?way"),
            ),
            ("unfinished", &["250-a"], Ok("")),
            (
                "garbage",
                &["HTTP/1.1 400"],
                Err("a line does not begin with a reply code"),
            ),
            ("short", &["25"], Err("a line is shorter than a reply code")),
            (
                "class 6",
                &["650 x"],
                Err("a line does not begin with a reply code"),
            ),
            (
                "no separator",
                &["2500 x"],
                Err("the reply code is not followed by a space or a hyphen"),
            ),
            (
                "codes differ",
                &["250-a", "550 b"],
                Err("the reply code changes within the reply"),
            ),
            ("endless", &["250-x"; 101], Err("the reply has too many lines")),
        ];
        for (name, lines, expected) in cases {
            let got = read(lines).map(|reply| reply.map(|r| r.text()).unwrap_or_default());
            assert_eq!(got.as_deref().map_err(|e| *e), *expected, "{name}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let line = format!("550 x{}", "\u{fc}".repeat(900));
        let text = read(&[&line]).unwrap().unwrap().text();
        assert_eq!(text.len(), MAX_TEXT - 1);
        assert!(line.starts_with(&text));
    }

    #[test]
    fn statuses() {
        let cases = [
            ("550 5.1.1 no", "5.1.1"),
            ("550 no", "5.0.0"),
            ("450 5.1.1 class differs", "4.0.0"),
            ("550 5.1 no", "5.0.0"),
            ("550 5.1.1234 no", "5.0.0"),
            ("550 5.7.1.2 no", "5.0.0"),
            ("550", "5.0.0"),
        ];
        for (line, status) in cases {
            assert_eq!(read(&[line]).unwrap().unwrap().status(), status, "{line}");
        }
    }
}
