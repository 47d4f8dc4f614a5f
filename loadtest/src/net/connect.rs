//! TCP and TLS connections: names resolved once, certificates judged as the user asked.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::receive;
use crate::address::Peer;

/// For TCP and TLS together.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Receive buffer of a slow viewer: what it does not read soon weighs on the server.
const SLOW_RECEIVE_BYTES: u32 = 16 * 1024;

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The name is unknown.
    #[error("{host} is not found: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// In the words of the system.
        reason: String,
    },
    /// Nobody accepts.
    #[error("{peer} is not reached: {reason}")]
    Tcp {
        /// Whom.
        peer: String,
        /// In the words of the system.
        reason: String,
    },
    /// This host can open no more connections.
    #[error("{peer} is not reached: this host has no descriptor or port left ({reason})")]
    Own {
        /// Whom.
        peer: String,
        /// In the words of the system.
        reason: String,
    },
    /// TLS fails.
    #[error("TLS with {peer} fails: {reason}")]
    Tls {
        /// Whom.
        peer: String,
        /// In the words of the library.
        reason: String,
    },
    /// The certificate is not one to trust.
    #[error(
        "the certificate of {peer} is not trusted ({reason}): give its authority by --ca FILE, or --insecure"
    )]
    Certificate {
        /// Whom.
        peer: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It takes too long.
    #[error("{peer} does not answer within {} s", CONNECT_WITHIN.as_secs())]
    Timeout {
        /// Whom.
        peer: String,
    },
    /// Certificate authorities that cannot be read.
    #[error("{path}: {reason}")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// HTTP/2 was asked for, and not agreed to.
    #[error("{peer} does not speak HTTP/2: {reason}")]
    Http2 {
        /// Whom.
        peer: String,
        /// What came instead.
        reason: String,
    },
}

/// Whom to trust over TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Certificates in PEM that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Trust anyone.
    pub insecure: bool,
}

/// How to reach a peer.
#[derive(Debug)]
pub struct Connect {
    tls: Option<Arc<ClientConfig>>,
    /// Slow viewers have a small receive buffer.
    is_slow: bool,
    resolved: Mutex<HashMap<(String, u16), Vec<SocketAddr>>>,
}

impl Connect {
    /// Plain TCP only.
    pub fn plain() -> Self {
        Self { tls: None, is_slow: false, resolved: Mutex::default() }
    }

    /// TCP, and TLS that offers these protocols by ALPN.
    ///
    /// # Errors
    /// [`ConnectError::Authorities`].
    pub fn with_tls(trust: &Trust, protocols: &[&str]) -> Result<Self, ConnectError> {
        let mut config = if trust.insecure {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            ClientConfig::builder()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(TrustAnyone(provider)))
                .with_no_client_auth()
        } else {
            ClientConfig::builder().with_root_certificates(roots(trust)?).with_no_client_auth()
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Ok(Self { tls: Some(Arc::new(config)), ..Self::plain() })
    }

    /// The same for viewers that read slowly.
    pub fn slow(mut self) -> Self {
        self.is_slow = true;
        self
    }

    /// A connection to a peer.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open(&self, peer: &Peer) -> Result<Stream, ConnectError> {
        match tokio::time::timeout(CONNECT_WITHIN, self.open_unbounded(peer)).await {
            Ok(opened) => opened,
            Err(_) => Err(ConnectError::Timeout { peer: peer.to_string() }),
        }
    }

    async fn open_unbounded(&self, peer: &Peer) -> Result<Stream, ConnectError> {
        let tcp_error = |error: io::Error| {
            let (peer, reason) = (peer.to_string(), error.to_string());
            match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::EADDRNOTAVAIL) => ConnectError::Own { peer, reason },
                _ => ConnectError::Tcp { peer, reason },
            }
        };
        let mut failed = None;
        let mut connected = None;
        for address in self.resolve(peer).await? {
            match self.open_tcp(address).await {
                Ok(stream) => {
                    connected = Some(stream);
                    break;
                }
                Err(error) => failed = Some(error),
            }
        }
        let stream = match (connected, failed) {
            (Some(stream), _) => stream,
            (None, Some(error)) => return Err(tcp_error(error)),
            (None, None) => {
                let reason = "it has no address".to_owned();
                return Err(ConnectError::Resolve { host: peer.host.clone(), reason });
            }
        };
        stream.set_nodelay(true).map_err(tcp_error)?;
        if !peer.tls {
            receive::ask_for_times(&stream);
            return Ok(Stream::Plain(stream));
        }
        let tls_error = |reason: String| ConnectError::Tls { peer: peer.to_string(), reason };
        let Some(config) = &self.tls else {
            return Err(tls_error("this connection was to be plain".to_owned()));
        };
        let name = ServerName::try_from(peer.host.clone()).map_err(|error| tls_error(error.to_string()))?;
        match TlsConnector::from(Arc::clone(config)).connect(name, stream).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(error) => match certificate_error(&error) {
                Some(reason) => Err(ConnectError::Certificate { peer: peer.to_string(), reason }),
                None => Err(tls_error(error.to_string())),
            },
        }
    }

    async fn open_tcp(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if self.is_slow {
            socket.set_recv_buffer_size(SLOW_RECEIVE_BYTES)?;
        }
        socket.connect(address).await
    }

    /// Addresses of a name, asked for once.
    async fn resolve(&self, peer: &Peer) -> Result<Vec<SocketAddr>, ConnectError> {
        let key = (peer.host.clone(), peer.port);
        let known = self.resolved.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = tokio::net::lookup_host((peer.host.as_str(), peer.port)).await;
        let found: Vec<SocketAddr> = found
            .map_err(|error| ConnectError::Resolve { host: peer.host.clone(), reason: error.to_string() })?
            .collect();
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
        Ok(found)
    }
}

fn roots(trust: &Trust) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    // A host without a store, or with certificates that do not parse, still has those of the file.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &trust.ca_file {
        add_authorities(&mut roots, path)?;
    }
    Ok(roots)
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), ConnectError> {
    let error = |reason: String| ConnectError::Authorities { path: path.display().to_string(), reason };
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|found| error(found.to_string()))?.collect();
    let certificates = certificates.map_err(|found| error(found.to_string()))?;
    if certificates.is_empty() {
        return Err(error("it holds no certificate in PEM".to_owned()));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|found| error(found.to_string()))?;
    }
    Ok(())
}

/// What is wrong with a certificate, if that is what an error is about.
fn certificate_error(error: &io::Error) -> Option<String> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    matches!(tls, rustls::Error::InvalidCertificate(_)).then(|| tls.to_string())
}

/// For `--insecure`: signatures must be right, whoever made them.
#[derive(Debug)]
struct TrustAnyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection's bytes.
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// Under TLS; boxed, since it is a hundred times the size.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// What ALPN agreed on.
    pub fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
