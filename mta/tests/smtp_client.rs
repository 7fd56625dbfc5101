//! The SMTP client against a server that follows a script, on a loopback port of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mta::dns::Canned;
use mta::dns::route::{MxUse, Rules};
use mta::smtp::client::reach::{Destination, reach};
use mta::smtp::client::{
    Again, Cause, ClientOptions, Connection, EightBit, Hello, Outgoing, OutgoingRecipient, Protocol,
    RecipientOutcome, SendOutcome, Target, Timeouts, Tls,
};
use mta::tls;
use store::envelope::Notify;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// One step of the server's script.
#[derive(Clone)]
enum Step {
    /// Say this, line ends included.
    Say(String),
    /// Read one line, which must begin so.
    Hear(&'static str),
    /// Read the message up to its dot.
    Message,
    /// Read and forget lines until the client has nothing more to say or closes.
    Close,
    /// Never say anything again, until the client closes.
    Silence,
    /// Say this over and over until the client closes.
    Endless(&'static str),
    /// TLS handshake.
    Handshake,
}

use Step::*;

fn say(line: &str) -> Step {
    Say(format!("{line}\r\n"))
}

/// Everything the server heard, line by line, messages included; `---` begins a connection.
type Heard = Arc<Mutex<Vec<String>>>;

struct Server {
    address: SocketAddr,
    heard: Heard,
    /// Sizes of the reads: how many octets came at once.
    reads: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    /// One script a connection; the last is repeated.
    async fn start(scripts: Vec<Vec<Step>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Heard = Arc::default();
        let reads: Arc<Mutex<Vec<usize>>> = Arc::default();
        let acceptor = acceptor();
        let (log, sizes) = (heard.clone(), reads.clone());
        tokio::spawn(async move {
            let mut scripts = scripts.into_iter().peekable();
            let mut script = Vec::new();
            loop {
                script = scripts.next().unwrap_or(script);
                let (stream, _) = listener.accept().await.unwrap();
                log.lock().unwrap().push("---".into());
                let mut peer = Peer {
                    stream: Box::new(stream),
                    input: Vec::new(),
                    sizes: sizes.clone(),
                };
                let steps = script.clone();
                let (log, acceptor) = (log.clone(), acceptor.clone());
                tokio::spawn(async move {
                    for step in steps {
                        if peer.perform(step, &log, &acceptor).await.is_none() {
                            return;
                        }
                    }
                });
            }
        });
        Server {
            address,
            heard,
            reads,
        }
    }

    fn target(&self) -> Target {
        Target {
            host: "mx.test".into(),
            address: self.address,
        }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// What was heard, without the greetings.
    fn dialogue(&self) -> Vec<String> {
        let greeting = |line: &String| line.starts_with("EHLO") || line.starts_with("HELO") || line == "---";
        self.heard().into_iter().filter(|line| !greeting(line)).collect()
    }
}

fn acceptor() -> tokio_rustls::TlsAcceptor {
    let key = rcgen::generate_simple_self_signed(vec!["mx.test".to_string()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

struct Peer {
    stream: Box<dyn Duplex>,
    input: Vec<u8>,
    sizes: Arc<Mutex<Vec<usize>>>,
}

impl Peer {
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.input.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            let mut chunk = vec![0; 1 << 20];
            let count = self.stream.read(&mut chunk).await.ok().filter(|&n| n > 0)?;
            self.sizes.lock().unwrap().push(count);
            self.input.extend_from_slice(&chunk[..count]);
        }
    }

    async fn perform(&mut self, step: Step, log: &Heard, acceptor: &tokio_rustls::TlsAcceptor) -> Option<()> {
        match step {
            Say(text) => self.stream.write_all(text.as_bytes()).await.ok()?,
            Hear(start) => {
                let line = self.line().await?;
                let good = line.starts_with(start);
                log.lock().unwrap().push(line.clone());
                if !good {
                    log.lock().unwrap().push(format!("!! expected {start}"));
                    return None;
                }
            }
            Message => loop {
                let line = self.line().await?;
                log.lock().unwrap().push(line.clone());
                if line == "." {
                    break;
                }
            },
            Close => return None,
            Silence => while self.line().await.is_some() {},
            Endless(text) => while self.stream.write_all(text.as_bytes()).await.is_ok() {},
            Handshake => {
                let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty().chain_null()));
                self.stream = Box::new(acceptor.accept(plain).await.ok()?);
            }
        }
        Some(())
    }
}

/// A stream to leave behind while the real one is in the handshake.
trait ChainNull {
    fn chain_null(self) -> tokio::io::Join<tokio::io::Empty, tokio::io::Sink>;
}

impl ChainNull for tokio::io::Empty {
    fn chain_null(self) -> tokio::io::Join<tokio::io::Empty, tokio::io::Sink> {
        tokio::io::join(self, tokio::io::sink())
    }
}

const CONTENT: &[u8] = b"Subject: x\r\n\r\nbody\r\n.dot\r\n";

fn options() -> ClientOptions {
    ClientOptions {
        helo: "me.test".into(),
        timeouts: Timeouts::uniform(Duration::from_secs(20)),
        ..ClientOptions::default()
    }
}

fn hello(offers: &[&str]) -> Vec<Step> {
    let mut reply = String::from("250-mx.test hello\r\n");
    for offer in offers {
        reply.push_str(&format!("250-{offer}\r\n"));
    }
    reply.push_str("250 HELP\r\n");
    vec![say("220 mx.test ESMTP ready"), Hear("EHLO me.test"), Say(reply)]
}

fn script(offers: &[&str], more: Vec<Step>) -> Vec<Step> {
    let mut steps = hello(offers);
    steps.extend(more);
    steps
}

fn to<'a>(addresses: &[&'a str]) -> Outgoing<'a> {
    Outgoing {
        from: "s@me.test",
        recipients: addresses
            .iter()
            .map(|&address| OutgoingRecipient {
                address,
                ..OutgoingRecipient::default()
            })
            .collect(),
        ..Outgoing::default()
    }
}

fn brief(outcome: &SendOutcome) -> Vec<String> {
    outcome
        .recipients
        .iter()
        .map(|r| match r {
            RecipientOutcome::Delivered { reply } => format!("delivered {reply}"),
            RecipientOutcome::Failed(f) => format!("failed {} {}", f.status, f.diagnostic),
            RecipientOutcome::Deferred(f) => format!("deferred {} {}", f.status, f.diagnostic),
        })
        .collect()
}

async fn open(server: &Server, options: ClientOptions) -> Connection {
    Connection::open(&server.target(), &Arc::new(options))
        .await
        .unwrap()
}

#[tokio::test]
async fn delivers_and_is_reused_without_reset() {
    let message = vec![
        Hear("MAIL FROM:<s@me.test>"),
        say("250 2.1.0 ok"),
        Hear("RCPT TO:<a@mx.test>"),
        say("250 2.1.5 ok"),
        Hear("DATA"),
        say("354 go"),
        Message,
        say("250 2.0.0 taken"),
    ];
    let two = script(
        &[],
        [message.clone(), message, vec![Hear("QUIT"), say("221 bye")]].concat(),
    );
    let server = Server::start(vec![two]).await;
    let mut connection = open(&server, options()).await;
    for _ in 0..2 {
        let outcome = connection.send(&to(&["a@mx.test"]), CONTENT).await;
        assert_eq!(brief(&outcome), ["delivered 250 2.0.0 taken"]);
        assert!(connection.is_usable() && !outcome.dsn_passed_on);
        assert_eq!(outcome.again, Again::No);
    }
    assert_eq!(
        (connection.transactions(), connection.banner()),
        (2, "mx.test ESMTP ready")
    );
    let transport = connection.transport().to_string();
    assert!(transport.starts_with("TCP|127.0.0.1|"), "{transport}");
    assert!(
        transport.ends_with(&format!("|127.0.0.1|{}", server.address.port())),
        "{transport}"
    );
    assert_eq!(
        connection.log_diagnostic("250 2.0.0 taken", true, true),
        format!("dns;mx.test ({transport}) (mx.test ESMTP ready) smtp;250 2.0.0 taken")
    );
    connection.quit().await;
    let heard = server.dialogue();
    assert_eq!(
        heard[3..9],
        ["Subject: x", "", "body", "..dot", ".", "MAIL FROM:<s@me.test>"].map(String::from)
    );
    assert_eq!(heard.last().unwrap(), "QUIT");
}

#[tokio::test]
async fn a_pipelined_envelope_is_one_write_and_the_content_another() {
    let steps = script(
        &["PIPELINING"],
        vec![
            Hear("MAIL"),
            Hear("RCPT"),
            Hear("RCPT"),
            Hear("DATA"),
            Say("250 ok\r\n250 ok\r\n550 5.1.1 who\r\n354 go\r\n".into()),
            Message,
            say("250 taken"),
        ],
    );
    let server = Server::start(vec![steps]).await;
    let mut connection = open(&server, options()).await;
    let content = [b"Subject: x\r\n\r\n".as_slice(), &b"0123456789\r\n".repeat(1000)].concat();
    let outcome = connection.send(&to(&["a@x", "b@x"]), &content).await;
    assert_eq!(
        brief(&outcome),
        ["delivered 250 taken", "failed 5.1.1 550 5.1.1 who"]
    );
    let envelope = "MAIL FROM:<s@me.test>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n".len();
    let reads = server.reads.lock().unwrap().clone();
    assert_eq!(
        reads,
        ["EHLO me.test\r\n".len(), envelope, content.len() + ".\r\n".len()]
    );
}

#[tokio::test]
async fn every_stage_can_refuse() {
    let mail = || Hear("MAIL");
    let rcpt = || Hear("RCPT");
    let data = || Hear("DATA");
    let ok = || say("250 ok");
    let go = || say("354 go");
    let cases: Vec<(&str, Vec<Step>, [&str; 2], bool)> = vec![
        (
            "MAIL 4yz",
            vec![mail(), say("451 4.3.0 later")],
            ["deferred 4.3.0 451 4.3.0 later"; 2],
            true,
        ),
        (
            "MAIL 5yz",
            vec![mail(), say("550 5.7.1 no")],
            ["failed 5.7.1 550 5.7.1 no"; 2],
            true,
        ),
        (
            "MAIL 421",
            vec![mail(), say("421 4.3.2 bye")],
            ["deferred 4.3.2 421 4.3.2 bye"; 2],
            false,
        ),
        (
            "both RCPT refused",
            vec![mail(), ok(), rcpt(), say("550 5.1.1 no"), rcpt(), say("450 wait")],
            ["failed 5.1.1 550 5.1.1 no", "deferred 4.0.0 450 wait"],
            true,
        ),
        (
            "mixed, delivered",
            vec![
                mail(),
                ok(),
                rcpt(),
                say("450 wait"),
                rcpt(),
                ok(),
                data(),
                go(),
                Message,
                say("250 in"),
            ],
            ["deferred 4.0.0 450 wait", "delivered 250 in"],
            true,
        ),
        (
            "RCPT 552 is temporary",
            vec![
                mail(),
                ok(),
                rcpt(),
                ok(),
                rcpt(),
                say("552 5.5.3 many"),
                data(),
                go(),
                Message,
                say("250 in"),
            ],
            ["delivered 250 in", "deferred 4.5.3 552 5.5.3 many"],
            true,
        ),
        (
            "RCPT 552 with a known text",
            vec![
                mail(),
                ok(),
                rcpt(),
                ok(),
                rcpt(),
                say("552 5.2.2 full"),
                data(),
                go(),
                Message,
                say("250 in"),
            ],
            ["delivered 250 in", "failed 5.2.2 552 5.2.2 full"],
            true,
        ),
        (
            "RCPT 421",
            vec![mail(), ok(), rcpt(), say("550 5.1.1 no"), rcpt(), say("421 bye")],
            ["failed 5.1.1 550 5.1.1 no", "deferred 4.0.0 421 bye"],
            false,
        ),
        (
            "DATA 4yz",
            vec![
                mail(),
                ok(),
                rcpt(),
                ok(),
                rcpt(),
                say("550 no"),
                data(),
                say("451 4.3.1 full"),
            ],
            ["deferred 4.3.1 451 4.3.1 full", "failed 5.0.0 550 no"],
            true,
        ),
        (
            "DATA 5yz",
            vec![
                mail(),
                ok(),
                rcpt(),
                ok(),
                rcpt(),
                ok(),
                data(),
                say("554 5.6.0 no"),
            ],
            ["failed 5.6.0 554 5.6.0 no"; 2],
            true,
        ),
        (
            "message 4yz",
            vec![
                mail(),
                ok(),
                rcpt(),
                ok(),
                rcpt(),
                ok(),
                data(),
                go(),
                Message,
                say("452 4.3.1 full"),
            ],
            ["deferred 4.3.1 452 4.3.1 full"; 2],
            true,
        ),
        (
            "message 5yz",
            vec![
                mail(),
                ok(),
                rcpt(),
                ok(),
                rcpt(),
                ok(),
                data(),
                go(),
                Message,
                say("554 5.7.1 spam"),
            ],
            ["failed 5.7.1 554 5.7.1 spam"; 2],
            true,
        ),
        (
            "message 421",
            vec![
                mail(),
                ok(),
                rcpt(),
                ok(),
                rcpt(),
                ok(),
                data(),
                go(),
                Message,
                say("421 4.3.2 bye"),
            ],
            ["deferred 4.3.2 421 4.3.2 bye"; 2],
            false,
        ),
        (
            "a class that tells nothing",
            vec![mail(), say("354 what")],
            ["deferred 4.5.0 remote host broke the protocol during MAIL FROM: unexpected reply 354 what"; 2],
            false,
        ),
    ];
    for (name, steps, expected, usable) in cases {
        let server = Server::start(vec![script(&[], steps)]).await;
        let mut options = options();
        options.permanent_552 = vec!["5.2.2 full".into()];
        let mut connection = open(&server, options).await;
        let outcome = connection.send(&to(&["a@x", "b@x"]), CONTENT).await;
        assert_eq!(brief(&outcome), expected, "{name}");
        assert_eq!(connection.is_usable(), usable, "{name}");
        let next = name.ends_with("421") && !name.starts_with("message");
        assert_eq!(
            outcome.again,
            if next { Again::NextHost } else { Again::No },
            "{name}"
        );
        if let RecipientOutcome::Failed(f) | RecipientOutcome::Deferred(f) = &outcome.recipients[0] {
            assert_eq!(
                (f.remote.as_str(), f.transport.as_str()),
                ("mx.test", connection.transport()),
                "{name}"
            );
        }
        assert!(
            !server.heard().iter().any(|line| line.starts_with("!!")),
            "{name}: {:?}",
            server.heard()
        );
    }
}

#[tokio::test]
async fn pipelined_data_without_recipients_ends_with_a_lone_dot() {
    let refused = |mail: &str, rcpt: &str, data: &str| {
        vec![
            Hear("MAIL"),
            Hear("RCPT"),
            Hear("DATA"),
            Say(format!("{mail}\r\n{rcpt}\r\n{data}\r\n")),
        ]
    };
    let good = vec![
        Hear("MAIL"),
        Hear("RCPT"),
        Hear("DATA"),
        Say("250 ok\r\n250 ok\r\n354 go\r\n".into()),
        Message,
        say("250 in"),
    ];
    let reset = || vec![Hear("RSET")];
    let answered = |mut steps: Vec<Step>| {
        // The reply to RSET comes together with those to the commands behind it.
        if let Some(Say(text)) = steps.iter_mut().find(|s| matches!(s, Say(_))) {
            text.insert_str(0, "250 reset\r\n");
        }
        steps
    };
    let steps = [
        refused("250 ok", "550 5.1.1 no", "354 go"),
        vec![Message, say("554 no valid recipients")],
        refused("550 5.7.1 you", "503 mail first", "354 go"),
        vec![Message, say("250 nothing")],
        refused("250 ok", "550 5.1.1 no", "554 none"),
        reset(),
        answered(good.clone()),
        good,
    ]
    .concat();
    let server = Server::start(vec![script(&["PIPELINING"], steps)]).await;
    let mut connection = open(&server, options()).await;
    let expected = [
        "failed 5.1.1 550 5.1.1 no",
        "failed 5.7.1 550 5.7.1 you",
        "failed 5.1.1 550 5.1.1 no",
        "delivered 250 in",
        "delivered 250 in",
    ];
    for (i, expected) in expected.iter().enumerate() {
        let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
        assert_eq!(brief(&outcome), [*expected], "message {i}");
    }
    assert_eq!(server.heard().iter().filter(|line| *line == "RSET").count(), 1);
}

#[tokio::test]
async fn a_dropped_connection_defers() {
    let mail = || Hear("MAIL");
    let rcpt = || Hear("RCPT");
    let ok = || say("250 ok");
    let cases: Vec<(&str, Vec<Step>, &str)> = vec![
        ("after MAIL", vec![mail(), Close], "MAIL FROM"),
        ("after RCPT", vec![mail(), ok(), rcpt(), Close], "RCPT TO"),
        (
            "after DATA",
            vec![mail(), ok(), rcpt(), ok(), Hear("DATA"), Close],
            "DATA",
        ),
        (
            "after the dot",
            vec![
                mail(),
                ok(),
                rcpt(),
                ok(),
                Hear("DATA"),
                say("354 go"),
                Message,
                Close,
            ],
            "the reply to the message",
        ),
        (
            "in the middle of a reply",
            vec![mail(), Say("250-ok\r\n25".into()), Close],
            "MAIL FROM",
        ),
    ];
    for (name, steps, during) in cases {
        let server = Server::start(vec![script(&[], steps)]).await;
        let mut connection = open(&server, options()).await;
        let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
        let text = format!("deferred 4.4.2 remote host closed the connection during {during}");
        assert_eq!(brief(&outcome), [text], "{name}");
        assert!(!connection.is_usable(), "{name}");
        let early = during == "MAIL FROM" || during == "RCPT TO";
        assert_eq!(
            outcome.again,
            if early { Again::NextHost } else { Again::No },
            "{name}"
        );
        let again = connection.send(&to(&["a@x"]), CONTENT).await;
        assert_eq!(again.again, Again::Reconnect, "{name}");
    }
}

#[tokio::test]
async fn an_idle_connection_that_went_away_is_untried() {
    let first = vec![
        Hear("MAIL"),
        say("250 ok"),
        Hear("RCPT"),
        say("250 ok"),
        Hear("DATA"),
        say("354 go"),
        Message,
    ];
    for (name, last) in [
        ("closed", "250 in\r\n"),
        ("421", "250 in\r\n421 4.4.2 idle too long\r\n"),
    ] {
        let steps = script(&[], [first.clone(), vec![Say(last.into()), Close]].concat());
        let server = Server::start(vec![steps]).await;
        let mut connection = open(&server, options()).await;
        assert_eq!(
            brief(&connection.send(&to(&["a@x"]), CONTENT).await),
            ["delivered 250 in"],
            "{name}"
        );
        let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
        assert_eq!(outcome.again, Again::Reconnect, "{name}: {:?}", brief(&outcome));
        assert!(
            matches!(outcome.recipients[0], RecipientOutcome::Deferred(_)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_reply_too_many_ends_the_session() {
    let steps = vec![
        Hear("MAIL"),
        say("250 ok"),
        Hear("RCPT"),
        say("250 ok"),
        Hear("DATA"),
        say("354 go"),
        Message,
        Say("250 in\r\n250 one too many\r\n".into()),
        Silence,
    ];
    let server = Server::start(vec![script(&[], steps)]).await;
    let mut connection = open(&server, options()).await;
    assert_eq!(
        brief(&connection.send(&to(&["a@x"]), CONTENT).await),
        ["delivered 250 in"]
    );
    let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
    assert!(
        brief(&outcome)[0].ends_with("unasked reply 250 one too many"),
        "{:?}",
        brief(&outcome)
    );
    assert!(!connection.is_usable());
}

#[tokio::test]
async fn greetings() {
    let helo = || {
        vec![
            say("220 old"),
            Hear("EHLO"),
            say("502 what"),
            Hear("HELO me.test"),
            say("250 hi"),
        ]
    };
    type Case = (
        &'static str,
        Vec<Vec<Step>>,
        Hello,
        Result<(), (&'static str, bool)>,
    );
    let cases: Vec<Case> = vec![
        (
            "HELO on the same connection",
            vec![helo()],
            Hello::Special,
            Ok(()),
        ),
        (
            "HELO on a new connection",
            vec![
                vec![say("220 x"), Hear("EHLO"), Close],
                vec![say("220 x"), Hear("HELO"), say("250 hi")],
            ],
            Hello::Special,
            Ok(()),
        ),
        (
            "fire away",
            vec![vec![say("220 Fire Away"), Hear("HELO"), say("250 hi")]],
            Hello::Special,
            Ok(()),
        ),
        (
            "noehlo",
            vec![vec![say("220 ESMTP"), Hear("HELO"), say("250 hi")]],
            Hello::Helo,
            Ok(()),
        ),
        (
            "checkehlo without",
            vec![vec![say("220 x"), Hear("HELO"), say("250 hi")]],
            Hello::Check,
            Ok(()),
        ),
        ("checkehlo with", vec![hello(&[])], Hello::Check, Ok(())),
        (
            "banner 5yz",
            vec![vec![say("554 5.7.1 go away")]],
            Hello::Ehlo,
            Err(("5.7.1", true)),
        ),
        (
            "banner 4yz",
            vec![vec![say("421 4.3.2 busy")]],
            Hello::Ehlo,
            Err(("4.3.2", false)),
        ),
        (
            "banner 250",
            vec![vec![say("250 hello")]],
            Hello::Ehlo,
            Err(("4.5.0", false)),
        ),
        (
            "banner that is HTTP",
            vec![vec![say("HTTP/1.1 400 Bad")]],
            Hello::Ehlo,
            Err(("4.5.0", false)),
        ),
        ("no banner", vec![vec![Close]], Hello::Ehlo, Err(("4.4.2", false))),
        (
            "EHLO 4yz",
            vec![vec![say("220 x"), Hear("EHLO"), say("451 no")]],
            Hello::Ehlo,
            Err(("4.0.0", false)),
        ),
        (
            "HELO 5yz",
            vec![vec![
                say("220 x"),
                Hear("EHLO"),
                say("500 no"),
                Hear("HELO"),
                say("550 5.7.1 no"),
            ]],
            Hello::Ehlo,
            Err(("5.7.1", true)),
        ),
        (
            "our own mark",
            vec![hello(&["XLOOP me123"])],
            Hello::Ehlo,
            Err(("5.4.6", true)),
        ),
        ("another's mark", vec![hello(&["XLOOP you"])], Hello::Ehlo, Ok(())),
        (
            "endless reply",
            vec![vec![say("220 x"), Hear("EHLO"), Endless("250-x\r\n")]],
            Hello::Ehlo,
            Err(("4.5.0", false)),
        ),
        (
            "endless line",
            vec![vec![Endless("220 x")]],
            Hello::Ehlo,
            Err(("4.5.0", false)),
        ),
    ];
    for (name, scripts, hello, expected) in cases {
        let server = Server::start(scripts).await;
        let options = ClientOptions {
            hello,
            loop_mark: Some("me123".into()),
            ..options()
        };
        let got = Connection::open(&server.target(), &Arc::new(options)).await;
        let got = got.map(|_| ()).map_err(|e| (e.status(), e.is_permanent()));
        assert_eq!(got, expected.map_err(|(s, p)| (s.to_string(), p)), "{name}");
        assert!(
            !server.heard().iter().any(|line| line.starts_with("!!")),
            "{name}: {:?}",
            server.heard()
        );
    }
}

#[tokio::test]
async fn a_slow_server_times_out() {
    let options = ClientOptions {
        timeouts: Timeouts::uniform(Duration::from_millis(200)),
        ..options()
    };
    let server = Server::start(vec![vec![Silence]]).await;
    let error = Connection::open(&server.target(), &Arc::new(options.clone()))
        .await
        .err()
        .unwrap();
    assert!(
        matches!(error.cause, Cause::Timeout { during: "the banner" }),
        "{error}"
    );

    let server = Server::start(vec![script(&[], vec![Hear("MAIL"), Silence])]).await;
    let mut connection = open(&server, options).await;
    let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
    assert_eq!(brief(&outcome), ["deferred 4.4.2 timed out during MAIL FROM"]);
    assert!(!connection.is_usable());

    let mut session = self::options();
    session.timeouts.session = Some(Duration::from_millis(200));
    let server = Server::start(vec![script(&[], vec![Hear("MAIL"), Silence])]).await;
    let mut connection = open(&server, session).await;
    let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
    assert_eq!(brief(&outcome), ["deferred 4.4.2 timed out during MAIL FROM"]);
}

#[tokio::test]
async fn a_closed_port_is_a_connect_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let target = Target {
        host: "mx.test".into(),
        address,
    };
    let error = Connection::open(&target, &Arc::new(options()))
        .await
        .err()
        .unwrap();
    let expected = format!("TCP active open: Failed connect() {address}  Error: Connection refused");
    assert_eq!((error.to_string(), error.status().as_str()), (expected, "4.4.1"));
}

#[tokio::test]
async fn parameters_follow_the_offers() {
    let outgoing = Outgoing {
        envelope_id: Some("id=1"),
        return_headers: true,
        priority: 3,
        recipients: vec![OutgoingRecipient {
            address: "a@x",
            original: "rfc822;o+1@x",
            notify: Notify {
                given: true,
                success: true,
                failure: false,
                delay: true,
            },
        }],
        ..to(&[])
    };
    let cases: &[(&str, &[&str], [&str; 2])] = &[
        ("nothing offered", &[], ["MAIL FROM:<s@me.test>", "RCPT TO:<a@x>"]),
        (
            "SIZE",
            &["SIZE"],
            ["MAIL FROM:<s@me.test> SIZE=26", "RCPT TO:<a@x>"],
        ),
        (
            "8BITMIME, content of 7 bits",
            &["8BITMIME"],
            ["MAIL FROM:<s@me.test>", "RCPT TO:<a@x>"],
        ),
        (
            "DSN",
            &["dsn"],
            [
                "MAIL FROM:<s@me.test> RET=HDRS ENVID=id+3D1",
                "RCPT TO:<a@x> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2B1@x",
            ],
        ),
        (
            "MT-PRIORITY",
            &["MT-PRIORITY MIXER"],
            ["MAIL FROM:<s@me.test> MT-PRIORITY=3", "RCPT TO:<a@x>"],
        ),
    ];
    for (name, offers, expected) in cases {
        let steps = vec![Hear("MAIL"), say("250 ok"), Hear("RCPT"), say("550 no")];
        let server = Server::start(vec![script(offers, steps)]).await;
        let mut connection = open(&server, options()).await;
        let outcome = connection.send(&outgoing, CONTENT).await;
        assert_eq!(server.dialogue(), expected.map(String::from), "{name}");
        assert_eq!(outcome.dsn_passed_on, *name == "DSN", "{name}");
    }
}

#[tokio::test]
async fn what_the_server_cannot_take_is_not_sent() {
    let eight = "Subject: x\r\n\r\ngr\u{fc}n\r\n".as_bytes();
    let utf8 = Outgoing {
        utf8: true,
        ..to(&["a@x", "b@x"])
    };
    let strict = ClientOptions {
        eight_bit: EightBit::Strict,
        ..options()
    };
    type Case<'a> = (
        &'a str,
        ClientOptions,
        &'a [&'a str],
        Outgoing<'a>,
        &'a [u8],
        [&'a str; 2],
    );
    let cases: Vec<Case<'_>> = vec![
        (
            "too large",
            options(),
            &["SIZE 10"],
            to(&["a@x", "b@x"]),
            CONTENT,
            ["failed 5.3.4"; 2],
        ),
        (
            "eightstrict",
            strict,
            &[],
            to(&["a@x", "b@x"]),
            eight,
            ["failed 5.6.3"; 2],
        ),
        (
            "UTF-8 header",
            options(),
            &["8BITMIME"],
            utf8,
            eight,
            ["failed 5.6.7"; 2],
        ),
        (
            "UTF-8 addresses",
            options(),
            &[],
            to(&["gr\u{fc}n@x", "gr\u{fc}ner@x"]),
            CONTENT,
            ["failed 5.6.7"; 2],
        ),
        (
            "injection",
            options(),
            &[],
            to(&["a@x>\r\nRSET", "a@x> X=<"]),
            CONTENT,
            ["failed 5.1.3"; 2],
        ),
        (
            "sender",
            options(),
            &[],
            Outgoing {
                from: "s\n@x",
                ..to(&["a@x", "b@x"])
            },
            CONTENT,
            ["failed 5.1.7"; 2],
        ),
    ];
    for (name, options, offers, outgoing, content, expected) in cases {
        let server = Server::start(vec![script(offers, vec![Silence])]).await;
        let mut connection = open(&server, options).await;
        let outcome = connection.send(&outgoing, content).await;
        let got: Vec<String> = brief(&outcome)
            .iter()
            .map(|b| b.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(got, expected, "{name}");
        assert!(connection.is_usable(), "{name}");
        assert_eq!(server.dialogue(), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn one_utf8_recipient_does_not_hold_up_the_others() {
    let steps = || {
        vec![
            Hear("MAIL"),
            say("250 ok"),
            Hear("RCPT"),
            say("250 ok"),
            Hear("DATA"),
            say("354 go"),
            Message,
            say("250 in"),
        ]
    };
    let server = Server::start(vec![script(&[], steps())]).await;
    let mut connection = open(&server, options()).await;
    let outcome = connection.send(&to(&["gr\u{fc}n@x", "b@x"]), CONTENT).await;
    assert!(
        brief(&outcome)[0].starts_with("failed 5.6.7"),
        "{:?}",
        brief(&outcome)
    );
    assert_eq!(brief(&outcome)[1], "delivered 250 in");

    let server = Server::start(vec![script(&["SMTPUTF8", "8BITMIME"], steps())]).await;
    let mut connection = open(&server, options()).await;
    let outcome = connection
        .send(&to(&["gr\u{fc}n@x"]), "Subject: \u{fc}\r\n\r\n".as_bytes())
        .await;
    assert_eq!(brief(&outcome), ["delivered 250 in"]);
    assert_eq!(
        server.dialogue()[0],
        "MAIL FROM:<s@me.test> BODY=8BITMIME SMTPUTF8"
    );
}

#[tokio::test]
async fn eight_bits_are_converted_for_a_server_of_seven() {
    let steps = vec![
        Hear("MAIL"),
        say("250 ok"),
        Hear("RCPT"),
        say("250 ok"),
        Hear("DATA"),
        say("354 go"),
        Message,
        say("250 in"),
    ];
    let server = Server::start(vec![script(&[], steps)]).await;
    let mut connection = open(&server, options()).await;
    let content = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngr\u{fc}n\r\n".as_bytes();
    let outcome = connection.send(&to(&["a@x"]), content).await;
    assert_eq!(brief(&outcome), ["delivered 250 in"]);
    assert!(outcome.converted);
    let heard = server.dialogue();
    assert_eq!(
        heard[3..],
        [
            "Subject: x",
            "Content-Type: text/plain; charset=utf-8",
            "MIME-Version: 1.0",
            "Content-Transfer-Encoding: quoted-printable",
            "",
            "gr=C3=BCn",
            "."
        ]
        .map(String::from)
    );
}

#[tokio::test]
async fn many_recipients_and_much_content_pass_in_windows() {
    let count = 3000;
    let mut steps = vec![Hear("MAIL"), say("250 ok")];
    for _ in 0..count {
        steps.extend([
            Hear("RCPT"),
            say("250 2.1.5 recipient ok, and a reply long enough to fill a buffer soon"),
        ]);
    }
    steps.extend([Hear("DATA"), say("354 go"), Message, say("250 in")]);
    let server = Server::start(vec![script(&["PIPELINING"], steps)]).await;
    let mut connection = open(&server, options()).await;
    let addresses: Vec<String> = (0..count).map(|i| format!("recipient{i}@mx.test")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let content = b".line\r\n".repeat(200_000);
    let outcome = connection.send(&to(&addresses), &content).await;
    assert_eq!(outcome.recipients.len(), count);
    assert!(
        brief(&outcome).iter().all(|b| b == "delivered 250 in"),
        "{:?}",
        brief(&outcome).first()
    );
    assert_eq!(
        server.heard().iter().filter(|line| *line == "..line").count(),
        200_000
    );
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let steps = vec![
        say("220 store LMTP"),
        Hear("LHLO me.test"),
        Say("250-store\r\n250 PIPELINING\r\n".into()),
        Hear("MAIL"),
        Hear("RCPT"),
        Hear("RCPT"),
        Hear("RCPT"),
        Hear("DATA"),
        Say("250 ok\r\n250 ok\r\n550 5.1.1 who\r\n250 ok\r\n354 go\r\n".into()),
        Message,
        Say("250 2.0.0 in\r\n452 4.2.2 over quota\r\n".into()),
    ];
    let server = Server::start(vec![steps]).await;
    let options = ClientOptions {
        protocol: Protocol::Lmtp,
        ..options()
    };
    let mut connection = open(&server, options).await;
    let outcome = connection.send(&to(&["a@x", "b@x", "c@x"]), CONTENT).await;
    let expected = [
        "delivered 250 2.0.0 in",
        "failed 5.1.1 550 5.1.1 who",
        "deferred 4.2.2 452 4.2.2 over quota",
    ];
    assert_eq!(brief(&outcome), expected);
    assert!(connection.is_usable());
}

fn verified_by_nobody() -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Arc::new(config)
}

#[tokio::test]
async fn start_tls() {
    let offered = || {
        script(
            &["STARTTLS"],
            vec![
                Hear("STARTTLS"),
                say("220 go"),
                Handshake,
                Hear("EHLO"),
                Say("250-x\r\n250 DSN\r\n".into()),
                Silence,
            ],
        )
    };
    let plain = || script(&[], vec![Silence]);
    let refuses = || {
        script(
            &["STARTTLS"],
            vec![Hear("STARTTLS"), say("454 4.7.0 not now"), Silence],
        )
    };
    let breaks = || script(&["STARTTLS"], vec![Hear("STARTTLS"), say("220 go"), Close]);
    let injects = || {
        script(
            &["STARTTLS"],
            vec![
                Hear("STARTTLS"),
                Say("220 go\r\n250 injected\r\n".into()),
                Handshake,
                Silence,
            ],
        )
    };
    let may = || Tls::May(tls::opportunistic_client().unwrap());
    let must = || Tls::Must(verified_by_nobody());
    let trusting = || Tls::Must(tls::opportunistic_client().unwrap());
    type Case = (&'static str, Vec<Vec<Step>>, Tls, Result<bool, &'static str>);
    let cases: Vec<Case> = vec![
        ("may, self-signed", vec![offered()], may(), Ok(true)),
        ("may, not offered", vec![plain()], may(), Ok(false)),
        ("may, refused", vec![refuses()], may(), Ok(false)),
        (
            "may, broken, then without",
            vec![breaks(), script(&["STARTTLS"], vec![Silence])],
            may(),
            Ok(false),
        ),
        ("must, trusted", vec![offered()], trusting(), Ok(true)),
        (
            "must, self-signed is not verified",
            vec![offered()],
            must(),
            Err("4.7.10"),
        ),
        ("must, not offered", vec![plain()], must(), Err("4.7.10")),
        ("must, refused", vec![refuses()], must(), Err("4.7.10")),
        ("must, broken", vec![breaks()], trusting(), Err("4.7.10")),
        (
            "data before the handshake",
            vec![injects()],
            trusting(),
            Err("4.5.0"),
        ),
    ];
    for (name, scripts, tls, expected) in cases {
        let server = Server::start(scripts).await;
        let options = ClientOptions { tls, ..options() };
        let got = Connection::open(&server.target(), &Arc::new(options)).await;
        match (&got, expected) {
            (Ok(connection), Ok(secured)) => {
                assert_eq!(connection.tls().is_some(), secured, "{name}");
                assert_eq!(
                    connection.offers().dsn,
                    secured,
                    "{name}: offers are those after TLS"
                );
                let diagnostic = connection.log_diagnostic("250 ok", false, false);
                let note = diagnostic.contains("(TLS failed, continued without: ");
                assert_eq!(note, name.contains("then without"), "{name}: {diagnostic}");
            }
            (Err(error), Err(status)) => {
                assert_eq!(error.status(), status, "{name}: {error}");
                assert!(!error.is_permanent(), "{name}");
            }
            _ => panic!("{name}: {:?}", got.err()),
        }
    }
}

#[tokio::test]
async fn mail_goes_through_tls() {
    let steps = script(
        &["STARTTLS"],
        vec![
            Hear("STARTTLS"),
            say("220 go"),
            Handshake,
            Hear("EHLO"),
            Say("250-x\r\n250 PIPELINING\r\n".into()),
            Hear("MAIL"),
            Hear("RCPT"),
            Hear("DATA"),
            Say("250 ok\r\n250 ok\r\n354 go\r\n".into()),
            Message,
            say("250 in"),
        ],
    );
    let server = Server::start(vec![steps]).await;
    let options = ClientOptions {
        tls: Tls::May(tls::opportunistic_client().unwrap()),
        ..options()
    };
    let mut connection = open(&server, options).await;
    let content = b"0123456789\r\n".repeat(100_000);
    let outcome = connection.send(&to(&["a@x"]), &content).await;
    assert_eq!(brief(&outcome), ["delivered 250 in"]);
    // a suite of TLS 1.3 only
    assert_eq!(connection.tls().unwrap(), "TLS-256-TLS_AES_256_GCM_SHA384");
}

#[tokio::test]
async fn hosts_are_tried_in_order() {
    let good = Server::start(vec![hello(&[])]).await;
    let port = good.address.port();
    let zone = || {
        Canned::default()
            .with_mx("x.test", 20, "good.test")
            .with_mx("x.test", 10, "nowhere.test")
            .with_mx("x.test", 15, "dead.test")
            // Nothing listens on this loopback address: the server has its port on 127.0.0.1 only.
            .with_address("dead.test", [127, 0, 0, 2].into())
            .with_address("good.test", [127, 0, 0, 1].into())
            .with_mx("dead-only.test", 10, "dead.test")
            .with_mx("null.test", 0, ".")
            .failing("broken.test")
    };
    let rules = Rules {
        mx: MxUse::Received,
        own_names: &[],
    };
    type Case = (
        &'static str,
        &'static str,
        Option<&'static str>,
        Result<&'static str, (&'static str, bool)>,
    );
    let cases: [Case; 8] = [
        ("third host", "x.test", None, Ok("good.test")),
        ("literal", "[127.0.0.1]", None, Ok("[127.0.0.1]")),
        (
            "connect failures are temporary",
            "dead-only.test",
            None,
            Err(("4.4.1", false)),
        ),
        (
            "last resort",
            "dead-only.test",
            Some("good.test"),
            Ok("good.test"),
        ),
        (
            "last resort after a server failure",
            "broken.test",
            Some("good.test"),
            Ok("good.test"),
        ),
        (
            "null MX overrides the last resort",
            "null.test",
            Some("good.test"),
            Err(("5.1.10", true)),
        ),
        ("no such domain", "nobody.test", None, Err(("5.1.2", true))),
        ("server failure", "broken.test", None, Err(("4.4.3", false))),
    ];
    for (name, destination, last_resort, expected) in cases {
        let destination = Destination {
            name: destination,
            port,
            last_resort,
        };
        let got = reach(&destination, &rules, &zone(), &Arc::new(options())).await;
        let got = got
            .map(|c| c.target().host.clone())
            .map_err(|e| (e.failure.status, e.permanent));
        let expected = expected.map(String::from).map_err(|(s, p)| (s.to_string(), p));
        assert_eq!(got, expected, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_is_permanent_only_if_every_host_answered() {
    let no = Server::start(vec![vec![say("554 5.7.1 not you")]]).await;
    let port = no.address.port();
    let zone = Canned::default()
        .with_mx("all.test", 10, "no.test")
        .with_mx("some.test", 10, "dead.test")
        .with_mx("some.test", 20, "no.test")
        .with_address("no.test", [127, 0, 0, 1].into())
        .with_address("dead.test", [127, 0, 0, 2].into());
    let rules = Rules {
        mx: MxUse::Received,
        own_names: &[],
    };
    for (name, status, permanent) in [("all.test", "5.7.1", true), ("some.test", "4.7.1", false)] {
        let destination = Destination {
            name,
            port,
            last_resort: None,
        };
        let error = reach(&destination, &rules, &zone, &Arc::new(options()))
            .await
            .err()
            .unwrap();
        assert_eq!(
            (error.failure.status.as_str(), error.permanent),
            (status, permanent),
            "{name}"
        );
        assert_eq!(error.failure.remote, "no.test", "{name}");
    }
}
