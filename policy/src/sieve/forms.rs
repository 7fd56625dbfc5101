//! The one table of commands and tests: which arguments and tags each takes, what has to be required, and
//! the function that lowers it to instructions.

use super::compile::Compiler;
use super::lower::{self, Call};

/// What an argument has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    String,
    Strings,
    Number,
    /// A number, or a string that holds one.
    Numeric,
}

impl Type {
    pub fn words(self) -> &'static str {
        match self {
            Type::String => "a string",
            Type::Strings => "a string or a list of strings",
            Type::Number => "a number",
            Type::Numeric => "a number or a string",
        }
    }
}

/// A positional argument.
#[derive(Debug)]
pub(super) struct Param {
    pub what: &'static str,
    pub ty: Type,
    /// May be left out, where fewer arguments are given than the form lists.
    pub optional: bool,
}

/// A tag.
#[derive(Debug)]
pub(super) struct Tag {
    pub name: &'static str,
    /// Two tags of one group exclude each other; empty for a tag that only excludes itself.
    pub group: &'static str,
    pub value: Option<Type>,
    /// One of these must be required; empty where none is needed.
    pub capability: &'static [&'static str],
}

/// What tests follow the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tests {
    None,
    One,
    Many,
}

/// What kind of command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Control,
    Action,
    Test,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Kind::Control => "control command",
            Kind::Action => "action",
            Kind::Test => "test",
        }
    }
}

/// One command or test.
pub(super) struct Form {
    pub name: &'static str,
    pub kind: Kind,
    /// One of these must be required; empty where none is needed.
    pub capability: &'static [&'static str],
    pub tags: &'static [&'static [Tag]],
    pub params: &'static [Param],
    pub tests: Tests,
    pub block: bool,
    pub lower: fn(&mut Compiler<'_, '_>, &Call<'_>),
}

impl Form {
    pub fn tag(&self, name: &str) -> Option<&'static Tag> {
        self.tags
            .iter()
            .flat_map(|set| set.iter())
            .find(|t| t.name.eq_ignore_ascii_case(name))
    }
}

/// The command or test of this name.
pub(super) fn find(name: &str, test: bool) -> Option<&'static Form> {
    FORMS
        .iter()
        .find(|f| f.name.eq_ignore_ascii_case(name) && (f.kind == Kind::Test) == test)
}

const fn p(what: &'static str, ty: Type) -> Param {
    Param {
        what,
        ty,
        optional: false,
    }
}

const fn optional(what: &'static str, ty: Type) -> Param {
    Param {
        what,
        ty,
        optional: true,
    }
}

const fn t(name: &'static str, value: Option<Type>, capability: &'static [&'static str]) -> Tag {
    Tag {
        name,
        group: "",
        value,
        capability,
    }
}

const fn of(
    group: &'static str,
    name: &'static str,
    value: Option<Type>,
    capability: &'static [&'static str],
) -> Tag {
    Tag {
        name,
        group,
        value,
        capability,
    }
}

use Type::{Number, Numeric, String as Text, Strings};

const MATCH: &[Tag] = &[
    of("match type", "is", None, &[]),
    of("match type", "contains", None, &[]),
    of("match type", "matches", None, &[]),
    of("match type", "value", Some(Text), &["relational"]),
    of("match type", "count", Some(Text), &["relational"]),
    of("match type", "regex", None, &["regex"]),
    of("match type", "list", None, &["extlists"]),
    t("comparator", Some(Text), &[]),
];
const PART: &[Tag] = &[
    of("address part", "all", None, &[]),
    of("address part", "localpart", None, &[]),
    of("address part", "domain", None, &[]),
    of("address part", "user", None, &["subaddress"]),
    of("address part", "detail", None, &["subaddress"]),
];
const INDEX: &[Tag] = &[t("index", Some(Number), &["index"]), t("last", None, &["index"])];
const EDIT_INDEX: &[Tag] = &[t("index", Some(Number), &[]), t("last", None, &[])];
const MIME: &[Tag] = &[t("mime", None, &["mime"]), t("anychild", None, &["mime"])];
const ASPECT: &[Tag] = &[
    of("part of the field", "type", None, &["mime"]),
    of("part of the field", "subtype", None, &["mime"]),
    of("part of the field", "contenttype", None, &["mime"]),
    of("part of the field", "param", Some(Strings), &["mime"]),
];
const FLAGS: &[Tag] = &[t("flags", Some(Strings), &["imap4flags"])];
const COPY: &[Tag] = &[t("copy", None, &["copy"])];
const MAILBOX: &[Tag] = &[
    t("create", None, &["mailbox"]),
    of(
        "way to find the mailbox",
        "specialuse",
        Some(Text),
        &["special-use"],
    ),
    of("way to find the mailbox", "mailboxid", Some(Text), &["mailboxid"]),
];
const FCC: &[Tag] = &[t("fcc", Some(Text), &["fcc"])];
const REDIRECT: &[Tag] = &[
    t("list", None, &["extlists"]),
    t("notify", Some(Strings), &[]),
    t("ret", Some(Text), &["redirect-dsn"]),
    of("time", "bytimerelative", Some(Number), &["redirect-deliverby"]),
    of("time", "bytimeabsolute", Some(Text), &["redirect-deliverby"]),
    t("bymode", Some(Text), &["redirect-deliverby"]),
    t("bytrace", None, &["redirect-deliverby"]),
    of("choice of Resent fields", "resent", None, &[]),
    of("choice of Resent fields", "noresent", None, &[]),
    of("envelope sender", "resetmailfrom", None, &[]),
    of("envelope sender", "keepmailfrom", None, &[]),
];
const ZONE: &[Tag] = &[
    of("zone", "zone", Some(Text), &[]),
    of("zone", "originalzone", None, &[]),
];
const CURRENT_ZONE: &[Tag] = &[t("zone", Some(Text), &[])];
const MODIFIERS: &[Tag] = &[
    of("modifier of precedence 40", "lower", None, &[]),
    of("modifier of precedence 40", "upper", None, &[]),
    of("modifier of precedence 30", "lowerfirst", None, &[]),
    of("modifier of precedence 30", "upperfirst", None, &[]),
    of("modifier of precedence 20", "quotewildcard", None, &[]),
    of("modifier of precedence 20", "quoteregex", None, &["regex"]),
    of("modifier of precedence 15", "encodeurl", None, &["enotify"]),
    of("modifier of precedence 10", "length", None, &[]),
];
const VACATION: &[Tag] = &[
    of("period", "days", Some(Number), &[]),
    of("period", "hours", Some(Number), &[]),
    of("period", "seconds", Some(Number), &["vacation-seconds"]),
    t("subject", Some(Text), &[]),
    t("from", Some(Text), &[]),
    t("addresses", Some(Strings), &[]),
    t("mime", None, &[]),
    t("handle", Some(Text), &[]),
    of("form of the reply", "reply", None, &[]),
    of("form of the reply", "echo", None, &[]),
];
const NOTIFY: &[Tag] = &[
    t("from", Some(Text), &[]),
    t("importance", Some(Text), &[]),
    t("options", Some(Strings), &[]),
    t("message", Some(Text), &[]),
];
const CAPTURE: &[Tag] = &[
    of("format", "dsn", None, &[]),
    of("format", "message", None, &[]),
    of("format", "journal", None, &[]),
];
const OPERATION: &[Tag] = &[
    of("operation", "store", None, &[]),
    of("operation", "fetch", None, &[]),
    of("operation", "remove", None, &[]),
    of("operation", "adjust", None, &[]),
    of("operation", "test", None, &[]),
    of("operation", "adjust_and_test", None, &[]),
    of("operation", "throttle", None, &[]),
    of("operation", "greylisting", None, &[]),
];
const MEMCACHE: &[Tag] = &[
    of("operation", "add", None, &[]),
    of("operation", "replace", None, &[]),
    of("operation", "append", None, &[]),
    of("operation", "prepend", None, &[]),
    t("host", Some(Strings), &[]),
    t("tableprefix", Some(Text), &[]),
    t("timeout", Some(Number), &[]),
    t("penalize", None, &[]),
];
const METERMAID: &[Tag] = &[
    of("operation", "query", None, &[]),
    of("server", "host", Some(Text), &[]),
    of("server", "server", Some(Text), &[]),
    t("port", Some(Number), &[]),
    t("secret", Some(Text), &[]),
    t("table", Some(Text), &[]),
];
const KEYED: &[Param] = &[
    p("key", Text),
    optional("first value", Numeric),
    optional("second value", Numeric),
];
const LOOP_NAME: &[Tag] = &[t("name", Some(Text), &[])];
const NESTED: &[Tag] = &[
    of("way with nested messages", "processnestedmessages", None, &[]),
    of("way with nested messages", "retainnestedmessages", None, &[]),
];

macro_rules! form {
    ($kind:ident $name:literal $cap:expr, $tags:expr, $params:expr, $lower:expr) => {
        form!($kind $name $cap, $tags, $params, None, false, $lower)
    };
    ($kind:ident $name:literal $cap:expr, $tags:expr, $params:expr, $tests:ident, $block:expr, $lower:expr) => {
        Form { name: $name, kind: Kind::$kind, capability: $cap, tags: $tags, params: $params, tests: Tests::$tests, block: $block, lower: $lower }
    };
}

/// Every command and test.
pub(super) static FORMS: &[Form] = &[
    // Control. Those that shape the code (`if`, `require`, loops) are lowered by the compiler itself.
    form!(Control "require" &[], &[], &[p("capabilities", Strings)], lower::nothing),
    form!(Control "if" &[], &[], &[], One, true, lower::nothing),
    form!(Control "elsif" &[], &[], &[], One, true, lower::nothing),
    form!(Control "else" &[], &[], &[], None, true, lower::nothing),
    form!(Control "stop" &[], &[], &[], lower::control::stop),
    form!(Control "error" &["ihave"], &[], &[p("message", Text)], lower::control::error),
    form!(Control "include" &["include"], &[&[of("place", "personal", None, &[]), of("place", "global", None, &[]), t("once", None, &[]), t("optional", None, &[])]], &[p("script name", Text)], lower::control::include),
    form!(Control "return" &["include"], &[], &[], lower::control::leave),
    form!(Control "global" &["include"], &[], &[p("names", Strings)], lower::control::global),
    form!(Control "foreverypart" &["foreverypart"], &[LOOP_NAME, NESTED], &[], None, true, lower::nothing),
    form!(Control "loop" &[], &[], &[], Many, true, lower::nothing),
    form!(Control "break" &[], &[LOOP_NAME], &[], lower::control::break_loop),
    form!(Control "continue" &[], &[LOOP_NAME], &[], lower::control::continue_loop),
    // Actions.
    form!(Action "keep" &[], &[FLAGS], &[], lower::action::keep),
    form!(Action "fileinto" &["fileinto"], &[FLAGS, COPY, MAILBOX], &[p("mailbox", Text)], lower::action::fileinto),
    form!(Action "redirect" &[], &[COPY, REDIRECT], &[p("address", Text)], lower::action::redirect),
    form!(Action "discard" &[], &[], &[], lower::action::discard),
    form!(Action "reject" &["reject"], &[], &[p("reason", Text)], lower::action::reject),
    form!(Action "ereject" &["ereject"], &[], &[p("reason", Text)], lower::action::ereject),
    form!(Action "set" &["variables"], &[MODIFIERS], &[p("name", Text), p("value", Text)], lower::action::set),
    form!(Action "setflag" &["imap4flags"], &[], &[optional("variable", Text), p("flags", Strings)], lower::action::setflag),
    form!(Action "addflag" &["imap4flags"], &[], &[optional("variable", Text), p("flags", Strings)], lower::action::addflag),
    form!(Action "removeflag" &["imap4flags"], &[], &[optional("variable", Text), p("flags", Strings)], lower::action::removeflag),
    form!(Action "vacation" &["vacation"], &[VACATION, FCC, MAILBOX, FLAGS], &[p("reason", Text)], lower::action::vacation),
    form!(Action "notify" &["enotify"], &[NOTIFY, FCC, MAILBOX, FLAGS], &[p("method", Text)], lower::action::notify),
    form!(Action "addheader" &["editheader"], &[&[t("last", None, &[])]], &[p("name", Text), p("value", Text)], lower::edit::addheader),
    form!(Action "deleteheader" &["editheader"], &[EDIT_INDEX, MATCH], &[p("name", Text), Param { what: "patterns", ty: Strings, optional: true }], lower::edit::deleteheader),
    form!(Action "replaceheader" &["editheader"], &[EDIT_INDEX, MATCH, &[t("newname", Some(Text), &[]), t("newvalue", Some(Text), &[])]], &[p("name", Text), Param { what: "patterns", ty: Strings, optional: true }], lower::edit::replaceheader),
    form!(Action "extracttext" &["extracttext"], &[MODIFIERS, &[t("first", Some(Number), &[])]], &[p("variable", Text)], lower::edit::extracttext),
    form!(Action "replace" &["replace"], &[&[t("mime", None, &[]), t("subject", Some(Text), &[]), t("from", Some(Text), &[])]], &[p("text", Text)], lower::edit::replace),
    form!(Action "enclose" &["enclose"], &[&[t("subject", Some(Text), &[]), t("headers", Some(Strings), &[])]], &[p("text", Text)], lower::edit::enclose),
    // The product's own actions.
    form!(Action "jettison" &[], &[], &[], lower::private::jettison),
    form!(Action "addtag" &[], &[], &[p("tags", Strings)], lower::private::addtag),
    form!(Action "addprefix" &[], &[], &[p("text", Text)], lower::private::addprefix),
    form!(Action "addsuffix" &[], &[], &[p("text", Text)], lower::private::addsuffix),
    form!(Action "spamadjust" &["spamtest", "spamtestplus"], &[], &[p("score", Text)], lower::private::spamadjust),
    form!(Action "virusset" &[], &[], &[p("value", Text)], lower::private::virusset),
    form!(Action "capture" &[], &[CAPTURE], &[p("address", Text)], lower::private::capture),
    form!(Action "hold" &[], &[], &[], lower::private::hold),
    form!(Action "addconversiontag" &[], &[], &[p("tags", Strings)], lower::private::addconversiontag),
    form!(Action "setconversiontag" &[], &[], &[p("tags", Strings)], lower::private::setconversiontag),
    form!(Action "removeconversiontag" &[], &[], &[p("tags", Strings)], lower::private::removeconversiontag),
    form!(Action "novacation" &[], &[], &[], lower::private::novacation),
    form!(Action "setenvelopefrom" &[], &[], &[p("address", Text)], lower::private::setenvelopefrom),
    form!(Action "setnotify" &[], &[], &[p("conditions", Text)], lower::private::setnotify),
    form!(Action "setret" &[], &[], &[p("what to return", Text)], lower::private::setret),
    form!(Action "setmtpriority" &[], &[], &[p("priority", Numeric)], lower::private::setmtpriority),
    form!(Action "transactionlog" &[], &[], &[p("text", Text)], lower::private::transactionlog),
    form!(Action "adjustcounter" &[], &[], &[p("counter", Number), p("change", Numeric)], lower::private::adjustcounter),
    form!(Action "memcache" &[], &[OPERATION, MEMCACHE], KEYED, lower::callout::action),
    form!(Action "metermaid" &[], &[OPERATION, METERMAID], KEYED, lower::callout::action),
    form!(Test "memcache" &[], &[OPERATION, MEMCACHE], KEYED, lower::callout::test),
    form!(Test "metermaid" &[], &[OPERATION, METERMAID], KEYED, lower::callout::test),
    form!(Action "(assignment)" &[], &[], &[p("name", Text), p("value", Text)], lower::action::assign),
    form!(Test "(condition)" &[], &[], &[p("value", Text)], lower::test::condition),
    form!(Action "refuse" &[], &[], &[p("reason", Text)], lower::private::refuse),
    // Tests. Those that combine tests are lowered by the compiler itself.
    form!(Test "true" &[], &[], &[], lower::nothing),
    form!(Test "false" &[], &[], &[], lower::nothing),
    form!(Test "not" &[], &[], &[], One, false, lower::nothing),
    form!(Test "allof" &[], &[], &[], Many, false, lower::nothing),
    form!(Test "anyof" &[], &[], &[], Many, false, lower::nothing),
    form!(Test "ihave" &["ihave"], &[], &[p("capabilities", Strings)], lower::nothing),
    form!(Test "header" &[], &[MATCH, INDEX, MIME, ASPECT], &[p("header names", Strings), p("keys", Strings)], lower::test::header),
    form!(Test "address" &[], &[MATCH, PART, INDEX, MIME], &[p("header names", Strings), p("keys", Strings)], lower::test::address),
    form!(Test "envelope" &["envelope"], &[MATCH, PART], &[p("envelope parts", Strings), p("keys", Strings)], lower::test::envelope),
    form!(Test "exists" &[], &[MIME], &[p("header names", Strings)], lower::test::exists),
    form!(Test "size" &[], &[&[of("direction", "over", None, &[]), of("direction", "under", None, &[])]], &[p("limit", Number)], lower::test::size),
    form!(Test "string" &["variables"], &[MATCH], &[p("sources", Strings), p("keys", Strings)], lower::test::string),
    form!(Test "hasflag" &["imap4flags"], &[MATCH], &[optional("variables", Strings), p("flags", Strings)], lower::test::hasflag),
    form!(Test "body" &["body"], &[MATCH, &[of("transform", "raw", None, &[]), of("transform", "text", None, &[]), of("transform", "content", Some(Strings), &[])]], &[p("keys", Strings)], lower::test::body),
    form!(Test "date" &["date"], &[MATCH, ZONE, INDEX], &[p("header name", Text), p("date part", Text), p("keys", Strings)], lower::test::date),
    form!(Test "currentdate" &["date"], &[MATCH, CURRENT_ZONE], &[p("date part", Text), p("keys", Strings)], lower::test::currentdate),
    form!(Test "environment" &["environment"], &[MATCH], &[p("item", Text), p("keys", Strings)], lower::test::environment),
    form!(Test "spamtest" &["spamtest", "spamtestplus"], &[MATCH, &[t("percent", None, &["spamtestplus"])]], &[p("value", Text)], lower::test::spamtest),
    form!(Test "virustest" &["virustest"], &[MATCH], &[p("value", Text)], lower::test::virustest),
    form!(Test "duplicate" &["duplicate"], &[&[t("handle", Some(Text), &[]), of("identifier", "header", Some(Text), &[]), of("identifier", "uniqueid", Some(Text), &[]), t("seconds", Some(Number), &[]), t("last", None, &[])]], &[], lower::test::duplicate),
    form!(Test "mailboxexists" &["mailbox"], &[], &[p("mailboxes", Strings)], lower::test::mailboxexists),
    form!(Test "metadata" &["mboxmetadata"], &[MATCH], &[p("mailbox", Text), p("annotation", Text), p("keys", Strings)], lower::test::metadata),
    form!(Test "metadataexists" &["mboxmetadata"], &[], &[p("mailbox", Text), p("annotations", Strings)], lower::test::metadataexists),
    form!(Test "servermetadata" &["servermetadata"], &[MATCH], &[p("annotation", Text), p("keys", Strings)], lower::test::servermetadata),
    form!(Test "servermetadataexists" &["servermetadata"], &[], &[p("annotations", Strings)], lower::test::servermetadataexists),
    form!(Test "specialuse_exists" &["special-use"], &[], &[optional("mailbox", Text), p("flags", Strings)], lower::test::specialuse_exists),
    form!(Test "mailboxidexists" &["mailboxid"], &[], &[p("mailbox ids", Strings)], lower::test::mailboxidexists),
    form!(Test "valid_notify_method" &["enotify"], &[], &[p("methods", Strings)], lower::test::valid_notify_method),
    form!(Test "notify_method_capability" &["enotify"], &[MATCH], &[p("method", Text), p("capability", Text), p("keys", Strings)], lower::test::notify_method_capability),
    form!(Test "valid_ext_list" &["extlists"], &[], &[p("lists", Strings)], lower::test::valid_ext_list),
];
