//! `INTERNAL_IP`: is an address of this network?
//!
//! `$Y` is internal. The answer is the one that `$|INTERNAL_IP;...|` in other tables gives.
//!
//! Source: access specification 12.

use std::net::IpAddr;

use policy::mapping::MappingResult;
use policy::options::Options;

use super::decision::Decision;
use super::probe::{Probe, plain};
use super::{Point, PolicyPoint};

/// An address. Probe: the address alone. No input flags.
#[derive(Debug, Clone, Copy)]
pub struct InternalIp(
    /// The address.
    pub IpAddr,
);

impl PolicyPoint for InternalIp {
    const POINT: Point = Point::InternalIp;

    fn probe(&self, _: &Options, out: &mut String) {
        Probe::new(out, None).number(plain(self.0));
    }
}

pub(super) fn read(result: &MappingResult) -> Decision {
    Decision {
        accepted: result.accepted(),
        ..Decision::default()
    }
}
