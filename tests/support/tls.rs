//! Certificates made for a test, and a client of rustls's own buffered kind.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SignatureScheme, StreamOwned, SupportedProtocolVersion,
};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub type TlsSocket = StreamOwned<ClientConnection, TcpStream>;

/// A self-signed certificate and its key.
pub struct Identity {
    pub chain: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Identity {
    pub fn new(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("makes a certificate");
        Self { chain: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
    }

    /// With an RSA key, which is of no use but for tests.
    pub fn rsa(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/rsa.key"));
        let pair = rcgen::KeyPair::from_pem(key).expect("a key");
        let made = rcgen::CertificateParams::new(names).expect("names").self_signed(&pair);
        let made = made.expect("makes a certificate");
        Self { chain: made.pem(), key: key.to_owned(), der: made.der().clone() }
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, directory: &Path, name: &str) {
        std::fs::write(directory.join(format!("{name}.pem")), &self.chain).expect("writes a certificate");
        std::fs::write(directory.join(format!("{name}.key")), &self.key).expect("writes a key");
    }
}

/// How a client shakes hands; one that is used again resumes.
pub fn client_config(
    trusted: &[&Identity],
    protocols: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    client_config_trusting(trusted.iter().map(|identity| identity.der.clone()), protocols, versions)
}

/// As [`client_config`], for who has only the certificates.
pub fn client_config_trusting(
    trusted: impl IntoIterator<Item = CertificateDer<'static>>,
    protocols: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate).expect("a certificate to trust");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// As [`client_config`], for who verifies signatures of some kinds only.
pub fn client_config_verifying(
    trusted: &[&Identity],
    versions: &[&'static SupportedProtocolVersion],
    verifies: impl Fn(SignatureScheme) -> bool,
) -> Arc<ClientConfig> {
    let mut provider = rustls::crypto::ring::default_provider();
    let algorithms = &mut provider.signature_verification_algorithms;
    let mapping = algorithms.mapping.iter().filter(|(scheme, _)| verifies(*scheme)).copied();
    // For as long as the test.
    algorithms.mapping = mapping.collect::<Vec<_>>().leak();
    let mut roots = RootCertStore::empty();
    for identity in trusted {
        roots.add(identity.der.clone()).expect("a certificate to trust");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(versions).expect("versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A connection whose handshake is complete.
pub fn connect(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<TlsSocket> {
    connect_over(TcpStream::connect(address)?, name, config)
}

/// The same over a TCP connection that is there.
pub fn connect_over(socket: TcpStream, name: &str, config: &Arc<ClientConfig>) -> io::Result<TlsSocket> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}
