//! AUTH: an exchange of SASL, and the wait after a failure.

use std::time::{Duration, Instant};

use super::Session;
use crate::sasl::{self, Exchange, Step};
use crate::smtp::protocol::Reply;

impl Session {
    pub(super) async fn auth(&mut self, mechanism: &str, initial: Option<String>) -> Reply {
        self.decider.say(|| format!("C: AUTH {mechanism} ..."));
        let policy = sasl::Policy::for_layer(self.tls || self.peer.client.ip().is_loopback());
        let decoded = initial
            .as_ref()
            .map(|word| sasl::encoding::decode_initial(word.as_bytes()));
        let initial = match decoded.transpose() {
            Ok(initial) => initial,
            Err(error) => return self.auth_failed(error).await,
        };
        let directory = self.server.directory.load_full();
        let (exchange, step) = Exchange::start(mechanism, initial.as_deref(), directory, &policy);
        self.exchange = Some(exchange);
        self.auth_step(step).await
    }

    pub(super) async fn auth_response(&mut self, line: &str) -> Reply {
        let message = match sasl::encoding::decode_response(line.as_bytes()) {
            Ok(message) => message,
            Err(error) => return self.auth_failed(error).await,
        };
        let Some(exchange) = &mut self.exchange else {
            return Reply::auth_failed();
        };
        let step = exchange.respond(&message);
        self.auth_step(step).await
    }

    async fn auth_step(&mut self, step: Step) -> Reply {
        let step = match step {
            Step::Verify(verification) => {
                let Ok(_permit) = self.server.verifications.acquire().await else {
                    return Reply::local_trouble();
                };
                match tokio::task::spawn_blocking(move || verification.run()).await {
                    Ok(step) => step,
                    Err(_) => return Reply::local_trouble(),
                }
            }
            step => step,
        };
        match step {
            Step::Challenge(octets) => Reply::challenge(sasl::encoding::encode(&octets)),
            Step::Success { uid, sender_address } => {
                let mechanism = self
                    .exchange
                    .take()
                    .and_then(|e| e.mechanism())
                    .map_or("", |m| m.name());
                if let Ok(mut failures) = self.server.failures.lock() {
                    failures.succeeded(self.peer.client.ip());
                }
                self.decider.authenticated(uid.clone(), sender_address);
                self.configure_protocol();
                let tag = format!(
                    "Authentication successful - switched to channel {}",
                    self.decider.facts.channel
                );
                self.log_authentication(&tag, &uid, "235 2.7.0");
                Reply::auth_ok(mechanism)
            }
            Step::Failure(error) => self.auth_failed(error).await,
            Step::Verify(_) => Reply::local_trouble(),
        }
    }

    async fn auth_failed(&mut self, error: sasl::SaslError) -> Reply {
        let login = self
            .exchange
            .take()
            .and_then(|e| e.login().map(str::to_string))
            .unwrap_or_default();
        let (code, status, text) = error.reply();
        let status: Vec<u16> = status.split('.').filter_map(|n| n.parse().ok()).collect();
        let reply = match status[..] {
            [class, subject, detail] => Reply::new(code, (class as u8, subject, detail), text),
            _ => Reply::auth_failed(),
        };
        if error.is_bad_guess() {
            let client = self.peer.client.ip();
            let delay = match self.server.failures.lock() {
                Ok(mut failures) => failures.failed(client, Instant::now()),
                Err(_) => Duration::from_secs(10),
            };
            tokio::time::sleep(delay).await;
        }
        self.log_authentication(error.log_tag(), &login, &reply.summary());
        reply
    }
}
