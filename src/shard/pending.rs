//! RTMP connections of a shard that do not publish, and which of them makes room when all places are taken: of the
//! host that has most of them, the one that has waited longest; when all places of one host are taken, its own that
//! has waited longest. So peers that connect and say nothing take no place from an encoder, and whoever connects again
//! and again makes room for himself; who publishes never makes room.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::auth::host;

/// Those that do not publish, by their order; the gate bounds them.
#[derive(Debug, Default)]
pub struct Pending {
    connections: RefCell<BTreeMap<u64, Rc<Connection>>>,
    next: Cell<u64>,
}

#[derive(Debug)]
struct Connection {
    host: IpAddr,
    has_to_go: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A connection's entry, as long as it does not publish.
struct Entry<'a> {
    pending: &'a Pending,
    number: u64,
    connection: Rc<Connection>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.pending.connections.borrow_mut().remove(&self.number);
    }
}

impl Pending {
    /// Runs a connection from an address until it publishes or ends; true then. False when it was dropped to make
    /// room.
    pub async fn run(&self, address: IpAddr, until_published: impl Future<Output = ()>) -> bool {
        let number = self.next.get();
        let connection = Rc::new(Connection {
            host: host(address),
            has_to_go: Cell::new(false),
            waker: RefCell::default(),
        });
        self.next.set(number + 1);
        self.connections.borrow_mut().insert(number, Rc::clone(&connection));
        let entry = Entry { pending: self, number, connection };
        let mut until_published = pin!(until_published);
        poll_fn(|context| {
            if entry.connection.has_to_go.get() {
                return Poll::Ready(false);
            }
            let mut waker = entry.connection.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|left| left.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
            drop(waker);
            until_published.as_mut().poll(context).map(|()| true)
        })
        .await
    }

    /// Has one of them go for a newcomer, which it does when its task runs next. False when there is none.
    pub fn make_room(&self, newcomer: IpAddr) -> bool {
        let connections = self.connections.borrow();
        let mut counts = HashMap::from([(host(newcomer), 1_usize)]);
        for connection in connections.values() {
            *counts.entry(connection.host).or_default() += 1;
        }
        // The newcomer's host may have none yet.
        let most = connections.values().filter_map(|connection| counts.get(&connection.host)).max();
        let found = connections.iter().find(|(_, connection)| counts.get(&connection.host) == most);
        let number = found.map(|(&number, _)| number);
        drop(connections);
        number.is_some_and(|number| self.dismiss(number))
    }

    /// Has the one go that has waited longest of a newcomer's own host. False when it has none on this shard.
    pub fn make_room_of_own(&self, newcomer: IpAddr) -> bool {
        let host = host(newcomer);
        let connections = self.connections.borrow();
        let number =
            connections.iter().find(|(_, connection)| connection.host == host).map(|(&number, _)| number);
        drop(connections);
        number.is_some_and(|number| self.dismiss(number))
    }

    fn dismiss(&self, number: u64) -> bool {
        let Some(goes) = self.connections.borrow_mut().remove(&number) else { return false };
        goes.has_to_go.set(true);
        if let Some(waker) = goes.waker.take() {
            waker.wake();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Context;

    fn address(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn the_oldest_goes_and_who_publishes_stays() {
        let (pending, context) = (Pending::default(), &mut Context::from_waker(Waker::noop()));
        let is_published = Cell::new(false);
        let published = poll_fn(|_| if is_published.get() { Poll::Ready(()) } else { Poll::Pending });
        let mut first = pin!(pending.run(address(1), published));
        let mut second = pin!(pending.run(address(2), std::future::pending()));
        let mut third = pin!(pending.run(address(3), std::future::pending()));
        for run in [&mut second as &mut (dyn Future<Output = bool> + Unpin), &mut third] {
            assert!(pin!(run).poll(context).is_pending());
        }
        assert!(first.as_mut().poll(context).is_pending());
        // In the order in which they came.
        assert!(pending.make_room(address(4)));
        assert_eq!(second.as_mut().poll(context), Poll::Ready(false));
        is_published.set(true);
        assert!(third.as_mut().poll(context).is_pending());
        assert!(pending.make_room(address(4)));
        assert_eq!(third.as_mut().poll(context), Poll::Ready(false));
        assert_eq!(first.as_mut().poll(context), Poll::Ready(true));
        assert!(!pending.make_room(address(4)) && pending.connections.borrow().is_empty());
    }

    #[test]
    fn a_host_that_connects_again_and_again_makes_room_for_itself() {
        let (pending, context) = (Pending::default(), &mut Context::from_waker(Waker::noop()));
        let mut encoder = pin!(pending.run(address(1), std::future::pending()));
        assert!(encoder.as_mut().poll(context).is_pending());
        let mut flooder = Box::pin(pending.run(address(2), std::future::pending()));
        assert!(flooder.as_mut().poll(context).is_pending());
        for _ in 0..100 {
            assert!(pending.make_room(address(2)));
            assert_eq!(flooder.as_mut().poll(context), Poll::Ready(false));
            flooder = Box::pin(pending.run(address(2), std::future::pending()));
            assert!(flooder.as_mut().poll(context).is_pending());
            assert!(encoder.as_mut().poll(context).is_pending());
        }
    }

    #[test]
    fn a_host_that_has_all_its_places_gives_up_its_own_oldest() {
        let (pending, context) = (Pending::default(), &mut Context::from_waker(Waker::noop()));
        let mut other = pin!(pending.run(address(1), std::future::pending()));
        let mut older = pin!(pending.run(address(2), std::future::pending()));
        let mut newer = pin!(pending.run(address(2), std::future::pending()));
        for run in [&mut other as &mut (dyn Future<Output = bool> + Unpin), &mut older, &mut newer] {
            assert!(pin!(run).poll(context).is_pending());
        }
        assert!(!pending.make_room_of_own(address(3)));
        assert!(pending.make_room_of_own(address(2)));
        assert_eq!(older.as_mut().poll(context), Poll::Ready(false));
        assert!(other.as_mut().poll(context).is_pending() && newer.as_mut().poll(context).is_pending());
    }
}
