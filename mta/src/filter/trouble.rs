//! Scripts of users that do not work: the owner is told by mail, once a day at most and over restarts.
//!
//! Nothing is told before the message is safely queued, and nothing where it cannot be remembered.

use std::sync::Arc;

use jiff::Zoned;
use policy::message::{HeaderView, Message};
use policy::site::Site;

use crate::letter::{self, Letter, Text};
use crate::server::{Server, now};
use crate::transaction::{date, unique_id};

/// Seconds until the owner is told again.
pub const AGAIN: i64 = 86_400;

/// Octets of the errors that are told; the rest is left out.
const ERRORS: usize = 16 * 1024;

/// What is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The owner's address.
    pub owner: String,
    /// It does not compile; else it stopped on a message.
    pub compiles: bool,
    /// What is wrong, with places.
    pub errors: String,
}

impl Trouble {
    /// A script does not compile.
    pub fn compiling(owner: &str, errors: &str) -> Self {
        Trouble {
            owner: owner.to_string(),
            compiles: false,
            errors: errors.to_string(),
        }
    }

    /// A script stopped on a message.
    pub fn running(owner: &str, fault: &str, message: &Message) -> Self {
        let header = HeaderView::message(message, None);
        let about = ["From", "Subject", "Date"].map(|name| {
            let value = header.values(name).first().map(|v| v.decoded());
            format!("{name}: {}\n", value.unwrap_or_default())
        });
        Trouble {
            owner: owner.to_string(),
            compiles: true,
            errors: format!("{fault}\n\nThe message:\n\n{}", about.concat()),
        }
    }
}

/// Tells the owner, unless that was done within a day.
pub async fn tell(server: &Arc<Server>, site: &Arc<Site>, trouble: Trouble) {
    let Some(memory) = server.memory.clone() else {
        return;
    };
    let key = format!("sieve trouble\0{}", trouble.owner.to_lowercase());
    let at = now();
    let remembered =
        tokio::task::spawn_blocking(move || memory.remember(&key, at.saturating_add(AGAIN), at)).await;
    match remembered {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) | Err(_) => return,
        Ok(Err(error)) => {
            return crate::notice::send(&format!(
                "{} is not told of an error in a script: {error}",
                trouble.owner
            ));
        }
    }
    letter::send(server, site, letter(&trouble, site, &Zoned::now())).await;
}

fn letter(trouble: &Trouble, site: &Site, at: &Zoned) -> Letter {
    let postmaster = format!("postmaster@{}", site.host());
    let postmaster = site.options.text("RETURN_ADDRESS", &postmaster);
    let id = format!("<{}@{}>", unique_id(), site.host());
    let mut text = Text::default();
    text.field("From", &format!("<{postmaster}>"));
    text.field("To", &format!("<{}>", trouble.owner));
    text.field("Subject", "Your mail filter has an error");
    text.field("Date", &date(at));
    text.field("Message-ID", &id);
    text.field("Auto-Submitted", "auto-generated");
    let what = match trouble.compiles {
        false => "Your Sieve script has errors, and is not used: mail for you is kept in your inbox.",
        true => "Your Sieve script stopped with an error on a message, which was kept in your inbox.",
    };
    let end = (0..=ERRORS.min(trouble.errors.len()))
        .rev()
        .find(|n| trouble.errors.is_char_boundary(*n));
    let errors = trouble.errors.get(..end.unwrap_or(0)).unwrap_or_default();
    let body = format!(
        "{what}\n\n{}\n\nThe script can be mended with a mail client that knows ManageSieve. For as long as the error \
         is there you are told of it\nonce a day at most.\n",
        errors.trim_end()
    );
    Letter {
        to: vec![trouble.owner.clone()],
        content: text.plain(&body),
        message_id: id,
        ..Letter::default()
    }
}
