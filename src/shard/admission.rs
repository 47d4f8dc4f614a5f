//! Who may connect and what may be live: places that are counted for the whole process and, before a peer
//! has shown who it is, by address, so that one peer cannot take every place.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Places of the process, each kind counted over all shards.
#[derive(Debug, Default)]
pub struct Seats {
    /// RTMP connections.
    pub rtmp: Arc<AtomicUsize>,
    /// HTTP connections.
    pub http: Arc<AtomicUsize>,
    /// Streams.
    pub streams: Arc<AtomicUsize>,
}

/// One place of the process; given back when dropped, on whatever shard.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Seat {
    /// `None` when `seats_max` are taken.
    pub fn take(taken: &Arc<AtomicUsize>, seats_max: usize) -> Option<Self> {
        let one_more = |count| (count < seats_max).then_some(count + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Self(Arc::clone(taken)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connections of one shard and one port kind. The bound in all is the process's; that by address counts
/// for each shard, over which the kernel spreads connections.
#[derive(Debug)]
pub struct Gate {
    all: Arc<AtomicUsize>,
    by_address: RefCell<HashMap<IpAddr, usize>>,
}

/// The gates of a shard.
#[derive(Debug)]
pub struct Connections {
    /// RTMP connections.
    pub rtmp: Rc<Gate>,
    /// HTTP connections.
    pub http: Rc<Gate>,
}

impl Connections {
    /// A shard's gates to the places of the process.
    pub fn new(seats: &Seats) -> Self {
        Self { rtmp: Gate::new(&seats.rtmp), http: Gate::new(&seats.http) }
    }
}

/// Why a connection was closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many in all.
    Full,
    /// Too many from this address.
    Address,
}

/// A connection's place, also counted for its address; given back when dropped.
#[derive(Debug)]
pub struct Place {
    seat: Seat,
    _of_address: OfAddress,
}

#[derive(Debug)]
struct OfAddress {
    gate: Rc<Gate>,
    address: IpAddr,
}

impl Gate {
    fn new(all: &Arc<AtomicUsize>) -> Rc<Self> {
        Rc::new(Self { all: Arc::clone(all), by_address: RefCell::default() })
    }

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
        let seat = Seat::take(&self.all, all_max).ok_or(Refused::Full)?;
        let mut by_address = self.by_address.borrow_mut();
        let taken = by_address.get(&address).copied().unwrap_or(0);
        if taken >= address_max {
            return Err(Refused::Address);
        }
        by_address.insert(address, taken + 1);
        Ok(Place { seat, _of_address: OfAddress { gate: Rc::clone(self), address } })
    }
}

impl Place {
    /// The peer has shown who it is: it keeps its place, and its address has room for another one.
    pub fn into_seat(self) -> Seat {
        self.seat
    }
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        let mut by_address = self.gate.by_address.borrow_mut();
        if let Some(taken) = by_address.get_mut(&self.address) {
            *taken -= 1;
            if *taken == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_for_the_process_and_by_address_and_come_back() {
        let seats = Seats::default();
        let (gate, other_shard) = (Connections::new(&seats).rtmp, Connections::new(&seats).rtmp);
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = gate.enter(one, 3, 1).unwrap();
        assert_eq!(gate.enter(one, 3, 1).unwrap_err(), Refused::Address);
        let first = first.into_seat();
        let second = gate.enter(one, 3, 1).unwrap();
        let third = other_shard.enter(two, 3, 1).unwrap();
        assert_eq!(gate.enter(two, 3, 9).unwrap_err(), Refused::Full);
        std::thread::spawn(move || drop(first)).join().unwrap();
        let fourth = gate.enter(two, 3, 9).unwrap();
        drop((second, third, fourth));
        assert_eq!(seats.rtmp.load(Ordering::Relaxed), 0);
        assert!(gate.by_address.borrow().is_empty() && other_shard.by_address.borrow().is_empty());
    }
}
