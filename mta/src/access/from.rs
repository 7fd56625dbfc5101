//! `FROM_ACCESS`: who may send, and as whom. One probe a transaction, at MAIL FROM.
//!
//! Source: access specification 5.

use policy::mapping::FlagSet;
use policy::options::Options;

use super::facts::SessionFacts;
use super::probe::Probe;
use super::{Point, PolicyPoint};

/// MAIL FROM.
///
/// Probe: `transport|app-info|submit-type|src-channel|from|auth-from`. Input flags: A, T.
#[derive(Debug, Clone, Copy)]
pub struct FromAccess<'a> {
    /// The session.
    pub session: &'a SessionFacts,
    /// Envelope From without angle brackets; empty for `<>`.
    pub from: &'a str,
}

impl PolicyPoint for FromAccess<'_> {
    const POINT: Point = Point::FromAccess;

    fn flags(&self) -> FlagSet {
        self.session.flags()
    }

    fn probe(&self, options: &Options, out: &mut String) {
        Probe::with(out, options)
            .transport(self.session)
            .application(self.session)
            .own(&self.session.submit_type)
            .own(&self.session.channel)
            .data(self.from)
            .data(&self.session.auth_address);
    }
}
