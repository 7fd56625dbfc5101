//! The certificate that a server shows: a site's own, changed without a restart.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mta::server::now;
use mta::tls::{self, SelfSigned};
use tests::{Client, Server, Site};

/// A new certificate and its key, made some days ago, in a folder of their own; and the certificate in DER.
fn made(folder: &Path, days_ago: i64) -> (SelfSigned, Vec<u8>) {
    std::fs::create_dir_all(folder).expect("a folder");
    let names = ["mail.example.com".to_string()];
    let files = tls::self_signed(&names, folder, now() - days_ago * 86_400).expect("a certificate");
    let (pair, _) = tls::load(&files.certificate, &files.key, now()).expect("it can be read");
    (files, pair.chain[0].to_vec())
}

fn shown(server: &Server) -> Vec<u8> {
    let mut client = server.outside();
    client.hello();
    client.start_tls();
    client.certificate().expect("TLS")
}

#[test]
fn a_certificate_of_the_site_is_shown_from_the_next_reload_on() {
    let site = Site::new();
    let server = Server::start(&site);
    let first = shown(&server);
    let mut open = Client::connect_tls(server.submissions(), "127.0.0.1");
    let folder = site.root().join("tls");
    let copy = |from: &Path, to: &str| std::fs::copy(from, folder.join(to)).expect("a copy");

    let (own, own_der) = made(&site.root().join("made"), 0);
    copy(&own.certificate, "Server-Cert.pem");
    copy(&own.key, "Server-Cert.key");
    assert_eq!(shown(&server), first, "nothing changes before a reload");
    site.imsimta(["reload"]).expect(0);
    assert_eq!(shown(&server), own_der);
    let submission = Client::connect_tls(server.submissions(), "127.0.0.1");
    assert_eq!(submission.certificate(), Some(own_der.clone()));
    open.hello();

    // a key of another certificate; nor does anything else come in force
    let (other, other_der) = made(&site.root().join("other"), 0);
    copy(&other.key, "Server-Cert.key");
    site.append("aliases", "\nnobody.yet@example.com: alice@example.com\n");
    let refused = site.imsimta(["reload"]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("cannot be used together"), "{refused:?}");
    assert!(
        refused
            .err
            .contains("the certificate and the configuration in force stay"),
        "{refused:?}"
    );
    assert_eq!(shown(&server), own_der);
    let mut client = server.outside();
    client.hello();
    client.say("MAIL FROM:<x@one.example>").expect(250);
    client.say("RCPT TO:<nobody.yet@example.com>").expect(550);

    // one that has expired
    let (old, _) = made(&site.root().join("old"), 900);
    copy(&old.certificate, "Server-Cert.pem");
    copy(&old.key, "Server-Cert.key");
    let refused = site.imsimta(["reload"]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("expired 75 day(s) ago"), "{refused:?}");
    assert_eq!(shown(&server), own_der);

    // named by its path, with the key in the same file, which others can read
    let both = format!(
        "{}{}",
        std::fs::read_to_string(&other.certificate).expect("a certificate"),
        std::fs::read_to_string(&other.key).expect("a key")
    );
    std::fs::write(folder.join("both"), both).expect("a file");
    std::fs::set_permissions(folder.join("both"), std::fs::Permissions::from_mode(0o644)).expect("a file");
    site.append("msg.conf", "\nsluice.tls.certificate = tls/both\n");
    let said = site.imsimta(["reload"]).expect(0);
    assert!(
        said.contains("warning: other users of this machine have access"),
        "{said}"
    );
    assert_eq!(shown(&server), other_der);
    client.say("RCPT TO:<nobody.yet@example.com>").expect(550);
    client.say("RSET").expect(250);
    client.say("MAIL FROM:<x@one.example>").expect(250);
    client.say("RCPT TO:<nobody.yet@example.com>").expect(250);

    // a nickname of the product whose files are not there yet
    site.replace(
        "msg.conf",
        "sluice.tls.certificate = tls/both",
        "local.imta.sslnicknames = mail-2026",
    );
    let said = site.imsimta(["reload"]).expect(0);
    assert!(
        said.contains("warning: msg.conf names the certificate mail-2026"),
        "{said}"
    );
    assert_eq!(shown(&server), first);
    copy(&own.certificate, "mail-2026.pem");
    copy(&own.key, "mail-2026.key");
    site.imsimta(["reload"]).expect(0);
    assert_eq!(shown(&server), own_der);
}

#[test]
fn a_server_does_not_start_with_a_certificate_that_it_cannot_use() {
    let site = Site::new();
    site.append(
        "msg.conf",
        "\nsluice.tls.certificate = /nowhere/fullchain.pem\nsluice.tls.key = /nowhere/key.pem\n",
    );
    let root = site.root().to_string_lossy().into_owned();
    let ran = site.sluice(["up", "--dir", &root]);
    assert_ne!(ran.code, 0);
    let said = "cannot read the certificate file /nowhere/fullchain.pem";
    assert!(ran.err.contains(said), "{ran:?}");
}
