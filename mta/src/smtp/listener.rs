//! The dispatcher: sockets to sessions, within the limits of each service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use policy::site::Service;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::session::{Peer, serve};
use crate::managesieve;
use crate::server::{Server, StartError};

/// Connections that the kernel keeps for us.
const BACKLOG: u32 = 1024;

/// How long sessions may go on when the server stops.
const GRACE: Duration = Duration::from_secs(20);

/// Opens all sockets of all services, or none.
pub async fn listen(
    server: &Arc<Server>,
    tasks: &mut Vec<JoinHandle<()>>,
) -> Result<Vec<(String, bool, SocketAddr)>, StartError> {
    let services = server.configuration.load().site.services.clone();
    let mut opened = Vec::new();
    for service in services {
        let limit = Arc::new(Semaphore::new(service.max_sessions.min(Semaphore::MAX_PERMITS)));
        for address in interfaces(&service)? {
            let ports = service
                .ports
                .iter()
                .map(|p| (*p, false))
                .chain(service.tls_ports.iter().map(|p| (*p, true)));
            for (port, tls) in ports {
                let socket = SocketAddr::new(address, port);
                let error = |error| StartError::Listen {
                    address: socket.to_string(),
                    error,
                };
                let listener = bind(socket).map_err(error)?;
                let bound = listener.local_addr().map_err(error)?;
                opened.push((service.clone(), tls, bound, listener, Arc::clone(&limit)));
            }
        }
    }
    let mut listening = Vec::new();
    let mut text = String::new();
    for (service, tls, bound, listener, limit) in opened {
        text.push_str(&format!(
            "{} {} {bound}\n",
            service.name,
            if tls { "tls" } else { "plain" }
        ));
        listening.push((service.name.clone(), tls, bound));
        tasks.push(tokio::spawn(accept(
            Arc::clone(server),
            service,
            listener,
            tls,
            limit,
        )));
    }
    let path = server.layout.listening();
    std::fs::write(&path, text).map_err(|error| StartError::Io {
        path: path.display().to_string(),
        error,
    })?;
    Ok(listening)
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // a server that was killed must be able to start again at once
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn interfaces(service: &Service) -> Result<Vec<IpAddr>, StartError> {
    if service.interfaces.is_empty() {
        return Ok(vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)]);
    }
    let parse = |a: &String| a.parse().map_err(|_| StartError::Address { address: a.clone() });
    service.interfaces.iter().map(parse).collect()
}

async fn accept(
    server: Arc<Server>,
    service: Service,
    listener: TcpListener,
    tls: bool,
    limit: Arc<Semaphore>,
) {
    let mut stopping = server.stopping.subscribe();
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|s| *s) => break,
        };
        while sessions.try_join_next().is_some() {}
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // out of descriptors, or the client is gone already: neither ends the service
                crate::complain!("service {}: {error}", service.name);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&limit).try_acquire_owned() else {
            server.counters.full.fetch_add(1, Ordering::Relaxed);
            sessions.spawn(refuse(stream, service.is_manage_sieve()));
            continue;
        };
        let Ok(local) = stream.local_addr() else { continue };
        server.counters.sessions.fetch_add(1, Ordering::Relaxed);
        let peer = Peer {
            server: local,
            client,
            channel: service.channel.clone(),
        };
        let server = Arc::clone(&server);
        let manage_sieve = service.is_manage_sieve();
        sessions.spawn(async move {
            if manage_sieve {
                managesieve::session::serve(server, stream, peer, tls).await;
            } else {
                serve(server, stream, peer, tls).await;
            }
            drop(permit);
        });
    }
    drop(listener);
    let all = async { while sessions.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, all).await;
}

/// The service is full: the client is told so at once.
async fn refuse(mut stream: TcpStream, manage_sieve: bool) {
    let text: &[u8] = if manage_sieve {
        b"BYE (TRYLATER) \"too many connections, try again later\"\r\n"
    } else {
        b"421 4.3.2 too many connections, try again later\r\n"
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.write_all(text)).await;
}
