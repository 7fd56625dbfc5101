//! Database URLs: `memcache://host:port/prefix`, where a database option names a memcached server.
//!
//! The host and the port may each be left out, then the options `memcache_host` and `memcache_port` stand in.
//! Everything after the slash is a prefix that goes before every key, with nothing between. Nothing is
//! unescaped. IPv6 addresses are written in brackets.
//!
//! Guarantees: [`MemcacheUrl::parse`] is pure; whether the host exists is found out by whoever connects.
//! Refuses: other schemes, URLs that leave no host, prefixes with which no key could be sent.
//! Limits: whether a key with its prefix is fit for memcached, and its hash where it is not, is the client's
//! matter.
//!
//! Source: access specification 23.1.

/// The port where neither URL nor option names one.
pub const DEFAULT_PORT: u16 = 11211;

/// The longest prefix: a hashed key's 64 octets after it still fit the 250 that memcached allows.
pub const MAX_PREFIX_OCTETS: usize = 250 - 64;

const FORM: &str = "memcache://host:port/prefix";

/// Why a text is no database URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemcacheUrlError {
    /// Another scheme, or none.
    #[error("`{0}` is no database URL; write {FORM}")]
    Scheme(String),
    /// Neither the URL nor the option names a host.
    #[error("`{0}` names no host and memcache_host is not set; write {FORM} or set memcache_host")]
    NoHost(String),
    /// A host with characters that no name or address has, or an IPv6 address without brackets.
    #[error("`{0}` is no host; write a name, an IPv4 address or an IPv6 address in brackets")]
    Host(String),
    /// A port that is no number from 1 to 65535.
    #[error("`{0}` is no port; write a number from 1 to 65535, or leave it and its colon out")]
    Port(String),
    /// A prefix with spaces or control characters, or longer than [`MAX_PREFIX_OCTETS`].
    #[error(
        "the prefix `{0}` is not fit for memcached; keep it to {MAX_PREFIX_OCTETS} octets without spaces and \
         control characters"
    )]
    Prefix(String),
}

/// A server and the prefix of its keys.
///
/// ```
/// use mta::memcache_url::{DEFAULT_PORT, MemcacheUrl, MemcacheUrlError};
/// let url = MemcacheUrl::parse("memcache:///gen.", Some("mc.example"), DEFAULT_PORT)?;
/// assert_eq!((url.host.as_str(), url.port), ("mc.example", 11211));
/// assert_eq!(url.key("siroe"), "gen.siroe");
/// # Ok::<(), MemcacheUrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemcacheUrl {
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What goes before every key; may be empty.
    pub prefix: String,
}

impl MemcacheUrl {
    /// Reads a database URL. `default_host` is the option `memcache_host`, `default_port` the option
    /// `memcache_port` or [`DEFAULT_PORT`].
    ///
    /// # Errors
    ///
    /// [`MemcacheUrlError`], which quotes the part that is wrong.
    pub fn parse(
        url: &str,
        default_host: Option<&str>,
        default_port: u16,
    ) -> Result<MemcacheUrl, MemcacheUrlError> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| MemcacheUrlError::Scheme(url.to_owned()))?;
        if !scheme.eq_ignore_ascii_case("memcache") {
            return Err(MemcacheUrlError::Scheme(url.to_owned()));
        }
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = split_authority(authority)?;
        let port = match port {
            None | Some("") => default_port,
            Some(text) => parse_port(text).ok_or_else(|| MemcacheUrlError::Port(text.to_owned()))?,
        };
        let host = match (host, default_host) {
            ("", None | Some("")) => return Err(MemcacheUrlError::NoHost(url.to_owned())),
            ("", Some(host)) | (host, _) => host,
        };
        if prefix.len() > MAX_PREFIX_OCTETS || prefix.bytes().any(|octet| octet <= b' ' || octet == 0x7f) {
            return Err(MemcacheUrlError::Prefix(prefix.to_owned()));
        }
        Ok(MemcacheUrl {
            host: host.to_owned(),
            port,
            prefix: prefix.to_owned(),
        })
    }

    /// The key under which `lookup` is kept: the prefix, then `lookup`.
    pub fn key(&self, lookup: &str) -> String {
        format!("{}{lookup}", self.prefix)
    }
}

/// Host and, where there is a colon, port.
fn split_authority(authority: &str) -> Result<(&str, Option<&str>), MemcacheUrlError> {
    let bad = || MemcacheUrlError::Host(authority.to_owned());
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(bad()),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_host = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    if !host.bytes().all(is_host) || port.is_some_and(|port| port.contains(':')) {
        return Err(bad());
    }
    Ok((host, port))
}

/// Digits only: the standard parser would also take a leading plus sign.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let cases: &[(&str, (&str, u16, &str))] = &[
            ("memcache://m1.example:12000/gen.", ("m1.example", 12000, "gen.")),
            ("memcache://m1.example:12000/", ("m1.example", 12000, "")),
            ("memcache://m1.example", ("m1.example", 11999, "")),
            ("memcache://m1.example:/a/b", ("m1.example", 11999, "a/b")),
            ("MemCache://192.0.2.1/x", ("192.0.2.1", 11999, "x")),
            ("memcache://[2001:db8::1]:5/x", ("2001:db8::1", 5, "x")),
            ("memcache://[2001:db8::1]/x", ("2001:db8::1", 11999, "x")),
            ("memcache://:5/x", ("mc.example", 5, "x")),
            ("memcache:///x:y", ("mc.example", 11999, "x:y")),
            ("memcache://", ("mc.example", 11999, "")),
        ];
        for (url, (host, port, prefix)) in cases {
            let expected = MemcacheUrl {
                host: (*host).into(),
                port: *port,
                prefix: (*prefix).into(),
            };
            assert_eq!(
                MemcacheUrl::parse(url, Some("mc.example"), 11999),
                Ok(expected),
                "{url}"
            );
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        let long = format!("memcache://h/{}", "p".repeat(MAX_PREFIX_OCTETS + 1));
        let cases: &[(&str, &str)] = &[
            ("", "`` is no database URL; write memcache://host:port/prefix"),
            ("mc.example:11211", "is no database URL"),
            ("redis://mc.example/", "is no database URL"),
            ("memcache:///gen.", "names no host and memcache_host is not set"),
            ("memcache://:5/", "names no host"),
            ("memcache://h:0/", "`0` is no port"),
            ("memcache://h:65536/", "`65536` is no port"),
            ("memcache://h:+5/", "`+5` is no port"),
            ("memcache://h:x/", "`x` is no port"),
            ("memcache://2001:db8::1/", "is no host"),
            ("memcache://[2001:db8::1/", "is no host"),
            ("memcache://[h]/", "is no host"),
            ("memcache://[::1]5/", "is no host"),
            ("memcache://user@h/", "is no host"),
            ("memcache://h/a b", "the prefix `a b` is not fit"),
            (&long, "is not fit for memcached"),
        ];
        for (url, expected) in cases {
            let error = MemcacheUrl::parse(url, None, DEFAULT_PORT)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{url:?}: {error}");
        }
    }
}
