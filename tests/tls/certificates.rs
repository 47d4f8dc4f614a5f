//! Certificates: by name, renewed while people are connected, and made here.

use crate::support::poll_until;
use crate::support::server::{Options, Server};
use crate::support::tls::{Identity, client_config, client_config_verifying, connect};
use crate::{BOTH, NOISE, client, options};
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, SignatureScheme};
use std::process::Command;
use std::time::Duration;

/// What the server shows to who asks for a name.
fn shown(server: &Server, name: &str, trusted: &[&Identity]) -> Option<CertificateDer<'static>> {
    let config = client_config(trusted, &[], BOTH);
    let socket = connect(server.https(), name, &config).ok()?;
    socket.conn.peer_certificates().and_then(|chain| chain.first()).cloned().map(CertificateDer::into_owned)
}

#[test]
fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let (own, other) = (Identity::new(&["localhost"]), Identity::new(&["b.example", "*.c.example"]));
    let further = "certificates = [{ cert_file = \"DIR/b.pem\", key_file = \"DIR/b.key\" }]";
    let mut options = options(2, &own, further);
    options.files.push(("b.pem".into(), other.chain.clone()));
    options.files.push(("b.key".into(), other.key.clone()));
    let server = Server::start(&options);
    let both = [&own, &other];
    assert_eq!(shown(&server, "localhost", &both), Some(own.der.clone()));
    assert_eq!(shown(&server, "b.example", &both), Some(other.der.clone()));
    assert_eq!(shown(&server, "any.c.example", &both), Some(other.der.clone()));
    // Any other name is shown the first, which is not for it.
    assert_eq!(shown(&server, "d.example", &both), None);
}

/// RSA beside ECDSA for one name, either of them first: each client is shown one that it verifies, and the further one
/// if it verifies both.
#[test]
fn a_client_is_shown_a_certificate_that_it_can_verify() {
    let (ecdsa, rsa) = (Identity::new(&["localhost"]), Identity::rsa(&["localhost"]));
    let is_rsa = |scheme: SignatureScheme| format!("{scheme:?}").starts_with("RSA");
    for (own, further) in [(&ecdsa, &rsa), (&rsa, &ecdsa)] {
        let certificates = "certificates = [{ cert_file = \"DIR/b.pem\", key_file = \"DIR/b.key\" }]";
        let mut options = options(1, own, certificates);
        options.files.push(("b.pem".into(), further.chain.clone()));
        options.files.push(("b.key".into(), further.key.clone()));
        let server = Server::start(&options);
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let shown = |verifies: &dyn Fn(SignatureScheme) -> bool| {
                let config = client_config_verifying(&[&ecdsa, &rsa], &[version], verifies);
                let socket = connect(server.https(), "localhost", &config).expect("a handshake");
                socket.conn.peer_certificates().expect("a chain")[0].clone().into_owned()
            };
            assert_eq!(shown(&is_rsa), rsa.der, "{version:?}");
            assert_eq!(shown(&|scheme| !is_rsa(scheme)), ecdsa.der, "{version:?}");
            assert_eq!(shown(&|_| true), further.der, "{version:?}");
        }
    }
}

/// The client would have AES-256.
#[test]
fn the_server_chooses_the_cheapest_cipher_of_those_that_the_client_has() {
    let identity = Identity::new(&["localhost"]);
    let server = Server::start(&options(1, &identity, ""));
    for (version, cheapest) in [
        (&rustls::version::TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256),
        (&rustls::version::TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ] {
        let config = client_config(&[&identity], &[], &[version]);
        let first_wish = &config.crypto_provider().cipher_suites[0];
        assert_ne!(first_wish.suite(), cheapest);
        let socket = connect(server.https(), "localhost", &config).unwrap();
        assert_eq!(socket.conn.negotiated_cipher_suite().unwrap().suite(), cheapest);
    }
}

#[test]
fn certificates_are_renewed_and_nobody_is_disconnected() {
    let identities: Vec<Identity> = (0..3).map(|_| Identity::new(&["localhost"])).collect();
    let server = Server::start(&options(2, &identities[0], ""));
    let config = client_config(&[&identities[0]], &["http/1.1"], BOTH);
    let mut connected: Vec<_> = (0..8).map(|_| client(&server, &config)).collect();
    let trusted: Vec<&Identity> = identities.iter().collect();
    let renewed = |identity: &Identity| {
        let is_shown = || (shown(&server, "localhost", &trusted)? == identity.der).then_some(());
        poll_until(Duration::from_secs(10), is_shown).is_some()
    };
    // By the files alone.
    identities[1].write(server.directory(), "own");
    assert!(renewed(&identities[1]), "{}", server.log());
    // Bad ones change nothing, with one line each.
    std::fs::write(server.directory().join("own.key"), "no key").unwrap();
    let said = |words: &str| server.log().lines().filter(|line| line.contains(words)).count();
    assert!(poll_until(NOISE * 2, || (said("certificates stay as they are") == 1).then_some(())).is_some());
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(said("certificates stay as they are"), 1, "{}", server.log());
    assert!(renewed(&identities[1]), "the old one stays");
    // At once by a signal.
    identities[2].write(server.directory(), "own");
    crate::support::signal(server.process_id(), "HUP");
    assert!(renewed(&identities[2]), "{}", server.log());
    for client in &mut connected {
        assert_eq!(client.get("/health").unwrap().status, 200);
    }
}

#[test]
fn a_certificate_that_is_made_here_is_kept_and_can_be_trusted() {
    let config = "[server]\nstate_dir = \"DIR/state\"\n[https]\naddr = \"127.0.0.1:0\"\nself_signed = true\n\
                  self_signed_names = [\"video.lan\"]\n";
    let mut server = Server::start(&Options { config: Some(config.into()), ..Options::default() });
    let file = server.directory().join("state/self_signed.pem");
    assert!(server.stdout().contains(&file.display().to_string()), "{}", server.stdout());
    let kept = std::fs::read(&file).unwrap();
    server.restart();
    assert_eq!(std::fs::read(&file).unwrap(), kept);
    let port = server.https().port();
    for host in ["localhost", "127.0.0.1", "video.lan"] {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--cacert"])
            .arg(&file)
            .args(["--resolve", &format!("video.lan:{port}:127.0.0.1")])
            .arg(format!("https://{host}:{port}/health"))
            .output()
            .expect("runs curl");
        assert!(output.status.success(), "{host}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
