//! The tables REVERSE and FORWARD of a transaction: the steps of [`policy`], with the evaluator's look-ups.
//!
//! The envelope From is reversed once, when it arrives: its destinations are not known then, so the
//! destination channel of its probe is empty. A table that comes to no verdict refuses for the time being.

use policy::forward::{Forwarded, Forwarding};
use policy::mapping::{FlagSet, MappingResult};
use policy::reverse::{Lookup, Reversal};

use super::Decider;
use super::refusal::no_verdict;
use crate::smtp::protocol::Reply;
use std::sync::Arc;

impl Decider {
    /// What an address is called after address reversal; `destination` is empty where it is not known.
    pub async fn reverse(
        &mut self,
        address: &str,
        envelope: bool,
        forward: bool,
        destination: &str,
    ) -> Result<String, Reply> {
        let site = Arc::clone(self.site());
        let source = self.facts.channel.clone();
        let reversal = Reversal {
            site: &site,
            address,
            source_channel: &source,
            destination_channel: destination,
            envelope,
            forward,
        };
        let begun = reversal.begin();
        let result = self.look_up(begun.lookup.as_ref()).await?;
        let new = begun.finish(&reversal, result.as_ref());
        if let Some(new) = &new {
            self.note(|| format!("reversal: {address} is {new}"));
        }
        Ok(new.unwrap_or_else(|| address.to_string()))
    }

    async fn look_up(&mut self, lookup: Option<&Lookup>) -> Result<Option<MappingResult>, Reply> {
        let Some(lookup) = lookup else { return Ok(None) };
        let mapped = self
            .evaluator
            .map(lookup.table, &lookup.probe, lookup.flags)
            .await;
        self.drain();
        mapped.map_err(|_| no_verdict())
    }

    /// What becomes of an envelope To after alias expansion.
    pub(super) async fn forward(&mut self, address: &str, flags: FlagSet) -> Result<Forwarded, Reply> {
        let site = Arc::clone(self.site());
        let source = self.facts.channel.clone();
        let envelope = self.transaction.as_ref().map(|t| &t.envelope);
        let from = envelope.map(|e| e.from.clone()).unwrap_or_default();
        let tags = envelope.map(|e| e.tags.clone()).unwrap_or_default();
        let forwarding = Forwarding {
            site: &site,
            address,
            source_channel: &source,
            from: &from,
            flags,
            tags: &tags,
        };
        let result = self.look_up(forwarding.begin().as_ref()).await?;
        let done = forwarding.finish(result.as_ref());
        if !done.addresses.is_empty() {
            self.note(|| {
                let kept = if done.keep { ", kept beside it" } else { "" };
                format!(
                    "forward: {address} is sent to {}{kept}",
                    done.addresses.join(", ")
                )
            });
        }
        if done.hold {
            self.note(|| format!("forward: the message is held for {address}"));
        }
        Ok(done)
    }
}
