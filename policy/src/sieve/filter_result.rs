//! Actions as the product prints them: `fileinto :copy "Box"`.
//!
//! This is the form of `imsimta test -expression` (specification C3): the action, its tags, its strings, each
//! behind one blank, on one line whatever the strings hold. It reads as Sieve does, and is not meant to be parsed.

use std::fmt;

use super::outcome::{Action, SieveOutcome, Written};

/// A string in quotes; line ends and tabs are written as the product's escapes.
pub(super) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\r' => f.write_str("\\r")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// An action under way: its name, then what is added.
struct Line(String);

impl Line {
    fn of(name: &str) -> Self {
        Line(name.to_owned())
    }

    fn word(mut self, text: &str) -> Self {
        self.0 += " ";
        self.0 += text;
        self
    }

    fn flag(self, name: &str, is: bool) -> Self {
        if is { self.word(name) } else { self }
    }

    fn string(self, text: &str) -> Self {
        self.word(&Quoted(text).to_string())
    }

    fn strings(self, all: &[String]) -> Self {
        match all {
            [one] => self.string(one),
            all => {
                let quoted: Vec<String> = all.iter().map(|s| Quoted(s).to_string()).collect();
                self.word(&format!("[{}]", quoted.join(", ")))
            }
        }
    }

    fn tag(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.word(name).string(value),
            None => self,
        }
    }

    fn tags(self, name: &str, values: &[String]) -> Self {
        if values.is_empty() {
            self
        } else {
            self.word(name).strings(values)
        }
    }

    fn number(self, name: &str, value: Option<u64>) -> Self {
        match value {
            Some(value) => self.word(name).word(&value.to_string()),
            None => self,
        }
    }
}

fn line(action: &Action) -> Line {
    match action {
        Action::Keep { flags, .. } => Line::of("keep").tags(":flags", flags),
        Action::FileInto {
            mailbox,
            copy,
            create,
            flags,
            specialuse,
            mailboxid,
        } => Line::of("fileinto")
            .flag(":copy", *copy)
            .flag(":create", *create)
            .tags(":flags", flags)
            .tag(":specialuse", specialuse.as_deref())
            .tag(":mailboxid", mailboxid.as_deref())
            .string(mailbox),
        Action::Redirect {
            address,
            copy,
            list,
            notify,
            ret,
            resent,
            mailfrom,
            bytimerelative,
            bytimeabsolute,
            bymode,
            bytrace,
        } => {
            let line = Line::of("redirect")
                .flag(":copy", *copy)
                .flag(":noresent", !*resent)
                .flag(":resetmailfrom", *mailfrom == "owner")
                .tag(":list", list.as_deref());
            let line = match notify {
                Some(Written::One(text)) => line.tag(":notify", Some(text)),
                Some(Written::Many(all)) => line.tags(":notify", all),
                None => line,
            };
            line.tag(":ret", ret.as_deref())
                .number(":bytimerelative", *bytimerelative)
                .tag(":bytimeabsolute", bytimeabsolute.as_deref())
                .tag(":bymode", bymode.as_deref())
                .flag(":bytrace", *bytrace)
                .string(address)
        }
        Action::Discard => Line::of("discard"),
        Action::Reject { reason } => Line::of("reject").string(reason),
        Action::EReject { reason } => Line::of("ereject").string(reason),
        Action::Vacation {
            reason,
            subject,
            from,
            days,
            hours,
            seconds,
            mime,
            fcc,
            reply,
            echo,
            ..
        } => Line::of("vacation")
            .number(":days", *days)
            .number(":hours", *hours)
            .number(":seconds", *seconds)
            .tag(":subject", Some(subject))
            .tag(":from", from.as_deref())
            .flag(":mime", *mime)
            .flag(":reply", *reply)
            .flag(":echo", *echo)
            .tag(":fcc", fcc.as_ref().map(|f| f.mailbox.as_str()))
            .string(reason),
        Action::Notify {
            method,
            message,
            importance,
            from,
            options,
            fcc,
        } => Line::of("notify")
            .tag(":from", from.as_deref())
            .tag(":importance", importance.as_deref())
            .tags(":options", options)
            .tag(":message", message.as_deref())
            .tag(":fcc", fcc.as_ref().map(|f| f.mailbox.as_str()))
            .string(method),
        Action::Replace { subject } => Line::of("replace").tag(":subject", subject.as_deref()),
        Action::Enclose { subject } => Line::of("enclose").tag(":subject", subject.as_deref()),
        Action::Jettison => Line::of("jettison"),
        Action::AddTag { tag } => Line::of("addtag").string(tag),
        Action::AddPrefix { text } => Line::of("addprefix").string(text),
        Action::AddSuffix { text } => Line::of("addsuffix").string(text),
        Action::SpamAdjust { text } => Line::of("spamadjust").string(text),
        Action::VirusSet { value } => Line::of("virusset").string(&value.to_string()),
        Action::Capture { address, format } => {
            Line::of("capture").word(&format!(":{format}")).string(address)
        }
        Action::Hold => Line::of("hold"),
        Action::AddConversionTag { tags } => Line::of("addconversiontag").strings(tags),
        Action::SetConversionTag { tags } => Line::of("setconversiontag").strings(tags),
        Action::RemoveConversionTag { tags } => Line::of("removeconversiontag").strings(tags),
        Action::NoVacation => Line::of("novacation"),
        Action::SetEnvelopeFrom { address } => Line::of("setenvelopefrom").string(address),
        Action::SetNotify { value } => Line::of("setnotify").string(value),
        Action::SetRet { value } => Line::of("setret").string(value),
        Action::SetMtPriority { value } => Line::of("setmtpriority").string(&value.to_string()),
        Action::TransactionLog { text } => Line::of("transactionlog").string(text),
        Action::AdjustCounter { counter, change } => Line::of("adjustcounter")
            .word(&counter.to_string())
            .string(&format!("{change:+}")),
        Action::Refuse { reason } => Line::of("refuse").string(reason),
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(self).0)
    }
}

/// A change of the header. It is no [`Action`]: what it does is seen in the header that actions carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderEdit {
    /// How many actions were taken before it.
    pub after: usize,
    /// The edit, in the form of this module.
    pub text: String,
}

impl HeaderEdit {
    pub(super) fn new(after: usize, name: &str, tags: &[(&str, Option<&str>)], strings: &[&str]) -> Self {
        let mut line = Line::of(name);
        for (tag, value) in tags {
            line = line.word(tag);
            if let Some(value) = value {
                line = line.string(value);
            }
        }
        let line = strings.iter().fold(line, |line, text| line.string(text));
        HeaderEdit { after, text: line.0 }
    }
}

impl SieveOutcome {
    /// What the script did, header edits included, in the order it did it: `[ fileinto "Box" keep ]`. The
    /// implicit keep is not shown; nothing at all is `[]`.
    pub fn filter_result(&self) -> String {
        let mut out = String::from("[");
        let mut edits = self.edits.iter().peekable();
        for n in 0..=self.actions.len() {
            while let Some(edit) = edits.next_if(|e| e.after <= n) {
                out += " ";
                out += &edit.text;
            }
            if let Some(performed) = self.actions.get(n)
                && !matches!(performed.action, Action::Keep { implicit: true, .. })
            {
                out += " ";
                out += &line(&performed.action).0;
            }
        }
        out += if out.len() > 1 { " ]" } else { "]" };
        out
    }
}
