//! Which certificate a client is shown, and the TLS settings that all shards share.
//!
//! The settings live as long as the process: a reload swaps the certificates behind them, so tickets and
//! sessions given out before stay good, on whichever shard their client comes back to.

use std::sync::{Arc, PoisonError, RwLock};

pub use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, version};

use crate::control::Pem;
use crate::limits::TLS_SESSIONS_KEPT_MAX;

/// What ALPN calls HTTP/2.
pub const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP11: &[u8] = b"http/1.1";

/// Why certificates are not put in force.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The chain is no PEM, or holds none.
    #[error("{name}: no certificate in PEM: {reason}")]
    Chain {
        /// Which.
        name: String,
        /// In the words of the library.
        reason: String,
    },
    /// The key is no PEM, or holds none.
    #[error("{name}: no private key in PEM: {reason}")]
    Key {
        /// Which.
        name: String,
        /// In the words of the library.
        reason: String,
    },
    /// They do not go together, or are of a kind that is not known.
    #[error("{name} with {key_name}: {reason}")]
    Pair {
        /// The chain.
        name: String,
        /// The key.
        key_name: String,
        /// In the words of the library.
        reason: String,
    },
    /// There is none.
    #[error("no certificate is set")]
    Nothing,
    /// The host gives no random bytes, or the like.
    #[error("TLS does not start: {0}")]
    Start(rustls::Error),
}

/// The certificates in force.
#[derive(Debug)]
pub struct Certificates {
    /// Never empty; the first is for every name that no other has.
    current: RwLock<Vec<Arc<CertifiedKey>>>,
}

/// How TLS is spoken with these certificates, by what is under it. Tickets of one are good for both.
#[derive(Debug, Clone)]
pub struct ServerConfigs {
    /// HTTP, its version by ALPN.
    pub https: Arc<ServerConfig>,
    /// RTMP, for which there is no name in ALPN.
    pub rtmps: Arc<ServerConfig>,
}

impl Certificates {
    /// Judges certificates and puts them in force.
    ///
    /// # Errors
    /// [`TlsError`] for the first that does not do.
    pub fn new(pems: &[Pem]) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self { current: RwLock::new(certified(pems)?) }))
    }

    /// Judges certificates and puts them in force in place of those there are; all of them or none.
    ///
    /// # Errors
    /// [`TlsError`] for the first that does not do.
    pub fn replace(&self, pems: &[Pem]) -> Result<(), TlsError> {
        let fresh = certified(pems)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// TLS 1.2 and 1.3 with these certificates, for every shard.
    ///
    /// # Errors
    /// [`TlsError::Start`].
    pub fn server_configs(self: &Arc<Self>, http2: bool) -> Result<ServerConfigs, TlsError> {
        let mut provider = ring::default_provider();
        // Cheapest first, for us and for every client with AES in its processor: sorted stably, TLS 1.3 stays ahead.
        provider.cipher_suites.sort_by_key(|suite| cost_rank(suite.suite()));
        let builder = ServerConfig::builder_with_provider(Arc::new(provider));
        let mut config = builder
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(TlsError::Start)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.ignore_client_order = true;
        config.ticketer = ring::Ticketer::new().map_err(TlsError::Start)?;
        config.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS_KEPT_MAX);
        let rtmps = Arc::new(config.clone());
        let http2 = http2.then_some(ALPN_HTTP2).into_iter();
        config.alpn_protocols = http2.chain([ALPN_HTTP11]).map(<[u8]>::to_vec).collect();
        Ok(ServerConfigs { https: Arc::new(config), rtmps })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let (first, further) = current.split_first()?;
        let is_named =
            |certificate: &&Arc<CertifiedKey>| name.as_ref().is_some_and(|name| is_for(certificate, name));
        // It may verify RSA, or ECDSA, or both.
        let is_verified = |certificate: &&Arc<CertifiedKey>| {
            certificate.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let shown = further.iter().chain([first]).filter(is_named).find(is_verified);
        Some(Arc::clone(shown.or_else(|| further.iter().find(is_named)).unwrap_or(first)))
    }
}

fn cost_rank(suite: CipherSuite) -> u8 {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS13_AES_256_GCM_SHA384 | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 1,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 2,
        _ => 3,
    }
}

fn is_for(certificate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certificate.cert.first().map(ParsedCertificate::try_from);
    matches!(parsed, Some(Ok(parsed)) if rustls::client::verify_server_name(&parsed, name).is_ok())
}

fn certified(pems: &[Pem]) -> Result<Vec<Arc<CertifiedKey>>, TlsError> {
    if pems.is_empty() {
        return Err(TlsError::Nothing);
    }
    pems.iter().map(|pem| one(pem).map(Arc::new)).collect()
}

fn one(pem: &Pem) -> Result<CertifiedKey, TlsError> {
    let no_chain = |reason: String| TlsError::Chain { name: pem.name.clone(), reason };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.chain.as_bytes()).collect();
    let chain = chain.map_err(|error| no_chain(error.to_string()))?;
    if chain.is_empty() {
        return Err(no_chain("the file has no BEGIN CERTIFICATE".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(pem.key.as_bytes())
        .map_err(|error| TlsError::Key { name: pem.key_name.clone(), reason: error.to_string() })?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| TlsError::Pair {
        name: pem.name.clone(),
        key_name: pem.key_name.clone(),
        reason: error.to_string(),
    })
}
