//! The domain name system as mail needs it: MX records, addresses, and the decision made from them.
//!
//! [`Lookup`] is what the decision asks; [`Resolver`] answers it from real name servers and [`Canned`] from
//! a table, so that routing can be tested and replayed without a network. [`route`](route::route) turns a
//! destination into the hosts to try, in order (queue specification 9.1).
//!
//! Guarantees: names are always asked as fully qualified, so the host's search list never changes where
//! mail goes; an answer holds at most [`MAX_MX`] or [`MAX_ADDRESSES`] records; a failing name server is
//! never mistaken for a name that does not exist.
//!
//! Refuses: names that cannot be in the DNS. Those count as not found, without a query.

pub mod route;

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::name_server::TokioConnectionProvider;
use hickory_resolver::proto::ProtoErrorKind;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::xfer::Protocol;
use hickory_resolver::{Name, ResolveError};

/// MX records of one domain that are used; the rest of a longer list is ignored (MAX_MX_RECORDS).
pub const MAX_MX: usize = 32;

/// Addresses of one host that are used; the rest of a longer list is ignored (MAX_A_RECORDS).
pub const MAX_ADDRESSES: usize = 32;

/// One mail exchanger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// Host name, without the final dot.
    pub host: String,
}

/// What a domain says about where its mail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MxAnswer {
    /// Null MX (RFC 7505): the domain neither receives nor sends mail.
    Null,
    /// At least one exchanger, by preference; equal preferences as received.
    Records(Vec<Mx>),
    /// The domain exists and has no MX records.
    NoRecords,
}

impl MxAnswer {
    /// Brings records into order, applies the limit and recognises the null MX.
    ///
    /// A record that points to the root next to real ones is left out: it names no host.
    pub fn from_records(mut records: Vec<Mx>) -> MxAnswer {
        if records.is_empty() {
            return MxAnswer::NoRecords;
        }
        records.retain(|mx| !mx.host.is_empty());
        if records.is_empty() {
            return MxAnswer::Null;
        }
        records.sort_by_key(|mx| mx.preference);
        records.truncate(MAX_MX);
        MxAnswer::Records(records)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist (NXDOMAIN), or cannot exist.
    #[error("illegal host/domain name found: {name} does not exist in the DNS")]
    NotFound {
        /// The name asked for.
        name: String,
    },
    /// The name exists but has no record of this kind.
    #[error("the DNS has no address for {name}")]
    NoData {
        /// The name asked for.
        name: String,
    },
    /// No usable answer now: time-out, server failure, refusal. Ask again later.
    #[error("the DNS cannot be asked about {name} at the moment: {reason}")]
    Temporary {
        /// The name asked for.
        name: String,
        /// What the resolver says.
        reason: String,
    },
}

impl DnsError {
    /// Another attempt may have another result.
    pub fn is_temporary(&self) -> bool {
        matches!(self, DnsError::Temporary { .. })
    }
}

/// What routing and sender checks ask of the DNS.
pub trait Lookup: Sync {
    /// The MX records of a domain. A domain without any is `Ok(MxAnswer::NoRecords)`; `Err` is
    /// [`DnsError::NotFound`] or [`DnsError::Temporary`].
    fn mx(&self, domain: &str) -> impl Future<Output = Result<MxAnswer, DnsError>> + Send;

    /// The addresses of a host, IPv6 before IPv4; at least one if `Ok`, at most [`MAX_ADDRESSES`].
    fn addresses(&self, host: &str) -> impl Future<Output = Result<Vec<IpAddr>, DnsError>> + Send;
}

/// Asks name servers, with a cache.
#[derive(Clone)]
pub struct Resolver {
    inner: TokioResolver,
}

/// Answers that a resolver remembers; a destination takes two or three.
const CACHED: usize = 8192;

fn tune(options: &mut ResolverOpts) {
    // long MX lists fit into one datagram then
    options.edns0 = true;
    options.cache_size = CACHED;
}

impl Resolver {
    /// Asks the servers of `/etc/resolv.conf`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DnsError::Temporary`] where the system's resolver configuration cannot be read.
    pub fn system() -> Result<Resolver, DnsError> {
        let mut builder = TokioResolver::builder_tokio().map_err(|error| DnsError::Temporary {
            name: "/etc/resolv.conf".into(),
            reason: format!("{error}; set `nameservers` on the channel instead"),
        })?;
        tune(builder.options_mut());
        Ok(Resolver {
            inner: builder.build(),
        })
    }

    /// Asks these servers, over UDP and, for long answers, TCP (channel keyword `nameservers`).
    pub fn with_servers(servers: &[SocketAddr]) -> Resolver {
        let mut config = ResolverConfig::new();
        for &server in servers {
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                config.add_name_server(NameServerConfig::new(server, protocol));
            }
        }
        let mut builder = TokioResolver::builder_with_config(config, TokioConnectionProvider::default());
        tune(builder.options_mut());
        Resolver {
            inner: builder.build(),
        }
    }

    fn name(text: &str) -> Result<Name, DnsError> {
        let bare = text.strip_suffix('.').unwrap_or(text);
        let not_found = || DnsError::NotFound {
            name: text.to_string(),
        };
        if bare.is_empty() || bare.split('.').any(str::is_empty) {
            return Err(not_found());
        }
        let mut name = Name::from_utf8(bare).map_err(|_| not_found())?;
        name.set_fqdn(true);
        Ok(name)
    }
}

/// Sorts what the resolver reports: servers that fail also arrive as "no records".
fn classify(name: &str, error: &ResolveError) -> DnsError {
    let name = name.to_string();
    match error.proto().map(|proto| proto.kind()) {
        Some(ProtoErrorKind::NoRecordsFound {
            response_code: ResponseCode::NXDomain,
            ..
        }) => DnsError::NotFound { name },
        Some(ProtoErrorKind::NoRecordsFound {
            response_code: ResponseCode::NoError,
            ..
        }) => DnsError::NoData { name },
        Some(ProtoErrorKind::NoRecordsFound { response_code, .. }) => DnsError::Temporary {
            name,
            reason: response_code.to_string(),
        },
        _ => DnsError::Temporary {
            name,
            reason: error.to_string(),
        },
    }
}

impl Lookup for Resolver {
    async fn mx(&self, domain: &str) -> Result<MxAnswer, DnsError> {
        let name = Resolver::name(domain)?;
        match self.inner.mx_lookup(name).await {
            Ok(answer) => Ok(MxAnswer::from_records(
                answer
                    .iter()
                    .map(|mx| Mx {
                        preference: mx.preference(),
                        host: mx.exchange().to_ascii().trim_end_matches('.').to_string(),
                    })
                    .collect(),
            )),
            Err(error) => match classify(domain, &error) {
                DnsError::NoData { .. } => Ok(MxAnswer::NoRecords),
                other => Err(other),
            },
        }
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let name = Resolver::name(host)?;
        // Asked apart: the joint lookup drops the error of one family, and a failure must not look like
        // an absence.
        let (six, four) = tokio::join!(self.inner.ipv6_lookup(name.clone()), self.inner.ipv4_lookup(name));
        let mut found: Vec<IpAddr> = Vec::new();
        let mut errors = Vec::new();
        match six {
            Ok(answer) => found.extend(answer.iter().map(|aaaa| IpAddr::V6(aaaa.0))),
            Err(error) => errors.push(classify(host, &error)),
        }
        match four {
            Ok(answer) => found.extend(answer.iter().map(|a| IpAddr::V4(a.0))),
            Err(error) => errors.push(classify(host, &error)),
        }
        if found.is_empty() {
            return Err(worst(host, errors));
        }
        found.truncate(MAX_ADDRESSES);
        Ok(found)
    }
}

/// The error that leaves the most open: temporary before no data before not found.
fn worst(host: &str, errors: Vec<DnsError>) -> DnsError {
    let no_data = DnsError::NoData {
        name: host.to_string(),
    };
    errors
        .into_iter()
        .max_by_key(|error| match error {
            DnsError::NotFound { .. } => 0,
            DnsError::NoData { .. } => 1,
            DnsError::Temporary { .. } => 2,
        })
        .unwrap_or(no_data)
}

/// Answers from a table: for tests, `imsimta test` with given answers, and replays.
///
/// A name that is in neither table does not exist; one that is only in the other has no data.
#[derive(Debug, Default)]
pub struct Canned {
    /// MX records by lower-case domain; a host of `.` or an empty one is the null MX.
    pub mx: HashMap<String, Vec<Mx>>,
    /// Addresses by lower-case host.
    pub addresses: HashMap<String, Vec<IpAddr>>,
    /// Lower-case names for which every query fails for the time being.
    pub failing: Vec<String>,
    /// Queries for addresses so far.
    pub address_queries: AtomicUsize,
}

impl Canned {
    /// Adds an MX record.
    pub fn with_mx(mut self, domain: &str, preference: u16, host: &str) -> Canned {
        let host = host.trim_end_matches('.').to_string();
        self.mx
            .entry(domain.to_ascii_lowercase())
            .or_default()
            .push(Mx { preference, host });
        self
    }

    /// Adds an address.
    pub fn with_address(mut self, host: &str, address: IpAddr) -> Canned {
        self.addresses
            .entry(host.to_ascii_lowercase())
            .or_default()
            .push(address);
        self
    }

    /// Lets every query for a name fail for the time being.
    pub fn failing(mut self, name: &str) -> Canned {
        self.failing.push(name.to_ascii_lowercase());
        self
    }

    fn check(&self, name: &str) -> Result<String, DnsError> {
        let key = name.trim_end_matches('.').to_ascii_lowercase();
        if self.failing.contains(&key) {
            return Err(DnsError::Temporary {
                name: name.to_string(),
                reason: "Server Failure".into(),
            });
        }
        if !self.mx.contains_key(&key) && !self.addresses.contains_key(&key) {
            return Err(DnsError::NotFound {
                name: name.to_string(),
            });
        }
        Ok(key)
    }
}

impl Lookup for Canned {
    async fn mx(&self, domain: &str) -> Result<MxAnswer, DnsError> {
        let key = self.check(domain)?;
        Ok(MxAnswer::from_records(
            self.mx.get(&key).cloned().unwrap_or_default(),
        ))
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        self.address_queries.fetch_add(1, Ordering::Relaxed);
        let key = self.check(host)?;
        let mut found = self.addresses.get(&key).cloned().unwrap_or_default();
        if found.is_empty() {
            return Err(DnsError::NoData {
                name: host.to_string(),
            });
        }
        found.sort_by_key(|address| address.is_ipv4());
        found.truncate(MAX_ADDRESSES);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{Message, MessageType};
    use hickory_resolver::proto::rr::rdata::{A, AAAA, MX};
    use hickory_resolver::proto::rr::{RData, Record, RecordType};
    use tokio::net::UdpSocket;

    /// A name server on a loopback port that knows a few names.
    async fn name_server() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let mut message = Message::from_vec(&buffer[..length]).unwrap();
                let query = message.queries()[0].clone();
                message
                    .set_message_type(MessageType::Response)
                    .set_recursion_available(true);
                let name = query.name().to_ascii().to_ascii_lowercase();
                let mx =
                    |preference, host: &str| RData::MX(MX::new(preference, Name::from_ascii(host).unwrap()));
                let four = RData::A(A::new(192, 0, 2, 1));
                let answers = match (name.as_str(), query.query_type()) {
                    ("mx.test.", RecordType::MX) => vec![mx(20, "B.test."), mx(10, "a.test.")],
                    ("null.test.", RecordType::MX) => vec![mx(0, ".")],
                    ("both.test.", RecordType::A) => vec![four],
                    ("both.test.", RecordType::AAAA) => {
                        vec![RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))]
                    }
                    ("half.test.", RecordType::A) => vec![],
                    ("many.test.", RecordType::A) => vec![four; 40],
                    _ => vec![],
                };
                let code = match (name.as_str(), query.query_type()) {
                    ("nowhere.test.", _) => ResponseCode::NXDomain,
                    ("broken.test.", _) | ("half.test.", RecordType::AAAA) => ResponseCode::ServFail,
                    ("refused.test.", _) => ResponseCode::Refused,
                    _ => ResponseCode::NoError,
                };
                message.set_response_code(code);
                for (data, last) in answers.into_iter().zip(1u8..) {
                    let data = match data {
                        RData::A(_) if name == "many.test." => RData::A(A::new(192, 0, 2, last)),
                        data => data,
                    };
                    message.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                }
                socket.send_to(&message.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn answers_of_a_name_server() {
        let resolver = Resolver::with_servers(&[name_server().await]);
        let mx = |preference, host: &str| Mx {
            preference,
            host: host.into(),
        };
        let records = MxAnswer::Records(vec![mx(10, "a.test"), mx(20, "B.test")]);
        let cases: [(&str, Result<MxAnswer, &str>); 8] = [
            ("mx.test", Ok(records.clone())),
            ("MX.test.", Ok(records)),
            ("null.test", Ok(MxAnswer::Null)),
            ("both.test", Ok(MxAnswer::NoRecords)),
            ("nowhere.test", Err("not found")),
            ("broken.test", Err("temporary")),
            ("refused.test", Err("temporary")),
            ("a..test", Err("not found")),
        ];
        for (name, expected) in cases {
            assert_eq!(resolver.mx(name).await.map_err(|e| brief(&e)), expected, "{name}");
        }
        let cases: [(&str, Result<usize, &str>); 7] = [
            ("both.test", Ok(2)),
            ("many.test", Ok(MAX_ADDRESSES)),
            ("mx.test", Err("no data")),
            ("nowhere.test", Err("not found")),
            ("broken.test", Err("temporary")),
            // No IPv4 address, and nobody knows about IPv6: not a reason to give up.
            ("half.test", Err("temporary")),
            ("", Err("not found")),
        ];
        for (name, expected) in cases {
            let got = resolver.addresses(name).await;
            if let Ok(found) = &got {
                assert!(
                    found.is_sorted_by_key(|address| address.is_ipv4()),
                    "{name}: {found:?}"
                );
            }
            assert_eq!(
                got.map(|found| found.len()).map_err(|e| brief(&e)),
                expected,
                "{name}"
            );
        }
    }

    fn brief(error: &DnsError) -> &'static str {
        match error {
            DnsError::NotFound { .. } => "not found",
            DnsError::NoData { .. } => "no data",
            DnsError::Temporary { .. } => "temporary",
        }
    }
}
