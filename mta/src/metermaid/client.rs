//! The MeterMaid client: `check_metermaid.so` asked over the network.
//!
//! Every table belongs to one server: the site's, or the one that a remote table names. A call goes to that
//! server and to no other: a count that were kept on a second server while the first is away would be two
//! counts, each too low. While a server is away its tables fail, and mail passes as if nothing were over its
//! quota; a server that restarts begins with empty tables.
//!
//! Source: access specification 21.3, 21.6, 21.7.

use std::collections::HashMap;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::call::Call;
use super::server::Lines;
use super::settings::{ClientSettings, Remote};
use super::wire::{MAX_LINE, Reply, Secret, encode_call};
use crate::callout::frame::Failure;
use crate::callout::pipeline::{Pool, Protocol};

/// How MeterMaid's replies end, and how its connections begin.
#[derive(Debug)]
pub struct MeterMaid {
    secret: Secret,
}

impl Protocol for MeterMaid {
    fn reply_length(&self, octets: &[u8]) -> Result<Option<usize>, String> {
        match memchr::memchr(b'\n', octets) {
            Some(end) => Ok(Some(end + 1)),
            None if octets.len() > MAX_LINE => Err("a reply that is too long".into()),
            None => Ok(None),
        }
    }

    async fn greet(&self, stream: &mut TcpStream) -> Result<(), String> {
        let mut lines = Lines::default();
        let closed = || "it closed the connection".to_string();
        let line = lines
            .next(stream)
            .await
            .map_err(|e| e.to_string())?
            .ok_or_else(closed)?;
        let greeting = String::from_utf8_lossy(&line);
        let nonce = greeting
            .strip_prefix("MM1 ")
            .filter(|nonce| nonce.len() == 32 && nonce.bytes().all(|o| o.is_ascii_hexdigit()))
            .ok_or("it does not greet as MeterMaid does; is the port right?")?;
        let code = format!("AUTH {}\r\n", self.secret.code(nonce));
        stream
            .write_all(code.as_bytes())
            .await
            .map_err(|e| e.to_string())?;
        let line = lines
            .next(stream)
            .await
            .map_err(|e| e.to_string())?
            .ok_or_else(closed)?;
        match Reply::parse(&line) {
            Ok(Reply::Yes(_)) => Ok(()),
            _ => Err(
                "it does not take the secret; metermaid.config.secret must be the same on both sides".into(),
            ),
        }
    }
}

/// The client; see the module's page.
#[derive(Debug)]
pub struct Client {
    site: Option<Pool<MeterMaid>>,
    remote: HashMap<String, Pool<MeterMaid>>,
}

impl Client {
    /// A client; nothing is connected yet.
    pub fn new(settings: &ClientSettings) -> Self {
        let pool = |remote: &Remote| {
            let protocol = MeterMaid {
                secret: remote.secret.clone(),
            };
            Pool::new(remote.address(), settings.connections, settings.times, protocol)
        };
        Client {
            site: settings.server.as_ref().map(pool),
            remote: settings
                .tables
                .iter()
                .map(|(table, remote)| (table.clone(), pool(remote)))
                .collect(),
        }
    }

    /// Asks for a call, written as in a mapping: `throttle,table,key`.
    ///
    /// # Errors
    /// [`Failure`], to a mapping the same as "no".
    pub async fn run(&self, arguments: &str) -> Result<policy::Answer, Failure> {
        let call = Call::parse(arguments).map_err(|e| Failure::NotConfigured(e.to_string()))?;
        let line = encode_call(&call).map_err(|e| Failure::NotConfigured(e.to_string()))?;
        let pool = self.remote.get(call.table).or(self.site.as_ref());
        let pool = pool.ok_or_else(|| {
            Failure::NotConfigured(
                "metermaid.config.serverhost and metermaid.config.secret are not set".into(),
            )
        })?;
        let reply = pool.call(line).await?;
        match Reply::parse(&reply) {
            Ok(Reply::Yes(value)) => {
                // a mapping sees a result text from `fetch` alone
                let fetched = matches!(call.routine, super::call::Routine::Fetch);
                Ok(policy::Answer::Found(
                    value.filter(|_| fetched).unwrap_or_default(),
                ))
            }
            Ok(Reply::No(_)) => Ok(policy::Answer::NotFound),
            Ok(Reply::Error(why)) => Err(Failure::Unavailable(format!("{} says: {why}", pool.address()))),
            Err(error) => Err(Failure::Unavailable(format!("{} sent {error}", pool.address()))),
        }
    }
}
