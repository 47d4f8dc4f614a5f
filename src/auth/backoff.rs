//! Makes those wait who present wrong credentials again and again.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::{BACKOFF_ADDRESSES_MAX, BACKOFF_FIRST_US, BACKOFF_FREE_ATTEMPTS, BACKOFF_LONGEST_US};

/// Failed attempts by address; an IPv6 host is its /64, of which it owns every address.
///
/// One for the process: with one a shard, as many shards would listen to as many times the attempts. As long as
/// nobody has failed, nobody takes its lock. Told the time in microseconds of a clock that never steps. Holds at
/// most `BACKOFF_ADDRESSES_MAX` addresses; past that the one that failed longest ago is forgotten.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<BTreeMap<IpAddr, Failures>>,
    /// Somebody has failed. A shard that does not see it yet listens to one attempt more.
    has_failures: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    newest_us: u64,
}

impl Failures {
    /// When the next attempt is listened to.
    fn until_us(self) -> u64 {
        let Some(doublings) = self.count.checked_sub(BACKOFF_FREE_ATTEMPTS + 1) else {
            return self.newest_us;
        };
        let wait_us = BACKOFF_FIRST_US.saturating_mul(1u64.checked_shl(doublings).unwrap_or(u64::MAX));
        self.newest_us.saturating_add(wait_us.min(BACKOFF_LONGEST_US))
    }

    /// How long that is from now; `None` when it is over.
    fn wait_us(self, now_us: u64) -> Option<u64> {
        self.until_us().checked_sub(now_us).filter(|&left_us| left_us > 0)
    }

    fn is_forgotten(self, now_us: u64) -> bool {
        now_us.saturating_sub(self.newest_us) > BACKOFF_LONGEST_US
    }
}

impl Backoff {
    /// Nobody has failed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Microseconds that this address must still wait; `None` when it may try.
    pub fn wait_us(&self, address: IpAddr, now_us: u64) -> Option<u64> {
        if !self.has_failures.load(Ordering::Relaxed) {
            return None;
        }
        self.failures().get(&host(address))?.wait_us(now_us)
    }

    /// Notes a failed attempt.
    ///
    /// # Errors
    /// The microseconds that this address must still wait: it was not listened to, and counts for nothing.
    pub fn failed(&self, address: IpAddr, now_us: u64) -> Result<(), u64> {
        let host = host(address);
        let mut failures = self.failures();
        let before = failures.get(&host).filter(|failures| !failures.is_forgotten(now_us)).copied();
        if let Some(wait_us) = before.and_then(|failures| failures.wait_us(now_us)) {
            return Err(wait_us);
        }
        if before.is_none() && failures.len() >= BACKOFF_ADDRESSES_MAX {
            make_room(&mut failures);
        }
        let count = before.map_or(0, |failures| failures.count).saturating_add(1);
        failures.insert(host, Failures { count, newest_us: now_us });
        debug_assert!(failures.len() <= BACKOFF_ADDRESSES_MAX);
        self.has_failures.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets an address that presented the right credentials.
    pub fn succeeded(&self, address: IpAddr) {
        if !self.has_failures.load(Ordering::Relaxed) {
            return;
        }
        let mut failures = self.failures();
        failures.remove(&host(address));
        self.has_failures.store(!failures.is_empty(), Ordering::Relaxed);
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A walk over the full table: at most one for each failed attempt.
fn make_room(failures: &mut BTreeMap<IpAddr, Failures>) {
    let oldest = failures.iter().min_by_key(|(_, failures)| failures.newest_us);
    if let Some(&host) = oldest.map(|(host, _)| host) {
        failures.remove(&host);
    }
}

/// The host that an address is of: an IPv6 host owns its whole /64, and a mapped address is IPv4.
pub fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn waits_double_after_the_free_attempts_and_end_at_the_longest() {
        let (backoff, guesser, mut now_us) = (Backoff::new(), address("192.0.2.1"), 7);
        let mut waits_s = vec![];
        for _ in 0..14 {
            assert_eq!(backoff.wait_us(guesser, now_us), None);
            backoff.failed(guesser, now_us).unwrap();
            let wait_us = backoff.wait_us(guesser, now_us).unwrap_or(0);
            waits_s.push(wait_us / 1_000_000);
            now_us += wait_us;
        }
        assert_eq!(waits_s, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.wait_us(address("192.0.2.2"), now_us), None);

        backoff.succeeded(guesser);
        backoff.failed(guesser, now_us).unwrap();
        assert_eq!(backoff.wait_us(guesser, now_us), None);
    }

    #[test]
    fn an_attempt_during_the_wait_is_not_listened_to_and_counts_for_nothing() {
        let (backoff, guesser) = (Backoff::new(), address("192.0.2.1"));
        (0..4).for_each(|_| backoff.failed(guesser, 0).unwrap());
        assert_eq!(backoff.failed(guesser, 400_000), Err(600_000));
        assert_eq!(backoff.wait_us(guesser, 1_000_000), None);
    }

    #[test]
    fn however_many_shards_listen_an_address_has_the_attempts_of_one() {
        let (backoff, guesser) = (Backoff::new(), address("192.0.2.1"));
        let listened: usize = std::thread::scope(|scope| {
            let attempts = || (0..100).filter(|_| backoff.failed(guesser, 0).is_ok()).count();
            let shards: Vec<_> = (0..4).map(|_| scope.spawn(attempts)).collect();
            shards.into_iter().map(|shard| shard.join().unwrap()).sum()
        });
        assert_eq!(listened, BACKOFF_FREE_ATTEMPTS as usize + 1);
        backoff.succeeded(guesser);
        assert!(!backoff.has_failures.load(Ordering::Relaxed));
    }

    #[test]
    fn failures_are_forgotten_after_the_longest_wait() {
        let (backoff, guesser) = (Backoff::new(), address("192.0.2.1"));
        (0..4).for_each(|_| backoff.failed(guesser, 0).unwrap());
        backoff.failed(guesser, BACKOFF_LONGEST_US + 1).unwrap();
        assert_eq!(backoff.wait_us(guesser, BACKOFF_LONGEST_US + 1), None);
    }

    #[test]
    fn an_ipv6_host_is_its_network_and_a_mapped_one_is_ipv4() {
        let backoff = Backoff::new();
        for host in 1..=4 {
            backoff.failed(address(&format!("2001:db8::{host}")), 0).unwrap();
            backoff.failed(address("::ffff:192.0.2.1"), 0).unwrap();
        }
        assert!(backoff.wait_us(address("2001:db8::ffff"), 0).is_some());
        assert!(backoff.wait_us(address("2001:db8:0:1::1"), 0).is_none());
        assert!(backoff.wait_us(address("192.0.2.1"), 0).is_some());
    }

    #[test]
    fn a_full_table_forgets_the_oldest() {
        let backoff = Backoff::new();
        let nth = |n: usize| IpAddr::from((0x0a00_0000 + n as u32).to_be_bytes());
        for n in 0..BACKOFF_ADDRESSES_MAX + 10 {
            (0..4).for_each(|_| backoff.failed(nth(n), n as u64).unwrap());
            assert!(backoff.failures().len() <= BACKOFF_ADDRESSES_MAX);
        }
        let now_us = BACKOFF_ADDRESSES_MAX as u64 + 10;
        assert_eq!(backoff.wait_us(nth(9), now_us), None);
        assert!(backoff.wait_us(nth(10), now_us).is_some());
    }
}
