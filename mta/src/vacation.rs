//! Vacation replies: built, sent, and remembered so that a sender gets one in an interval.
//!
//! Whether a reply is due at all was decided by the script's run (RFC 5230 4, RFC 3834 2). Here: one reply a
//! sender, owner and text in the interval, over restarts; the null return path; `Auto-Submitted`.

use std::sync::Arc;

use jiff::Zoned;
use policy::site::Site;

use crate::letter::{self, Letter, Text, bare};
use crate::server::{Server, now};
use crate::transaction::{Accepted, date, unique_id};

/// A reply that a script asks for.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Who replies.
    pub owner: String,
    /// Who gets it.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// Text, or a whole MIME entity.
    pub reason: String,
    /// The text is a MIME entity.
    pub mime: bool,
    /// The From address that the script gave.
    pub from: Option<String>,
    /// What the text is remembered by.
    pub key: String,
    /// Seconds until the next reply to this sender.
    pub interval: u64,
    /// Message-ID of the message replied to.
    pub message_id: String,
    /// A mailbox here that keeps a copy (`:fcc`).
    pub filed: Option<Accepted>,
}

/// Sends a reply, unless its sender had one lately.
pub async fn send(server: &Arc<Server>, site: &Arc<Site>, reply: Reply) {
    let Some(memory) = server.memory.clone() else {
        return;
    };
    let key = format!(
        "vacation\0{}\0{}\0{}",
        reply.owner.to_lowercase(),
        reply.to.to_lowercase(),
        reply.key
    );
    let at = now();
    let until = at.saturating_add(i64::try_from(reply.interval).unwrap_or(i64::MAX / 2));
    // remembered first: a reply too few is better than one too many
    let remembered = tokio::task::spawn_blocking(move || memory.remember(&key, until, at)).await;
    match remembered {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => return,
        Ok(Err(error)) => {
            return crate::notice::send(&format!(
                "a vacation reply of {} is not sent: {error}",
                reply.owner
            ));
        }
        Err(_) => return,
    }
    let id = unique_id();
    let letter = Letter {
        from: String::new(),
        to: vec![reply.to.clone()],
        content: build(&reply, &id, site.host(), &Zoned::now()),
        message_id: format!("<{id}@{}>", site.host()),
        filed: reply.filed.map(Box::new),
        captured: false,
    };
    letter::send(server, site, letter).await;
}

/// The reply as a message.
fn build(reply: &Reply, id: &str, host: &str, at: &Zoned) -> Vec<u8> {
    let mut text = Text::default();
    text.field(
        "From",
        &format!("<{}>", reply.from.as_deref().map_or(reply.owner.as_str(), bare)),
    );
    text.field("To", &format!("<{}>", reply.to));
    text.field("Subject", &reply.subject);
    text.field("Date", &date(at));
    text.field("Message-ID", &format!("<{id}@{host}>"));
    if !reply.message_id.is_empty() {
        text.field("In-Reply-To", &reply.message_id);
        text.field("References", &reply.message_id);
    }
    text.field("Auto-Submitted", "auto-replied (vacation)");
    if !reply.mime {
        return text.plain(&reply.reason);
    }
    text.field("MIME-Version", "1.0");
    // the script's entity has its own Content fields; nothing else may come from it
    let reason = reply.reason.replace("\r\n", "\n");
    let (header, body) = reason.split_once("\n\n").unwrap_or(("", reason.as_str()));
    let mut keep = false;
    for line in header.split('\n') {
        let folded = line.starts_with([' ', '\t']);
        keep = if folded {
            keep
        } else {
            line.to_ascii_lowercase().starts_with("content-")
        };
        if keep {
            text.raw(&format!("{}\r\n", line.replace('\r', " ")));
        }
    }
    text.raw("\r\n");
    text.lines(body);
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_script_gets_into_other_fields() {
        let reply = Reply {
            owner: "alice@example.com".into(),
            to: "bob@example.com".into(),
            subject: "Away\r\nBcc: evil@example.com".into(),
            reason: "Content-Type: text/plain\nBcc: x@y.example\n folded\n\nGone.\nBack soon.".into(),
            mime: true,
            from: Some("Alice <a@example.com>".into()),
            key: "k".into(),
            interval: 60,
            message_id: "<1@x>".into(),
            filed: None,
        };
        let text = String::from_utf8(build(&reply, "ID", "mail.example.com", &Zoned::now())).unwrap();
        assert!(
            text.starts_with("From: <a@example.com>\r\nTo: <bob@example.com>\r\nSubject: Away  Bcc: evil"),
            "{text}"
        );
        assert!(!text.contains("\r\nBcc:") && !text.contains("folded"), "{text}");
        assert!(text.contains("\r\nAuto-Submitted: auto-replied"), "{text}");
        assert!(
            text.ends_with("Content-Type: text/plain\r\n\r\nGone.\r\nBack soon.\r\n"),
            "{text}"
        );
    }
}
