//! `ETRN_ACCESS`: may this client have a queue run for a host?
//!
//! Choice: a match without `$N` and `$F` allows, with or without `$S`; `$D` counts only with `$S`.
//!
//! Source: access specification 10.

use policy::mapping::{FlagSet, MappingResult};
use policy::options::Options;

use super::arguments::Arguments;
use super::decision::{Decision, Effects};
use super::facts::SessionFacts;
use super::probe::Probe;
use super::{Point, PolicyPoint};

/// ETRN.
///
/// Probe: `transport|app-info|claimed-system|full-name`. Input flags: A, T.
#[derive(Debug, Clone, Copy)]
pub struct EtrnAccess<'a> {
    /// The session.
    pub session: &'a SessionFacts,
    /// The argument of ETRN.
    pub claimed: &'a str,
    /// The name it stands for.
    pub full_name: &'a str,
}

impl PolicyPoint for EtrnAccess<'_> {
    const POINT: Point = Point::EtrnAccess;

    fn flags(&self) -> FlagSet {
        self.session.flags()
    }

    fn probe(&self, options: &Options, out: &mut String) {
        Probe::with(out, options)
            .transport(self.session)
            .application(self.session)
            .data(self.claimed)
            .data(self.full_name);
    }
}

/// What is said where a refusal has no text.
const DEFAULT: &str = "ETRN not allowed";

pub(super) fn read(result: &MappingResult, refused: bool) -> Decision {
    let flags = result.flags;
    let mut arguments = Arguments::new(result.arguments());
    let mut effects = Effects::default();
    if flags.has('D') && flags.has('S') {
        let channel = arguments.channel();
        effects.run_channel = channel.filter(|_| !refused);
    }
    if refused {
        let text = arguments.rest().unwrap_or_else(|| DEFAULT.to_string());
        return Decision::refuse("459", "4.5.0", text, "", effects);
    }
    Decision::accept(effects)
}
