//! Certificates that are in force, and the look at their files.

use std::time::{Duration, Instant};

use super::certificates::Stamp;
use super::{CertificateError, CertificateSource, Pem};
use crate::limits::CERTIFICATE_LOOK_EVERY_MS;

/// Puts certificates in force for new connections, or says why not.
pub type Install = Box<dyn FnMut(&[Pem]) -> Result<(), String> + Send>;

/// What is in force, and since which state of the files.
pub(super) struct Watched {
    source: CertificateSource,
    install: Install,
    /// The files as they were when they were last read, good or bad; empty when they could not be read.
    read: Vec<Option<Stamp>>,
    /// The files at the last look.
    seen: Vec<Option<Stamp>>,
    next_look: Instant,
    /// What was wrong at the last look, so that it is said once.
    wrong: Option<String>,
}

impl Watched {
    pub(super) fn new(source: CertificateSource, install: Install) -> Self {
        let read = source.stamps();
        Self { source, install, seen: read.clone(), read, next_look: Instant::now(), wrong: None }
    }

    /// Reads files that have changed and then been left alone from one look to the next: a chain and its
    /// key are two files, and neither may be half written.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        if now < self.next_look {
            return;
        }
        self.next_look = now + Duration::from_millis(CERTIFICATE_LOOK_EVERY_MS);
        let stamps = self.source.stamps();
        let rests = stamps == self.seen;
        self.seen = stamps;
        if rests && self.seen != self.read {
            self.install();
        }
    }

    /// Reads them now, whatever they are.
    pub(super) fn reread(&mut self, source: &CertificateSource) {
        self.source = source.clone();
        self.seen = self.source.stamps();
        self.install();
    }

    fn install(&mut self) {
        // Before reading: a change while it is read is seen at the next look.
        self.read.clone_from(&self.seen);
        let pems = self.source.read();
        if matches!(pems, Err(CertificateError::Read { .. })) {
            // It may be for want of a descriptor: the next look tries again.
            self.read.clear();
        }
        let wrong = pems.map_err(|error| error.to_string()).and_then(|pems| (self.install)(&pems)).err();
        match &wrong {
            None => tracing::info!("certificates were read again; new connections have them"),
            Some(error) if wrong != self.wrong => tracing::error!("certificates stay as they are: {error}"),
            Some(_) => {}
        }
        self.wrong = wrong;
    }
}
