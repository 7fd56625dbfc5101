//! MTA options (`option.dat`): names, values, defaults (configuration specification 13).

use std::collections::BTreeMap;

use grammar::options::{Setting, number};
use grammar::{Diagnostic, Span};

/// Options that take effect in this version.
pub const EFFECTIVE: &[&str] = &[
    "ACCESS_COUNTS",
    "ACCESS_ERRORS",
    "ACCESS_ORCPT",
    "ALIAS_DOMAINS",
    "BLOCK_LIMIT",
    "BLOCK_SIZE",
    "CUSTOM_VERSION_STRING",
    "DOMAIN_FAILURE",
    "ID_DOMAIN",
    "INCLUDE_CONVERSIONTAG",
    "LOG_CONNECTION",
    "LOG_DIAGNOSTICS",
    "LOG_ENVELOPE_ID",
    "LOG_FILENAME",
    "LOG_FORMAT",
    "LOG_INTERMEDIATE",
    "LOG_MESSAGE_ID",
    "LOG_NODE",
    "LOG_NOTARY",
    "LOG_PRIORITY",
    "LOG_PROCESS",
    "LOG_QUEUE_TIME",
    "LOG_REASON",
    "LOG_REMOTE_MTA",
    "LOG_USERNAME",
    "MAPPING_PARANOIA",
    "MAX_ALIAS_LEVELS",
    "MAX_LOCAL_RECEIVED_LINES",
    "MAX_RECEIVED_LINES",
    "MAX_TOTAL_RECEIVED_LINES",
    "RETURN_ADDRESS",
    "RETURN_PERSONAL",
    "RETURN_UNITS",
    "REVERSE_ENVELOPE",
    "SEPARATE_CONNECTION_LOG",
    "USE_FORWARD_DATABASE",
    "USE_REVERSE_DATABASE",
    "USE_TEXT_DATABASES",
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
    "AUTOREPLY_TIMEOUT_DEFAULT",
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
    "INCLUDE_RETRIES",
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
    "LOG_CONVERSION_TAG",
    "LOG_DELAY_BINS",
    "LOG_DELIVERY_FLAGS",
    "LOG_FILTER",
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
    "LOG_TRANSACTIONLOG",
    "LOG_UID",
    "MAIL_OFF",
    "MAP_NAMES_SIZE",
    "MAX_ADDHEADERS",
    "MAX_B_ENTRIES",
    "MAX_DUPLICATES",
    "MAX_FILEINTOS",
    "MAX_FORWARDS",
    "MAX_HEADER_BLOCK_USE",
    "MAX_HEADER_LINE_USE",
    "MAX_INTERNAL_BLOCKS",
    "MAX_J_ENTRIES",
    "MAX_MIME_LEVELS",
    "MAX_MIME_PARTS",
    "MAX_MR_RECEIVED_LINES",
    "MAX_NOTIFYS",
    "MAX_REDIRECTS",
    "MAX_SIEVE_LIST_SIZE",
    "MAX_URLS",
    "MAX_VACATIONS",
    "MAX_VARIABLES",
    "MAX_X400_RECEIVED_LINES",
    "MEMCACHE_EXPIRE",
    "MEMCACHE_HOST",
    "MEMCACHE_PORT",
    "MEMCACHE_TIMEOUT",
    "METERMAID_HOST",
    "METERMAID_PORT",
    "METERMAID_SECRET",
    "MISSING_RECIPIENT_GROUP_TEXT",
    "MISSING_RECIPIENT_POLICY",
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
    "SIEVE_REDIRECT_ADD_RESENT",
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
    "VACATION_MINIMUM_TIMEOUT",
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
            if EFFECTIVE.contains(&name.as_str()) || name.starts_with("ERROR_TEXT_") {
            } else if family || site || RECOGNISED.contains(&name.as_str()) {
                diagnostics.push(Diagnostic::note(
                    "O011",
                    setting.span,
                    format!("option {name}: recognised, no effect in this version"),
                ));
            } else {
                let known: Vec<String> = match diagnostics.len() < crate::mapping::SUGGESTION_LIMIT {
                    true => EFFECTIVE
                        .iter()
                        .chain(RECOGNISED)
                        .map(|n| n.to_string())
                        .collect(),
                    false => Vec::new(),
                };
                let mut d =
                    Diagnostic::warning("O010", setting.span, format!("unknown option `{}`", setting.name));
                d = match crate::mapping::nearest(&name, known.iter()) {
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
        let found = self
            .values
            .get(name)
            .or_else(|| self.values.get(&name.to_ascii_uppercase()));
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
        let value = self.get("MAPPING_PARANOIA")?;
        let mut chars = value.chars();
        match (chars.next(), chars.next()) {
            (Some('0'), None) | (None, _) => None,
            (Some(c), None) => Some(c),
            _ => value.parse::<u8>().ok().filter(|n| *n > 0).map(char::from),
        }
    }
}
