//! Who may go on with a session by a token that has expired meanwhile: whoever started it, until ENDLIST.
//!
//! The accepting shard has checked signature and stream; only the stream's home knows the session.

use std::net::IpAddr;

use super::Service;
use crate::auth::{Permit, TokenDigest, TokenError};
use crate::media::{Now, StreamName};
use crate::metrics::RefusedBecause;

/// A session that a crash cut short, of the process or of the stream's core. There was no ENDLIST, and its
/// publisher is waited for as after a lost connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interrupted {
    /// What it was started with.
    token: TokenDigest,
    /// It is over then, monotonic microseconds.
    until_us: u64,
}

impl Service {
    /// May one with this permit publish here now? A refusal counts against its address.
    ///
    /// # Errors
    /// The reason, and its text for the publisher and the log.
    pub fn check_permit(
        &self,
        permit: Permit,
        name: &StreamName,
        address: IpAddr,
        now: Now,
    ) -> Result<(), (RefusedBecause, String)> {
        let Permit::Expired { token, ago_s } = permit else { return Ok(()) };
        let backoff = &self.setup.backoff;
        if self.is_resumed_by(name, token, now) {
            backoff.succeeded(address);
            return Ok(());
        }
        match backoff.failed(address, now.monotonic_us) {
            Err(wait_us) => Err((RefusedBecause::Backoff, wait_text(wait_us))),
            Ok(()) => Err((RefusedBecause::Credentials, TokenError::Expired { ago_s }.to_string())),
        }
    }

    fn is_resumed_by(&self, name: &StreamName, token: TokenDigest, now: Now) -> bool {
        if let Some(stream) = self.streams.find(name.as_str())
            && let Some(here) = stream.home()
            && here.borrow().home.live().is_some()
        {
            return here.borrow().home.is_resumed_by(token);
        }
        let interrupted = self.interrupted.borrow();
        let session = interrupted.get(name.as_str());
        session.is_some_and(|session| session.token == token && now.monotonic_us < session.until_us)
    }

    /// A stream has lost its session to a crash; its record tells which.
    pub(super) fn interrupt(&self, name: &str) {
        let Some(token) = self.records.borrow().get(name).and_then(|record| record.token) else { return };
        let grace_us = u64::from(self.config().ingest.reconnect_grace_s) * 1_000_000;
        let until_us = self.shard.now().monotonic_us + grace_us;
        // Each has a record, and records are bounded.
        self.interrupted.borrow_mut().insert(name.into(), Interrupted { token, until_us });
    }

    /// The process before this one ended without ending its sessions.
    pub(super) fn interrupt_all(&self) {
        let names: Vec<Box<str>> = self.records.borrow().keys().cloned().collect();
        names.iter().for_each(|name| self.interrupt(name));
    }
}

/// What an address is told that has to wait.
pub fn wait_text(wait_us: u64) -> String {
    format!("too many failed attempts, wait {} s", wait_us / 1_000_000 + 1)
}
