//! What goes wrong with a connection, and what that means for the recipients.

use std::net::SocketAddr;

use store::envelope::Failure;

use super::reply::Reply;

/// Why a connection could not be made or kept, with what is known of the other side.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{cause}")]
pub struct ClientError {
    /// Host connected to, as it was named.
    pub host: String,
    /// `TCP|local-ip|local-port|remote-ip|remote-port`; empty if no connection was made.
    pub transport: String,
    /// Text of the banner, if one came.
    pub banner: String,
    /// The reason.
    pub cause: Cause,
}

/// The reason of a [`ClientError`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum Cause {
    /// No TCP connection.
    #[error("TCP active open: Failed connect() {address}  Error: {reason}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// The system's word for it.
        reason: String,
    },
    /// A step took longer than its time-out.
    #[error("timed out during {during}")]
    Timeout {
        /// The step.
        during: &'static str,
    },
    /// The other side closed the connection.
    #[error("remote host closed the connection during {during}")]
    Closed {
        /// The step.
        during: &'static str,
    },
    /// Reading or writing failed.
    #[error("connection lost during {during}: {reason}")]
    Io {
        /// The step.
        during: &'static str,
        /// The system's word for it.
        reason: String,
    },
    /// What came is no reply, or none that this step can have.
    #[error("remote host broke the protocol during {during}: {problem}")]
    BadReply {
        /// The step.
        during: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A well-formed refusal of the whole session.
    #[error("{}", reply.text())]
    Refused {
        /// The step.
        during: &'static str,
        /// The refusal.
        reply: Reply,
    },
    /// The answer to EHLO carried our own XLOOP mark.
    #[error("mail loop: {0} is this server itself; check MX records and the daemon keyword")]
    Loop(String),
    /// `musttls`, and no TLS.
    #[error("TLS is required for this channel but {0}")]
    NoTls(String),
    /// Policy does not take the TLS session, and there is no way without.
    #[error("TLS_ACCESS refuses this session: {0}")]
    TlsRefused(String),
}

impl ClientError {
    /// A later attempt cannot do better, as far as this host is concerned.
    pub fn is_permanent(&self) -> bool {
        match &self.cause {
            Cause::Loop(_) => true,
            Cause::Refused { reply, .. } => reply.is_permanent(),
            _ => false,
        }
    }

    /// Enhanced status code.
    pub fn status(&self) -> String {
        match &self.cause {
            Cause::Connect { .. } => "4.4.1".into(),
            Cause::Timeout { .. } | Cause::Closed { .. } | Cause::Io { .. } => "4.4.2".into(),
            Cause::BadReply { .. } => "4.5.0".into(),
            Cause::Refused { reply, .. } => reply.status(),
            Cause::Loop(_) => "5.4.6".into(),
            Cause::NoTls(_) => "4.7.10".into(),
            Cause::TlsRefused(_) => "4.7.0".into(),
        }
    }

    /// The same as the queue keeps it.
    pub fn failure(&self) -> Failure {
        Failure {
            status: self.status(),
            diagnostic: self.to_string(),
            remote: self.host.clone(),
            transport: self.transport.clone(),
        }
    }
}

/// The system's message without Rust's ` (os error n)`.
pub(super) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((plain, _)) => plain.to_string(),
        None => text,
    }
}
