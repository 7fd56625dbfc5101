//! The server's protocol machine, with a session that agrees to everything.

use mta::smtp::protocol::{Event, Features, Limits, Reply, Request, Server};

/// A connection fed in pieces; what was said must not depend on where it is cut.
pub fn command(octets: &[u8]) {
    let whole = converse(octets, usize::MAX);
    if let Some(whole) = whole {
        for piece in [1, 7] {
            assert_eq!(Some(&whole), converse(octets, piece).as_ref(), "cut into {piece}");
        }
    }
}

/// All that the server sent; nothing where TLS begins, after which input in between is dropped.
fn converse(octets: &[u8], piece: usize) -> Option<Vec<u8>> {
    let mut server = Server::new(Limits::default(), Features::default());
    server.greet(Reply::new(220, None, "mail.example.net ready"));
    let mut output = Vec::new();
    for part in std::iter::once(&octets[..0]).chain(octets.chunks(piece)) {
        if server.wants_input() {
            server.input(part);
        }
        loop {
            match server.poll() {
                Event::NeedInput | Event::NeedAnswer | Event::Close(_) => break,
                Event::StartTls => return None,
                Event::Request(request) => server.answer(match request {
                    Request::Hello { name, .. } => Reply::new(250, None, format!("mail.example.net {name}")),
                    Request::Data { .. } => Reply::start_mail(),
                    Request::Message(counts) => Reply::new(250, (2, 5, 0), format!("{counts:?}")),
                    _ => Reply::ok(),
                }),
                Event::Flush | Event::Body(_) | Event::Notice(_) => {
                    output.extend_from_slice(&server.take_output());
                }
            }
        }
        output.extend_from_slice(&server.take_output());
    }
    Some(output)
}
