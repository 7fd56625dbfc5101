//! The SMTP channels: find the host, use one connection for the entries of a host queue.

use std::sync::Arc;
use std::time::Duration;

use policy::address::Address;
use policy::channel::{Channel, MxUse as Mx, Need};
use policy::site::Site;
use store::envelope::Recipient;
use store::spool::Entry;

use super::guard::PolicyGuard;
use super::outcome::Verdict;
use crate::dns::route::{MxUse, Rules};
use crate::dsn::Kind;
use crate::journal::Connection as Said;
use crate::log::record::{Action, Direction};
use crate::server::Server;
use crate::smtp::client::reach::{Destination, reach};
use crate::smtp::client::{Again, ClientOptions, Connection, Hello, Outgoing, RecipientOutcome, Tls};

/// Messages sent over one connection (ATTEMPT_TRANSACTIONS_PER_SESSION).
const TRANSACTIONS: u32 = 500;

/// The connection of a job.
#[derive(Default)]
pub struct Sender {
    connection: Option<Connection>,
    /// Channel and asked-for host of the connection, for its log entries.
    said: Option<(Arc<Server>, String, String)>,
}

impl Sender {
    /// Sends an entry to its pending recipients; one verdict each, in their order.
    pub async fn deliver(
        &mut self,
        server: &Arc<Server>,
        site: &Arc<Site>,
        entry: &Arc<Entry>,
        content: &[u8],
        pending: &[usize],
    ) -> Vec<Verdict> {
        let Some(channel) = site.channel(&entry.channel) else {
            return Vec::new();
        };
        let mut recipients: Vec<Recipient> = pending
            .iter()
            .filter_map(|&n| entry.recipients.get(n).cloned())
            .collect();
        if channel.settings.remove_route {
            for recipient in &mut recipients {
                if let Ok(mut address) = Address::parse(&recipient.address) {
                    address.route.clear();
                    recipient.address = address.to_string();
                }
            }
        }
        // a connection that had been idle may be gone: then a second one is tried
        for round in 0..2 {
            if let Err(failure) = self.connect(server, site, channel, entry).await {
                return recipients.iter().map(|_| failure.clone()).collect();
            }
            let Some(connection) = &mut self.connection else {
                break;
            };
            let outgoing = Outgoing::new(&entry.envelope, &recipients);
            let outcome = connection.send(&outgoing, content).await;
            let host = connection.target().host.clone();
            let verdicts = outcome
                .recipients
                .iter()
                .map(|r| match r {
                    RecipientOutcome::Delivered { reply } => Verdict::Delivered {
                        diagnostic: connection.log_diagnostic(reply, false, false),
                        remote: host.clone(),
                        report: (!outcome.dsn_passed_on).then_some(Kind::Relayed),
                        esmtp: true,
                    },
                    RecipientOutcome::Failed(failure) => Verdict::Failed(failure.clone()),
                    RecipientOutcome::Deferred(failure) => Verdict::Deferred(failure.clone()),
                })
                .collect();
            if !connection.is_usable() || connection.transactions() >= TRANSACTIONS {
                self.close().await;
            }
            if outcome.again == Again::No || round > 0 {
                return verdicts;
            }
            self.close().await;
        }
        recipients
            .iter()
            .map(|_| Verdict::deferred("4.4.2", "the connection was lost".into()))
            .collect()
    }

    async fn connect(
        &mut self,
        server: &Arc<Server>,
        site: &Arc<Site>,
        channel: &Channel,
        entry: &Arc<Entry>,
    ) -> Result<(), Verdict> {
        if self.connection.as_ref().is_some_and(Connection::is_usable) {
            return Ok(());
        }
        self.close().await;
        let settings = &channel.settings;
        let port = settings.port.unwrap_or(25);
        let mx = match settings.mx {
            _ if settings.daemon.is_some() => MxUse::None,
            Mx::Mx => MxUse::Received,
            Mx::Random => MxUse::Random(entry.id.0),
            Mx::NoMx => MxUse::None,
            Mx::Default => MxUse::default_for(port, entry.id.0),
        };
        let own = vec![site.host().to_string()];
        let rules = Rules { mx, own_names: &own };
        let tls = match settings.tls_client {
            Need::No => Tls::None,
            Need::May => Tls::May(Arc::clone(&server.client_tls)),
            Need::Must => Tls::Must(Arc::clone(&server.client_tls)),
        };
        let options = Arc::new(ClientOptions {
            helo: site.host().to_string(),
            hello: if settings.no_ehlo {
                Hello::Helo
            } else {
                Hello::Special
            },
            tls,
            bind: settings.interface.as_ref().and_then(|a| a.parse().ok()),
            ..ClientOptions::default()
        });
        let destination = Destination {
            name: &entry.host,
            port,
            last_resort: None,
        };
        let resolver = server
            .resolver(settings.nameservers.as_deref())
            .map_err(|error| Verdict::deferred("4.4.3", error.to_string()))?;
        let mut guard = PolicyGuard::new(server, site, &channel.name, entry.id.0);
        match reach(&destination, &rules, &*resolver, &options, &mut guard).await {
            Ok(connection) => {
                let application = format!("SMTP/{}/{}", entry.host, connection.target().host);
                server.journal.connection(
                    Action::Opened,
                    &channel.name,
                    Direction::Outbound,
                    &Said {
                        transport: connection.transport(),
                        application: &application,
                        ..Said::default()
                    },
                );
                self.said = Some((Arc::clone(server), channel.name.clone(), application));
                self.connection = Some(connection);
                Ok(())
            }
            Err(unreached) => {
                let application = format!("SMTP/{}", entry.host);
                server.journal.connection(
                    Action::AttemptFailed,
                    &channel.name,
                    Direction::Outbound,
                    &Said {
                        transport: &unreached.failure.transport,
                        application: &application,
                        diagnostic: unreached
                            .refused
                            .as_deref()
                            .unwrap_or(&unreached.failure.diagnostic),
                        ..Said::default()
                    },
                );
                Err(match (unreached.refused, unreached.permanent) {
                    (Some(reason), _) => Verdict::Refused {
                        failure: unreached.failure,
                        reason,
                    },
                    (None, true) => Verdict::Failed(unreached.failure),
                    (None, false) => Verdict::Unreachable(unreached.failure),
                })
            }
        }
    }

    /// Ends the connection politely.
    pub async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            if let Some((server, channel, application)) = self.said.take() {
                server.journal.connection(
                    Action::Closed,
                    &channel,
                    Direction::Outbound,
                    &Said {
                        transport: connection.transport(),
                        application: &application,
                        ..Said::default()
                    },
                );
            }
            // a peer that does not answer QUIT holds nobody up
            let _ = tokio::time::timeout(Duration::from_secs(5), connection.quit()).await;
        }
    }
}
