//! The `LOG_*` options, typed, with the defaults of the logging specification 5 and 4.4.
//!
//! [`LogOptions::from_options`] reads them through a look-up by name, so it does not matter whether they
//! come from an `option.dat` or from the unified configuration. A value that is no number or out of range
//! is an error that names the option; it is never taken for the default.
//!
//! Limits: options that this module does not know are the loader's business ([`NAMES`] lists the known ones).

use thiserror::Error;

/// Every option name that [`LogOptions::from_options`] asks for, in upper case.
pub const NAMES: &[&str] = &[
    "LOG_FORMAT",
    "LOG_CONNECTION",
    "SEPARATE_CONNECTION_LOG",
    "LOG_NODE",
    "LOG_PROCESS",
    "LOG_HEADER",
    "LOG_HEADERS_MAXCHARS",
    "LOG_LOCAL",
    "LOG_MESSAGES_SYSLOG",
    "LOG_CONNECTIONS_SYSLOG",
    "LOG_SNDOPR",
    "SNDOPR_PRIORITY",
    "LOG_FILENAME",
    "LOG_MESSAGE_ID",
    "LOG_ENVELOPE_ID",
    "LOG_USERNAME",
    "LOG_NOTARY",
    "LOG_SENSITIVITY",
    "LOG_PRIORITY",
    "LOG_FILTER",
    "LOG_QUEUE_TIME",
    "LOG_INTERMEDIATE",
    "LOG_CONVERSION_TAG",
    "LOG_REASON",
    "LOG_DIAGNOSTICS",
    "LOG_REMOTE_MTA",
    "LOG_UID",
    "LOG_MAILBOX_UID",
    "LOG_AUTH",
    "LOG_IMAP_FLAGS",
    "LOG_DELIVERY_FLAGS",
    "LOG_HASH",
    "LOG_TRACKING",
    "LOG_TRANSACTIONLOG",
    "LOG_TIMERS",
];

/// A logging option whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionError {
    /// The value is not an integer.
    #[error("{name} is \"{value}\", which is not a whole number; give a number from {low} to {high}")]
    NotANumber {
        /// Option name, upper case.
        name: &'static str,
        /// The value as given.
        value: String,
        /// Least value allowed.
        low: i64,
        /// Greatest value allowed.
        high: i64,
    },
    /// The value is an integer that means nothing for this option.
    #[error("{name} is {value}, which is out of range; give a number from {low} to {high}")]
    OutOfRange {
        /// Option name, upper case.
        name: &'static str,
        /// The value as given.
        value: i64,
        /// Least value allowed.
        low: i64,
        /// Greatest value allowed.
        high: i64,
    },
}

/// How an entry is laid out as a line (`LOG_FORMAT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// 1: fields with one blank between them.
    #[default]
    Text,
    /// 2: as 1, an empty address is written `<>`.
    AngleText,
    /// 3: as 1, each field of variable length has its length in octets in front: `14:adam@sesta.com`.
    Counted,
    /// 4: an XML element without content a line.
    Xml,
    /// 5: a JSON object a line, `{"en":{...}}`.
    Json,
    /// 6: a flat JSON object a line, `{"type":"en",...}`.
    FlatJson,
}

impl Format {
    /// The format of a `LOG_FORMAT` value, 1 to 6.
    pub fn from_number(number: i64) -> Option<Format> {
        Some(match number {
            1 => Format::Text,
            2 => Format::AngleText,
            3 => Format::Counted,
            4 => Format::Xml,
            5 => Format::Json,
            6 => Format::FlatJson,
            _ => return None,
        })
    }

    /// Formats from 4 on name their fields, and more options are on by default.
    pub fn names_fields(self) -> bool {
        matches!(self, Format::Xml | Format::Json | Format::FlatJson)
    }
}

/// A "dual" option: one field, switched separately for the log and for `LOG_ACTION` probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Dual(u8);

impl Dual {
    /// Neither in the log nor in probes.
    pub const OFF: Dual = Dual(0);
    /// In the log only.
    pub const LOG: Dual = Dual(1);
    /// In the log and in probes.
    pub const BOTH: Dual = Dual(3);

    /// From the bits of an option value; others than 1, 2 and 4 are cut off.
    pub const fn from_bits(bits: u8) -> Dual {
        Dual(bits & 7)
    }

    pub(super) const fn pair(log: bool, probe: bool) -> Dual {
        Dual(log as u8 | (probe as u8) << 1)
    }

    /// Bit 0: the field is in log entries.
    pub const fn log(self) -> bool {
        self.0 & 1 != 0
    }

    /// Bit 1: the field is in `LOG_ACTION` probes.
    pub const fn probe(self) -> bool {
        self.0 & 2 != 0
    }

    /// Bits 0 and 2: formats 4 to 6 write the field even where it is empty.
    pub const fn even_if_empty(self) -> bool {
        self.0 & 5 == 5
    }
}

/// `LOG_MESSAGES_SYSLOG`, `LOG_CONNECTIONS_SYSLOG`: entries go to syslog too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Syslog {
    /// Facility times eight plus severity, as in `syslog.h`: 22 is mail.info.
    pub priority: u16,
    /// The option was negative: nothing goes to the file.
    pub only: bool,
}

/// `LOG_CONNECTION`, a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ConnectionBits(u16);

impl ConnectionBits {
    /// From an option value; bits above 10 are cut off. Bit 3 is accepted and has no effect.
    pub const fn from_bits(bits: u16) -> ConnectionBits {
        ConnectionBits(bits & 0x7ff)
    }

    const fn bit(self, bit: u16) -> bool {
        self.0 >> bit & 1 != 0
    }

    /// Bits 0 and 8: the source system in message entries and in probes.
    pub const fn source_system(self) -> Dual {
        Dual::pair(self.bit(0), self.bit(8))
    }

    /// Bit 1: `O`, `C`, `X`, `Y` and `T` entries.
    pub const fn entries(self) -> bool {
        self.bit(1)
    }

    /// Bit 2: `I` entries (ETRN).
    pub const fn etrn(self) -> bool {
        self.bit(2)
    }

    /// Bit 4: the log text of a PORT_ACCESS entry becomes the tag of `C` entries.
    pub const fn port_access_text(self) -> bool {
        self.bit(4)
    }

    /// Bits 5 and 9: transport information in message entries, and in all probes.
    pub const fn transport(self) -> Dual {
        Dual::pair(self.bit(5), self.bit(9))
    }

    /// Bits 6 and 10: application information in message entries, and in all probes.
    pub const fn application(self) -> Dual {
        Dual::pair(self.bit(6), self.bit(10))
    }

    /// Bit 7: `U` entries (authentication).
    pub const fn authentication(self) -> bool {
        self.bit(7)
    }

    /// Are connection entries with this action letter written?
    pub const fn wants(self, action: char) -> bool {
        match action {
            'U' => self.authentication(),
            'I' => self.etrn(),
            _ => self.entries(),
        }
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $field:ident $name:literal $text:ident $named:ident,)*) => {
        /// The logging options in force.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct LogOptions {
            /// `LOG_FORMAT`, default 1.
            pub format: Format,
            /// `LOG_CONNECTION`, default 0.
            pub connection: ConnectionBits,
            /// `SEPARATE_CONNECTION_LOG`: connection entries go to `connection.log_current`.
            pub separate_connection_log: bool,
            /// `LOG_NODE`: the node name is the field after the time.
            pub node: bool,
            /// `LOG_PROCESS`: process, thread and operation number; default 1 from format 4 on.
            pub process: bool,
            /// `LOG_HEADER`: header lines are logged; bits as the channel keyword `logheader`.
            pub header: u8,
            /// `LOG_HEADERS_MAXCHARS`: header lines are cut after so many characters; none by default.
            pub headers_max_chars: Option<usize>,
            /// `LOG_LOCAL`: addresses without a domain get `local_host`.
            pub local: bool,
            /// The official local host name, for `LOG_LOCAL`. Not an option of its own: the caller sets it.
            pub local_host: String,
            /// `LOG_MESSAGES_SYSLOG`; `None` where it is 0.
            pub messages_syslog: Option<Syslog>,
            /// `LOG_CONNECTIONS_SYSLOG`; `None` where it is 0.
            pub connections_syslog: Option<Syslog>,
            /// `LOG_SNDOPR`: failures of logging itself are reported to syslog.
            pub sndopr: bool,
            /// `SNDOPR_PRIORITY`: priority of such reports and of `$<` texts, default 5.
            pub sndopr_priority: u16,
            $($(#[$doc])* pub $field: Dual,)*
        }

        impl LogOptions {
            /// The defaults that go with a format (logging specification 4.4).
            pub fn defaults(format: Format) -> LogOptions {
                let named = format.names_fields();
                LogOptions {
                    format,
                    connection: ConnectionBits::default(),
                    separate_connection_log: false,
                    node: false,
                    process: named,
                    header: 0,
                    headers_max_chars: None,
                    local: false,
                    local_host: String::new(),
                    messages_syslog: None,
                    connections_syslog: None,
                    sndopr: false,
                    sndopr_priority: 5,
                    $($field: if named { Dual::$named } else { Dual::$text },)*
                }
            }

            fn read_duals(&mut self, source: &impl Fn(&str) -> Option<i64>) {
                $(if let Some(bits) = source($name) { self.$field = Dual::from_bits(bits as u8); })*
            }

            const DUALS: &'static [&'static str] = &[$($name),*];
        }
    };
}

options! {
    /// `LOG_FILENAME`: the queue file's name.
    filename "LOG_FILENAME" OFF LOG,
    /// `LOG_MESSAGE_ID`.
    message_id "LOG_MESSAGE_ID" OFF LOG,
    /// `LOG_ENVELOPE_ID`.
    envelope_id "LOG_ENVELOPE_ID" OFF OFF,
    /// `LOG_USERNAME`.
    username "LOG_USERNAME" OFF LOG,
    /// `LOG_NOTARY`: the recipient's delivery status flags.
    notary "LOG_NOTARY" OFF LOG,
    /// `LOG_SENSITIVITY`.
    sensitivity "LOG_SENSITIVITY" OFF OFF,
    /// `LOG_PRIORITY`.
    priority "LOG_PRIORITY" OFF LOG,
    /// `LOG_FILTER`: what the Sieve filters did.
    filter "LOG_FILTER" OFF LOG,
    /// `LOG_QUEUE_TIME`: seconds in the queue, and seconds that a closed connection was open.
    queue_time "LOG_QUEUE_TIME" OFF LOG,
    /// `LOG_INTERMEDIATE`: the intermediate and the initial address.
    intermediate "LOG_INTERMEDIATE" OFF OFF,
    /// `LOG_CONVERSION_TAG`.
    conversion_tag "LOG_CONVERSION_TAG" OFF OFF,
    /// `LOG_REASON`: why a recipient was rejected (`R` and `K` entries).
    reason "LOG_REASON" OFF LOG,
    /// `LOG_DIAGNOSTICS`: on by default in every format.
    diagnostics "LOG_DIAGNOSTICS" LOG LOG,
    /// `LOG_REMOTE_MTA`.
    remote_mta "LOG_REMOTE_MTA" OFF OFF,
    /// `LOG_UID`: the LDAP uid, in enqueue entries.
    uid "LOG_UID" OFF OFF,
    /// `LOG_MAILBOX_UID`: `uid:uidvalidity` of the stored message.
    mailbox_uid "LOG_MAILBOX_UID" OFF OFF,
    /// `LOG_AUTH`.
    auth "LOG_AUTH" OFF LOG,
    /// `LOG_IMAP_FLAGS`.
    imap_flags "LOG_IMAP_FLAGS" OFF LOG,
    /// `LOG_DELIVERY_FLAGS`.
    delivery_flags "LOG_DELIVERY_FLAGS" OFF LOG,
    /// `LOG_HASH`: the message's hash.
    hash "LOG_HASH" OFF OFF,
    /// `LOG_TRACKING`: the tracking identifier.
    tracking "LOG_TRACKING" OFF OFF,
    /// `LOG_TRANSACTIONLOG`: text of the Sieve `transactionlog` action.
    transaction_log "LOG_TRANSACTIONLOG" OFF OFF,
    /// `LOG_TIMERS`: processing times.
    timers "LOG_TIMERS" OFF OFF,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions::defaults(Format::Text)
    }
}

impl LogOptions {
    /// Reads the options through a look-up of values by name.
    ///
    /// Each name is asked for in upper case (`LOG_FORMAT`), in lower case, and as the unified
    /// configuration has it (`mta.log_format`); the first answer counts. A look-up that ignores case is
    /// welcome. What is not set has the default that goes with the format.
    ///
    /// # Errors
    ///
    /// The first option, in the order of [`NAMES`], whose value is no number or out of range.
    pub fn from_options<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<LogOptions, OptionError> {
        let find = |name: &str| {
            let lower = name.to_ascii_lowercase();
            get(name)
                .or_else(|| get(&lower))
                .or_else(|| get(&format!("mta.{lower}")))
        };
        let number = |name: &'static str, low: i64, high: i64| match find(name) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<i64>() {
                Err(_) => Err(OptionError::NotANumber {
                    name,
                    value: text.to_string(),
                    low,
                    high,
                }),
                Ok(value) if value < low || value > high => Err(OptionError::OutOfRange {
                    name,
                    value,
                    low,
                    high,
                }),
                Ok(value) => Ok(Some(value)),
            },
        };
        let switch = |name: &'static str, default: bool| {
            number(name, 0, 1).map(|value| value.map_or(default, |value| value != 0))
        };
        let syslog = |name: &'static str| {
            number(name, -191, 191).map(|value| {
                let value = value.filter(|value| *value != 0)?;
                Some(Syslog {
                    priority: value.unsigned_abs() as u16,
                    only: value < 0,
                })
            })
        };

        let format = number("LOG_FORMAT", 1, 6)?
            .and_then(Format::from_number)
            .unwrap_or_default();
        let mut options = LogOptions::defaults(format);
        if let Some(bits) = number("LOG_CONNECTION", 0, 0x7ff)? {
            options.connection = ConnectionBits::from_bits(bits as u16);
        }
        options.separate_connection_log = switch("SEPARATE_CONNECTION_LOG", false)?;
        options.node = switch("LOG_NODE", false)?;
        options.process = switch("LOG_PROCESS", options.process)?;
        options.header = number("LOG_HEADER", 0, 255)?.unwrap_or(0) as u8;
        options.headers_max_chars = number("LOG_HEADERS_MAXCHARS", 0, i64::from(i32::MAX))?
            .filter(|n| *n > 0)
            .map(|n| n as usize);
        options.local = switch("LOG_LOCAL", false)?;
        options.messages_syslog = syslog("LOG_MESSAGES_SYSLOG")?;
        options.connections_syslog = syslog("LOG_CONNECTIONS_SYSLOG")?;
        options.sndopr = switch("LOG_SNDOPR", false)?;
        options.sndopr_priority = number("SNDOPR_PRIORITY", 0, 191)?.unwrap_or(5) as u16;
        for name in LogOptions::DUALS {
            number(name, 0, 7)?;
        }
        options.read_duals(&|name| find(name).and_then(|text| text.trim().parse().ok()));
        Ok(options)
    }

    /// Reads the options from pairs of name and value; names in any case, `mta.` in front allowed, the last
    /// of equal names wins.
    ///
    /// # Errors
    ///
    /// As [`LogOptions::from_options`].
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<LogOptions, OptionError> {
        let mut map = std::collections::BTreeMap::new();
        for (name, value) in pairs {
            let name = name.to_ascii_uppercase();
            let name = name.strip_prefix("MTA.").map(str::to_string).unwrap_or(name);
            map.insert(name, value);
        }
        LogOptions::from_options(|name| map.get(name).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_depend_on_the_format() {
        let text = LogOptions::default();
        let xml = LogOptions::from_pairs([("log_format", "4")]).unwrap();
        assert!(text.diagnostics.log() && !text.filename.log() && !text.process);
        for dual in [
            xml.filename,
            xml.filter,
            xml.message_id,
            xml.notary,
            xml.priority,
            xml.queue_time,
        ] {
            assert!(dual.log() && !dual.probe());
        }
        assert!(xml.reason.log() && xml.username.log() && xml.process && xml.auth.log());
        assert!(xml.delivery_flags.log() && xml.imap_flags.log());
        assert!(!xml.uid.log() && !xml.envelope_id.log() && !xml.intermediate.log());
        let explicit = LogOptions::from_pairs([("LOG_FORMAT", "4"), ("LOG_FILENAME", "0")]).unwrap();
        assert!(!explicit.filename.log());
    }

    #[test]
    fn names_in_any_spelling() {
        for name in [
            "LOG_CONNECTION",
            "log_connection",
            "mta.log_connection",
            "Mta.Log_Connection",
        ] {
            let options = LogOptions::from_pairs([(name, " 643 ")]).unwrap();
            let bits = options.connection;
            assert!(
                bits.source_system().log() && bits.entries() && bits.authentication(),
                "{name}"
            );
            assert!(bits.transport().probe() && !bits.transport().log(), "{name}");
            assert!(bits.wants('U') && bits.wants('O') && !bits.wants('I'), "{name}");
        }
        let get = |name: &str| (name == "mta.log_format").then_some("3");
        assert_eq!(LogOptions::from_options(get).unwrap().format, Format::Counted);
    }

    #[test]
    fn every_listed_name_is_read() {
        for name in NAMES {
            let error = LogOptions::from_pairs([(*name, "x")]).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
        assert_eq!(NAMES.len(), 12 + LogOptions::DUALS.len());
    }

    #[test]
    fn bad_values_are_errors() {
        for (name, value, part) in [
            (
                "LOG_FORMAT",
                "0",
                "LOG_FORMAT is 0, which is out of range; give a number from 1 to 6",
            ),
            ("LOG_FORMAT", "seven", "not a whole number"),
            ("LOG_FILENAME", "8", "from 0 to 7"),
            ("LOG_CONNECTION", "2048", "from 0 to 2047"),
            ("LOG_NODE", "2", "from 0 to 1"),
            ("LOG_REASON", "", "not a whole number"),
        ] {
            let error = LogOptions::from_pairs([(name, value)]).unwrap_err().to_string();
            assert!(error.contains(part), "{name}={value}: {error}");
        }
    }

    #[test]
    fn syslog_settings() {
        let options =
            LogOptions::from_pairs([("LOG_MESSAGES_SYSLOG", "-22"), ("LOG_CONNECTIONS_SYSLOG", "20")])
                .unwrap();
        assert_eq!(
            options.messages_syslog,
            Some(Syslog {
                priority: 22,
                only: true
            })
        );
        assert_eq!(
            options.connections_syslog,
            Some(Syslog {
                priority: 20,
                only: false
            })
        );
        let none = LogOptions::from_pairs([("LOG_MESSAGES_SYSLOG", "0")]).unwrap();
        assert_eq!(none.messages_syslog, None);
    }
}
