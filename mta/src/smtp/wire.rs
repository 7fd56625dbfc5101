//! The octets of an SMTP connection: command lines, and message bodies as DATA and BDAT carry them.
//!
//! [`LineReader`] takes command lines out of an input buffer. [`BodyReader`] takes the message out of what
//! follows DATA or BDAT: it removes dot-stuffing, finds the end and counts.
//!
//! Guarantees: what comes out does not depend on how the input was cut into packets; both keep a fixed
//! amount of state, however long a line or a message is; both work on runs, not on single octets.
//!
//! Refused, against the smuggling of messages: in a command line anything but a final CRLF for a line end,
//! and NUL. In a message a CR without LF, a LF without CR, and NUL ([`BodyFault`]); such a message is read
//! to its true end, which is CRLF `.` CRLF and nothing else, and then refused as a whole. There is no option
//! to accept them. Content of BODY=BINARYMIME (only possible with BDAT) is not looked at.
//!
//! Lines of any length pass in a message; those over [`LINE_LENGTH`] octets are counted, so that a channel
//! can wrap or refuse them.
//!
//! Source: RFC 5321 2.3.8, 4.1.1.4, 4.5.2, 4.5.3; RFC 3030; queue specification 14.13.

use bytes::{Buf, BytesMut};
use memchr::{memchr, memchr3};

/// Longest line of a message by RFC 5321 4.5.3.1.6, in octets without its CRLF.
pub const LINE_LENGTH: u64 = 998;

/// Octets of a refused command line that are kept to name it in the log.
const KEPT_OF_BAD_LINE: usize = 64;

/// What is wrong with a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// A LF that no CR precedes.
    #[error("line feed without carriage return in a command; end lines with CRLF")]
    BareLf,
    /// A CR that no LF follows.
    #[error("carriage return without line feed in a command; end lines with CRLF")]
    BareCr,
    /// An octet of value 0.
    #[error("NUL in a command")]
    Nul,
    /// No CRLF within the limit; the limit in octets, CRLF included.
    #[error("command line too long, at most {0} octets are allowed here")]
    TooLong(usize),
}

/// What [`LineReader::read`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineStep {
    /// The input ends before the line does.
    Incomplete,
    /// A line, without its CRLF. It holds no CR, LF or NUL.
    Line(BytesMut),
    /// A line that is refused, with its first octets. What remains of it is skipped by later calls.
    Bad(LineFault, BytesMut),
}

/// Takes lines that end in CRLF from an input buffer.
#[derive(Debug, Clone, Default)]
pub struct LineReader {
    /// Octets at the start of the buffer known to hold no CR, LF or NUL.
    scanned: usize,
    /// A refused line is being skipped up to its CRLF.
    skipping: bool,
    /// The last octet skipped was a CR.
    skipped_cr: bool,
}

impl LineReader {
    /// Takes the next line from the front of `input`.
    ///
    /// `limit` says how long the line that starts with the octets given may be, CRLF included; it must not
    /// depend on more than the first four octets and must not be below four. A refused line is reported as
    /// soon as its fault is seen, once, and consumed up to its CRLF without being kept.
    pub fn read(&mut self, input: &mut BytesMut, limit: impl Fn(&[u8]) -> usize) -> LineStep {
        if self.skipping && !self.skip(input) {
            return LineStep::Incomplete;
        }
        let limit = limit(input);
        let window = input.get(..limit).unwrap_or(input);
        let unseen = window.get(self.scanned..).unwrap_or_default();
        let Some(found) = memchr3(b'\r', b'\n', 0, unseen) else {
            if window.len() >= limit {
                return self.refuse(input, limit, LineFault::TooLong(limit), false);
            }
            self.scanned = window.len();
            return LineStep::Incomplete;
        };
        let at = self.scanned + found;
        match window.get(at) {
            Some(b'\n') => self.refuse(input, at + 1, LineFault::BareLf, false),
            Some(b'\r') if at + 2 > limit => self.refuse(input, at + 1, LineFault::TooLong(limit), true),
            Some(b'\r') => match input.get(at + 1) {
                None => {
                    self.scanned = at;
                    LineStep::Incomplete
                }
                Some(b'\n') => {
                    self.scanned = 0;
                    let line = input.split_to(at);
                    input.advance(2);
                    LineStep::Line(line)
                }
                Some(_) => self.refuse(input, at + 1, LineFault::BareCr, false),
            },
            _ => self.refuse(input, at + 1, LineFault::Nul, false),
        }
    }

    /// A refused line is being skipped: the input so far ends inside it.
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    fn refuse(
        &mut self,
        input: &mut BytesMut,
        consumed: usize,
        fault: LineFault,
        after_cr: bool,
    ) -> LineStep {
        let mut start = input.split_to(consumed.min(input.len()));
        start.truncate(KEPT_OF_BAD_LINE);
        *self = LineReader {
            scanned: 0,
            skipping: true,
            skipped_cr: after_cr,
        };
        LineStep::Bad(fault, start)
    }

    /// Skips up to and with the next CRLF; true when it was found.
    fn skip(&mut self, input: &mut BytesMut) -> bool {
        let mut from = 0;
        while let Some(found) = memchr(b'\n', input.get(from..).unwrap_or_default()) {
            let at = from + found;
            let after_cr = match at.checked_sub(1) {
                None => self.skipped_cr,
                Some(before) => input.get(before) == Some(&b'\r'),
            };
            if after_cr {
                input.advance(at + 1);
                *self = LineReader::default();
                return true;
            }
            from = at + 1;
        }
        if let Some(last) = input.last() {
            self.skipped_cr = *last == b'\r';
        }
        input.clear();
        false
    }
}

/// Why a message cannot be accepted, whatever policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// A CR that no LF follows.
    #[error("message holds a carriage return without line feed; end its lines with CRLF")]
    BareCr,
    /// A LF that no CR precedes.
    #[error("message holds a line feed without carriage return; end its lines with CRLF")]
    BareLf,
    /// An octet of value 0 in a message that is not BODY=BINARYMIME.
    #[error("message holds a NUL; encode it, or send it as BODY=BINARYMIME")]
    Nul,
    /// More octets than allowed: the count when it was noticed, and the limit.
    #[error(
        "a message size of {} kilobytes exceeds the size limit of {} kilobytes computed for this transaction",
        .size.div_ceil(1024), .limit / 1024
    )]
    TooLarge {
        /// Octets seen, or announced.
        size: u64,
        /// Octets allowed.
        limit: u64,
    },
}

/// How a message comes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// DATA: dot-stuffed lines, ended by CRLF `.` CRLF.
    Dots,
    /// BDAT with lines of text: as long as announced, no dots.
    Counted,
    /// BDAT of a BODY=BINARYMIME message: any octets.
    Binary,
}

/// What was counted while a message was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BodyCounts {
    /// Octets, CRLFs included, without dot-stuffing and final dot (RFC 1870).
    pub octets: u64,
    /// Lines that ended in CRLF. 0 for binary content.
    pub lines: u64,
    /// Of these, lines over [`LINE_LENGTH`].
    pub long_lines: u64,
    /// Octets of the longest line, without CRLF.
    pub longest_line: u64,
    /// An octet above 127 was seen.
    pub eight_bit: bool,
}

/// Where a [`BodyReader`] stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// After CRLF, or at the start.
    LineStart,
    /// After a dot at the start of a line; the dot is not part of the message.
    Dot,
    /// After a dot at the start of a line and CR; neither has been passed on.
    DotCr,
    /// Inside a line.
    Text,
    /// After CR; it has been passed on.
    Cr,
}

/// Reads one message.
#[derive(Debug, Clone)]
pub struct BodyReader {
    transfer: Transfer,
    limit: u64,
    place: Place,
    line: u64,
    counts: BodyCounts,
    fault: Option<BodyFault>,
}

impl BodyReader {
    /// A reader at the start of a message of at most `limit` octets; 0 for no limit.
    pub fn new(transfer: Transfer, limit: u64) -> BodyReader {
        BodyReader {
            transfer,
            limit,
            place: Place::LineStart,
            line: 0,
            counts: BodyCounts::default(),
            fault: None,
        }
    }

    /// Reads `input` and appends what belongs to the message to `out`, at most as many octets as `input` has.
    ///
    /// Gives the octets consumed, and whether the message ended there (only with [`Transfer::Dots`]; the
    /// octets after the end are left). Once there is a fault, reading goes on but nothing is appended, and
    /// what the call with the fault had appended is of no use.
    pub fn read(&mut self, input: &[u8], out: &mut BytesMut) -> (usize, bool) {
        if self.transfer == Transfer::Binary {
            self.pass(input, 0, input.len(), out);
            return (input.len(), false);
        }
        let mut pos = 0; // next octet to look at
        let mut run = 0; // first octet not yet passed on
        let mut mark = 0; // first octet of this line not yet counted
        while let Some(&next) = input.get(pos) {
            match self.place {
                Place::LineStart if next == b'.' && self.transfer == Transfer::Dots => {
                    self.pass(input, run, pos, out);
                    pos += 1;
                    run = pos;
                    self.place = Place::Dot;
                }
                Place::LineStart => {
                    mark = pos;
                    self.place = Place::Text;
                }
                Place::Dot if next == b'\r' => {
                    pos += 1;
                    run = pos;
                    self.place = Place::DotCr;
                }
                Place::Dot => {
                    mark = pos;
                    self.place = Place::Text;
                }
                Place::DotCr if next == b'\n' => return (pos + 1, true),
                Place::DotCr => {
                    self.blame(BodyFault::BareCr);
                    mark = pos;
                    self.place = Place::Text;
                }
                Place::Cr if next == b'\n' => {
                    pos += 1;
                    self.end_line();
                    self.place = Place::LineStart;
                }
                Place::Cr => {
                    self.blame(BodyFault::BareCr);
                    mark = pos;
                    self.place = Place::Text;
                }
                Place::Text => {
                    let rest = input.get(pos..).unwrap_or_default();
                    // A refused message needs no more than its end.
                    let found = match self.fault {
                        None => memchr3(b'\r', b'\n', 0, rest),
                        Some(_) => memchr(b'\r', rest),
                    };
                    let Some(found) = found else {
                        pos = input.len();
                        break;
                    };
                    let at = pos + found;
                    pos = at + 1;
                    match input.get(at) {
                        Some(b'\r') => {
                            self.line += at.saturating_sub(mark) as u64;
                            self.place = Place::Cr;
                        }
                        Some(b'\n') => self.blame(BodyFault::BareLf),
                        _ => self.blame(BodyFault::Nul),
                    }
                }
            }
        }
        if self.place == Place::Text {
            self.line += pos.saturating_sub(mark) as u64;
        }
        self.pass(input, run, pos, out);
        (pos, false)
    }

    /// The last BDAT is over: a CR at the very end has lost its LF.
    pub fn finish(&mut self) {
        if self.place == Place::Cr {
            self.blame(BodyFault::BareCr);
        }
    }

    /// `octets` more are announced: refuses them beforehand if the message would be too large.
    pub fn announce(&mut self, octets: u64) {
        self.check_size(self.counts.octets.saturating_add(octets));
    }

    /// Why the message must be refused; `None` while nothing is wrong.
    pub fn fault(&self) -> Option<BodyFault> {
        self.fault
    }

    /// What was counted so far. After a fault only the octets go on counting.
    pub fn counts(&self) -> BodyCounts {
        self.counts
    }

    fn pass(&mut self, input: &[u8], from: usize, to: usize, out: &mut BytesMut) {
        let run = input.get(from..to).unwrap_or_default();
        self.counts.octets = self.counts.octets.saturating_add(run.len() as u64);
        self.check_size(self.counts.octets);
        if self.fault.is_none() {
            self.counts.eight_bit = self.counts.eight_bit || !run.is_ascii();
            out.extend_from_slice(run);
        }
    }

    fn check_size(&mut self, size: u64) {
        if self.limit != 0 && size > self.limit {
            self.blame(BodyFault::TooLarge {
                size,
                limit: self.limit,
            });
        }
    }

    /// The first fault is the one reported.
    fn blame(&mut self, fault: BodyFault) {
        self.fault.get_or_insert(fault);
    }

    fn end_line(&mut self) {
        if self.fault.is_none() {
            self.counts.lines += 1;
            self.counts.long_lines += u64::from(self.line > LINE_LENGTH);
            self.counts.longest_line = self.counts.longest_line.max(self.line);
        }
        self.line = 0;
    }
}
