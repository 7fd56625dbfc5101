//! The MeterMaid server: tables that any number of hosts share over TCP.
//!
//! A client proves that it knows the shared secret, then sends operations; replies keep their order. Nothing
//! else is answered before. The server's own clock, which never runs backwards, gives all times.
//!
//! Guarantees: a connection costs a task and at most two lines of memory; a client that does not
//! authenticate in [`AUTH_TIME`], gives a wrong code or sends a line over the limit is cut off.
//! Limits: [`MAX_CLIENTS`] connections; what the tables hold is lost at a restart.
//!
//! Source: access specification 21.7.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

use super::call::Tables;
use super::wire::{self, MAX_LINE, Request, Secret};

/// Time in which a client must authenticate.
pub const AUTH_TIME: Duration = Duration::from_secs(30);

/// Time in which a client must take a reply.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// Connections at once; further ones are closed at once.
pub const MAX_CLIENTS: usize = 4096;

/// Counts since the start.
#[derive(Debug, Default, serde::Serialize)]
pub struct Counters {
    /// Connections taken.
    pub connections: AtomicU64,
    /// Connections closed because there were too many.
    pub full: AtomicU64,
    /// Clients that did not know the secret.
    pub refused: AtomicU64,
    /// Operations done.
    pub operations: AtomicU64,
    /// Operations that were answered with an error.
    pub errors: AtomicU64,
}

/// The server; see the module's page.
#[derive(Debug)]
pub struct Server {
    tables: Tables,
    secret: Secret,
    started: Instant,
    clients: Arc<Semaphore>,
    stopping: Notify,
    /// Its counts.
    pub counters: Counters,
}

impl Server {
    /// A server over these tables.
    pub fn new(tables: Tables, secret: Secret) -> Arc<Self> {
        let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
        Arc::new(Server {
            tables,
            secret,
            started: Instant::now(),
            clients,
            stopping: Notify::new(),
            counters: Counters::default(),
        })
    }

    /// Ends [`Server::serve`].
    pub fn stop(&self) {
        self.stopping.notify_one();
    }

    /// Serves what comes in, until it is stopped or dropped; its connections end with it.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut clients = tokio::task::JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stopping.notified() => return,
                Some(_) = clients.join_next(), if !clients.is_empty() => continue,
            };
            let Ok((stream, _)) = accepted else {
                // no descriptors left, most likely: do not spin
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Ok(permit) = Arc::clone(&self.clients).try_acquire_owned() else {
                self.counters.full.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            self.counters.connections.fetch_add(1, Ordering::Relaxed);
            let server = Arc::clone(&self);
            clients.spawn(async move {
                let _ = server.client(stream).await;
                drop(permit);
            });
        }
    }

    async fn client(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut nonce = [0u8; 16];
        getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
        let nonce = wire::hex(&nonce);
        let mut lines = Lines::default();
        let authenticated = tokio::time::timeout(AUTH_TIME, async {
            stream.write_all(format!("MM1 {nonce}\r\n").as_bytes()).await?;
            let line = lines.next(&mut stream).await?;
            Ok::<_, std::io::Error>(match line.map(|line| Request::parse(&line)) {
                Some(Ok(Request::Auth(code))) => self.secret.verify(&nonce, &code),
                _ => false,
            })
        });
        if !matches!(authenticated.await, Ok(Ok(true))) {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return send(&mut stream, b"! auth\r\n").await;
        }
        send(&mut stream, b"+ ok\r\n").await?;
        let mut replies = Vec::new();
        while let Some(line) = lines.next(&mut stream).await? {
            let leaves = self.answer(&line, &mut replies);
            // as long as whole lines are there, their replies travel together
            if leaves || !lines.has_line() || replies.len() > 16 * MAX_LINE {
                send(&mut stream, &replies).await?;
                replies.clear();
            }
            if leaves {
                break;
            }
        }
        Ok(())
    }

    /// Appends the reply to one line; true where the client leaves.
    fn answer(&self, line: &[u8], replies: &mut Vec<u8>) -> bool {
        self.counters.operations.fetch_add(1, Ordering::Relaxed);
        let request = Request::parse(line);
        let error = match &request {
            Ok(Request::Noop | Request::Quit) => {
                replies.extend(b"+\r\n");
                return matches!(request, Ok(Request::Quit));
            }
            Ok(Request::Auth(_)) => "already authenticated".to_string(),
            Ok(Request::Call(operation, fields)) => match wire::call(operation, fields) {
                Ok(call) => match self
                    .tables
                    .answer(&call, self.started.elapsed().as_millis() as u64)
                {
                    Ok(answer) => {
                        wire::encode_answer(&answer, replies);
                        return false;
                    }
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        wire::encode_error(&error, replies);
        false
    }
}

async fn send(stream: &mut TcpStream, octets: &[u8]) -> std::io::Result<()> {
    let sent = tokio::time::timeout(WRITE_TIME, stream.write_all(octets)).await;
    sent.unwrap_or(Err(std::io::ErrorKind::TimedOut.into()))
}

/// Lines of at most [`MAX_LINE`] octets.
#[derive(Debug, Default)]
pub(super) struct Lines {
    octets: Vec<u8>,
}

impl Lines {
    fn has_line(&self) -> bool {
        self.octets.contains(&b'\n')
    }

    /// The next line without its end; `None` at the end of input.
    pub(super) async fn next(&mut self, stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.octets) {
                let rest = self.octets.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.octets, rest);
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
            if self.octets.len() >= MAX_LINE {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
            let mut chunk = [0u8; 4096];
            let count = stream.read(&mut chunk).await?;
            if count == 0 {
                return Ok(None);
            }
            self.octets
                .extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }
}
