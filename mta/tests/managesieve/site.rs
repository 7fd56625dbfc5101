//! A server on a site of its own, and a client that shows every octet.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mta::configuration::Layout;
use mta::server::{Running, Server};
use mta::up::{NewSite, create};

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a site of its own.
pub struct Fixture {
    pub runtime: Option<tokio::runtime::Runtime>,
    pub running: Option<Running>,
    pub root: PathBuf,
    pub password: String,
}

impl Fixture {
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("sluice-managesieve-{}-{n}", std::process::id()));
        let layout = Layout::new(&root);
        let site = NewSite {
            host: "mail.example.com".into(),
            domain: "example.com".into(),
            port: 0,
        };
        let users = create(&layout, &site).expect("a new site");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let running = runtime
            .block_on(Server::start(layout))
            .expect("the server starts");
        let password = users
            .iter()
            .find(|u| u.uid == "alice")
            .expect("alice")
            .password
            .clone();
        Fixture {
            runtime: Some(runtime),
            running: Some(running),
            root,
            password,
        }
    }

    pub fn address(&self, service: &str) -> SocketAddr {
        let listening = &self.running.as_ref().expect("it runs").listening;
        listening
            .iter()
            .find(|(s, tls, _)| s == service && !tls)
            .expect("the service")
            .2
    }

    pub fn connect(&self) -> Client {
        let mut client = Client::new(self.address("MANAGESIEVE"));
        client.greeting = client.response();
        client
    }

    pub fn plain(&self) -> String {
        STANDARD.encode(format!("\0alice\0{}", self.password))
    }

    pub fn alice(&self) -> Client {
        let mut client = self.connect();
        let reply = client.ask(&format!("AUTHENTICATE \"PLAIN\" \"{}\"\r\n", self.plain()));
        assert!(reply.starts_with("OK"), "{reply}");
        client
    }

    pub fn active_copy(&self) -> Option<String> {
        std::fs::read_to_string(self.root.join("sieve/alice.sieve")).ok()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let (Some(runtime), Some(running)) = (self.runtime.take(), self.running.take()) {
            runtime.block_on(running.stop());
            runtime.shutdown_background();
        }
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
    tcp: TcpStream,
    pub greeting: String,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).expect("a connection");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let stream: Box<dyn Stream> = Box::new(tcp.try_clone().expect("a socket"));
        Client {
            stream: BufReader::new(stream),
            tcp,
            greeting: String::new(),
        }
    }

    pub fn send(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).expect("it is taken");
        self.stream.get_mut().flush().expect("it is taken");
    }

    /// A line with its literals; empty at the end of the connection.
    pub fn line(&mut self) -> String {
        let mut text = Vec::new();
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).expect("a line");
            text.extend_from_slice(&line);
            let literal = line.strip_suffix(b"}\r\n").and_then(|l| {
                let at = l.iter().rposition(|b| *b == b'{')?;
                std::str::from_utf8(&l[at + 1..]).ok()?.parse::<usize>().ok()
            });
            let Some(n) = literal else { break };
            let mut octets = vec![0; n];
            self.stream.read_exact(&mut octets).expect("a literal");
            text.extend_from_slice(&octets);
        }
        String::from_utf8(text).expect("UTF-8")
    }

    /// Everything up to and with the reply.
    pub fn response(&mut self) -> String {
        let mut text = String::new();
        loop {
            let line = self.line();
            text.push_str(&line);
            if line.is_empty() || ["OK", "NO", "BYE"].iter().any(|c| line.starts_with(c)) {
                return text;
            }
        }
    }

    pub fn ask(&mut self, command: &str) -> String {
        self.send(command.as_bytes());
        self.response()
    }

    pub fn start_tls(self) -> Self {
        let config = mta::tls::opportunistic_client().expect("a client");
        let name = "mail.example.com".to_string().try_into().expect("a name");
        let connection = rustls::ClientConnection::new(config, name).expect("a client");
        let plain = self.tcp.try_clone().expect("a socket");
        let stream: Box<dyn Stream> = Box::new(rustls::StreamOwned::new(connection, plain));
        Client {
            stream: BufReader::new(stream),
            tcp: self.tcp,
            greeting: String::new(),
        }
    }
}

pub fn put(name: &str, text: &str) -> String {
    format!("PUTSCRIPT \"{name}\" {{{}+}}\r\n{text}\r\n", text.len())
}

pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::yield_now();
    }
}
