//! A session that answers by fixed rules, and what can be seen of a connection.

use bytes::BytesMut;
use mta::sasl::SaslError;
use mta::smtp::command::Hello;
use mta::smtp::protocol::{Event, Features, Limits, Notice, Reply, Request, Server};

/// A connection with a session that answers from the words of the request: senders `no...`, recipients
/// `bad...` and names `refuse...` are refused, data from `nodata...` too, LMTP recipients `full...` are
/// over quota, `small...` may send ten octets.
pub struct Peer {
    pub server: Server,
    /// Events in short, `Body` left out.
    pub events: Vec<String>,
    /// Octets that left.
    pub output: Vec<u8>,
    /// Text of the current message.
    pub body: Vec<u8>,
    from: String,
    recipients: Vec<String>,
    /// Most octets of input and output that waited at once.
    pub held: usize,
}

impl Peer {
    pub fn new(limits: Limits, features: Features) -> Peer {
        let mut peer = Peer {
            server: Server::new(limits, features),
            events: Vec::new(),
            output: Vec::new(),
            body: Vec::new(),
            from: String::new(),
            recipients: Vec::new(),
            held: 0,
        };
        peer.server.greet(Reply::new(220, None, "mail.example.net ready"));
        peer.run();
        peer
    }

    /// Feeds `octets` in pieces of at most `piece`, as a session with a socket would.
    pub fn feed(&mut self, octets: &[u8], piece: usize) {
        for part in octets.chunks(piece.max(1)) {
            if self.server.wants_input() {
                self.server.input(part);
            }
            self.run();
        }
    }

    /// Polls until nothing moves.
    pub fn run(&mut self) {
        loop {
            match self.server.poll() {
                Event::NeedInput | Event::NeedAnswer => break,
                Event::Flush => self.drain(),
                Event::Request(request) => self.answer(request),
                Event::Body(piece) => self.body.extend_from_slice(&piece),
                Event::Notice(notice) => {
                    if matches!(notice, Notice::MessageRefused { .. }) {
                        self.body.clear();
                    }
                    self.events.push(show_notice(&notice));
                }
                Event::StartTls => {
                    self.note("StartTls");
                    break;
                }
                Event::Close(reason) => {
                    self.note(&format!("Close {reason}"));
                    break;
                }
            }
        }
        self.drain();
    }

    fn note(&mut self, text: &str) {
        if self.events.last().map(String::as_str) != Some(text) {
            self.events.push(text.to_owned());
        }
    }

    fn drain(&mut self) {
        let output = self.server.take_output();
        self.held = self.held.max(output.len() + self.server.unread());
        self.output.extend_from_slice(&output);
    }

    fn answer(&mut self, request: Request) {
        self.events.push(self.show_request(&request));
        let lmtp = self.server.features().lmtp;
        let reply = match request {
            Request::Hello { name, .. } if name.starts_with("refuse") => {
                Reply::new(550, (5, 7, 1), "Go away")
            }
            Request::Hello {
                hello: Hello::Helo,
                name,
            } => Reply::new(250, None, format!("mail.example.net Hello {name}")),
            Request::Hello { .. } => Reply::new(250, None, "mail.example.net"),
            Request::Mail(mail) if mail.from.starts_with("no@") => Reply::new(550, (5, 7, 1), "Not you"),
            Request::Mail(mail) => {
                self.from = mail.from;
                self.recipients.clear();
                self.body.clear();
                Reply::address_ok()
            }
            Request::Rcpt(rcpt) if rcpt.to.starts_with("bad") => {
                Reply::new(550, (5, 1, 1), format!("unknown or illegal alias: {}", rcpt.to))
            }
            Request::Rcpt(rcpt) => {
                self.recipients.push(rcpt.to.clone());
                Reply::recipient_ok(&rcpt.to)
            }
            Request::Data { .. } if self.from.starts_with("nodata") => {
                Reply::new(451, (4, 4, 5), "Error ending envelope - too many recipients")
            }
            Request::Data { .. } => Reply::start_mail(),
            Request::Message(_) if lmtp => {
                let replies = self.recipients.iter().map(|to| match to.starts_with("full") {
                    true => Reply::new(
                        452,
                        (4, 2, 2),
                        format!("user over quota; cannot receive new mail: {to}"),
                    ),
                    false => Reply::ok(),
                });
                return self.server.answer_each(replies.collect());
            }
            Request::Message(_) => Reply::message_ok("0ABC", "mail.example.net"),
            Request::Rset => Reply::ok(),
            Request::Vrfy(_) | Request::Expn(_) => Reply::cannot_verify(),
            Request::Etrn(_) => Reply::new(250, (2, 5, 0), "Ok, queue started."),
            Request::Auth {
                initial: Some(text), ..
            }
            | Request::AuthResponse(text) => match text.as_str() {
                "good" => Reply::auth_ok("PLAIN"),
                "more" => Reply::challenge("UGFzc3dvcmQ6"),
                _ => SaslError::BadCredentials.into(),
            },
            Request::Auth { .. } => Reply::challenge("VXNlcm5hbWU6"),
            Request::Private { .. } => Reply::new(250, (2, 5, 0), "Done."),
        };
        self.server.answer(reply);
        if self.from.starts_with("small") {
            self.server.limit_message(10);
        }
    }

    fn show_request(&self, request: &Request) -> String {
        match request {
            Request::Hello { hello, name } => format!("{} {name}", hello.verb()),
            Request::Mail(mail) => format!("Mail <{}>", mail.from),
            Request::Rcpt(rcpt) => format!("Rcpt <{}>", rcpt.to),
            Request::Message(counts) => {
                let body = String::from_utf8_lossy(&self.body);
                let eight = if counts.eight_bit { " 8bit" } else { "" };
                let long = if counts.long_lines > 0 { " long" } else { "" };
                format!(
                    "Message {} {}{eight}{long} {:?}",
                    counts.octets,
                    counts.lines,
                    brief(&body)
                )
            }
            other => format!("{other:?}"),
        }
    }
}

/// A text short enough for a test's output.
fn brief(text: &str) -> String {
    if text.len() <= 200 {
        text.to_owned()
    } else {
        format!("{}...", text.chars().take(20).collect::<String>())
    }
}

fn show_notice(notice: &Notice) -> String {
    match notice {
        Notice::BadCommand { line, reply } => format!("Bad {line:?} {}", reply.code),
        Notice::SenderRefused { mail, reply } => format!("SenderRefused <{}> {}", mail.from, reply.code),
        Notice::RecipientRefused { rcpt, reply } => format!("RecipientRefused <{}> {}", rcpt.to, reply.code),
        Notice::MessageRefused { reply, .. } => format!("MessageRefused {}", reply.code),
        Notice::AuthCancelled => "AuthCancelled".to_owned(),
    }
}

/// Output in lines; the last is empty if the output ends in CRLF, as it must.
pub fn lines(output: &[u8]) -> Vec<String> {
    let text = BytesMut::from(output);
    String::from_utf8_lossy(&text)
        .split("\r\n")
        .map(str::to_owned)
        .collect()
}
