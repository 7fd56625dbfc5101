//! A server that follows a script, and short words for scripts and results.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mta::smtp::client::{
    ClientOptions, Connection, Outgoing, OutgoingRecipient, RecipientOutcome, SendOutcome, Target, Timeouts,
    Unguarded,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// One step of the server's script.
#[derive(Clone)]
pub enum Step {
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

pub use Step::*;

/// A reply of one line.
pub fn say(line: &str) -> Step {
    Say(format!("{line}\r\n"))
}

/// Everything the server heard, line by line, messages included; `---` begins a connection.
pub type Heard = Arc<Mutex<Vec<String>>>;

pub struct Server {
    pub address: SocketAddr,
    heard: Heard,
    /// Sizes of the reads: how many octets came at once.
    pub reads: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    /// One script a connection; the last is repeated.
    pub async fn start(scripts: Vec<Vec<Step>>) -> Server {
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

    pub fn target(&self) -> Target {
        Target {
            host: "mx.test".into(),
            address: self.address,
        }
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Fails where the client said what the script did not expect.
    #[track_caller]
    pub fn assert_as_written(&self, name: &str) {
        let heard = self.heard();
        assert!(
            !heard.iter().any(|line| line.starts_with("!!")),
            "{name}: {heard:?}"
        );
    }

    /// What was heard, without the greetings.
    pub fn dialogue(&self) -> Vec<String> {
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

/// A message with a dot at the beginning of a line.
pub const CONTENT: &[u8] = b"Subject: x\r\n\r\nbody\r\n.dot\r\n";

/// Options with time enough.
pub fn options() -> ClientOptions {
    ClientOptions {
        helo: "me.test".into(),
        timeouts: Timeouts::uniform(Duration::from_secs(20)),
        ..ClientOptions::default()
    }
}

/// Banner and EHLO with these offers.
pub fn hello(offers: &[&str]) -> Vec<Step> {
    let mut reply = String::from("250-mx.test hello\r\n");
    for offer in offers {
        reply.push_str(&format!("250-{offer}\r\n"));
    }
    reply.push_str("250 HELP\r\n");
    vec![say("220 mx.test ESMTP ready"), Hear("EHLO me.test"), Say(reply)]
}

/// Commands with their replies: `RCPT 250 ok` hears a line that begins so and answers, `. 250 in` hears a message.
/// A command alone gets no answer.
pub fn turns(turns: &[&'static str]) -> Vec<Step> {
    let mut steps = Vec::new();
    for turn in turns {
        let (command, reply) = turn.split_once(' ').unwrap_or((turn, ""));
        steps.push(if command == "." { Message } else { Hear(command) });
        if !reply.is_empty() {
            steps.push(say(reply));
        }
    }
    steps
}

/// A message to one recipient, taken.
pub const TAKEN: &[&str] = &["MAIL 250 ok", "RCPT 250 ok", "DATA 354 go", ". 250 in"];

/// A greeting, then more.
pub fn script(offers: &[&str], more: Vec<Step>) -> Vec<Step> {
    let mut steps = hello(offers);
    steps.extend(more);
    steps
}

/// A message to these recipients.
pub fn to<'a>(addresses: &[&'a str]) -> Outgoing<'a> {
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

/// What became of each recipient, in short.
pub fn brief(outcome: &SendOutcome) -> Vec<String> {
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

/// Opens a connection, which must succeed.
pub async fn open(server: &Server, options: ClientOptions) -> Connection {
    Connection::open(&server.target(), &Arc::new(options), &mut Unguarded)
        .await
        .unwrap()
}
