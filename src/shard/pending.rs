//! RTMP connections of a shard that do not publish, and which of them makes room when all places are taken: the one
//! that has waited longest. So peers that connect and say nothing take no place from an encoder, however many
//! addresses they have; who publishes never makes room.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Those that do not publish, by their order; the gate bounds them.
#[derive(Debug, Default)]
pub struct Pending {
    connections: RefCell<BTreeMap<u64, Rc<Connection>>>,
    next: Cell<u64>,
}

#[derive(Debug, Default)]
struct Connection {
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
    /// Runs a connection until it publishes or ends; true then. False when it was dropped to make room.
    pub async fn run(&self, until_published: impl Future<Output = ()>) -> bool {
        let (number, connection) = (self.next.get(), Rc::<Connection>::default());
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

    /// Has the one that has waited longest go, which it does when its task runs next. False when there is none.
    pub fn make_room(&self) -> bool {
        let Some((_, oldest)) = self.connections.borrow_mut().pop_first() else { return false };
        oldest.has_to_go.set(true);
        if let Some(waker) = oldest.waker.take() {
            waker.wake();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Context;

    #[test]
    fn the_oldest_goes_and_who_publishes_stays() {
        let (pending, context) = (Pending::default(), &mut Context::from_waker(Waker::noop()));
        let is_published = Cell::new(false);
        let published = poll_fn(|_| if is_published.get() { Poll::Ready(()) } else { Poll::Pending });
        let mut first = pin!(pending.run(published));
        let mut second = pin!(pending.run(std::future::pending()));
        let mut third = pin!(pending.run(std::future::pending()));
        for run in [&mut second as &mut (dyn Future<Output = bool> + Unpin), &mut third] {
            assert!(pin!(run).poll(context).is_pending());
        }
        assert!(first.as_mut().poll(context).is_pending());
        // In the order in which they came.
        assert!(pending.make_room());
        assert_eq!(second.as_mut().poll(context), Poll::Ready(false));
        is_published.set(true);
        assert!(third.as_mut().poll(context).is_pending());
        assert!(pending.make_room());
        assert_eq!(third.as_mut().poll(context), Poll::Ready(false));
        assert_eq!(first.as_mut().poll(context), Poll::Ready(true));
        assert!(!pending.make_room() && pending.connections.borrow().is_empty());
    }
}
