//! What a site sets for MeterMaid in `msg.conf`: the server, its tables, the client.
//!
//! Keys are compared without regard to case, table names are not. A key that begins with `metermaid.` and is
//! not known, or does nothing here, is reported in [`Settings::warnings`]; a bad value is an error.
//!
//! Source: access specification 21.2 to 21.4. The choice for a table on another server is
//! `metermaid.remote_table.NAME.serverhost`, `.port` and `.secret`, the last two with the site's as default.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::call::Tables;
use super::options::{OptionError, TableOptions};
use super::wire::Secret;
use crate::callout::pipeline::Times;

/// The port where none is set.
pub const DEFAULT_PORT: u16 = 63_837;

/// Why the settings cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A value that is none of the key's.
    #[error("{key} cannot be `{value}`; write {wanted}")]
    Value {
        /// The key.
        key: String,
        /// What was written.
        value: String,
        /// What can be.
        wanted: &'static str,
    },
    /// A table option.
    #[error("MeterMaid table {table}: {error}")]
    Table {
        /// The table.
        table: String,
        /// Why.
        error: OptionError,
    },
    /// Something that must be there is not.
    #[error("{0} is not set; MeterMaid's server and clients need the same secret there")]
    NoSecret(&'static str),
    /// A remote table without a host.
    #[error("metermaid.remote_table.{0}.serverhost is not set; name the server that has the table")]
    NoHost(String),
}

/// A server to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The shared secret.
    pub secret: Secret,
}

impl Remote {
    /// `host:port`, an IPv6 address in brackets.
    pub fn address(&self) -> String {
        match self.host.contains(':') && !self.host.starts_with('[') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// The client's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The site's server.
    pub server: Option<Remote>,
    /// Tables that are on other servers.
    pub tables: BTreeMap<String, Remote>,
    /// Connections to each server.
    pub connections: usize,
    /// Its times.
    pub times: Times,
}

/// The server's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it listens.
    pub listen: IpAddr,
    /// Its port; 0: any.
    pub port: u16,
    /// The shared secret.
    pub secret: Secret,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `local.metermaid.enable`: the running server has it on board.
    pub enabled: bool,
    /// The server, where a secret is set.
    pub server: Option<ServerSettings>,
    /// The tables.
    pub tables: BTreeMap<String, TableOptions>,
    /// The client.
    pub client: ClientSettings,
    /// Keys that do nothing, each a sentence.
    pub warnings: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let times = Times {
            connect: seconds(5),
            read: seconds(10),
            rest: seconds(15),
        };
        Settings {
            enabled: false,
            server: None,
            tables: BTreeMap::new(),
            client: ClientSettings {
                server: None,
                tables: BTreeMap::new(),
                connections: 3,
                times,
            },
            warnings: Vec::new(),
        }
    }
}

fn bad(key: &str, value: &str, wanted: &'static str) -> SettingsError {
    SettingsError::Value {
        key: key.to_string(),
        value: value.to_string(),
        wanted,
    }
}

fn number(key: &str, value: &str, least: u64, most: u64, wanted: &'static str) -> Result<u64, SettingsError> {
    value
        .parse()
        .ok()
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| bad(key, value, wanted))
}

fn port(key: &str, value: &str) -> Result<u16, SettingsError> {
    number(key, value, 0, 65_535, "a port from 0 to 65535").map(|n| n as u16)
}

fn seconds(key: &str, value: &str) -> Result<Duration, SettingsError> {
    number(key, value, 1, 3600, "seconds from 1 to 3600").map(Duration::from_secs)
}

fn flag(key: &str, value: &str) -> Result<bool, SettingsError> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" => Ok(true),
        "0" | "no" | "false" => Ok(false),
        _ => Err(bad(key, value, "1 or 0")),
    }
}

/// Splits `prefix` off a key without regard to case.
fn after<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    let head = key.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| key.get(prefix.len()..))?
}

impl Settings {
    /// Reads the keys of `msg.conf`; those of other parts of the product are left alone.
    ///
    /// # Errors
    /// The first [`SettingsError`].
    pub fn parse(keys: &BTreeMap<String, String>) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        let mut listen = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let (mut host, mut port_of, mut secret) = (None, DEFAULT_PORT, None);
        let mut tables: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
        let mut remotes: BTreeMap<String, BTreeMap<String, &str>> = BTreeMap::new();
        for (key, value) in keys {
            if let Some((name, option)) =
                after(key, "metermaid.table.").and_then(|rest| rest.rsplit_once('.'))
            {
                tables.entry(name.to_string()).or_default().push((option, value));
                continue;
            }
            if let Some((name, option)) =
                after(key, "metermaid.remote_table.").and_then(|r| r.rsplit_once('.'))
            {
                remotes
                    .entry(name.to_string())
                    .or_default()
                    .insert(option.to_ascii_lowercase(), value);
                continue;
            }
            let times = &mut settings.client.times;
            match key.to_ascii_lowercase().as_str() {
                "local.metermaid.enable" => settings.enabled = flag(key, value)?,
                "metermaid.config.listenaddr" => match value.as_str() {
                    "" | "INADDR_ANY" => {}
                    _ => listen = value.parse().map_err(|_| bad(key, value, "an IP address"))?,
                },
                "metermaid.config.port" => port_of = port(key, value)?,
                "metermaid.config.secret" if !value.is_empty() => secret = Some(Secret::new(value)),
                "metermaid.config.serverhost" if !value.is_empty() => host = Some(value.clone()),
                "metermaid.mtaclient.connectfrequency" => times.rest = seconds(key, value)?,
                "metermaid.mtaclient.connectwait" => times.connect = seconds(key, value)?,
                "metermaid.mtaclient.readwait" => times.read = seconds(key, value)?,
                "metermaid.mtaclient.maxconns" => {
                    settings.client.connections =
                        number(key, value, 1, 64, "a number from 1 to 64")? as usize;
                }
                "metermaid.config.maxthreads" | "metermaid.mtaclient.debug" => {
                    settings.warnings.push(format!(
                        "{key} has no effect: every connection is a task of its own"
                    ));
                }
                other if other.starts_with("metermaid.") || other.starts_with("local.metermaid.") => {
                    settings
                        .warnings
                        .push(format!("{key} is not known and does nothing"));
                }
                _ => {}
            }
        }
        for (name, options) in tables {
            let parsed = TableOptions::parse(options).map_err(|error| SettingsError::Table {
                table: name.clone(),
                error,
            })?;
            for option in &parsed.ignored {
                settings
                    .warnings
                    .push(format!("{option} has no effect on MeterMaid table {name}"));
            }
            settings.tables.insert(name, parsed);
        }
        for (name, options) in remotes {
            let key = |option: &str| format!("metermaid.remote_table.{name}.{option}");
            let own = options.get("secret").map(|text| Secret::new(*text));
            for option in options
                .keys()
                .filter(|o| !matches!(o.as_str(), "serverhost" | "port" | "secret"))
            {
                settings
                    .warnings
                    .push(format!("{} is not known and does nothing", key(option)));
            }
            let remote = Remote {
                host: options
                    .get("serverhost")
                    .ok_or_else(|| SettingsError::NoHost(name.clone()))?
                    .to_string(),
                port: options
                    .get("port")
                    .map_or(Ok(port_of), |value| port(&key("port"), value))?,
                secret: own
                    .or(secret.clone())
                    .ok_or(SettingsError::NoSecret("metermaid.config.secret"))?,
            };
            settings.client.tables.insert(name, remote);
        }
        let needed = settings.enabled || host.is_some();
        let Some(secret) = secret else {
            return match needed {
                true => Err(SettingsError::NoSecret("metermaid.config.secret")),
                false => Ok(settings),
            };
        };
        settings.client.server = host.map(|host| Remote {
            host,
            port: port_of,
            secret: secret.clone(),
        });
        settings.server = Some(ServerSettings {
            listen,
            port: port_of,
            secret,
        });
        Ok(settings)
    }

    /// Empty tables, as they are set.
    pub fn make_tables(&self) -> Tables {
        let mut tables = Tables::default();
        for (name, options) in &self.tables {
            tables.define(name, options);
        }
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> BTreeMap<String, String> {
        text.lines()
            .filter_map(|l| l.split_once('='))
            .map(|(k, v)| (k.into(), v.into()))
            .collect()
    }

    #[test]
    fn a_site_with_tables_and_two_servers() {
        let settings = Settings::parse(&keys(
            "local.metermaid.enable=1\nMetermaid.Config.secret=s3cret\nmetermaid.config.serverhost=mm1\n\
             metermaid.table.a.b.quota=5\nmetermaid.table.a.b.storage=splay\nmetermaid.config.maxthreads=3\n\
             metermaid.remote_table.R.serverhost=::1\nmetermaid.remote_table.R.port=5\nmetermaid.x=1\n\
             metermaid.mtaclient.connectfrequency=2\nservice.x=1",
        ))
        .unwrap();
        assert_eq!(settings.tables["a.b"].quota, 5);
        assert_eq!(settings.client.server.as_ref().unwrap().address(), "mm1:63837");
        assert_eq!(settings.client.tables["R"].address(), "[::1]:5");
        assert_eq!(settings.client.times.rest, Duration::from_secs(2));
        assert_eq!(settings.warnings.len(), 3, "{:?}", settings.warnings);
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn mistakes_are_errors() {
        let cases = [
            ("local.metermaid.enable=1", "metermaid.config.secret is not set"),
            (
                "metermaid.config.serverhost=h",
                "metermaid.config.secret is not set",
            ),
            ("metermaid.config.port=70000", "a port from 0 to 65535"),
            ("metermaid.config.listenaddr=here", "an IP address"),
            ("local.metermaid.enable=maybe", "1 or 0"),
            ("metermaid.mtaclient.readwait=0", "seconds from 1 to 3600"),
            (
                "metermaid.table.t.quota=x",
                "MeterMaid table t: table option `quota`",
            ),
            (
                "metermaid.remote_table.t.port=5",
                "metermaid.remote_table.t.serverhost is not set",
            ),
        ];
        for (text, expected) in cases {
            let error = Settings::parse(&keys(text)).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
