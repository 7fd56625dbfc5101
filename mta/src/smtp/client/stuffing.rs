//! Message content as it goes over the wire after DATA.
//!
//! One pass, no allocation a line: a dot at the start of a line is doubled, a bare LF becomes CRLF and a
//! bare CR a blank, and the whole ends with CRLF, dot, CRLF. With bare line ends gone, no reader can see an
//! end of message that this client did not mean.

use memchr::memchr2_iter;

/// Content taken at a time; larger messages go out in several windows, so memory stays bounded.
pub const WINDOW: usize = 256 * 1024;

/// Encodes the content of one message window by window.
#[derive(Debug)]
pub struct Stuffer<'a> {
    rest: &'a [u8],
    line_start: bool,
    done: bool,
}

impl<'a> Stuffer<'a> {
    /// Begins a message.
    pub fn new(content: &'a [u8]) -> Stuffer<'a> {
        Stuffer {
            rest: content,
            line_start: true,
            done: false,
        }
    }

    /// Appends the next window to `out`; false if that was the last one, final dot included.
    pub fn next_window(&mut self, out: &mut Vec<u8>) -> bool {
        if self.done {
            return false;
        }
        let mut end = WINDOW.min(self.rest.len());
        // A window never ends between CR and LF: each octet can then be judged by its neighbours.
        if self.rest.get(end.wrapping_sub(1)) == Some(&b'\r') {
            end = (end + 1).min(self.rest.len());
        }
        let (window, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.encode(window, out);
        self.done = rest.is_empty();
        if self.done {
            if !self.line_start {
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b".\r\n");
        }
        !self.done
    }

    fn encode(&mut self, window: &[u8], out: &mut Vec<u8>) {
        let Some(&last) = window.last() else { return };
        if self.line_start && window.first() == Some(&b'.') {
            out.push(b'.');
        }
        let piece = |from: usize, to: usize| window.get(from..to).unwrap_or_default();
        let mut copied = 0;
        for at in memchr2_iter(b'\r', b'\n', window) {
            let next = window.get(at + 1);
            if window.get(at) == Some(&b'\r') {
                if next != Some(&b'\n') {
                    out.extend_from_slice(piece(copied, at));
                    out.push(b' ');
                    copied = at + 1;
                }
                continue;
            }
            if at == 0 || window.get(at - 1) != Some(&b'\r') {
                out.extend_from_slice(piece(copied, at));
                out.push(b'\r');
                copied = at;
            }
            if next == Some(&b'.') {
                out.extend_from_slice(piece(copied, at + 1));
                out.push(b'.');
                copied = at + 1;
            }
        }
        out.extend_from_slice(piece(copied, window.len()));
        self.line_start = last == b'\n';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut stuffer = Stuffer::new(content);
        while stuffer.next_window(&mut out) {}
        out
    }

    #[test]
    fn small() {
        let cases: &[(&str, &str, &str)] = &[
            ("empty", "", ".\r\n"),
            ("plain", "a\r\nb\r\n", "a\r\nb\r\n.\r\n"),
            ("no final line end", "a", "a\r\n.\r\n"),
            ("dot first", ".\r\n", "..\r\n.\r\n"),
            ("dots", "..\r\n.a\r\nb.\r\n", "...\r\n..a\r\nb.\r\n.\r\n"),
            ("bare LF", "a\n.\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"),
            (
                "bare LF and dot before CRLF",
                "a\n.\r\nb",
                "a\r\n..\r\nb\r\n.\r\n",
            ),
            ("bare CR", "a\r.\rb\r\n", "a . b\r\n.\r\n"),
            ("CR CR LF", "a\r\r\n.", "a \r\n..\r\n.\r\n"),
            ("CR at the end", "a\r", "a \r\n.\r\n"),
            ("LF first", "\n.", "\r\n..\r\n.\r\n"),
        ];
        for (name, content, expected) in cases {
            assert_eq!(
                String::from_utf8(encode(content.as_bytes())).unwrap(),
                *expected,
                "{name}"
            );
        }
    }

    /// The same by the obvious means, an octet at a time.
    fn naive(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut start = true;
        let mut i = 0;
        while i < content.len() {
            let byte = content[i];
            if byte == b'\n' || content[i..].starts_with(b"\r\n") {
                out.extend_from_slice(b"\r\n");
                i += if byte == b'\n' { 1 } else { 2 };
                start = true;
                continue;
            }
            if start && byte == b'.' {
                out.push(b'.');
            }
            out.push(if byte == b'\r' { b' ' } else { byte });
            start = false;
            i += 1;
        }
        out.extend_from_slice(if start { b".\r\n" } else { b"\r\n.\r\n" });
        out
    }

    #[test]
    fn windows_do_not_show() {
        let mut state = 7u64;
        for length in [WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 5] {
            let content: Vec<u8> = (0..length)
                .map(|_| {
                    state = state
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    b"\r\n.abc\r\n"[(state >> 33) as usize % 8]
                })
                .collect();
            assert!(encode(&content) == naive(&content), "{length}");
            for byte in [b'\r', b'\n', b'.'] {
                let mut content = vec![b'x'; length];
                content[WINDOW - 2..].fill(byte);
                assert!(encode(&content) == naive(&content), "{length} {byte}");
            }
        }
    }
}
