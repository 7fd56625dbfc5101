//! MeterMaid: counters, values and greylists in memory, shared by every host that asks one server.
//!
//! A table is one of three kinds: **throttle** tables limit an average rate per key, **simple** tables keep a
//! text or a number per key, **greylisting** tables remember who came back. The engines are
//! pure: no sockets, no threads of their own, and no clock. Whoever calls passes the time, in milliseconds
//! since an epoch of its choice, so that every run can be replayed.
//!
//! - [`options`]: what can be set for a table, with defaults and limits.
//! - [`table`]: one table and the operations on it.
//! - [`call`]: the argument text of a `check_metermaid.so` callout, and [`call::Tables`], which answers it.
//! - [`conn_throttle`]: the older `conn_throttle.so`, connections a minute from one address.
//! - [`wire`], [`server`], [`client`]: the same over the network; [`settings`] reads what a site sets.
//! - [`bounded`]: the map under all of them, of fixed capacity, that reuses the entry not used for longest.
//!
//! Guarantees: every operation takes constant time; a table never holds more than its `max_entries`; the
//! arithmetic of throttle tables is exact, in integers. Refuses: keys over 255 octets, values over
//! [`table::MAX_VALUE_OCTETS`], options that contradict their table's kind in a way that would do harm.
//! Limits: what is here is lost at a restart, as documented for the product.
//!
//! ```
//! use mta::metermaid::{Outcome, call::Tables, options::TableOptions};
//!
//! let mut tables = Tables::default();
//! let options = TableOptions::parse([("quota", "2"), ("quota_time", "60")])?;
//! tables.define("sendlim", &options);
//! let hit = |at| tables.run("throttle,sendlim,adam@sesta.com", at);
//! assert_eq!(hit(0), Outcome::Fail); // "fail": not over the quota, the mapping entry does not apply
//! assert_eq!(hit(0), Outcome::Fail);
//! assert_eq!(hit(0), Outcome::Success(None)); // over it
//! assert_eq!(hit(30_000), Outcome::Fail); // half a minute later one of the two is free again
//! # Ok::<(), mta::metermaid::options::OptionError>(())
//! ```
//!
//! Source: access specification 20 to 22.

pub mod bounded;
pub mod call;
pub mod client;
pub mod conn_throttle;
pub mod options;
pub mod server;
pub mod settings;
pub mod table;
pub mod wire;

/// A moment, in milliseconds since an epoch that the caller chooses and keeps to (Unix time, or a monotonic
/// clock's start). Engines never look at a clock; time that runs backwards counts as time standing still.
pub type Millis = u64;

/// What a callout routine says to the mapping entry that called it (access specification 21.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The routine succeeds: the entry applies. The text, where there is one, is the routine's result.
    Success(Option<String>),
    /// The routine fails, as a plain answer: not over the quota, no such key, the comparison is false.
    Fail,
    /// The routine fails because something is wrong; the mapping sees [`Outcome::Fail`], the log the reason.
    Error(String),
}

impl Outcome {
    /// Whether the calling entry applies.
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Success(_))
    }

    fn from_bool(success: bool) -> Self {
        if success {
            Outcome::Success(None)
        } else {
            Outcome::Fail
        }
    }
}
