//! TLS: certificates on disk, handshakes in memory.

#[path = "support/folder.rs"]
mod folder;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use folder::{Folder, mode};
use mta::tls::{self, TlsError, TlsWarning};

impl Folder {
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// The real time, which rustls compares certificates with.
fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn self_signed_certificates_are_renewed_in_time() {
    let folder = Folder::new();
    let hosts = names(&["mx.example.com", "192.0.2.1"]);
    let (files, made) = tls::ensure_self_signed(&hosts, &folder.0, NOW).unwrap();
    assert!(made);
    assert_eq!(mode(&files.key), 0o600);
    let (pair, warnings) = tls::load(&files.certificate, &files.key, NOW).unwrap();
    assert_eq!(warnings, []);
    let validity = tls::validity(&pair.chain[0]).unwrap();
    assert!((823..=825).contains(&validity.days_left(NOW)), "{validity:?}");
    let more = names(&["mx.example.com", "mail.example.com"]);
    let long = names(&[&format!("{}.example.com", ["a"; 60].join("."))]);
    for (name, hosts, now, want) in [
        ("the same day", &hosts, NOW, false),
        ("790 days on", &hosts, NOW + 790 * DAY, false),
        ("less than 30 days left", &hosts, NOW + 796 * DAY, true),
        ("just made", &hosts, NOW + 796 * DAY, false),
        ("another name", &more, NOW + 796 * DAY, true),
        ("a long name", &long, NOW, true),
        ("the long name again", &long, NOW, false),
    ] {
        assert_eq!(
            tls::ensure_self_signed(hosts, &folder.0, now).unwrap().1,
            want,
            "{name}"
        );
    }
    fs::write(&files.key, "damaged").unwrap();
    assert!(
        tls::ensure_self_signed(&long, &folder.0, NOW).unwrap().1,
        "a damaged key"
    );
    assert_eq!(mode(&files.key), 0o600);
}

#[test]
fn files_that_do_not_serve_are_named() {
    let (folder, other) = (Folder::new(), Folder::new());
    let files = tls::self_signed(&names(&["a.example.com"]), &folder.0, NOW).unwrap();
    let foreign = tls::self_signed(&names(&["b.example.com"]), &other.0, NOW).unwrap();
    let error = |certificate: &Path, key: &Path| match tls::load(certificate, key, NOW) {
        Ok((pair, _)) => tls::server_config(pair).map(drop).unwrap_err(),
        Err(error) => error,
    };
    let empty = folder.file("empty.pem", "");
    let torn = folder.file("torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA");
    let junk = folder.file(
        "junk.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = folder.file("locked.pem", locked);
    let huge = folder.file("huge.pem", &" ".repeat(tls::MAX_PEM as usize + 1));
    let absent = folder.0.join("absent.pem");
    let (certificate, key) = (files.certificate.as_path(), files.key.as_path());
    for (name, got, path) in [
        ("no file", error(&absent, key), &absent),
        ("no key file", error(certificate, &absent), &absent),
        ("no certificate", error(&empty, key), &empty),
        ("a key for a certificate", error(key, key), &files.key),
        (
            "a certificate for a key",
            error(certificate, certificate),
            &files.certificate,
        ),
        ("cut off", error(&torn, key), &torn),
        ("passphrase", error(certificate, &locked), &locked),
        ("no certificate inside", error(&junk, key), &junk),
        ("too large", error(&huge, key), &huge),
        ("another's key", error(certificate, &foreign.key), &foreign.key),
    ] {
        let text = got.to_string();
        assert!(text.contains(&path.display().to_string()), "{name}: {text}");
    }
    assert!(matches!(
        error(certificate, &empty),
        TlsError::Missing {
            what: "private key",
            ..
        }
    ));
    assert!(matches!(
        error(certificate, &locked),
        TlsError::EncryptedKey { .. }
    ));
    assert!(matches!(
        error(certificate, &foreign.key),
        TlsError::Unusable { .. }
    ));

    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = |now| tls::load(certificate, key, now).unwrap().1;
    assert!(matches!(
        warnings(NOW)[..],
        [TlsWarning::KeyOpenToOthers { mode: 0o644, .. }]
    ));
    fs::set_permissions(key, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(warnings(NOW), [], "a group may read it");
    assert!(matches!(
        warnings(NOW + 815 * DAY)[..],
        [TlsWarning::ExpiresSoon { .. }]
    ));
    assert!(matches!(
        warnings(NOW + 900 * DAY)[..],
        [TlsWarning::Expired { .. }]
    ));
    assert!(matches!(
        warnings(NOW - 3 * DAY)[..],
        [TlsWarning::NotYetValid { .. }]
    ));
    let both = fs::read_to_string(certificate).unwrap() + &fs::read_to_string(key).unwrap();
    let both = folder.file("both.pem", &both);
    assert!(tls::load(&both, &both, NOW).is_ok(), "one file for both");
}

/// What both sides say of a session, or why the client refused it.
type Session = Result<(Option<String>, Option<String>), String>;

/// A handshake in memory, with a line from the server to the client.
async fn handshake(
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
    name: &str,
) -> Session {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (near, far) = tokio::io::duplex(16 * 1024);
    let accept = tokio_rustls::TlsAcceptor::from(server).accept(far);
    let name = rustls::pki_types::ServerName::try_from(name.to_string()).unwrap();
    let connect = tokio_rustls::TlsConnector::from(client).connect(name, near);
    let serve = async {
        let mut stream = accept.await.map_err(|e| e.to_string())?;
        stream.write_all(b"250 ok\r\n").await.map_err(|e| e.to_string())?;
        stream.shutdown().await.map_err(|e| e.to_string())?;
        Ok::<_, String>(tls::describe(stream.get_ref().1))
    };
    let ask = async {
        let mut stream = connect.await.map_err(|e| e.to_string())?;
        let mut text = String::new();
        stream
            .read_to_string(&mut text)
            .await
            .map_err(|e| e.to_string())?;
        assert_eq!(text, "250 ok\r\n");
        Ok::<_, String>(tls::describe(stream.get_ref().1))
    };
    let (serve, ask) = tokio::join!(serve, ask);
    // The client's reason first: the server only sees its alert.
    let ask = ask?;
    Ok((serve?, ask))
}

#[tokio::test]
async fn handshakes() {
    let folder = Folder::new();
    let files = tls::self_signed(&names(&["mx.example.com"]), &folder.0, now()).unwrap();
    let server = || tls::server_config(tls::load(&files.certificate, &files.key, now()).unwrap().0).unwrap();
    let suite = Some("TLS-256-TLS_AES_256_GCM_SHA384".to_string());
    let agreed: Session = Ok((suite.clone(), suite));

    let any = tls::opportunistic_client().unwrap();
    for name in ["mx.example.com", "other.example.org"] {
        assert_eq!(
            handshake(server(), any.clone(), name).await,
            agreed,
            "opportunistic, {name}"
        );
    }
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(
            tls::load(&files.certificate, &files.key, now())
                .unwrap()
                .0
                .chain
                .remove(0),
        )
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let twelve = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (seen, _) = handshake(server(), Arc::new(twelve), "mx.example.com")
        .await
        .unwrap();
    assert_eq!(
        seen.as_deref(),
        Some("TLS-256-TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        "TLS 1.2"
    );
    assert!(server().alpn_protocols.is_empty() && server().ticketer.enabled());
}
