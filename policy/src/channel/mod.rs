//! Channels: what mail comes in and goes out by, and the keywords that shape them.
//!
//! Source: rewrite specification 1.3, 1.4; queue specification 14.

mod keyword;
mod read;
mod settings;

use std::collections::HashMap;
use std::ops::Deref;

use grammar::imta::{Block, ImtaFile, Word};
use grammar::{Diagnostic, Span};

use read::{Read, read_keywords};

pub use keyword::{Arguments, Effect, KEYWORDS, Keyword, keyword};
pub use settings::{Grouping, MxUse, Need, Settings, Subaddress, duration};

/// One channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name, in lower case.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// Official host name: the channel tag.
    pub official_host: String,
    /// What the local host is called in messages queued to it.
    pub local_alias: Option<String>,
    /// Further hosts, with the names they are to be called by.
    pub extra_hosts: Vec<(String, Option<String>)>,
    /// What its keywords say.
    pub settings: Settings,
    /// The keywords themselves, those of `defaults` first.
    pub keywords: Vec<&'static str>,
}

/// The channels of a site: a list, in the order of the file, that is searched by name.
#[derive(Debug, Clone, Default)]
pub struct Channels {
    list: Vec<Channel>,
    by_name: HashMap<String, usize>,
}

impl Channels {
    /// A channel by its name, which is in lower case.
    pub fn named(&self, name: &str) -> Option<&Channel> {
        self.by_name.get(name).and_then(|n| self.list.get(*n))
    }

    fn push(&mut self, channel: Channel) {
        self.by_name.insert(channel.name.clone(), self.list.len());
        self.list.push(channel);
    }
}

impl Deref for Channels {
    type Target = [Channel];

    fn deref(&self) -> &[Channel] {
        &self.list
    }
}

impl<'a> IntoIterator for &'a Channels {
    type Item = &'a Channel;
    type IntoIter = std::slice::Iter<'a, Channel>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

/// Builds the channels of a parsed file.
pub fn build(file: &ImtaFile, diagnostics: &mut Vec<Diagnostic>) -> Channels {
    let mut defaults = Read::default();
    let mut channels = Channels::default();
    let mut said: Vec<&'static str> = Vec::new();
    for block in &file.blocks {
        match block.name.as_str() {
            "defaults" => {
                read_keywords(&block.words, "defaults", &mut defaults, &mut said, diagnostics);
                no_hosts(block, diagnostics);
            }
            "nodefaults" => {
                defaults = Read::default();
                for word in &block.words {
                    diagnostics.push(
                        Diagnostic::warning("C016", word.span, "this word is ignored: `nodefaults` stands alone")
                            .help("it ends all defaults; name those that are to stay in a `defaults` block after it"),
                    );
                }
                no_hosts(block, diagnostics);
            }
            _ => {
                let read = defaults.clone();
                if let Some(channel) = channel(block, read, &channels, file, &mut said, diagnostics) {
                    channels.push(channel);
                }
            }
        }
    }
    if let Some(first) = channels.first().filter(|c| c.name != "l") {
        diagnostics.push(
            Diagnostic::error(
                "C004",
                first.span,
                format!("the first channel is `{}`, not the local channel `l`", first.name),
            )
            .help("put the block of channel `l` before all others: its host name is the name of this host"),
        );
    }
    channels
}

/// Lines below `defaults` and `nodefaults` have no meaning.
fn no_hosts(block: &Block, diagnostics: &mut Vec<Diagnostic>) {
    for word in block.hosts.iter().filter_map(|line| line.first()) {
        diagnostics.push(
            Diagnostic::warning(
                "C015",
                word.span,
                format!("this line is ignored: a `{}` block has no hosts", block.name),
            )
            .help("a blank line ends the block; keywords stand on its first line, which `\\` continues"),
        );
    }
}

fn channel(
    block: &Block,
    mut read: Read,
    others: &Channels,
    file: &ImtaFile,
    said: &mut Vec<&'static str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Channel> {
    let name = block.name.clone();
    let odd = name.len() > 32
        || !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$'));
    if odd {
        let mut d = Diagnostic::error(
            "C005",
            block.span,
            format!("`{}` is not a channel name", block.name),
        );
        d = match file.rules_end {
            Some(end) => d
                .also(end, "this blank line ended the rewrite rules")
                .help("remove the blank line above, if this is a rewrite rule"),
            None => d.help("channel names have at most 32 letters, digits, `_` and `$`"),
        };
        diagnostics.push(d);
        return None;
    }
    if let Some(other) = others.named(&name) {
        diagnostics.push(
            Diagnostic::error("C006", block.span, format!("channel `{name}` is defined twice"))
                .also(other.span, "first defined here"),
        );
        return None;
    }
    read_keywords(&block.words, &name, &mut read, said, diagnostics);
    let Some(official) = block.hosts.first().and_then(|h| h.first()) else {
        diagnostics.push(
            Diagnostic::error(
                "C001",
                block.span,
                format!("no official host name for channel `{name}`"),
            )
            .help(format!(
                "write the name on the next line, such as `{name}-daemon`"
            )),
        );
        return None;
    };
    let second = |words: &[Word]| words.get(1).map(|w| w.text.clone());
    let extra_hosts = block.hosts[1..]
        .iter()
        .filter_map(|h| h.first().map(|w| (w.text.clone(), second(h))))
        .collect();
    for words in &block.hosts {
        for word in words.iter().filter(|w| w.text.len() > 128) {
            diagnostics.push(Diagnostic::error(
                "C007",
                word.span,
                "official host name is too long: the limit is 128 octets",
            ));
        }
        for word in words.iter().skip(2) {
            diagnostics.push(Diagnostic::warning(
                "C008",
                word.span,
                "this word is ignored: a host line has a name and at most one second name",
            ));
        }
    }
    Some(Channel {
        name,
        span: block.span,
        official_host: official.text.clone(),
        local_alias: block.hosts.first().and_then(|h| second(h)),
        extra_hosts,
        settings: read.settings,
        keywords: read.keywords,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings of a channel line, and the codes of what is said of it, notes left out.
    fn read(line: &str) -> (Option<Channel>, Vec<&'static str>) {
        let mut sources = grammar::Sources::new();
        let text = format!("\nl\nhere\n\ntcp_x {line}\nx-daemon\n");
        let file = sources.add("imta.cnf", text);
        let mut diagnostics = Vec::new();
        let none = |_: &str| Err("none".to_string());
        let parsed = grammar::imta::parse(&mut sources, file, &none, &mut diagnostics);
        let channels = build(&parsed, &mut diagnostics);
        let said = diagnostics
            .iter()
            .filter(|d| d.severity > grammar::Severity::Note);
        (channels.named("tcp_x").cloned(), said.map(|d| d.code).collect())
    }

    #[test]
    fn values_that_cannot_be_used_do_not_load() {
        let cases: &[(&str, &[&str])] = &[
            ("interfaceaddress 192.0.2.1", &[]),
            ("interfaceaddress 2001:db8::1", &[]),
            ("interfaceaddress eth0", &["C009"]),
            ("interfaceaddress 192.0.2", &["C009"]),
            (r#"nameservers "192.0.2.1 192.0.2.2""#, &[]),
            ("nameservers 192.0.2.1:5353,[::1]:53", &[]),
            (r#"nameservers "192.0.2.1 ns.example""#, &["C009"]),
            (r#"nameservers """#, &["C009"]),
            ("port 70000", &["C009"]),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line).1, *expected, "{line}");
        }
    }

    #[test]
    fn ages_are_read_in_one_way() {
        for (line, ages, codes) in [
            ("notices 1 3 6", &[1, 3, 6][..], &[][..]),
            ("notices 1, 3, 6", &[1, 3, 6], &[]),
            ("notices 1 4294967296", &[], &["C009"]),
            ("notices 3 1", &[], &["C009"]),
            ("notices 1,3", &[], &["C003", "C002"]),
        ] {
            let (channel, said) = read(line);
            assert_eq!(said, codes, "{line}");
            assert_eq!(channel.unwrap().settings.notices[1], ages, "{line}");
        }
    }

    #[test]
    fn defaults_are_read_once_and_nothing_of_them_is_lost() {
        let cases: &[(&str, &[&str])] = &[
            (
                "defaults logging maxjobs 3\n\nl\nhere\n\nnodefaults\n\nt\nthere\n",
                &[],
            ),
            ("defaults smpt\n\nl\nhere\n\nt\nthere\n", &["C002"]),
            ("l\nhere\n\ndefaults smpt\n", &["C002"]),
            ("defaults logging\nmx\nmaxjobs 3\n\nl\nhere\n", &["C015", "C015"]),
            ("l\nhere\n\nnodefaults logging mx\nx\n", &["C016", "C016", "C015"]),
            ("l defaulthost\nhere\n", &["C003"]),
        ];
        for (text, expected) in cases {
            let mut sources = grammar::Sources::new();
            let file = sources.add("imta.cnf", format!("\n{text}"));
            let mut diagnostics = Vec::new();
            let none = |_: &str| Err("none".to_string());
            let parsed = grammar::imta::parse(&mut sources, file, &none, &mut diagnostics);
            let channels = build(&parsed, &mut diagnostics);
            let said: Vec<_> = diagnostics.iter().map(|d| d.code).collect();
            assert_eq!(said, *expected, "{text}");
            if text.starts_with("defaults logging maxjobs") {
                assert_eq!(channels[0].keywords, ["logging", "maxjobs"]);
                assert_eq!(
                    (channels[0].settings.logging, channels[1].settings.logging),
                    (true, false)
                );
            }
        }
    }

    #[test]
    fn an_argument_is_no_keyword() {
        let channel = read("daemon mx description \"smtp\" logging").0.unwrap();
        assert_eq!(channel.keywords, ["daemon", "description", "logging"]);
    }

    #[test]
    fn the_last_keyword_of_a_group_counts() {
        let settings = |line| read(line).0.unwrap().settings;
        assert_eq!(settings("mx randommx").mx, MxUse::Random);
        assert_eq!(settings("randommx nonrandommx").mx, MxUse::Mx);
        assert_eq!(
            settings("nameservers 192.0.2.1 defaultnameservers").nameservers,
            None
        );
        let filter = settings("channelfilter file:///x").destination_filter;
        assert_eq!(filter.as_deref(), Some("file:///x"));
    }
}
