//! Header fields of notifications: nothing that comes from outside gets into them unclean or too long.

use jiff::tz::TimeZone;
use store::envelope::Time;

/// Octets of a line, its end not included (RFC 5322, 2.1.1).
pub(super) const MAX_LINE: usize = 998;

/// Where lines are folded if there is a blank to do it at.
const FOLD: usize = 78;

/// Text that cannot end a line: control characters become `?`.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Text for the inside of a comment.
pub(super) fn comment(text: &str) -> String {
    clean(text).replace(['(', ')', '\\'], " ")
}

/// A date of RFC 5322; times that have none read as the first of 1970.
pub(super) fn date(time: Time, zone: &TimeZone) -> String {
    let stamp = jiff::Timestamp::from_second(time).unwrap_or_default();
    jiff::fmt::rfc2822::to_string(&stamp.to_zoned(zone.clone())).unwrap_or_default()
}

/// One field, folded at blanks, cut into pieces where there are none; CRLF included.
pub(super) fn fold(name: &str, value: &str) -> String {
    let mut out = format!("{name}:");
    let mut column = out.len();
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        if column + 1 + word.len() > FOLD && column > name.len() + 1 {
            out.push_str("\r\n");
            column = 0;
        }
        out.push(' ');
        column += 1;
        for c in word.chars() {
            if column + c.len_utf8() > MAX_LINE - 8 {
                out.push_str("\r\n ");
                column = 1;
            }
            out.push(c);
            column += c.len_utf8();
        }
    }
    out.push_str("\r\n");
    out
}

/// Content that cannot go into a notification as it is: a line longer than mail allows, a bare CR or LF.
pub(super) fn is_unfit(content: &[u8]) -> bool {
    let mut lines = content.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let complete = lines.peek().is_some();
        let bare = match line.strip_suffix(b"\r") {
            Some(line) if complete => line,
            None if !complete => line,
            _ => return true,
        };
        if bare.len() > MAX_LINE || bare.contains(&b'\r') {
            return true;
        }
    }
    false
}

/// The header of the original as the body of a part: at most `limit` octets of whole lines, each of a legal
/// length, the blank line at its end left out.
pub(super) fn original_fields(header: &[u8], limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len().min(limit));
    for line in header.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || out.len() + line.len() > limit {
            break;
        }
        let cut = line.get(..MAX_LINE).unwrap_or(line);
        out.extend(cut.iter().map(|&byte| if byte == b'\r' { b'?' } else { byte }));
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding() {
        let words = "word ".repeat(60);
        let folded = fold("X", words.trim_end());
        assert!(folded.lines().all(|line| line.len() <= FOLD), "{folded}");
        assert_eq!(
            folded.replace("\r\n ", " "),
            format!("X: {}\r\n", words.trim_end())
        );
        let endless = fold("X", &"\u{fc}".repeat(3000));
        assert!(endless.lines().all(|line| line.len() <= MAX_LINE), "{endless}");
        assert_eq!(fold("X", ""), "X:\r\n");
    }

    #[test]
    fn headers_are_cut_at_whole_lines() {
        let header = b"A: 1\r\nB: 2\r\n\r\nbody";
        assert_eq!(original_fields(header, 1000), b"A: 1\r\nB: 2\r\n");
        assert_eq!(original_fields(header, 9), b"A: 1\r\n");
        assert_eq!(original_fields(&[b'x'; 5000], 10_000).len(), MAX_LINE + 2);
    }
}
