//! Every refusal leaves its entry in the log, in the words that log watchers look for.

use tests::{Client, Server, Site, base64};

/// A site that logs connections and logins too.
fn site() -> Site {
    let site = Site::new();
    site.replace("option.dat", "LOG_CONNECTION=3", "LOG_CONNECTION=131");
    site
}

#[test]
fn a_wrong_password_is_logged_as_such() {
    let site = site();
    let server = Server::start(&site);
    let mut client = Client::connect_tls(server.submissions(), "127.0.0.2");
    client.hello();
    client.login("alice", "wrong").expect(535);
    let tail = "Bad password alice 535 5.7.8 Bad username or password (Authentication failed).";
    let line = site.log_line(&["tcp_submit ", " U TCP|127.0.0.1|", tail]);
    assert!(line.ends_with(tail), "{line}");
    // what is no guess is not blamed on the client
    client.say("AUTH PLAIN ====").expect(501);
    site.log_line(&["tcp_submit ", " U ", "Authentication failed ", "501 5.5.2"]);

    let mut client = Client::connect(server.managesieve(), "127.0.0.1").expect("a connection");
    while !client.next_line().expect("the greeting").starts_with("OK") {}
    let secret = base64("\0bob\0wrong");
    client
        .send(format!("AUTHENTICATE \"PLAIN\" \"{secret}\"\r\n"))
        .expect("it is taken");
    assert!(client.next_line().expect("a reply").starts_with("NO"));
    site.log_line(&[
        "managesieve ",
        " U TCP|127.0.0.1|",
        "Bad password bob NO wrong user",
    ]);
}
