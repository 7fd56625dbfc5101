//! One message over an open connection: MAIL, RCPT, DATA, content, and who got it.

use std::borrow::Cow;
use std::fmt::Write as _;

use store::envelope::{Envelope, Failure, Notify, Recipient};

use super::convert;
use super::error::Cause;
use super::stuffing::Stuffer;
use super::{Connection, EightBit, Protocol, Reply, State};

/// Octets of envelope commands sent before their replies are read, so that neither side can fill the
/// other's buffers and wait for ever (RFC 2920, 3.1).
pub const ENVELOPE_WINDOW: usize = 16 * 1024;

/// Longest address that is sent.
const MAX_ADDRESS: usize = 512;

/// Buffer space kept from one message to the next.
const KEEP: usize = 1024 * 1024;

/// A message's envelope as the next hop gets it.
#[derive(Debug, Clone, Default)]
pub struct Outgoing<'a> {
    /// Envelope From, without angle brackets; empty for the null sender.
    pub from: &'a str,
    /// ENVID, decoded.
    pub envelope_id: Option<&'a str>,
    /// RET=HDRS.
    pub return_headers: bool,
    /// MT-PRIORITY; 0 is not sent.
    pub priority: i8,
    /// The header or an address needs SMTPUTF8, whatever the addresses here look like.
    pub utf8: bool,
    /// Recipients; the results come in this order.
    pub recipients: Vec<OutgoingRecipient<'a>>,
}

/// A recipient as the next hop gets it.
#[derive(Debug, Clone, Default)]
pub struct OutgoingRecipient<'a> {
    /// Address, without angle brackets.
    pub address: &'a str,
    /// ORCPT, `rfc822;user@host`, decoded; empty if none.
    pub original: &'a str,
    /// NOTIFY.
    pub notify: Notify,
}

impl<'a> Outgoing<'a> {
    /// From what the queue remembers.
    pub fn new(envelope: &'a Envelope, recipients: impl IntoIterator<Item = &'a Recipient>) -> Outgoing<'a> {
        Outgoing {
            from: &envelope.from,
            envelope_id: envelope.envelope_id.as_deref(),
            return_headers: envelope.return_headers,
            priority: envelope.priority,
            utf8: envelope.utf8,
            recipients: recipients
                .into_iter()
                .map(|r| OutgoingRecipient {
                    address: &r.address,
                    original: &r.original,
                    notify: r.notify,
                })
                .collect(),
        }
    }
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq)]
pub enum RecipientOutcome {
    /// The server took it over.
    Delivered {
        /// Its last word, code first.
        reply: String,
    },
    /// No attempt will do better.
    Failed(Failure),
    /// To be tried again.
    Deferred(Failure),
}

/// What became of a message.
#[derive(Debug, Clone)]
pub struct SendOutcome {
    /// One a recipient, in their order.
    pub recipients: Vec<RecipientOutcome>,
    /// The next hop offers DSN: it has NOTIFY, RET, ENVID and ORCPT now, and a successful delivery is its
    /// to report. If not, the caller reports `relayed` where success was asked for.
    pub dsn_passed_on: bool,
    /// The content was converted to 7 bits.
    pub converted: bool,
    /// The connection had served a message before and was gone (or closing, 421) before it acknowledged
    /// anything of this one: the message was not really tried; open another connection for it.
    pub untried: bool,
}

/// Which reply comes next.
#[derive(Clone, Copy)]
enum Expect {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
}

/// What is known while the message is under way.
struct Progress {
    outcomes: Vec<Option<RecipientOutcome>>,
    accepted: Vec<usize>,
    mail: Option<Reply>,
    data: Option<Reply>,
    acknowledged: bool,
}

impl Progress {
    fn settle_open(&mut self, outcome: &RecipientOutcome) {
        for slot in self.outcomes.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(outcome.clone());
        }
    }

    fn mail_ok(&self) -> bool {
        self.mail.as_ref().is_none_or(Reply::is_positive)
    }

    fn data_ready(&self) -> bool {
        self.data.as_ref().is_some_and(|reply| reply.code == 354)
    }
}

impl Connection {
    /// Delivers one message. `content` is header and body, lines ending in CRLF.
    ///
    /// Never fails as a whole: whatever happens is told for each recipient. Afterwards
    /// [`Connection::is_usable`] says whether the connection can take another message.
    pub async fn send(&mut self, envelope: &Outgoing<'_>, content: &[u8]) -> SendOutcome {
        let mut outcome = SendOutcome {
            recipients: Vec::new(),
            dsn_passed_on: self.offers.dsn,
            converted: false,
            untried: false,
        };
        let mut progress = Progress {
            outcomes: vec![None; envelope.recipients.len()],
            accepted: Vec::new(),
            mail: None,
            data: None,
            acknowledged: false,
        };
        if self.state == State::Broken {
            let failure = self.failure("4.4.2", "the connection is already closed".into());
            progress.settle_open(&RecipientOutcome::Deferred(failure));
            outcome.untried = true;
        } else {
            self.check(envelope, &mut progress);
            let content = self.fit(content, &mut progress, &mut outcome);
            if progress.outcomes.iter().any(Option::is_none) {
                let state = std::mem::replace(&mut self.state, State::Broken);
                let reused = self.transactions > 0;
                self.transactions = self.transactions.saturating_add(1);
                match self.transact(envelope, &content, state, &mut progress).await {
                    Ok(next) => self.state = next,
                    Err(cause) => {
                        outcome.untried = reused && !progress.acknowledged && is_gone(&cause);
                        let failure = self.error(cause).failure();
                        progress.settle_open(&RecipientOutcome::Deferred(temporary(failure)));
                    }
                }
                self.output.clear();
                self.output.shrink_to(KEEP);
            }
        }
        let lost = || RecipientOutcome::Deferred(self.failure("4.3.0", "no reply for this recipient".into()));
        outcome.recipients = progress
            .outcomes
            .into_iter()
            .map(|slot| slot.unwrap_or_else(lost))
            .collect();
        outcome
    }

    /// Settles the recipients that this server cannot be asked for.
    fn check(&self, envelope: &Outgoing<'_>, progress: &mut Progress) {
        let fail = |status: &str, text: String| RecipientOutcome::Failed(self.failure(status, text));
        if let Err(problem) = check_address(envelope.from, true) {
            progress.settle_open(&fail("5.1.7", format!("the sender address {problem}")));
            return;
        }
        let no_utf8 = !self.offers.utf8;
        if no_utf8 && (envelope.utf8 || !envelope.from.is_ascii()) {
            let text = "the message needs SMTPUTF8, which the remote host does not offer";
            progress.settle_open(&fail("5.6.7", text.into()));
            return;
        }
        for (recipient, slot) in envelope.recipients.iter().zip(&mut progress.outcomes) {
            if let Err(problem) = check_address(recipient.address, false) {
                *slot = Some(fail("5.1.3", format!("the recipient address {problem}")));
            } else if no_utf8 && !recipient.address.is_ascii() {
                let text = "the address needs SMTPUTF8, which the remote host does not offer";
                *slot = Some(fail("5.6.7", text.into()));
            }
        }
    }

    /// Makes the content fit what the server can take, or settles all recipients.
    fn fit<'c>(
        &self,
        content: &'c [u8],
        progress: &mut Progress,
        outcome: &mut SendOutcome,
    ) -> Cow<'c, [u8]> {
        let mut content = Cow::Borrowed(content);
        let convertible = match self.options.eight_bit {
            EightBit::Always => false,
            EightBit::Never => true,
            EightBit::Negotiate | EightBit::Strict => !self.offers.eight_bit,
        };
        if convertible && !content.is_ascii() {
            let converted = match self.options.eight_bit {
                EightBit::Strict => Err(convert::NotConverted::Forbidden),
                _ => convert::to_seven_bits(&content),
            };
            match converted {
                Ok(seven) => {
                    outcome.converted = true;
                    content = Cow::Owned(seven);
                }
                Err(error) => {
                    let failure = self.failure("5.6.3", error.to_string());
                    progress.settle_open(&RecipientOutcome::Failed(failure));
                }
            }
        }
        if let Some(limit) = self.offers.size.filter(|&limit| limit > 0)
            && content.len() as u64 > limit
        {
            let text = format!(
                "the message has {} octets, more than the {limit} that the remote host takes",
                content.len()
            );
            progress.settle_open(&RecipientOutcome::Failed(self.failure("5.3.4", text)));
        }
        content
    }

    /// The dialogue. `Ok` is the state the connection is left in; `Err` leaves it broken.
    async fn transact(
        &mut self,
        envelope: &Outgoing<'_>,
        content: &[u8],
        state: State,
        progress: &mut Progress,
    ) -> Result<State, Cause> {
        let eight_bit = !content.is_ascii();
        let ascii = envelope.from.is_ascii() && envelope.recipients.iter().all(|r| r.address.is_ascii());
        let utf8 = self.offers.utf8 && (envelope.utf8 || !ascii);
        let todo: Vec<usize> = (0..)
            .zip(&progress.outcomes)
            .filter(|(_, o)| o.is_none())
            .map(|(i, _)| i)
            .collect();

        self.output.clear();
        let mut expected: Vec<Expect> = Vec::with_capacity(todo.len() + 3);
        if state == State::NeedsReset {
            self.output.extend_from_slice(b"RSET\r\n");
            expected.push(Expect::Reset);
            self.pause(&mut expected, progress, 0).await?;
        }
        let line = self.mail_command(envelope, content.len(), eight_bit, utf8);
        self.output.extend_from_slice(line.as_bytes());
        expected.push(Expect::Mail);
        self.pause(&mut expected, progress, ENVELOPE_WINDOW).await?;
        for index in todo {
            if !progress.mail_ok() {
                break;
            }
            if let Some(recipient) = envelope.recipients.get(index) {
                let line = self.rcpt_command(recipient, utf8);
                self.output.extend_from_slice(line.as_bytes());
                expected.push(Expect::Rcpt(index));
                self.pause(&mut expected, progress, ENVELOPE_WINDOW).await?;
            }
        }
        let waiting = expected
            .iter()
            .any(|e| matches!(e, Expect::Mail | Expect::Rcpt(_)));
        if waiting || !progress.accepted.is_empty() {
            self.output.extend_from_slice(b"DATA\r\n");
            expected.push(Expect::Data);
        }
        self.pause(&mut expected, progress, 0).await?;

        if !progress.data_ready() {
            // Refused as a whole, or by every recipient; what is still open hears the reply to DATA.
            if let Some(reply) = progress.data.take() {
                let verdict = self.verdict(&reply, false);
                progress.settle_open(&verdict);
            }
            return Ok(State::NeedsReset);
        }
        if progress.accepted.is_empty() {
            // The server took a pipelined DATA without recipients: an empty message ends it.
            self.wire
                .write(b".\r\n", self.options.timeouts.dot_transmit, "the final dot")
                .await?;
            let reply = self
                .wire
                .reply(self.options.timeouts.status_data_receive, "the final dot")
                .await?;
            return if reply.code == 421 {
                Ok(State::Broken)
            } else {
                Ok(State::Ready)
            };
        }
        self.deliver(content, progress).await
    }

    /// Sends what waits and reads the replies, if the server does not pipeline or `window` is exceeded.
    async fn pause(
        &mut self,
        expected: &mut Vec<Expect>,
        progress: &mut Progress,
        window: usize,
    ) -> Result<(), Cause> {
        if expected.is_empty() || (self.offers.pipelining && window > 0 && self.output.len() < window) {
            return Ok(());
        }
        // RSET alone need not be waited for.
        if self.offers.pipelining && matches!(expected.as_slice(), [Expect::Reset]) {
            return Ok(());
        }
        let options = self.options.clone();
        let timeouts = &options.timeouts;
        let (time, during) = match expected.first() {
            Some(Expect::Mail) => (timeouts.mail_transmit, "MAIL FROM"),
            Some(Expect::Rcpt(_)) => (timeouts.rcpt_transmit, "RCPT TO"),
            Some(Expect::Data) => (timeouts.command_transmit, "DATA"),
            Some(Expect::Reset) | None => (timeouts.command_transmit, "RSET"),
        };
        let written = self.wire.write(&self.output, time, during).await;
        self.output.clear();
        if let Err(cause) = written {
            // A server that says 421 and closes makes the write fail; its reason is worth reading.
            return match self.wire.reply(timeouts.quit, during).await {
                Ok(reply) if reply.code == 421 => Err(Cause::Refused { during, reply }),
                _ => Err(cause),
            };
        }
        for expect in expected.drain(..) {
            let (time, during) = match expect {
                Expect::Reset => (timeouts.status_receive, "RSET"),
                Expect::Mail => (timeouts.status_mail_receive, "MAIL FROM"),
                Expect::Rcpt(_) => (timeouts.status_rcpt_receive, "RCPT TO"),
                Expect::Data => (timeouts.status_receive, "DATA"),
            };
            let reply = self.wire.reply(time, during).await?;
            if reply.code == 421 {
                return Err(Cause::Refused { during, reply });
            }
            let fits = match expect {
                Expect::Data => reply.code == 354 || reply.is_transient() || reply.is_permanent(),
                Expect::Reset => reply.is_positive(),
                _ => reply.code / 100 != 3,
            };
            if !fits {
                let problem = format!("unexpected reply {}", reply.text());
                return Err(Cause::BadReply { during, problem });
            }
            match expect {
                Expect::Reset => {}
                Expect::Mail => {
                    progress.acknowledged = true;
                    if !reply.is_positive() {
                        let verdict = self.verdict(&reply, false);
                        progress.settle_open(&verdict);
                    }
                    progress.mail = Some(reply);
                }
                // After a refused MAIL these replies say nothing new.
                Expect::Rcpt(_) if !progress.mail_ok() => {}
                Expect::Rcpt(index) if reply.is_positive() => progress.accepted.push(index),
                Expect::Rcpt(index) => {
                    let verdict = self.verdict(&reply, true);
                    if let Some(slot) = progress.outcomes.get_mut(index) {
                        *slot = Some(verdict);
                    }
                }
                Expect::Data => progress.data = Some(reply),
            }
        }
        Ok(())
    }

    /// Content, dot, and the last word.
    async fn deliver(&mut self, content: &[u8], progress: &mut Progress) -> Result<State, Cause> {
        let options = self.options.clone();
        let timeouts = &options.timeouts;
        let mut stuffer = Stuffer::new(content);
        let mut early = None;
        loop {
            self.output.clear();
            let more = stuffer.next_window(&mut self.output);
            let (time, during) = if more {
                (timeouts.data_transmit, "the message content")
            } else {
                (timeouts.dot_transmit.max(timeouts.data_transmit), "the final dot")
            };
            if let Err(cause) = self.wire.write(&self.output, time, during).await {
                // A server may refuse in the middle and close; then its reply is the better reason.
                match self.wire.reply(timeouts.quit, during).await {
                    Ok(reply) if reply.is_transient() || reply.is_permanent() => early = Some(reply),
                    _ => return Err(cause),
                }
            }
            if !more || early.is_some() {
                break;
            }
        }
        let during = "the reply to the message";
        if let Some(reply) = early {
            let verdict = self.verdict(&reply, false);
            progress.settle_open(&verdict);
            return Ok(State::Broken);
        }
        let time = timeouts.status_data(progress.accepted.len(), content.len());
        let replies = match self.options.protocol {
            Protocol::Smtp => 1,
            Protocol::Lmtp => progress.accepted.len(),
        };
        let accepted = std::mem::take(&mut progress.accepted);
        let mut next = State::Ready;
        for index in accepted.iter().take(replies) {
            let reply = self.wire.reply(time, during).await?;
            if !(reply.is_positive() || reply.is_transient() || reply.is_permanent()) {
                let problem = format!("unexpected reply {}", reply.text());
                return Err(Cause::BadReply { during, problem });
            }
            let closing = reply.code == 421;
            let verdict = self.verdict(&reply, false);
            if self.options.protocol == Protocol::Smtp || closing {
                progress.settle_open(&verdict);
            } else if let Some(slot) = progress.outcomes.get_mut(*index) {
                *slot = Some(verdict);
            }
            if closing {
                next = State::Broken;
                break;
            }
        }
        Ok(next)
    }

    /// What a reply means for a recipient.
    fn verdict(&self, reply: &Reply, to_rcpt: bool) -> RecipientOutcome {
        let text = reply.text();
        if reply.is_positive() {
            return RecipientOutcome::Delivered { reply: text };
        }
        // 552 to RCPT is an old "too many recipients" (RFC 5321, 4.5.3.1.10), unless the site knows better.
        if to_rcpt && reply.code == 552 {
            let said = text.get(3..).unwrap_or_default().trim();
            if !self
                .options
                .permanent_552
                .iter()
                .any(|known| known.trim() == said)
            {
                return RecipientOutcome::Deferred(self.failure("4.5.3", text));
            }
        }
        let failure = self.failure(&reply.status(), text);
        if reply.is_permanent() {
            RecipientOutcome::Failed(failure)
        } else {
            RecipientOutcome::Deferred(failure)
        }
    }

    fn mail_command(&self, envelope: &Outgoing<'_>, size: usize, eight_bit: bool, utf8: bool) -> String {
        let offers = &self.offers;
        let mut line = format!("MAIL FROM:<{}>", envelope.from);
        if offers.size.is_some() {
            let _ = write!(line, " SIZE={size}");
        }
        if eight_bit && offers.eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        if utf8 {
            line.push_str(" SMTPUTF8");
        }
        if offers.dsn {
            if envelope.return_headers {
                line.push_str(" RET=HDRS");
            }
            if let Some(id) = envelope
                .envelope_id
                .map(xtext)
                .filter(|id| !id.is_empty() && id.len() <= 100)
            {
                let _ = write!(line, " ENVID={id}");
            }
        }
        if offers.priority && (-9..=9).contains(&envelope.priority) && envelope.priority != 0 {
            let _ = write!(line, " MT-PRIORITY={}", envelope.priority);
        }
        line.push_str("\r\n");
        line
    }

    fn rcpt_command(&self, recipient: &OutgoingRecipient<'_>, utf8: bool) -> String {
        let mut line = format!("RCPT TO:<{}>", recipient.address);
        if self.offers.dsn {
            let notify = recipient.notify;
            if notify.never() {
                line.push_str(" NOTIFY=NEVER");
            } else if notify.given {
                let words: Vec<&str> = [
                    (notify.success, "SUCCESS"),
                    (notify.failure, "FAILURE"),
                    (notify.delay, "DELAY"),
                ]
                .into_iter()
                .filter_map(|(asked, word)| asked.then_some(word))
                .collect();
                let _ = write!(line, " NOTIFY={}", words.join(","));
            }
            if let Some(original) = original_recipient(recipient.original, utf8) {
                let _ = write!(line, " ORCPT={original}");
            }
        }
        line.push_str("\r\n");
        line
    }
}

/// The connection ended, as against a server that misbehaves or is slow.
fn is_gone(cause: &Cause) -> bool {
    match cause {
        Cause::Closed { .. } | Cause::Io { .. } => true,
        Cause::Refused { reply, .. } => reply.code == 421,
        _ => false,
    }
}

/// A lost connection is temporary whatever the code beside it says.
fn temporary(mut failure: Failure) -> Failure {
    if failure.status.starts_with('5') {
        failure.status.replace_range(..1, "4");
    }
    failure
}

/// Refuses whatever could end the path or the line; the text completes a sentence.
fn check_address(address: &str, may_be_empty: bool) -> Result<(), &'static str> {
    if address.is_empty() && !may_be_empty {
        return Err("is empty");
    }
    if address.len() > MAX_ADDRESS {
        return Err("is too long");
    }
    if address.chars().any(char::is_control) {
        return Err("contains control characters");
    }
    let mut quoted = false;
    let mut escaped = false;
    for c in address.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '<' | '>' if !quoted => return Err("contains blanks or angle brackets outside quotes"),
            _ => {}
        }
    }
    if quoted { Err("has an open quote") } else { Ok(()) }
}

/// RFC 3461, 4: octets outside `!` to `~`, and `+` and `=`, as `+XX`.
fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'+' | b'=' => {}
            b'!'..=b'~' => {
                out.push(char::from(byte));
                continue;
            }
            _ => {}
        }
        let _ = write!(out, "+{byte:02X}");
    }
    out
}

/// The value of ORCPT; `None` if there is none or it is longer than RFC 3461 allows. A non-ASCII address
/// takes the forms of RFC 6533.
fn original_recipient(original: &str, utf8: bool) -> Option<String> {
    let (kind, address) = original.split_once(';')?;
    let token = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if kind.is_empty() || address.is_empty() || !kind.chars().all(token) {
        return None;
    }
    let value = if address.is_ascii() && !kind.eq_ignore_ascii_case("utf-8") {
        format!("{kind};{}", xtext(address))
    } else {
        let mut value = String::from("utf-8;");
        for c in address.chars() {
            match c {
                '+' | '=' | '\\' => {
                    let _ = write!(value, "\\x{{{:02X}}}", u32::from(c));
                }
                '!'..='~' => value.push(c),
                _ if utf8 && !c.is_ascii() => value.push(c),
                _ => {
                    let _ = write!(value, "\\x{{{:02X}}}", u32::from(c));
                }
            }
        }
        value
    };
    (value.len() <= 500).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases = [
            ("a@b.example", true, true),
            ("", true, true),
            ("", false, false),
            ("a@b\r\nRCPT TO:<x@y>", false, false),
            ("a@b> SIZE=0", false, false),
            ("<a@b", false, false),
            ("\"a b\"@c", false, true),
            ("\"a>b\"@c", false, true),
            ("\"a\\\"> x@c", false, false),
            ("a@b\u{85}", false, false),
            ("grün@bücher.example", false, true),
        ];
        for (address, empty, good) in cases {
            assert_eq!(check_address(address, empty).is_ok(), good, "{address:?}");
        }
        assert!(check_address(&"a".repeat(MAX_ADDRESS + 1), false).is_err());
    }

    #[test]
    fn original_recipients() {
        let cases = [
            ("rfc822;a+b@c", false, Some("rfc822;a+2Bb@c")),
            ("rfc822;a b=@c", false, Some("rfc822;a+20b+3D@c")),
            ("rfc822;grün@c", true, Some("utf-8;grün@c")),
            ("rfc822;grün+x@c", false, Some("utf-8;gr\\x{FC}n\\x{2B}x@c")),
            ("a@c", false, None),
            ("rfc 822;a@c", false, None),
            ("", false, None),
        ];
        for (original, utf8, expected) in cases {
            assert_eq!(
                original_recipient(original, utf8).as_deref(),
                expected,
                "{original}"
            );
        }
        assert_eq!(
            original_recipient(&format!("rfc822;{}", "x".repeat(600)), false),
            None
        );
    }
}
