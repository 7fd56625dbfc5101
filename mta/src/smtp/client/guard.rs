//! What a client asks while it connects: may this address be connected to, is this TLS good enough?
//!
//! The client knows no policy. Who calls it gives it a [`Guard`]; [`Unguarded`] allows everything.

use std::net::{IpAddr, SocketAddr};

/// An address that is about to be connected to.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Which of the addresses of its host it is, from 1.
    pub current: usize,
    /// How many that host has.
    pub count: usize,
    /// The address.
    pub address: IpAddr,
    /// The host's name, or the literal.
    pub host: &'a str,
}

/// What becomes of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Connect to it.
    Go,
    /// Connect to another address instead.
    Instead(IpAddr),
    /// Go on with the next one, for this reason.
    Skip(String),
    /// Nothing is connected to; the mail fails for good, with this reason for the log.
    Refuse(String),
}

/// TLS as it was negotiated.
#[derive(Debug, Clone, Copy)]
pub struct Secured<'a> {
    /// This side's address and the other's, where the system knows them.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// Key bits and cipher suite.
    pub tls: &'a str,
    /// The name given in EHLO.
    pub helo: &'a str,
    /// The other side speaks LMTP.
    pub lmtp: bool,
    /// Subject of the other side's certificate.
    pub subject: &'a str,
    /// Its issuer.
    pub issuer: &'a str,
}

/// Why TLS counts as failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRefusal {
    /// The reason.
    pub text: String,
    /// The mail may go in clear text instead, where the channel allows that.
    pub fallback: bool,
}

/// Says what a client may do.
pub trait Guard: Send {
    /// Before each connection.
    fn before_connect(&mut self, candidate: &Candidate<'_>) -> impl Future<Output = Way> + Send;

    /// After each TLS handshake.
    fn tls_started(&mut self, session: &Secured<'_>) -> impl Future<Output = Result<(), TlsRefusal>> + Send;
}

/// Allows everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unguarded;

impl Guard for Unguarded {
    async fn before_connect(&mut self, _: &Candidate<'_>) -> Way {
        Way::Go
    }

    async fn tls_started(&mut self, _: &Secured<'_>) -> Result<(), TlsRefusal> {
        Ok(())
    }
}
