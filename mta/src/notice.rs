//! Notices for the operator: what `$<` and `$>` of mapping tables send to syslog.

use std::os::unix::net::UnixDatagram;

/// Writes a line to standard error. Unlike `eprintln!` it does not panic where nobody reads it any more or
/// where its disk is full: a server whose complaints are lost goes on.
#[macro_export]
macro_rules! complain {
    ($($part:tt)*) => {{
        use ::std::io::Write as _;
        let _ = ::std::writeln!(::std::io::stderr(), $($part)*);
    }};
}

/// Facility `user`, severity `notice` (access specification 6.2).
const PRIORITY: u8 = 13;

/// Sends a text to syslog; without one, to stderr. Control characters become blanks.
pub fn send(text: &str) {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(1000)
        .collect();
    let line = format!("<{PRIORITY}>sluice: {text}");
    let sent = UnixDatagram::unbound().and_then(|s| {
        s.set_nonblocking(true)?;
        s.send_to(line.as_bytes(), "/dev/log")
    });
    if sent.is_err() {
        crate::complain!("notice: {text}");
    }
}
