//! Command lines: what each does, when it is allowed, and the AUTH exchange.

use super::body::Incoming;
use super::{CloseReason, Event, Notice, Pending, Reply, Request, Server, State, Transaction, is_binary};
use crate::smtp::command::{Command, CommandError, Hello, Mail, Rcpt};
use crate::smtp::wire::{BodyFault, LineFault};

/// Shown instead of a line that may be a password.
const HIDDEN: &str = "(not shown: it follows AUTH)";

/// First words of clients that take this port for a web server, or are made to by a web page.
const HTTP_VERBS: [&str; 7] = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "HOST:"];

impl Server {
    pub(super) fn command_line(&mut self, line: &[u8]) {
        if self.is_over_command_limit() {
            return;
        }
        let Ok(text) = std::str::from_utf8(line) else {
            let shown = if self.secrets_ahead {
                HIDDEN.into()
            } else {
                String::from_utf8_lossy(line)
            };
            return self.bad(
                &shown,
                Reply::new(500, (5, 5, 2), "Command line is not valid UTF-8"),
            );
        };
        match Command::parse(text) {
            Ok(command) => self.command(command, text),
            Err(error) => {
                let (code, enhanced) = error.codes();
                let reply = Reply::new(code, enhanced, error.to_string());
                let is_auth = text
                    .get(..4)
                    .is_some_and(|verb| verb.eq_ignore_ascii_case("AUTH"));
                let shown = match (is_auth, self.secrets_ahead) {
                    (true, _) => "AUTH",
                    (_, true) => HIDDEN,
                    _ => text,
                };
                self.secrets_ahead |= is_auth;
                self.note_failed_envelope(text);
                match error {
                    CommandError::BdatSize => {
                        self.bad_and_close(shown, reply, Some(CloseReason::BdatSize));
                    }
                    _ => self.bad(shown, reply),
                }
            }
        }
    }

    /// A MAIL or RCPT that cannot be read still explains what a pipelining client sends next.
    fn note_failed_envelope(&mut self, text: &str) {
        let verb = text.get(..4).unwrap_or_default();
        match &mut self.transaction {
            None => self.pipeline_broken |= verb.eq_ignore_ascii_case("MAIL"),
            Some(transaction) if verb.eq_ignore_ascii_case("RCPT") => {
                transaction.presented = transaction.presented.saturating_add(1);
            }
            Some(_) => {}
        }
    }

    pub(super) fn bad_line(&mut self, fault: LineFault, start: &[u8]) {
        if self.is_over_command_limit() {
            return;
        }
        let start = if self.may_be_secret(start) {
            HIDDEN.into()
        } else {
            String::from_utf8_lossy(start)
        };
        let code = match fault {
            LineFault::TooLong(_) if start == HIDDEN => (5, 5, 6),
            _ => (5, 5, 2),
        };
        self.bad(&start, Reply::new(500, code, capitalised(fault)));
    }

    fn may_be_secret(&self, line: &[u8]) -> bool {
        self.secrets_ahead
            || line
                .get(..4)
                .is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH"))
    }

    fn is_over_command_limit(&mut self) -> bool {
        self.counts.commands = self.counts.commands.saturating_add(1);
        let over = self.limits.commands != 0 && self.counts.commands > self.limits.commands;
        if over {
            let reply = Reply::new(421, (4, 7, 0), "Too many commands; disconnecting");
            self.push_and_close(&reply, Some(CloseReason::Commands));
        }
        over
    }

    fn command(&mut self, command: Command, text: &str) {
        if self.no_service && command != Command::Quit {
            let reply = Reply::new(503, (5, 5, 1), "No service here, you may only QUIT");
            return match command {
                Command::Bdat { size, .. } => {
                    self.state = State::Skip {
                        left: size,
                        reply,
                        line: Some(text.to_owned()),
                    };
                }
                _ => self.bad_hiding(text, reply),
            };
        }
        let expects_secrets = std::mem::take(&mut self.secrets_ahead);
        match command {
            Command::Hello(hello, name) => self.hello(hello, name, text),
            Command::Mail(mail) => self.mail(mail, text),
            Command::Rcpt(rcpt) => self.rcpt(rcpt, text),
            Command::Data => self.data(text),
            Command::Bdat { size, last } => self.bdat(size, last, text),
            Command::Rset => self.ask(Pending::Rset, Request::Rset),
            Command::Noop => self.push(&Reply::ok()),
            Command::Vrfy(subject) => self.ask(Pending::Other, Request::Vrfy(subject)),
            Command::Expn(list) if self.features.expn => self.ask(Pending::Other, Request::Expn(list)),
            Command::Expn(_) => self.bad(text, Reply::new(502, (5, 7, 1), "EXPN is not available here")),
            Command::Help => self.help(text),
            Command::Quit => {
                let reply = Reply::new(221, (2, 3, 0), "Bye received. Goodbye.");
                self.push_and_close(&reply, Some(CloseReason::Quit));
            }
            Command::StartTls => self.start_tls(text),
            Command::Auth { mechanism, initial } => self.auth(mechanism, initial),
            Command::Etrn(node) if self.transaction.is_none() => {
                self.ask(Pending::Other, Request::Etrn(node));
            }
            Command::Etrn(_) => {
                self.bad(
                    text,
                    Reply::new(503, (5, 5, 1), "ETRN is not allowed in a transaction"),
                );
            }
            Command::Other { verb, argument } if self.features.allows_verb(&verb) => {
                self.ask(Pending::Other, Request::Private { verb, argument });
            }
            Command::Other { verb, .. } if HTTP_VERBS.contains(&verb.as_str()) => {
                let reply = Reply::new(421, (4, 7, 0), "This is a mail server; closing");
                self.bad_and_close(text, reply, Some(CloseReason::NotMail));
            }
            Command::Other { verb, .. } if matches!(verb.as_str(), "SEND" | "SAML" | "SOML" | "TURN") => {
                self.bad(
                    text,
                    Reply::new(502, (5, 5, 1), format!("{verb} is not available here")),
                );
            }
            Command::Other { .. } if expects_secrets => {
                // A dialogue of several lines: the next may be secret as well.
                self.secrets_ahead = true;
                self.bad(HIDDEN, Reply::new(500, (5, 5, 1), "Unknown command specified"));
            }
            Command::Other { verb, .. } => self.unknown(&verb, text),
        }
    }

    fn unknown(&mut self, verb: &str, text: &str) {
        let shown: String = verb.chars().take(64).collect();
        self.bad(
            text,
            Reply::new(500, (5, 5, 1), format!("Unknown command \"{shown}\" specified")),
        );
    }

    /// As [`Server::bad`], for a line that may be an AUTH with its response.
    fn bad_hiding(&mut self, text: &str, reply: Reply) {
        let shown = if self.may_be_secret(text.as_bytes()) {
            HIDDEN
        } else {
            text
        };
        self.bad(shown, reply);
    }

    fn hello(&mut self, hello: Hello, name: String, text: &str) {
        if (hello == Hello::Lhlo) != self.features.lmtp {
            return self.unknown(hello.verb(), text);
        }
        self.ask(
            Pending::Hello(hello, name.clone()),
            Request::Hello { hello, name },
        );
    }

    fn mail(&mut self, mail: Mail, text: &str) {
        if self.client.is_none() {
            self.pipeline_broken = true;
            let wanted = if self.features.lmtp {
                "LHLO"
            } else {
                "EHLO or HELO"
            };
            return self.bad(text, Reply::new(503, (5, 5, 1), format!("Say {wanted} first")));
        }
        if self.transaction.is_some() {
            return self.bad(
                text,
                Reply::new(503, (5, 5, 1), "MAIL FROM has already been given."),
            );
        }
        if let Some(word) = self.unknown_mail_parameter(&mail) {
            self.pipeline_broken = true;
            return self.bad(text, unknown_parameter("MAIL", &word));
        }
        if mail.needs_utf8() && !mail.smtputf8 {
            self.pipeline_broken = true;
            return self.bad(text, utf8_needed());
        }
        let refusal = match (mail.size, self.size_limit()) {
            _ if self.limits.transactions != 0 && self.counts.transactions >= self.limits.transactions => {
                Some(Reply::new(
                    450,
                    (4, 5, 3),
                    "number of transactions exceeds allowed maximum",
                ))
            }
            (Some(size), limit) if limit != 0 && size > limit => Some(Reply::new(
                552,
                (5, 3, 4),
                BodyFault::TooLarge { size, limit }.to_string(),
            )),
            _ => None,
        };
        if let Some(reply) = refusal {
            self.pipeline_broken = true;
            self.push(&reply);
            self.events
                .push_back(Event::Notice(Notice::SenderRefused { mail, reply }));
            return;
        }
        let pending = Pending::Mail {
            utf8: mail.smtputf8,
            binary: is_binary(mail.body),
        };
        self.ask(pending, Request::Mail(mail));
    }

    /// The first parameter that belongs to an extension not offered.
    fn unknown_mail_parameter(&self, mail: &Mail) -> Option<String> {
        let features = &self.features;
        let untyped = mail
            .other
            .iter()
            .find(|one| !features.allows_parameter(&one.keyword));
        if let Some(parameter) = untyped {
            return Some(parameter.keyword.clone());
        }
        let typed = [
            (
                "BODY",
                mail.body.is_some() && !features.eight_bit && !features.offers_binary(),
            ),
            (
                "BODY=BINARYMIME",
                is_binary(mail.body) && !features.offers_binary(),
            ),
            ("SMTPUTF8", mail.smtputf8 && !features.offers_utf8()),
            ("RET", mail.ret.is_some() && !features.dsn),
            ("ENVID", mail.envid.is_some() && !features.dsn),
        ];
        typed
            .into_iter()
            .find(|(_, unknown)| *unknown)
            .map(|(word, _)| word.to_owned())
    }

    fn rcpt(&mut self, rcpt: Rcpt, text: &str) {
        let Some(utf8) = self.transaction.as_ref().map(|transaction| transaction.utf8) else {
            return self.no_mail(text);
        };
        if self.is_mid_chunks() {
            return self.bad(text, mid_chunks("RCPT"));
        }
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        transaction.presented = transaction.presented.saturating_add(1);
        let accepted = transaction.accepted;
        if let Some(word) = self.unknown_rcpt_parameter(&rcpt) {
            return self.bad(text, unknown_parameter("RCPT", &word));
        }
        if rcpt.needs_utf8() && !utf8 {
            return self.bad(text, utf8_needed());
        }
        if self.limits.recipients != 0 && accepted >= self.limits.recipients {
            let code = if self.limits.permanent_recipient_limit {
                550
            } else {
                452
            };
            let reply = Reply::new(code, (4, 2, 3), "too many recipients specified");
            self.push(&reply);
            self.events
                .push_back(Event::Notice(Notice::RecipientRefused { rcpt, reply }));
            return;
        }
        self.ask(Pending::Rcpt, Request::Rcpt(rcpt));
    }

    fn unknown_rcpt_parameter(&self, rcpt: &Rcpt) -> Option<String> {
        if let Some(parameter) = rcpt.other.first() {
            return Some(parameter.keyword.clone());
        }
        let dsn = self.features.dsn;
        let typed = [
            ("NOTIFY", rcpt.notify.given && !dsn),
            ("ORCPT", rcpt.orcpt.is_some() && !dsn),
        ];
        typed
            .into_iter()
            .find(|(_, unknown)| *unknown)
            .map(|(word, _)| word.to_owned())
    }

    /// A command that needs MAIL. After a refused MAIL a pipelining client cannot help sending it.
    fn no_mail(&mut self, text: &str) {
        let reply = Reply::new(503, (5, 5, 1), "No MAIL FROM command has been given.");
        if self.pipeline_broken {
            self.push(&reply)
        } else {
            self.bad(text, reply)
        }
    }

    fn data(&mut self, text: &str) {
        match &self.transaction {
            None => self.no_mail(text),
            Some(Transaction {
                incoming: Some(_), ..
            }) => self.bad(text, mid_chunks("DATA")),
            Some(Transaction {
                accepted: 0,
                presented,
                ..
            }) => match no_recipient(*presented) {
                (reply, true) => self.bad(text, reply),
                (reply, false) => self.push(&reply),
            },
            Some(Transaction { binary: true, .. }) => {
                self.bad(
                    text,
                    Reply::new(503, (5, 5, 1), "BODY=BINARYMIME needs BDAT, not DATA"),
                );
            }
            Some(_) => self.ask(Pending::Data, Request::Data { chunking: false }),
        }
    }

    fn bdat(&mut self, size: u64, last: bool, text: &str) {
        let (reply, is_bad) = match &self.transaction {
            _ if !self.features.chunking => (Reply::new(502, (5, 5, 1), "BDAT is not available here"), true),
            None => {
                let reply = Reply::new(503, (5, 5, 1), "No MAIL FROM command has been given.");
                (reply, !self.pipeline_broken)
            }
            Some(Transaction {
                incoming: Some(_), ..
            }) => return self.next_chunk(size, last),
            Some(Transaction {
                accepted: 0,
                presented,
                ..
            }) => no_recipient(*presented),
            Some(_) => {
                return self.ask(Pending::Bdat { size, last }, Request::Data { chunking: true });
            }
        };
        self.state = State::Skip {
            left: size,
            reply,
            line: is_bad.then(|| text.to_owned()),
        };
    }

    /// BDAT has begun and LAST has not come.
    fn is_mid_chunks(&self) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(|transaction| transaction.incoming.is_some())
    }

    pub(super) fn begin_data(&mut self, positive: bool) {
        let limit = self.size_limit();
        match &mut self.transaction {
            Some(transaction) if positive => {
                transaction.incoming = Some(Incoming::new(transaction.transfer(false), limit));
                self.state = State::Body;
            }
            _ => self.transaction = None,
        }
    }

    fn help(&mut self, text: &str) {
        if !self.features.help {
            return self.bad(text, Reply::new(502, (5, 5, 1), "HELP is not available here"));
        }
        let mut lines = vec!["Commands:".to_owned()];
        lines.extend(
            self.features
                .verbs()
                .chunks(10)
                .map(|verbs| format!("  {}", verbs.join(" "))),
        );
        self.push(&Reply::lines(214, (2, 3, 0), lines));
    }

    fn start_tls(&mut self, text: &str) {
        let refusal = if self.tls {
            Some(Reply::new(503, (5, 5, 1), "TLS is already active"))
        } else if !self.features.starttls {
            Some(Reply::new(502, (5, 5, 1), "STARTTLS is not available here"))
        } else if self.authenticated || self.transaction.is_some() {
            Some(Reply::new(
                503,
                (5, 5, 1),
                "STARTTLS must come before AUTH and MAIL FROM",
            ))
        } else {
            None
        };
        match refusal {
            Some(reply) => self.bad(text, reply),
            None if !self.input.is_empty() => self.refuse_plaintext(),
            None => {
                self.push(&Reply::new(220, (2, 5, 0), "Go ahead with TLS negotiation."));
                self.state = State::Tls;
            }
        }
    }

    fn auth(&mut self, mechanism: String, initial: Option<String>) {
        let shown = format!("AUTH {mechanism}");
        let refusal = if self.features.auth.is_empty() {
            Some(Reply::new(502, (5, 5, 1), "AUTH is not available here"))
        } else if self.authenticated {
            Some(Reply::new(503, (5, 5, 1), "AUTH has already succeeded"))
        } else if self.transaction.is_some() {
            Some(Reply::new(503, (5, 5, 1), "AUTH is not allowed in a transaction"))
        } else if self.client.is_none() {
            Some(Reply::new(503, (5, 5, 1), "Say EHLO first"))
        } else if ![&self.features.auth, &self.features.auth_secure]
            .iter()
            .any(|known| known.contains(&mechanism))
        {
            let offered = self.features.auth.join(" ");
            Some(Reply::new(
                504,
                (5, 5, 4),
                format!("Mechanism {mechanism} is not offered; use one of {offered}"),
            ))
        } else {
            None
        };
        match refusal {
            Some(reply) => {
                self.secrets_ahead = true;
                self.bad(&shown, reply);
            }
            None => self.ask(Pending::Auth, Request::Auth { mechanism, initial }),
        }
    }

    pub(super) fn settle_auth(&mut self, reply: &Reply) {
        self.state = State::Command;
        match reply.code {
            334 => self.state = State::AuthLine,
            200..=399 => self.authenticated = true,
            _ => {
                self.secrets_ahead = true;
                self.counts.bad_auths = self.counts.bad_auths.saturating_add(1);
                let over = self.limits.bad_auths != 0 && self.counts.bad_auths >= self.limits.bad_auths;
                return self.push_and_close(reply, over.then_some(CloseReason::BadAuths));
            }
        }
        self.push(reply);
    }

    pub(super) fn auth_line(&mut self, line: &[u8]) {
        match std::str::from_utf8(line) {
            Ok("*") => {
                self.state = State::Command;
                self.push(&Reply::new(501, (5, 7, 0), "Authentication cancelled"));
                self.events.push_back(Event::Notice(Notice::AuthCancelled));
            }
            Ok(text) if text.bytes().all(|c| c.is_ascii_graphic()) => {
                let text = text.to_owned();
                self.ask(Pending::Auth, Request::AuthResponse(text));
            }
            _ => self.end_auth(Reply::new(
                501,
                (5, 5, 2),
                "Response is not base64, authentication ended",
            )),
        }
    }

    pub(super) fn bad_auth_line(&mut self, fault: LineFault) {
        let code = match fault {
            LineFault::TooLong(_) => (500, (5, 5, 6)),
            _ => (501, (5, 5, 2)),
        };
        self.end_auth(Reply::new(code.0, code.1, capitalised(fault)));
    }

    fn end_auth(&mut self, reply: Reply) {
        self.state = State::Command;
        self.secrets_ahead = true;
        self.events.push_back(Event::Notice(Notice::AuthCancelled));
        self.bad(HIDDEN, reply);
    }
}

/// The reply to DATA without a recipient, and whether the client is to blame: not if all were refused.
fn no_recipient(presented: u32) -> (Reply, bool) {
    if presented == 0 {
        (
            Reply::new(503, (5, 5, 1), "No RCPT TO command has been given."),
            true,
        )
    } else {
        (Reply::new(554, (5, 5, 1), "No valid recipients"), false)
    }
}

fn mid_chunks(verb: &str) -> Reply {
    Reply::new(
        503,
        (5, 5, 1),
        format!("{verb} is not allowed between BDAT commands"),
    )
}

fn unknown_parameter(verb: &str, word: &str) -> Reply {
    let word: String = word.chars().take(64).collect();
    Reply::new(555, (5, 5, 4), format!("Unknown parameter {word} in {verb}"))
}

fn utf8_needed() -> Reply {
    Reply::new(
        553,
        (5, 6, 7),
        "Address is not ASCII: MAIL FROM needs the parameter SMTPUTF8",
    )
}

fn capitalised(fault: LineFault) -> String {
    let text = fault.to_string();
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
