//! MTA options (`option.dat`): names, values, defaults (configuration specification 13).

use std::collections::BTreeMap;

use grammar::options::{Setting, number};
use grammar::{Diagnostic, Span};

use crate::spelling::suggest;

/// What the value of an option must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number of at least this: decimal, or `base%digits`.
    Number(i64),
    /// A whole number from 0 to this.
    UpTo(i64),
    /// 0 or 1.
    Switch,
    /// A character, or the number of one; 0: none.
    Character,
    /// What reads the log's options checks them (O013).
    Log,
}

/// Options that take effect in this version, and what their values are.
pub const EFFECTIVE: &[(&str, Kind)] = &[
    ("ACCESS_COUNTS", Kind::Number(0)),
    ("ACCESS_ERRORS", Kind::Switch),
    ("ACCESS_ORCPT", Kind::Number(0)),
    ("ALIAS_DOMAINS", Kind::Number(0)),
    ("AUTOREPLY_TIMEOUT_DEFAULT", Kind::Number(0)),
    ("BLOCK_LIMIT", Kind::Number(0)),
    ("BLOCK_SIZE", Kind::Number(1)),
    ("CUSTOM_VERSION_STRING", Kind::Text),
    ("DOMAIN_FAILURE", Kind::Text),
    ("ID_DOMAIN", Kind::Text),
    ("INCLUDE_CONVERSIONTAG", Kind::Number(0)),
    ("INCLUDE_RETRIES", Kind::Number(0)),
    ("LOG_CONNECTION", Kind::Log),
    ("LOG_CONVERSION_TAG", Kind::Log),
    ("LOG_DIAGNOSTICS", Kind::Log),
    ("LOG_ENVELOPE_ID", Kind::Log),
    ("LOG_FILENAME", Kind::Log),
    ("LOG_FILTER", Kind::Log),
    ("LOG_FORMAT", Kind::Log),
    ("LOG_INTERMEDIATE", Kind::Log),
    ("LOG_MESSAGE_ID", Kind::Log),
    ("LOG_NODE", Kind::Log),
    ("LOG_NOTARY", Kind::Log),
    ("LOG_PRIORITY", Kind::Log),
    ("LOG_PROCESS", Kind::Log),
    ("LOG_QUEUE_TIME", Kind::Log),
    ("LOG_REASON", Kind::Log),
    ("LOG_REMOTE_MTA", Kind::Log),
    ("LOG_TRANSACTIONLOG", Kind::Log),
    ("LOG_USERNAME", Kind::Log),
    ("MAPPING_PARANOIA", Kind::Character),
    ("MAX_ADDHEADERS", Kind::Number(0)),
    ("MAX_ALIAS_LEVELS", Kind::Number(0)),
    ("MAX_DUPLICATES", Kind::Number(0)),
    ("MAX_FILEINTOS", Kind::Number(0)),
    ("MAX_FORWARDS", Kind::Number(0)),
    ("MAX_LOCAL_RECEIVED_LINES", Kind::Number(0)),
    ("MAX_NOTIFYS", Kind::Number(0)),
    ("MAX_RECEIVED_LINES", Kind::Number(0)),
    ("MAX_REDIRECTS", Kind::Number(0)),
    ("MAX_SIEVE_LIST_SIZE", Kind::Number(0)),
    ("MAX_TOTAL_RECEIVED_LINES", Kind::Number(0)),
    ("MAX_VACATIONS", Kind::Number(0)),
    ("MAX_VARIABLES", Kind::Number(0)),
    ("MISSING_RECIPIENT_GROUP_TEXT", Kind::Text),
    ("MISSING_RECIPIENT_POLICY", Kind::UpTo(6)),
    ("RETURN_ADDRESS", Kind::Text),
    ("RETURN_PERSONAL", Kind::Text),
    ("RETURN_UNITS", Kind::Switch),
    ("REVERSE_ENVELOPE", Kind::Switch),
    ("SEPARATE_CONNECTION_LOG", Kind::Log),
    ("SIEVE_REDIRECT_ADD_RESENT", Kind::Switch),
    ("USE_FORWARD_DATABASE", Kind::Number(0)),
    ("USE_REVERSE_DATABASE", Kind::Number(0)),
    ("USE_TEXT_DATABASES", Kind::Number(0)),
    ("VACATION_MINIMUM_TIMEOUT", Kind::Number(0)),
];

/// Options that are known and do nothing in this version, or nothing any more.
pub const RECOGNISED: &[&str] = &[
    "CONTENT_RETURN_BLOCK_LIMIT",
    "HISTORY_TO_RETURN",
    "RECEIVED_DOMAIN",
    "ALIAS_DATABASE_URL",
    "ALIAS_ENTRY_CACHE_NEGATIVE",
    "ALIAS_ENTRY_CACHE_SIZE",
    "ALIAS_ENTRY_CACHE_TIMEOUT",
    "ALIAS_HASH_SIZE",
    "ALIAS_MAGIC",
    "ALIAS_MEMBER_SIZE",
    "ALIAS_URL0",
    "ALIAS_URL1",
    "ALIAS_URL2",
    "ALIAS_URL3",
    "ALLOW_UNQUOTED_ADDRS_VIOLATE_RFC2798",
    "AUTHREWRITE_EXTRA_HEADERS",
    "BLOCKED_MAIL_FROM_IPS",
    "BOUNCE_BLOCK_LIMIT",
    "CACHE_DEBUG",
    "CAPTURE_FORMAT_DEFAULT",
    "CHANNEL_TABLE_SIZE",
    "COMMENT_CHARS",
    "CONVERSION_SIZE",
    "DEFER_GROUP_PROCESSING",
    "DELIVERY_OPTIONS",
    "DEQUEUE_DEBUG",
    "DOMAIN_DATABASE_URL",
    "DOMAIN_HASH_SIZE",
    "DOMAIN_MATCH_CACHE_SIZE",
    "DOMAIN_MATCH_CACHE_TIMEOUT",
    "DOMAIN_MATCH_URL",
    "DOMAIN_UPLEVEL",
    "ENABLE_SIEVE_BODY",
    "ENABLE_SIEVE_MEMCACHE",
    "ENABLE_SIEVE_METERMAID",
    "EXPANDABLE_DEFAULT",
    "EXPROUTE_FORWARD",
    "FILE_MEMBER_SIZE",
    "FILTER_CACHE_SIZE",
    "FILTER_CACHE_TIMEOUT",
    "FILTER_DISCARD",
    "FILTER_JETTISON",
    "FORWARD_DATABASE_URL",
    "FORWARD_DATA_SIZE",
    "GENERAL_DATABASE_URL",
    "GENERAL_DATA_SIZE",
    "GROUP_DN_TEMPLATE",
    "HEADER_LIMIT",
    "HELD_SNDOPR",
    "HOST_HASH_SIZE",
    "IMAP_PASSWORD",
    "IMAP_USERNAME",
    "IMPROUTE_FORWARD",
    "INCLUDE_CONNECTIONINFO",
    "INCLUDE_MTPRIORITY",
    "INCLUDE_SPARES1",
    "INCLUDE_SPARES2",
    "LDAP_ATTR_AUTH_MAIL_HOST",
    "LDAP_ATTR_AUTH_SENDER",
    "LDAP_ATTR_AUTH_SUBMIT_CHANNEL",
    "LDAP_DEFAULT_DOMAIN",
    "LDAP_DOMAIN_ROOT",
    "LDAP_HOST",
    "LDAP_HOST_ALIAS_LIST",
    "LDAP_LOCAL_HOST",
    "LDAP_MAX_CONNECTIONS",
    "LDAP_PASSWORD",
    "LDAP_PORT",
    "LDAP_SCHEMALEVEL",
    "LDAP_SCHEMATAG",
    "LDAP_TIMEOUT",
    "LDAP_USERNAME",
    "LDAP_USER_ROOT",
    "LDAP_USE_ASYNC",
    "LINES_TO_RETURN",
    "LINE_LIMIT",
    "LOG_AUTH",
    "LOG_CONNECTIONS_SYSLOG",
    "LOG_DELAY_BINS",
    "LOG_DELIVERY_FLAGS",
    "LOG_HEADER",
    "LOG_HEADERS_MAXCHARS",
    "LOG_IMAP_FLAGS",
    "LOG_LOCAL",
    "LOG_MAILBOX_UID",
    "LOG_MESSAGES_SYSLOG",
    "LOG_SENSITIVITY",
    "LOG_SIZE_BINS",
    "LOG_SNDOPR",
    "LOG_TIMERS",
    "LOG_TRACKING",
    "LOG_UID",
    "MAIL_OFF",
    "MAP_NAMES_SIZE",
    "MAX_B_ENTRIES",
    "MAX_HEADER_BLOCK_USE",
    "MAX_HEADER_LINE_USE",
    "MAX_INTERNAL_BLOCKS",
    "MAX_J_ENTRIES",
    "MAX_MIME_LEVELS",
    "MAX_MIME_PARTS",
    "MAX_MR_RECEIVED_LINES",
    "MAX_URLS",
    "MAX_X400_RECEIVED_LINES",
    "MEMCACHE_EXPIRE",
    "MEMCACHE_HOST",
    "MEMCACHE_PORT",
    "MEMCACHE_TIMEOUT",
    "METERMAID_HOST",
    "METERMAID_PORT",
    "METERMAID_SECRET",
    "MM_DEBUG",
    "NON_URGENT_BLOCK_LIMIT",
    "NORMAL_BLOCK_LIMIT",
    "NOTARY_DECODE",
    "OPTIN_USER_CARRYOVER",
    "OR_CLAUSES",
    "OS_DEBUG",
    "POST_DEBUG",
    "PROCESS_SUBSTITUTIONS",
    "RECEIVED_VERSION",
    "RETURN_CLEANUP_PERIOD",
    "RETURN_DEBUG",
    "RETURN_DELIVERY_HISTORY",
    "RETURN_ENVELOPE",
    "RETURN_SPLIT_PERIOD",
    "REVERSE_ADDRESS_CACHE_SIZE",
    "REVERSE_ADDRESS_CACHE_TIMEOUT",
    "REVERSE_DATABASE_URL",
    "REVERSE_DATA_SIZE",
    "REVERSE_URL",
    "ROUTE_TO_ROUTING_HOST",
    "SIEVE_USER_CARRYOVER",
    "SNDOPR_PRIORITY",
    "SPF_MAX_DNS_QUERIES",
    "SPF_MAX_RECURSION",
    "SPF_MAX_TIME",
    "SRS_DOMAIN",
    "SRS_MAXAGE",
    "SRS_SECRETS",
    "SSR_DATABASE_URL",
    "SUBADDRESS_CHAR",
    "SYSTEMFILTER",
    "UNIQUE_ID_TEMPLATE",
    "URGENT_BLOCK_LIMIT",
    "URL_RESULT_CACHE_SIZE",
    "URL_RESULT_CACHE_TIMEOUT",
    "USE_ALIAS_DATABASE",
    "USE_AUTH_RETURN",
    "USE_CANONICAL_RETURN",
    "USE_DOMAIN_DATABASE",
    "USE_ERRORS_TO",
    "USE_ORIG_RETURN",
    "USE_PERMANENT_ERROR",
    "USE_WARNINGS_TO",
    "VACATION_CLEANUP",
    "VACATION_TEMPLATE",
    "WILD_POOL_SIZE",
];

/// The options of a site.
#[derive(Debug, Clone, Default)]
pub struct Options {
    values: BTreeMap<String, (String, Span)>,
}

impl Options {
    /// Takes parsed settings; names that are not known are reported with the nearest known one.
    pub fn new(settings: &[Setting], diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut options = Options::default();
        for setting in settings {
            let name = setting.name.to_ascii_uppercase();
            let family = name.starts_with("ERROR_TEXT_") || name.starts_with("SPAMFILTER");
            let site = matches!(name.split_once('_'), Some(("SPF" | "LDAP" | "STRING", _)));
            if let Some((_, kind)) = EFFECTIVE.iter().find(|(known, _)| *known == name) {
                if let Some(wanted) = kind.refuses(&setting.value) {
                    diagnostics.push(Diagnostic::error(
                        "O014",
                        setting.value_span,
                        format!("option {name} needs {wanted}"),
                    ));
                }
            } else if name.starts_with("ERROR_TEXT_") {
            } else if family || site || RECOGNISED.contains(&name.as_str()) {
                diagnostics.push(Diagnostic::note(
                    "O011",
                    setting.span,
                    format!("option {name}: recognised, no effect in this version"),
                ));
            } else {
                let known = EFFECTIVE
                    .iter()
                    .map(|(n, _)| *n)
                    .chain(RECOGNISED.iter().copied());
                let near = suggest(diagnostics.len(), &name, known);
                let mut d =
                    Diagnostic::warning("O010", setting.span, format!("unknown option `{}`", setting.name));
                d = match near {
                    Some(near) => d.help(format!("did you mean `{near}`?")),
                    None => d.help("see docs/options.md for all options"),
                };
                diagnostics.push(d);
            }
            let value = (setting.value.clone(), setting.value_span);
            if let Some((_, first)) = options.values.insert(name.clone(), value) {
                diagnostics.push(
                    Diagnostic::warning(
                        "O012",
                        setting.span,
                        format!("option {name} is set twice; this one counts"),
                    )
                    .also(first, "set before here"),
                );
            }
        }
        options
    }

    /// Sets an option, for tests and tools.
    pub fn set(&mut self, name: &str, value: &str) {
        self.values
            .insert(name.to_ascii_uppercase(), (value.to_string(), Span::default()));
    }

    /// The text of an option, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = match self.values.get(name) {
            // names are kept in upper case, as they are asked for nearly always
            None if name.bytes().any(|b| b.is_ascii_lowercase()) => {
                self.values.get(&name.to_ascii_uppercase())
            }
            found => found,
        };
        found.map(|(value, _)| value.as_str())
    }

    /// Where the value of an option stands.
    pub fn span(&self, name: &str) -> Option<Span> {
        self.values.get(name).map(|(_, span)| *span)
    }

    /// A number, or its default where it is not set or is none.
    pub fn number(&self, name: &str, default: i64) -> i64 {
        self.get(name).and_then(number).unwrap_or(default)
    }

    /// A text, or its default.
    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.get(name).unwrap_or(default)
    }

    /// MAPPING_PARANOIA: the character that stands for `|` in probe fields (mapping specification 7).
    pub fn paranoia(&self) -> Option<char> {
        character(self.get("MAPPING_PARANOIA")?).flatten()
    }
}

impl Kind {
    /// What is asked for, where a value is not of this kind.
    fn refuses(self, value: &str) -> Option<String> {
        match self {
            Kind::Text | Kind::Log => None,
            Kind::Number(least) => number(value)
                .is_none_or(|n| n < least)
                .then(|| format!("a whole number of at least {least}")),
            Kind::UpTo(most) => number(value)
                .is_none_or(|n| !(0..=most).contains(&n))
                .then(|| format!("a whole number from 0 to {most}")),
            Kind::Switch => (!matches!(number(value), Some(0 | 1))).then(|| "0 or 1".to_string()),
            Kind::Character => character(value)
                .is_none()
                .then(|| "one character, or the number of one from 1 to 255; 0 for none".to_string()),
        }
    }
}

/// A character, itself or by its number; `Some(None)`: none is wanted.
fn character(value: &str) -> Option<Option<char>> {
    let mut chars = value.chars();
    match (chars.next(), chars.next()) {
        (Some('0'), None) | (None, _) => Some(None),
        (Some(c), None) => Some(Some(c)),
        _ => Some(Some(value.parse::<u8>().ok()?).filter(|n| *n > 0).map(char::from)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Options, Vec<&'static str>) {
        let mut sources = grammar::Sources::new();
        let file = sources.add("option.dat", text);
        let mut diagnostics = Vec::new();
        let none = |_: &str| Err("none".to_string());
        let settings = grammar::options::parse(&mut sources, file, &none, &mut diagnostics);
        let options = Options::new(&settings, &mut diagnostics);
        (options, diagnostics.iter().map(|d| d.code).collect())
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_an_error() {
        let cases: &[(&str, &[&str])] = &[
            ("BLOCK_LIMIT=20k", &["O014"]),
            ("BLOCK_LIMIT=", &["O014"]),
            ("BLOCK_LIMIT=-1", &["O014"]),
            ("BLOCK_LIMIT=16%ff", &[]),
            ("BLOCK_SIZE=0", &["O014"]),
            ("use_reverse_database=on", &["O014"]),
            ("RETURN_UNITS=2", &["O014"]),
            ("RETURN_UNITS=1", &[]),
            ("MAPPING_PARANOIA=ab", &["O014"]),
            ("MAPPING_PARANOIA=256", &["O014"]),
            ("RETURN_PERSONAL=any text", &[]),
            // the log's own loader says more of it
            ("LOG_FORMAT=x", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).1, *expected, "{text}");
        }
    }

    #[test]
    fn reads_the_character_of_mapping_paranoia() {
        for (text, expected) in [
            ("", None),
            ("MAPPING_PARANOIA=0", None),
            ("MAPPING_PARANOIA=", None),
            ("MAPPING_PARANOIA=000", None),
            ("MAPPING_PARANOIA=_", Some('_')),
            ("MAPPING_PARANOIA=9", Some('9')),
            ("MAPPING_PARANOIA=126", Some('~')),
        ] {
            assert_eq!(read(text).0.paranoia(), expected, "{text}");
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        let (options, _) = read("Block_Limit=7");
        assert_eq!(options.number("BLOCK_LIMIT", 0), 7);
        assert_eq!(options.number("block_limit", 0), 7);
        assert_eq!(options.number("BLOCK_SIZE", 3), 3);
    }

    #[test]
    fn no_option_is_listed_twice() {
        let mut names: Vec<&str> = EFFECTIVE
            .iter()
            .map(|(n, _)| *n)
            .chain(RECOGNISED.iter().copied())
            .collect();
        names.sort_unstable();
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }
}
