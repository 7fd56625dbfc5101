//! AUTH: an exchange of SASL, and the wait after a failure.

use super::Session;
use crate::login;
use crate::sasl::{self, Exchange, SaslError, Step};
use crate::smtp::protocol::Reply;

impl Session {
    pub(super) async fn auth(&mut self, mechanism: &str, initial: Option<String>) -> Reply {
        self.decider.say(|| format!("C: AUTH {mechanism} ..."));
        let decoded = initial
            .as_ref()
            .map(|word| sasl::encoding::decode_initial(word.as_bytes()));
        let initial = match decoded.transpose() {
            Ok(initial) => initial,
            Err(error) => return self.auth_failed(error).await,
        };
        let directory = self.server.directory.load_full();
        let (exchange, step) = Exchange::start(mechanism, initial.as_deref(), directory, &self.mechanisms());
        self.exchange = Some(exchange);
        self.auth_step(step).await
    }

    pub(super) async fn auth_response(&mut self, line: &str) -> Reply {
        let message = match sasl::encoding::decode_response(line.as_bytes()) {
            Ok(message) => message,
            Err(error) => return self.auth_failed(error).await,
        };
        let step = match &mut self.exchange {
            Some(exchange) => exchange.respond(&message),
            None => Step::Failure(SaslError::OutOfStep),
        };
        self.auth_step(step).await
    }

    async fn auth_step(&mut self, step: Step) -> Reply {
        let step = login::settle(&self.server, step).await;
        match step {
            Step::Challenge(octets) => Reply::challenge(sasl::encoding::encode(&octets)),
            Step::Success { uid, sender_address } => {
                let mechanism = self
                    .exchange
                    .take()
                    .and_then(|e| e.mechanism())
                    .map_or("", |m| m.name());
                login::succeeded(&self.server, self.peer.client.ip());
                self.decider.authenticated(uid.clone(), sender_address);
                self.configure_protocol();
                let tag = format!(
                    "Authentication successful - switched to channel {}",
                    self.decider.facts.channel
                );
                let reply = Reply::auth_ok(mechanism);
                self.log_authentication(&tag, &uid, &reply.summary());
                reply
            }
            Step::Failure(error) => self.auth_failed(error).await,
            Step::Verify(_) => self.auth_failed(SaslError::Temporary).await,
        }
    }

    async fn auth_failed(&mut self, error: SaslError) -> Reply {
        let exchange = self.exchange.take();
        let login = login::failed(&self.server, self.peer.client.ip(), exchange, error).await;
        let reply = Reply::from(error);
        self.log_authentication(error.log_tag(), &login, &reply.summary());
        reply
    }
}
