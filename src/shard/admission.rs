//! Who may connect: connections in all and by address, so that one peer cannot take every place. An IPv6 host owns all
//! addresses of its /64, so that is its address here.
//!
//! The bounds are the operator's, so they hold for the process and not for each shard; they are touched when
//! a connection comes and when it goes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::host;

/// Connections of one kind of port.
#[derive(Debug, Default)]
pub struct Gate {
    all: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// The gates of the process.
#[derive(Debug, Default)]
pub struct Connections {
    /// RTMP connections.
    pub rtmp: Arc<Gate>,
    /// HTTP connections.
    pub http: Arc<Gate>,
}

/// Why a connection was closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many in all.
    Full,
    /// Too many from this address.
    Address,
}

/// One place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    /// `None` when the connection does not count for its address, or no longer.
    address: Option<IpAddr>,
}

impl Gate {
    /// A place for a connection from `address`. Without `address_max` nobody counts addresses.
    ///
    /// # Errors
    /// [`Refused::Address`] when `address_max` places are taken, else [`Refused::Full`] when `all_max` are: who
    /// makes room for a connection makes it for one that will be let in.
    pub fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        all_max: usize,
        address_max: Option<usize>,
    ) -> Result<Place, Refused> {
        // From here on a return gives the place back.
        let mut place = Place { gate: Arc::clone(self), address: None };
        let taken_in_all = self.all.fetch_add(1, Ordering::Relaxed);
        if let Some(address_max) = address_max {
            let address = host(address);
            let mut by_address = self.addresses();
            let taken = by_address.entry(address).or_insert(0);
            if *taken >= address_max {
                return Err(Refused::Address);
            }
            *taken += 1;
            drop(by_address);
            place.address = Some(address);
        }
        if taken_in_all >= all_max {
            return Err(Refused::Full);
        }
        Ok(place)
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The peer has shown who it is: its address has room for another one.
    pub fn release_address(&mut self) {
        let Some(address) = self.address.take() else { return };
        let mut by_address = self.gate.addresses();
        if let Some(taken) = by_address.get_mut(&address) {
            *taken -= 1;
            if *taken == 0 {
                by_address.remove(&address);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.release_address();
        self.gate.all.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let gate = Arc::<Gate>::default();
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut first = gate.enter(one, 3, Some(1)).unwrap();
        assert_eq!(gate.enter(one, 3, Some(1)).unwrap_err(), Refused::Address);
        first.release_address();
        let second = gate.enter(one, 3, Some(1)).unwrap();
        let third = gate.enter(two, 3, Some(1)).unwrap();
        assert_eq!(gate.enter(two, 3, None).unwrap_err(), Refused::Full);
        assert_eq!(gate.enter(two, 3, Some(2)).unwrap_err(), Refused::Full);
        assert_eq!(gate.enter(two, 3, Some(1)).unwrap_err(), Refused::Address);
        drop(third);
        let fourth = gate.enter(one, 3, None).unwrap();
        drop((first, second, fourth));
        assert_eq!(gate.all.load(Ordering::Relaxed), 0);
        assert!(gate.addresses().is_empty());
    }

    #[test]
    fn an_ipv6_host_has_one_address_and_a_mapped_one_is_ipv4() {
        let gate = Arc::<Gate>::default();
        let enter = |address: &str| gate.enter(address.parse().unwrap(), 10, Some(1));
        let _held = [enter("2001:db8::1").unwrap(), enter("10.0.0.1").unwrap()];
        assert_eq!(enter("2001:db8::2").unwrap_err(), Refused::Address);
        assert_eq!(enter("::ffff:10.0.0.1").unwrap_err(), Refused::Address);
        assert!(enter("2001:db8:0:1::1").is_ok());
    }
}
