//! One message over an open connection: MAIL, RCPT, DATA, content, and who got it.

use std::borrow::Cow;

use store::envelope::Failure;

use super::convert;
use super::envelope::{Outgoing, check_address, mail_command, rcpt_command};
use super::error::Cause;
use super::stuffing::Stuffer;
use super::{Connection, EightBit, Protocol, Reply, State};

/// Octets of envelope commands sent before their replies are read, so that neither side can fill the
/// other's buffers and wait for ever (RFC 2920, 3.1).
pub const ENVELOPE_WINDOW: usize = 16 * 1024;

/// Buffer space kept from one message to the next.
const KEEP: usize = 1024 * 1024;

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

/// What to do at once with recipients that were deferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Nothing: they wait for the next round.
    No,
    /// The connection had served a message before and was gone, or closing (421), before it acknowledged
    /// anything of this one, which was therefore not really tried: open another to the same host.
    Reconnect,
    /// The connection was closed, or closing, before a recipient was accepted: the next host may be tried.
    NextHost,
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
    /// Whether to try the deferred recipients again at once.
    pub again: Again,
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
            again: Again::No,
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
            outcome.again = Again::Reconnect;
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
                        outcome.again = match is_gone(&cause) {
                            true if reused && !progress.acknowledged => Again::Reconnect,
                            true if progress.accepted.is_empty() => Again::NextHost,
                            _ => Again::No,
                        };
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

        if self.wire.has_unread() {
            // A reply too many would be taken for the answer to the next command.
            let during = "a pause between messages";
            let reply = self
                .wire
                .reply(self.options.timeouts.status_receive, during)
                .await?;
            return Err(match reply.code {
                421 => Cause::Refused { during, reply },
                _ => Cause::BadReply {
                    during,
                    problem: format!("unasked reply {}", reply.text()),
                },
            });
        }
        self.output.clear();
        let mut expected: Vec<Expect> = Vec::with_capacity(todo.len() + 3);
        if state == State::NeedsReset {
            self.output.extend_from_slice(b"RSET\r\n");
            expected.push(Expect::Reset);
            self.pause(&mut expected, progress, 0).await?;
        }
        let line = mail_command(&self.offers, envelope, content.len(), eight_bit, utf8);
        self.output.extend_from_slice(line.as_bytes());
        expected.push(Expect::Mail);
        self.pause(&mut expected, progress, ENVELOPE_WINDOW).await?;
        for index in todo {
            if !progress.mail_ok() {
                break;
            }
            if let Some(recipient) = envelope.recipients.get(index) {
                let line = rcpt_command(&self.offers, recipient, utf8);
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
        let accepted = progress.accepted.clone();
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
