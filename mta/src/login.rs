//! Logins, as sessions of SMTP and of ManageSieve share them: whom the layer protects, the check of a password away
//! from the async threads, and the wait after a failure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use crate::sasl::{Exchange, MAX_DELAY, SaslError, Step};
use crate::server::Server;
use crate::transaction::Decider;

/// Whether a client may send its password in clear text: nobody can listen between 127.0.0.1 or ::1 and this
/// machine. INTERNAL_IP must agree: a proxy on this machine may speak for strangers.
pub async fn is_own_machine(decider: &mut Decider, client: IpAddr) -> bool {
    let client = client.to_canonical();
    let local = client == Ipv4Addr::LOCALHOST || client == Ipv6Addr::LOCALHOST;
    local && decider.is_internal(client).await
}

/// A step with its password check, if any, made in a thread of its own.
pub async fn settle(server: &Server, step: Step) -> Step {
    let Step::Verify(verification) = step else {
        return step;
    };
    let Ok(_permit) = server.verifications.acquire().await else {
        return Step::Failure(SaslError::Temporary);
    };
    let run = tokio::task::spawn_blocking(move || verification.run()).await;
    run.unwrap_or(Step::Failure(SaslError::Temporary))
}

/// A client has proved who it is.
pub fn succeeded(server: &Server, client: IpAddr) {
    if let Ok(mut failures) = server.failures.lock() {
        failures.succeeded(client);
    }
}

/// A login failed: who guesses waits for the answer. Gives the name that was tried, as far as it is known.
pub async fn failed(server: &Server, client: IpAddr, exchange: Option<Exchange>, error: SaslError) -> String {
    let login = exchange.and_then(|e| e.login().map(str::to_string));
    let login = login.unwrap_or_default();
    if !error.is_bad_guess() {
        return login;
    }
    let delay = match server.failures.lock() {
        Ok(mut failures) => failures.failed(client, Instant::now()),
        Err(_) => MAX_DELAY,
    };
    tokio::time::sleep(delay).await;
    login
}
