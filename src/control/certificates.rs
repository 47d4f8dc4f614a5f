//! Certificates and keys on disk: read with a bound, looked at again for changes, and the one that is made
//! here for trying TLS out. What they hold is for the shards to judge; here they are text.

use std::fs;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, date_time_ymd};

use super::{StateDir, StateError};
use crate::config::Https;
use crate::limits::{CERTIFICATE_FILE_BYTES_MAX, SELF_SIGNED_DAYS, SELF_SIGNED_RENEWED_DAYS};
use crate::media::civil_date;

/// A certificate chain and its private key in PEM, and what messages call them.
#[derive(Clone)]
pub struct Pem {
    /// Where the chain came from.
    pub name: String,
    /// The chain, the server's own certificate first.
    pub chain: String,
    /// Where the key came from.
    pub key_name: String,
    /// The key.
    pub key: String,
}

/// What is wrong with a certificate on disk.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no certificate, whatever else it is.
    #[error("{}: larger than {CERTIFICATE_FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// None could be made.
    #[error("no certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The one that was made cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The certificates of one configuration.
#[derive(Debug, Clone)]
pub struct CertificateSource {
    files: Vec<(PathBuf, PathBuf)>,
    self_signed: Option<SelfSigned>,
}

/// The certificate that is made here: kept in the state directory, or as long as the process lives.
#[derive(Debug, Clone)]
struct SelfSigned {
    names: Vec<String>,
    state: Option<StateDir>,
}

impl CertificateSource {
    /// What the settings ask for; `state` is where a certificate that is made here is kept.
    pub fn new(https: &Https, state: Option<&StateDir>) -> Self {
        let files = https.files().into_iter();
        let self_signed = https
            .self_signed
            .then(|| SelfSigned { names: own_names(&https.self_signed_names), state: state.cloned() });
        Self {
            files: files.map(|files| (files.cert_file.into(), files.key_file.into())).collect(),
            self_signed,
        }
    }

    /// Reads all of them, the one for every name first.
    ///
    /// # Errors
    /// [`CertificateError`] for the first that cannot be had.
    pub fn read(&self) -> Result<Vec<Pem>, CertificateError> {
        self.read_all(true)
    }

    /// As [`Self::read`], without keeping what is made on the way.
    ///
    /// # Errors
    /// [`CertificateError`] for the first that cannot be had.
    pub fn look(&self) -> Result<Vec<Pem>, CertificateError> {
        self.read_all(false)
    }

    fn read_all(&self, keep: bool) -> Result<Vec<Pem>, CertificateError> {
        let made = self.self_signed.as_ref().map(|made| made.read(SystemTime::now(), keep)).into_iter();
        let read = self.files.iter().map(|(chain, key)| {
            Ok(Pem {
                name: chain.display().to_string(),
                chain: read(chain)?,
                key_name: key.display().to_string(),
                key: read(key)?,
            })
        });
        made.chain(read).collect()
    }

    /// What tells a changed file from the one that was read.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        self.files.iter().flat_map(|(chain, key)| [stamp(chain), stamp(key)]).collect()
    }
}

/// Identity, size and times of a file.
pub(super) type Stamp = (u64, u64, i64, i64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()))
}

fn read(path: &Path) -> Result<String, CertificateError> {
    let error = |source| CertificateError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(error)?;
    file.take(CERTIFICATE_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(error)?;
    if text.len() as u64 > CERTIFICATE_FILE_BYTES_MAX {
        return Err(CertificateError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

impl SelfSigned {
    fn read(&self, now: SystemTime, keep: bool) -> Result<Pem, CertificateError> {
        let Some(state) = &self.state else { return self.make(now) };
        let (chain_path, key_path) = (state.self_signed_chain(), state.self_signed_key());
        let made = fs::metadata(&chain_path).and_then(|file| file.modified());
        let age = made.ok().and_then(|made| now.duration_since(made).ok());
        if age.is_some_and(|age| age < Duration::from_secs(SELF_SIGNED_RENEWED_DAYS * 86_400)) {
            let kept = Pem {
                name: chain_path.display().to_string(),
                chain: read(&chain_path)?,
                key_name: key_path.display().to_string(),
                key: read(&key_path)?,
            };
            // Text before the first PEM block is a comment; ours says what the certificate is for.
            if kept.chain.lines().next() == Some(&self.title()) {
                return Ok(kept);
            }
        }
        let fresh = self.make(now)?;
        if !keep {
            return Ok(fresh);
        }
        // The key first: a chain without its key is found to be old at the next start, not the reverse.
        state.replace(&key_path, fresh.key.as_bytes())?;
        state.replace(&chain_path, fresh.chain.as_bytes())?;
        let (name, key_name) = (chain_path.display().to_string(), key_path.display().to_string());
        Ok(Pem { name, key_name, ..fresh })
    }

    fn title(&self) -> String {
        format!("RapidRTMP made this for {}", self.names.join(", "))
    }

    fn make(&self, now: SystemTime) -> Result<Pem, CertificateError> {
        let mut parameters = CertificateParams::new(self.names.clone())?;
        // Yesterday, for clocks that are behind; and Apple's systems trust none that lasts over 825 days.
        let today = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        let ((year, month, day), (last_year, last_month, last_day)) =
            (civil_date(today.saturating_sub(1)), civil_date(today + SELF_SIGNED_DAYS));
        // A month and a day fit a byte, and years do so for a few billion more.
        parameters.not_before = date_time_ymd(year as i32, month as u8, day as u8);
        parameters.not_after = date_time_ymd(last_year as i32, last_month as u8, last_day as u8);
        parameters.distinguished_name.push(DnType::CommonName, "RapidRTMP (self-signed)");
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let chain = parameters.self_signed(&key)?.pem();
        Ok(Pem {
            name: "the self-signed certificate".to_owned(),
            chain: format!("{}\n{chain}", self.title()),
            key_name: "its key".to_owned(),
            key: key.serialize_pem(),
        })
    }
}

/// This host's own names, and those that were asked for.
fn own_names(asked: &[String]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let further = [host.trim()].into_iter().chain(asked.iter().map(String::as_str));
    for name in further.filter(|name| is_name(name)) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'*');
    name.parse::<IpAddr>().is_ok() || !name.is_empty() && name.bytes().all(plain)
}
