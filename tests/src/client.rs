//! An SMTP client that sends what it is told to, octet for octet.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::{ClientConnection, StreamOwned};

use crate::PATIENCE;

/// A reply: its code and all of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The lines without their codes, joined by line feeds.
    pub text: String,
}

impl Reply {
    /// Fails the test where the code is another; gives the text.
    #[track_caller]
    pub fn expect(self, code: u16) -> String {
        assert_eq!(self.code, code, "{}", self.text);
        self.text
    }

    /// The code and the text in one line.
    pub fn line(&self) -> String {
        format!("{} {}", self.code, self.text)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection to a server.
pub struct Client {
    stream: Stream,
    unread: Vec<u8>,
}

impl Client {
    /// Connects from a local address, and reads nothing.
    pub fn connect(server: SocketAddr, from: &str) -> io::Result<Client> {
        let from: IpAddr = from.parse().map_err(io::Error::other)?;
        let stream = if from == server.ip() {
            // what the system takes anyway
            TcpStream::connect(server)?
        } else {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()?;
            runtime.block_on(async {
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(from, 0))?;
                socket.connect(server).await?.into_std()
            })?
        };
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream: Stream::Plain(stream),
            unread: Vec::new(),
        })
    }

    /// Connects and reads the banner, which must be 220.
    #[track_caller]
    pub fn greeted(server: SocketAddr, from: &str) -> Client {
        let mut client = Client::connect(server, from).expect("a connection");
        client.reply().expect(220);
        client
    }

    /// [`Client::connect`] with TLS from the first octet; the certificate is not checked.
    pub fn connect_tls(server: SocketAddr, from: &str) -> Client {
        let mut client = Client::connect(server, from).expect("a connection");
        client.handshake();
        client.reply().expect(220);
        client
    }

    /// Starts TLS on the connection; the certificate is not checked.
    pub fn handshake(&mut self) {
        let config = mta::tls::opportunistic_client().expect("a TLS client");
        let Stream::Plain(plain) = &self.stream else {
            panic!("TLS within TLS")
        };
        let plain = plain.try_clone().expect("the connection");
        let name = "mail.example.com".try_into().expect("a name");
        let session = ClientConnection::new(Arc::clone(&config), name).expect("a TLS client");
        self.stream = Stream::Tls(Box::new(StreamOwned::new(session, plain)));
    }

    /// The certificate that the server showed, in DER; `None` without TLS.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream
                .conn
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|certificate| certificate.to_vec()),
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Sends octets.
    pub fn send(&mut self, octets: impl AsRef<[u8]>) -> io::Result<()> {
        let octets = octets.as_ref();
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(octets),
            Stream::Tls(stream) => stream.write_all(octets).and_then(|()| stream.flush()),
        }
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0u8; 8192];
        let n = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer)?,
            Stream::Tls(stream) => stream.read(&mut buffer)?,
        };
        self.unread.extend_from_slice(&buffer[..n]);
        Ok(n)
    }

    /// The next line without its CRLF; `None` where the server has closed.
    pub fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_string());
            }
            match self.fill() {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("no reply within {PATIENCE:?}")
                }
                Err(_) => return None,
            }
        }
    }

    /// The next reply; `None` where the server has closed.
    pub fn next_reply(&mut self) -> Option<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = self.next_line()?;
            let code = line
                .get(..3)
                .and_then(|c| c.parse().ok())
                .unwrap_or_else(|| panic!("not a reply: {line:?}"));
            lines.push(line.get(4..).unwrap_or("").to_string());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(Reply {
                    code,
                    text: lines.join("\n"),
                });
            }
        }
    }

    /// The next reply.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.next_reply()
            .expect("a reply, but the server has closed the connection")
    }

    /// All replies until the server closes.
    pub fn replies_to_the_end(&mut self) -> Vec<Reply> {
        std::iter::from_fn(|| self.next_reply()).collect()
    }

    /// Sends a command line and reads its reply.
    #[track_caller]
    pub fn say(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n"))
            .expect("the connection takes a command");
        self.reply()
    }

    /// EHLO; gives the extensions.
    #[track_caller]
    pub fn hello(&mut self) -> String {
        self.say("EHLO client.example").expect(250)
    }

    /// STARTTLS and the handshake, then EHLO.
    #[track_caller]
    pub fn start_tls(&mut self) -> String {
        self.say("STARTTLS").expect(220);
        self.handshake();
        self.hello()
    }

    /// AUTH PLAIN, with the password at once.
    #[track_caller]
    pub fn login(&mut self, user: &str, password: &str) -> Reply {
        let secret = base64(&format!("\0{user}\0{password}"));
        self.say(&format!("AUTH PLAIN {secret}"))
    }

    /// A whole transaction with lines of a message (CRLF at their ends): the first reply that is not
    /// positive, or that to the message.
    #[track_caller]
    pub fn mail(&mut self, from: &str, to: &[&str], message: &str) -> Reply {
        let commands =
            std::iter::once(format!("MAIL FROM:<{from}>")).chain(to.iter().map(|t| format!("RCPT TO:<{t}>")));
        for command in commands {
            let reply = self.say(&command);
            if reply.code >= 400 {
                self.say("RSET");
                return reply;
            }
        }
        self.data(message)
    }

    /// DATA and a message, dot-stuffed: the reply to DATA where it is negative, or that to the message.
    #[track_caller]
    pub fn data(&mut self, message: &str) -> Reply {
        let reply = self.say("DATA");
        if reply.code >= 400 {
            return reply;
        }
        let stuffed = message.replace("\r\n.", "\r\n..");
        self.send(format!("{stuffed}\r\n.\r\n"))
            .expect("the connection takes a message");
        self.reply()
    }
}

/// A text in base64, as SASL sends it.
pub fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let number = chunk
            .iter()
            .chain([&0u8; 2])
            .take(3)
            .fold(0u32, |n, b| n << 8 | u32::from(*b));
        (0..4)
            .map(|i| {
                if i <= chunk.len() {
                    char::from(DIGITS[(number >> (18 - 6 * i) & 63) as usize])
                } else {
                    '='
                }
            })
            .collect::<String>()
    };
    text.as_bytes().chunks(3).map(encode).collect()
}
