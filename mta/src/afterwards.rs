//! What scripts want done once their message is safely queued: vacation replies and other mail, site counters, and what
//! `duplicate` remembers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use policy::site::Site;

use crate::filter::{Filtered, trouble};
use crate::letter;
use crate::server::{Server, now};
use crate::vacation;

/// Does it. Nothing of it keeps the message from being delivered: what fails is complained of.
pub async fn follow_up(server: &Arc<Server>, site: &Arc<Site>, filtered: Filtered) {
    for reply in filtered.replies {
        vacation::send(server, site, reply).await;
    }
    for (counter, change) in filtered.counted {
        let counter = usize::try_from(counter).ok().and_then(|n| n.checked_sub(1));
        if let Some(counter) = counter.and_then(|n| server.counters.site.get(n)) {
            counter.fetch_add(change, Ordering::Relaxed);
        }
    }
    for trouble in filtered.troubles {
        trouble::tell(server, site, trouble).await;
    }
    for letter in filtered.letters {
        letter::send(server, site, letter).await;
    }
    let memory = server.memory.clone().filter(|_| !filtered.remember.is_empty());
    let Some(memory) = memory else { return };
    let at = now();
    let done = tokio::task::spawn_blocking(move || {
        filtered.remember.iter().try_for_each(|(key, seconds)| {
            let until = at.saturating_add(i64::try_from(*seconds).unwrap_or(i64::MAX / 2));
            memory.renew(key, until, at)
        })
    })
    .await;
    if let Ok(Err(error)) = done {
        crate::complain!("{error}");
    }
}
