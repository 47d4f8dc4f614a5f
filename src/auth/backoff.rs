//! Makes those wait who present wrong credentials again and again.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeMap;

use crate::limits::{BACKOFF_ADDRESSES_MAX, BACKOFF_FIRST_US, BACKOFF_FREE_ATTEMPTS, BACKOFF_LONGEST_US};

/// Failed attempts by address; an IPv6 host is its /64, of which it owns every address.
///
/// Told the time in microseconds of a clock that never steps. Holds at most `BACKOFF_ADDRESSES_MAX`
/// addresses; past that the one that failed longest ago is forgotten.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: BTreeMap<IpAddr, Failures>,
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
        let failures = self.failures.get(&host(address))?;
        failures.until_us().checked_sub(now_us).filter(|&left_us| left_us > 0)
    }

    /// Notes a failed attempt.
    pub fn failed(&mut self, address: IpAddr, now_us: u64) {
        let host = host(address);
        let before = self.failures.get(&host).filter(|failures| !failures.is_forgotten(now_us));
        let count = before.map_or(0, |failures| failures.count).saturating_add(1);
        if before.is_none() && self.failures.len() >= BACKOFF_ADDRESSES_MAX {
            self.make_room();
        }
        self.failures.insert(host, Failures { count, newest_us: now_us });
        debug_assert!(self.failures.len() <= BACKOFF_ADDRESSES_MAX);
    }

    /// Forgets an address that presented the right credentials.
    pub fn succeeded(&mut self, address: IpAddr) {
        self.failures.remove(&host(address));
    }

    /// A walk over the full table: at most one for each failed attempt.
    fn make_room(&mut self) {
        let oldest = self.failures.iter().min_by_key(|(_, failures)| failures.newest_us);
        if let Some(&host) = oldest.map(|(host, _)| host) {
            self.failures.remove(&host);
        }
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
        let (mut backoff, guesser, mut now_us) = (Backoff::new(), address("192.0.2.1"), 7);
        let mut waits_s = vec![];
        for _ in 0..14 {
            assert_eq!(backoff.wait_us(guesser, now_us), None);
            backoff.failed(guesser, now_us);
            let wait_us = backoff.wait_us(guesser, now_us).unwrap_or(0);
            waits_s.push(wait_us / 1_000_000);
            now_us += wait_us;
        }
        assert_eq!(waits_s, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.wait_us(address("192.0.2.2"), now_us), None);

        backoff.succeeded(guesser);
        backoff.failed(guesser, now_us);
        assert_eq!(backoff.wait_us(guesser, now_us), None);
    }

    #[test]
    fn failures_are_forgotten_after_the_longest_wait() {
        let (mut backoff, guesser) = (Backoff::new(), address("192.0.2.1"));
        (0..10).for_each(|_| backoff.failed(guesser, 0));
        backoff.failed(guesser, BACKOFF_LONGEST_US + 1);
        assert_eq!(backoff.wait_us(guesser, BACKOFF_LONGEST_US + 1), None);
    }

    #[test]
    fn an_ipv6_host_is_its_network_and_a_mapped_one_is_ipv4() {
        let mut backoff = Backoff::new();
        for host in 1..=4 {
            backoff.failed(address(&format!("2001:db8::{host}")), 0);
            backoff.failed(address("::ffff:192.0.2.1"), 0);
        }
        assert!(backoff.wait_us(address("2001:db8::ffff"), 0).is_some());
        assert!(backoff.wait_us(address("2001:db8:0:1::1"), 0).is_none());
        assert!(backoff.wait_us(address("192.0.2.1"), 0).is_some());
    }

    #[test]
    fn a_full_table_forgets_the_oldest() {
        let mut backoff = Backoff::new();
        let nth = |n: usize| IpAddr::from((0x0a00_0000 + n as u32).to_be_bytes());
        for n in 0..BACKOFF_ADDRESSES_MAX + 10 {
            (0..4).for_each(|_| backoff.failed(nth(n), n as u64));
            assert!(backoff.failures.len() <= BACKOFF_ADDRESSES_MAX);
        }
        let now_us = BACKOFF_ADDRESSES_MAX as u64 + 10;
        assert_eq!(backoff.wait_us(nth(9), now_us), None);
        assert!(backoff.wait_us(nth(10), now_us).is_some());
    }
}
