//! The octets of one connection: writes with time-outs, replies from a bounded buffer, TLS on top.

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{Cause, plain};
use super::reply::{Assembler, MAX_LINE, Reply};

/// Read at most this much at once.
const READ: usize = 4096;

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// The handshake failed and took the socket with it.
    Gone,
}

/// One connection.
pub(super) struct Wire {
    stream: Stream,
    input: Vec<u8>,
    /// Consumed part of `input`.
    taken: usize,
    /// End of the session (SESSION_TIME).
    deadline: Option<Instant>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, session: Option<Duration>) -> Wire {
        Wire {
            stream: Stream::Plain(stream),
            input: Vec::with_capacity(READ),
            taken: 0,
            deadline: session.and_then(|session| Instant::now().checked_add(session)),
        }
    }

    /// A step's time-out, cut short by the end of the session.
    fn limit(&self, time: Duration) -> Duration {
        match self.deadline {
            Some(deadline) => time.min(deadline.saturating_duration_since(Instant::now())),
            None => time,
        }
    }

    /// Writes all of it within the time.
    pub(super) async fn write(
        &mut self,
        bytes: &[u8],
        time: Duration,
        during: &'static str,
    ) -> Result<(), Cause> {
        let limit = self.limit(time);
        let work = async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.write_all(bytes).await,
                Stream::Tls(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
                Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
            }
        };
        match timeout(limit, work).await {
            Err(_) => Err(Cause::Timeout { during }),
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(lost(&error, during)),
        }
    }

    /// The next reply, complete within the time.
    pub(super) async fn reply(&mut self, time: Duration, during: &'static str) -> Result<Reply, Cause> {
        let limit = self.limit(time);
        match timeout(limit, self.read_reply(during)).await {
            Err(_) => Err(Cause::Timeout { during }),
            Ok(result) => result,
        }
    }

    async fn read_reply(&mut self, during: &'static str) -> Result<Reply, Cause> {
        let bad = |problem: &str| Cause::BadReply {
            during,
            problem: problem.to_string(),
        };
        let mut assembler = Assembler::default();
        loop {
            let pending = self.input.get(self.taken..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', pending) {
                if at >= MAX_LINE {
                    return Err(bad("a line of the reply is too long"));
                }
                let line = pending.get(..at).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let complete = assembler.line(line).map_err(bad)?;
                self.taken += at + 1;
                if let Some(reply) = complete {
                    return Ok(reply);
                }
                continue;
            }
            if pending.len() >= MAX_LINE {
                return Err(bad("a line of the reply is too long"));
            }
            if self.fill().await.map_err(|error| lost(&error, during))? == 0 {
                return Err(Cause::Closed { during });
            }
        }
    }

    /// Reads once; 0 at the end of the stream.
    async fn fill(&mut self) -> io::Result<usize> {
        self.input.drain(..self.taken.min(self.input.len()));
        self.taken = 0;
        let mut chunk = [0; READ];
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut chunk).await?,
            Stream::Tls(stream) => stream.read(&mut chunk).await?,
            Stream::Gone => return Err(io::ErrorKind::NotConnected.into()),
        };
        self.input
            .extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// Ends the stream in order: over TLS, with the alert that says that nothing was cut off.
    pub(super) async fn close(&mut self, time: Duration) {
        let limit = self.limit(time);
        let work = async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.shutdown().await,
                Stream::Tls(stream) => stream.shutdown().await,
                Stream::Gone => Ok(()),
            }
        };
        // The session is over either way.
        let _ = timeout(limit, work).await;
    }

    /// Octets that came but that nobody asked for.
    pub(super) fn has_unread(&self) -> bool {
        self.taken < self.input.len()
    }

    /// Puts TLS on the connection; what came before the handshake is refused by the caller.
    pub(super) async fn start_tls(
        &mut self,
        connector: TlsConnector,
        name: ServerName<'static>,
        time: Duration,
    ) -> Result<(), Cause> {
        let during = "the TLS handshake";
        let limit = self.limit(time);
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(Cause::BadReply {
                during,
                problem: "TLS is already active".into(),
            });
        };
        match timeout(limit, connector.connect(name, stream)).await {
            Err(_) => Err(Cause::Timeout { during }),
            Ok(Err(error)) => Err(Cause::Io {
                during,
                reason: plain(&error),
            }),
            Ok(Ok(stream)) => {
                self.stream = Stream::Tls(Box::new(stream));
                Ok(())
            }
        }
    }

    /// Subject and issuer of the other side's certificate; empty where they cannot be read.
    pub(super) fn names(&self) -> (String, String) {
        let certificates = match &self.stream {
            Stream::Tls(stream) => stream.get_ref().1.peer_certificates(),
            _ => None,
        };
        certificates
            .and_then(|all| crate::tls::names(all.first()?))
            .unwrap_or_default()
    }

    /// Key bits and cipher suite, where TLS is active.
    pub(super) fn tls(&self) -> Option<String> {
        match &self.stream {
            Stream::Tls(stream) => crate::tls::describe(stream.get_ref().1),
            _ => None,
        }
    }
}

fn lost(error: &io::Error, during: &'static str) -> Cause {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Cause::Closed { during },
        _ => Cause::Io {
            during,
            reason: plain(error),
        },
    }
}
