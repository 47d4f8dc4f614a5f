//! Who may connect: connections in all and by address, so that one peer cannot take every place.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// Connections of one shard and one port kind.
#[derive(Debug, Default)]
pub struct Gate {
    all: Cell<usize>,
    by_address: RefCell<HashMap<IpAddr, usize>>,
}

/// The gates of a shard. The kernel spreads connections over the shards, so each has its share of the
/// bound in all, and the bound by address counts for each shard.
#[derive(Debug, Default)]
pub struct Connections {
    /// RTMP connections.
    pub rtmp: Rc<Gate>,
    /// HTTP connections.
    pub http: Rc<Gate>,
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
    gate: Rc<Gate>,
    /// `None` once the connection no longer counts for its address.
    address: Option<IpAddr>,
}

impl Gate {
    /// A place for a connection from `address`.
    ///
    /// # Errors
    /// [`Refused`] when `all_max` or `address_max` places are taken.
    pub fn enter(
        self: &Rc<Self>,
        address: IpAddr,
        all_max: usize,
        address_max: usize,
    ) -> Result<Place, Refused> {
        if self.all.get() >= all_max {
            return Err(Refused::Full);
        }
        let mut by_address = self.by_address.borrow_mut();
        let taken = by_address.entry(address).or_insert(0);
        if *taken >= address_max {
            return Err(Refused::Address);
        }
        *taken += 1;
        self.all.set(self.all.get() + 1);
        Ok(Place { gate: Rc::clone(self), address: Some(address) })
    }

    /// Connections now.
    pub fn count(&self) -> usize {
        self.all.get()
    }
}

impl Place {
    /// The peer has shown who it is: its address has room for another one.
    pub fn release_address(&mut self) {
        let Some(address) = self.address.take() else { return };
        let mut by_address = self.gate.by_address.borrow_mut();
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
        self.gate.all.set(self.gate.all.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let gate = Rc::<Gate>::default();
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut first = gate.enter(one, 3, 1).unwrap();
        assert_eq!(gate.enter(one, 3, 1).unwrap_err(), Refused::Address);
        first.release_address();
        let second = gate.enter(one, 3, 1).unwrap();
        let third = gate.enter(two, 3, 1).unwrap();
        assert_eq!(gate.enter(two, 3, 9).unwrap_err(), Refused::Full);
        drop((first, second, third));
        assert_eq!(gate.count(), 0);
        assert!(gate.by_address.borrow().is_empty());
    }
}
