//! Connections to a server that answers requests in order: a small pool, pipelining, a circuit breaker.
//!
//! Each connection is one task; callers hand it requests and wait for their reply, so any number of sessions
//! share a few connections. A server that cannot be reached, or lets a request wait longer than
//! [`Times::read`], is left alone for [`Times::rest`]; then one caller tries again while the others still
//! fail at once. A connection that the server closed while idle is opened anew without a rest.
//!
//! Guarantees: a request is written at most once, to one server. Requests behind one that got no reply in
//! time fail with it, and the connection is closed: a late reply is never taken for another's.
//! Limits: [`IN_FLIGHT`] requests a connection; replies of at most the protocol's own limit.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::frame::Failure;

/// Requests that wait for a reply on one connection.
pub const IN_FLIGHT: usize = 1024;

/// Where replies end, and how a connection begins.
pub trait Protocol: Send + Sync + 'static {
    /// The length of the first reply in these octets; `None` where it is not complete yet.
    ///
    /// # Errors
    /// What is wrong, where it can be no reply.
    fn reply_length(&self, octets: &[u8]) -> Result<Option<usize>, String>;

    /// Authenticates on a new connection.
    fn greet(&self, stream: &mut TcpStream) -> impl Future<Output = Result<(), String>> + Send;
}

/// The times of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for a reply.
    pub read: Duration,
    /// Time in which a server that failed is left alone.
    pub rest: Duration,
}

struct Request {
    octets: Vec<u8>,
    reply: oneshot::Sender<Vec<u8>>,
}

type Slot = tokio::sync::Mutex<Option<mpsc::Sender<Request>>>;

/// Connections to one server.
pub struct Pool<P> {
    address: String,
    times: Times,
    protocol: Arc<P>,
    slots: Vec<Slot>,
    next: AtomicUsize,
    resting: Mutex<Option<Instant>>,
}

impl<P> std::fmt::Debug for Pool<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl<P: Protocol> Pool<P> {
    /// A pool of at most `connections` to `address` (`host:port`); nothing is opened yet.
    pub fn new(address: String, connections: usize, times: Times, protocol: P) -> Self {
        Pool {
            address,
            times,
            protocol: Arc::new(protocol),
            slots: (0..connections.clamp(1, 64)).map(|_| Slot::default()).collect(),
            next: AtomicUsize::new(0),
            resting: Mutex::new(None),
        }
    }

    /// The server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends one request and returns its reply.
    ///
    /// # Errors
    /// [`Failure`]: the server rests, cannot be reached, or does not answer in time. Whether it did what the
    /// request asks is not known then.
    pub async fn call(&self, octets: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let (reply, waiting) = oneshot::channel();
        let request = Request { octets, reply };
        let handed = async {
            let sender = self.connection().await?;
            sender.send(request).await.map_err(|_| self.lost())
        };
        match tokio::time::timeout(self.times.connect, handed).await {
            Ok(handed) => handed?,
            Err(_) => {
                self.rest();
                return Err(Failure::Timeout);
            }
        }
        match tokio::time::timeout(self.times.read, waiting).await {
            Ok(Ok(reply)) => {
                // whoever answers needs no rest, on whichever connection another request got no answer
                *self.resting.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(reply)
            }
            Ok(Err(_)) => Err(self.lost()),
            Err(_) => {
                self.rest();
                Err(Failure::Timeout)
            }
        }
    }

    fn lost(&self) -> Failure {
        Failure::Unavailable(format!("the connection to {} was lost", self.address))
    }

    fn rest(&self) {
        *self.resting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + self.times.rest);
    }

    /// Whether the server may be tried; where its rest is over, this caller is the one who tries.
    fn admit(&self) -> bool {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        match *resting {
            None => true,
            Some(until) if until > Instant::now() => false,
            Some(_) => {
                *resting = Some(Instant::now() + self.times.rest);
                true
            }
        }
    }

    async fn connection(&self) -> Result<mpsc::Sender<Request>, Failure> {
        let count = self.slots.len();
        let index = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let Some(slot) = self.slots.get(index) else {
            return Err(self.lost());
        };
        let mut slot = slot.lock().await;
        let live = slot.as_ref().filter(|sender| !sender.is_closed());
        let resting = !self.admit();
        if resting {
            return Err(Failure::Resting(self.address.clone()));
        }
        if let Some(sender) = live {
            return Ok(sender.clone());
        }
        match self.open().await {
            Ok(stream) => {
                *self.resting.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let (sender, requests) = mpsc::channel(256);
                tokio::spawn(drive(
                    stream,
                    requests,
                    Arc::clone(&self.protocol),
                    self.times.read,
                ));
                *slot = Some(sender.clone());
                Ok(sender)
            }
            Err(why) => {
                self.rest();
                Err(Failure::Unavailable(format!(
                    "{} cannot be used: {why}",
                    self.address
                )))
            }
        }
    }

    async fn open(&self) -> Result<TcpStream, String> {
        let mut stream = TcpStream::connect(&self.address)
            .await
            .map_err(|e| e.to_string())?;
        let _ = stream.set_nodelay(true);
        self.protocol.greet(&mut stream).await?;
        Ok(stream)
    }
}

/// One connection, to its end.
async fn drive<P: Protocol>(
    mut stream: TcpStream,
    mut requests: mpsc::Receiver<Request>,
    protocol: Arc<P>,
    read: Duration,
) {
    let (mut input, mut output) = stream.split();
    let mut waiting: VecDeque<oneshot::Sender<Vec<u8>>> = VecDeque::new();
    let mut batch = Vec::new();
    let mut out: Vec<u8> = Vec::new();
    let mut received: Vec<u8> = Vec::new();
    let mut deadline = tokio::time::Instant::now();
    loop {
        tokio::select! {
            count = requests.recv_many(&mut batch, 64), if out.is_empty() && waiting.len() < IN_FLIGHT => {
                if count == 0 {
                    return;
                }
                if waiting.is_empty() {
                    deadline = tokio::time::Instant::now() + read;
                }
                for request in batch.drain(..) {
                    out.extend_from_slice(&request.octets);
                    waiting.push_back(request.reply);
                }
            }
            written = output.write(&out), if !out.is_empty() => match written {
                Ok(count) if count > 0 => drop(out.drain(..count)),
                _ => return,
            },
            count = input.read_buf(&mut received) => {
                if !matches!(count, Ok(1..)) {
                    return;
                }
                loop {
                    let Ok(length) = protocol.reply_length(&received) else { return };
                    let Some(length) = length.filter(|n| *n > 0 && *n <= received.len()) else { break };
                    let rest = received.split_off(length);
                    let reply = std::mem::replace(&mut received, rest);
                    // a reply that nobody asked for: nothing after it can be trusted
                    let Some(waiter) = waiting.pop_front() else { return };
                    let _ = waiter.send(reply);
                    deadline = tokio::time::Instant::now() + read;
                }
            }
            () = tokio::time::sleep_until(deadline), if !waiting.is_empty() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// One octet asks, one answers.
    struct Octet;

    impl Protocol for Octet {
        fn reply_length(&self, octets: &[u8]) -> Result<Option<usize>, String> {
            Ok((!octets.is_empty()).then_some(1))
        }

        async fn greet(&self, _: &mut TcpStream) -> Result<(), String> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn one_dead_connection_does_not_keep_the_others_resting() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(async move {
                    let (mut octet, mut answered) = ([0], 0);
                    while stream.read_exact(&mut octet).await.is_ok() {
                        // the first connection answers once
                        if number > 0 || answered == 0 {
                            answered += 1;
                            let _ = stream.write_all(&octet).await;
                        }
                    }
                });
            }
        });
        let times = Times {
            connect: Duration::from_secs(60),
            read: Duration::from_millis(200),
            rest: Duration::from_millis(400),
        };
        let pool = Pool::new(address, 2, times, Octet);
        pool.call(vec![1]).await.unwrap();
        pool.call(vec![2]).await.unwrap();
        assert!(matches!(pool.call(vec![3]).await, Err(Failure::Timeout)));
        assert!(matches!(pool.call(vec![4]).await, Err(Failure::Resting(_))));
        assert!(matches!(pool.call(vec![5]).await, Err(Failure::Resting(_))));
        tokio::time::sleep(times.rest).await;
        for n in 6..10 {
            assert_eq!(pool.call(vec![n]).await.unwrap(), [n]);
        }
    }
}
