//! What `imsimta test -rewrite` prints of an address (rewrite specification 10.4).

use std::fmt::Write as _;

use policy::channel::Channel;

/// One recipient as the queue would have it.
#[derive(Debug, serde::Serialize)]
pub struct Submitted {
    /// Its channel.
    pub channel: String,
    /// Its address.
    pub address: String,
    /// The host that its channel would connect to.
    pub host: String,
}

/// All that is found out about an address; as JSON, exactly these fields.
#[derive(Debug, Default, serde::Serialize)]
pub struct Report {
    /// As it was asked for.
    pub address: String,
    /// The channel that it matches as forward-pointing.
    pub forward_channel: Option<String>,
    /// The channel that it matches as backward-pointing.
    pub backward_channel: Option<String>,
    /// As `To:` has it.
    pub header_to: String,
    /// As `From:` has it.
    pub header_from: String,
    /// As the envelope To has it, before alias expansion.
    pub envelope_to: String,
    /// As the envelope From has it.
    pub envelope_from: String,
    /// The channel tag that the rules ended with.
    pub host: String,
    /// Where aliases and FORWARD lead; empty where nothing was expanded.
    pub expanded: Vec<String>,
    /// The recipients.
    pub submitted: Vec<Submitted>,
    /// What was refused.
    pub errors: Vec<String>,
}

/// Keywords that exclude one another, the default first, with the line that shows them.
const FLAGS: &[(usize, &[&str])] = &[
    (0, &["bidirectional", "master", "slave"]),
    (0, &["multiple", "single", "single_sys"]),
    (0, &["immnonurgent", "immnormal", "immurgent", "immediate"]),
    (0, &["noserviceall", "serviceall"]),
    (
        1,
        &[
            "nosmtp",
            "smtp",
            "smtp_cr",
            "smtp_crlf",
            "smtp_crorlf",
            "smtp_lf",
            "lmtp",
        ],
    ),
    (1, &["defaultmx", "mx", "nomx", "randommx", "nonrandommx"]),
    (1, &["notls", "maytls", "musttls"]),
    (2, &["postheadbody", "postheadonly"]),
    (2, &["headerinc", "headeromit", "headerbottom"]),
    (2, &["noexproute", "exproute"]),
    (3, &["nologging", "logging"]),
    (3, &["unrestricted", "restricted"]),
    (4, &["eightnegotiate", "eightbit", "eightstrict", "sevenbit"]),
    (4, &["noheadertrim", "headertrim"]),
    (4, &["noheaderread", "headerread"]),
    (4, &["rules", "norules"]),
    (5, &["nomaster_debug", "master_debug"]),
    (5, &["noslave_debug", "slave_debug"]),
    (6, &["nox_env_to", "x_env_to"]),
    (
        6,
        &["reportheader", "reportboth", "reportnotary", "reportsuppress"],
    ),
    (7, &["noswitchchannel", "switchchannel"]),
    (7, &["noremotehost", "remotehost"]),
    (7, &["datefour", "datetwo"]),
    (7, &["dayofweek", "nodayofweek"]),
    (8, &["nodefragment", "defragment"]),
    (8, &["noexquota", "exquota", "holdexquota"]),
    (8, &["reverse", "noreverse"]),
    (8, &["noconvert_octet_stream", "convert_octet_stream"]),
    (9, &["nothurman", "thurman"]),
    (9, &["interpretencoding", "ignoreencoding"]),
    (9, &["includefinal", "suppressfinal"]),
    (9, &["receivedfrom", "noreceivedfrom"]),
];

fn line(out: &mut String, label: &str, value: &str) {
    let _ = writeln!(out, "{}", format!("  {label:<23}= {value}").trim_end());
}

/// The block about a channel.
fn channel_block(out: &mut String, channel: &Channel) {
    let s = &channel.settings;
    line(out, "channel description", s.description.as_deref().unwrap_or(""));
    line(out, "channel user filter", "");
    line(
        out,
        "dest channel filter",
        s.destination_filter.as_deref().unwrap_or(""),
    );
    line(
        out,
        "source channel filter",
        s.source_filter.as_deref().unwrap_or(""),
    );
    for n in 0..10 {
        let words = FLAGS.iter().filter(|(at, _)| *at == n).filter_map(|(_, group)| {
            let given = channel.keywords.iter().rfind(|k| group.contains(k));
            given.or(group.first()).map(|word| match *word {
                "single_sys" => "SINGLE_SYSTEM".to_string(),
                "unrestricted" => "NORESTRICTED".to_string(),
                word => word.to_uppercase(),
            })
        });
        let words: Vec<String> = words.collect();
        line(out, &format!("channel flags #{n}"), &words.join(" "));
    }
    line(out, "channel official host", &channel.official_host);
    line(
        out,
        "channel local alias",
        channel.local_alias.as_deref().unwrap_or(""),
    );
    line(out, "channel queue name", s.pool.as_deref().unwrap_or("DEFAULT"));
    line(out, "channel daemon name", s.daemon.as_deref().unwrap_or(""));
    for (label, ages) in ["urgentnotices", "normalnotices", "nonurgentnotices"]
        .iter()
        .zip(&s.notices)
    {
        let ages: Vec<String> = ages.iter().map(u32::to_string).collect();
        line(out, label, &ages.join(" "));
    }
}

impl Report {
    /// The text form; `channel` is that of the forward-pointing address, where its block is wanted.
    pub fn text(&self, official: &str, channel: Option<&Channel>) -> String {
        let mut out = String::new();
        line(
            &mut out,
            "forward channel",
            self.forward_channel.as_deref().unwrap_or(""),
        );
        if let Some(channel) = channel {
            channel_block(&mut out, channel);
        }
        line(
            &mut out,
            "backward channel",
            self.backward_channel.as_deref().unwrap_or(""),
        );
        line(&mut out, "header To: address", &self.header_to);
        line(&mut out, "header From: address", &self.header_from);
        let route = match official.is_empty() {
            true => String::new(),
            false => format!("  (route ({},{official}))", self.host),
        };
        line(
            &mut out,
            "envelope To: address",
            &format!("{}{route}", self.envelope_to),
        );
        line(&mut out, "envelope From: address", &self.envelope_from);
        line(&mut out, "name", "");
        let mailbox = policy::address::Address::parse(&self.envelope_to)
            .map(|a| a.local)
            .unwrap_or_default();
        line(&mut out, "mbox", &mailbox);
        let _ = writeln!(out, "Extracted address action list:\n  {}", self.envelope_to);
        let _ = writeln!(
            out,
            "Extracted 733 address action list:\n  {}",
            percents(&self.envelope_to)
        );
        if !self.expanded.is_empty() {
            let _ = writeln!(
                out,
                "Address list expansion:\n{} expansion total.",
                self.expanded.len()
            );
            let _ = writeln!(out, "Expanded address:");
            self.expanded.iter().for_each(|a| {
                let _ = writeln!(out, "  {a}");
            });
        }
        let _ = writeln!(out, "Submitted address list:");
        let mut shown: Vec<&str> = Vec::new();
        for one in &self.submitted {
            if shown.contains(&one.channel.as_str()) {
                continue;
            }
            shown.push(&one.channel);
            let _ = writeln!(out, "  {}", one.channel);
            for s in self.submitted.iter().filter(|s| s.channel == one.channel) {
                let _ = writeln!(
                    out,
                    "    {} ({}) *NOTIFY FAILURES* *NOTIFY DELAYS*",
                    s.address, s.host
                );
            }
        }
        for error in &self.errors {
            let _ = writeln!(out, "Address list error -- {error}");
        }
        out.push_str("\nSubmitted notifications list:\n\n");
        out
    }
}

/// An address with its source route in percent form: `@a,@b:u@c` is `u%c%b@a`.
fn percents(address: &str) -> String {
    let Ok(mut parsed) = policy::address::Address::parse(address) else {
        return address.to_string();
    };
    while let Some(hop) = parsed.route.pop() {
        let domain = parsed.domain.take().unwrap_or_default();
        parsed.local = format!("{}%{domain}", parsed.local);
        parsed.domain = Some(hop);
    }
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_as_percents() {
        for (address, expected) in [("@a,@b:u@c", "u%c%b@a"), ("u@c", "u@c"), ("u", "u")] {
            assert_eq!(percents(address), expected);
        }
    }
}
