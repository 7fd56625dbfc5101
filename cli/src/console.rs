//! What a command sees of the terminal: three streams and what is known of them.
//!
//! Commands write through [`Console`] and never to the process's streams, so a test can stand in for
//! the terminal, and a reader that goes away is an error value, not a panic. Lines of input are
//! bounded by [`LINE_LIMIT`].

use std::ffi::OsString;
use std::io::{self, BufRead, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use crate::Failure;

/// Longest line of input, in bytes.
pub const LINE_LIMIT: usize = 1 << 20;

/// The streams of a command.
pub struct Console<'a> {
    /// Standard input.
    pub input: &'a mut dyn BufRead,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// A person types the input.
    pub interactive: bool,
    /// What goes to standard error may be coloured.
    pub colour: bool,
    /// What goes to standard output may be coloured.
    pub colour_out: bool,
    /// The site's directory.
    pub site: PathBuf,
}

/// Runs a command on the streams of this process. The site is `SLUICE_SITE`, else `./sluice-site`.
pub fn with_process<T>(run: impl FnOnce(&mut Console<'_>) -> T) -> T {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    let mut console = Console {
        input: &mut io::stdin().lock(),
        out: &mut BufWriter::new(io::stdout().lock()),
        // not locked: the server's tasks write their notices there, too
        err: &mut io::stderr(),
        interactive: io::stdin().is_terminal(),
        colour: io::stderr().is_terminal() && set("NO_COLOR").is_none(),
        colour_out: io::stdout().is_terminal() && set("NO_COLOR").is_none(),
        site: PathBuf::from(set("SLUICE_SITE").unwrap_or_else(|| OsString::from("./sluice-site"))),
    };
    run(&mut console)
}

impl Console<'_> {
    /// Writes a prompt and shows it at once.
    pub fn prompt(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Tells the person, on the error stream, that something is not as they may expect.
    pub fn note(&mut self, text: &str) {
        // standard error may be closed; the note is then for nobody
        let _ = writeln!(self.err, "note: {text}");
    }
}

/// Reads a line without its end; `None` at the end of the input. A line over [`LINE_LIMIT`] and one that
/// is not UTF-8 are errors after which the rest of the input cannot be trusted to be in step.
pub fn read_line(input: &mut dyn BufRead) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let mut limited = io::Read::take(input, LINE_LIMIT as u64 + 2);
    limited
        .read_until(b'\n', &mut line)
        .map_err(|source| Failure::Stream {
            doing: "read the input",
            source,
        })?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.len() > LINE_LIMIT {
        return Err(Failure::Failed(format!(
            "a line of the input is longer than {LINE_LIMIT} bytes; nothing after it was read"
        )));
    }
    match String::from_utf8(line) {
        Ok(line) => Ok(Some(line)),
        Err(_) => Err(Failure::Failed(
            "a line of the input is not UTF-8; convert the input, for example with iconv".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        type Expected<'a> = Result<&'a [&'a str], &'a str>;
        let long = "x".repeat(LINE_LIMIT);
        let cases: &[(&str, Vec<u8>, Expected<'_>)] = &[
            ("nothing", b"".to_vec(), Ok(&[])),
            ("no end of line", b"a\r\nb".to_vec(), Ok(&["a", "b"])),
            ("empty lines", b"\n\na\n".to_vec(), Ok(&["", "", "a"])),
            ("just the limit", format!("{long}\n").into_bytes(), Ok(&[&long])),
            (
                "one more",
                format!("{long}x\na\n").into_bytes(),
                Err("longer than 1048576"),
            ),
            ("not UTF-8", b"a\xff\n".to_vec(), Err("not UTF-8")),
        ];
        for (name, bytes, expected) in cases {
            let mut input: &[u8] = bytes;
            let mut lines = Vec::new();
            let error = loop {
                match read_line(&mut input) {
                    Ok(Some(line)) => lines.push(line),
                    Ok(None) => break None,
                    Err(error) => break Some(error.to_string()),
                }
            };
            match (expected, error) {
                (Ok(expected), None) => assert!(lines == *expected, "{name}"),
                (Err(part), Some(error)) => assert!(error.contains(part), "{name}: {error}"),
                (_, error) => panic!("{name}: {error:?}"),
            }
        }
    }
}
