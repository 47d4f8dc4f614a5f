//! The requests of one connection that are being answered, all of them polled by the connection's own task.
//!
//! What a request waits for sets the request's flag and wakes the task, which polls those whose flag is set. A
//! landing that answers several requests of a viewer is one wake-up then, one pass of h2 and one send, where tasks
//! of their own would each have their memory, their place in the run queue, and a wake-up of the connection's task.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use crate::limits::HTTP2_PLACES_KEPT_MAX;

/// A request on its way to the end of its response.
type Request = Pin<Box<dyn Future<Output = ()>>>;

/// The requests of a connection; at most as many as h2 lets in.
pub(super) struct Requests {
    places: Vec<Place>,
    free: Vec<usize>,
    bell: Arc<Bell>,
}

struct Place {
    request: Option<Request>,
    flag: Arc<Flag>,
    waker: Waker,
}

/// Wakes the connection's task, once, and not at all while it runs: it looks at the flags before it waits.
pub(super) struct Bell {
    /// The one waker that the task has on its shard.
    task: Waker,
    is_polled: AtomicBool,
    has_rung: AtomicBool,
}

/// Something to look at. Set, it rings.
pub(super) struct Flag {
    is_set: AtomicBool,
    bell: Arc<Bell>,
}

impl Bell {
    /// `task` is the waker of the connection's task.
    pub(super) fn new(task: Waker) -> Arc<Self> {
        Arc::new(Self { task, is_polled: AtomicBool::new(false), has_rung: AtomicBool::new(false) })
    }

    /// The task runs: flags that are set from here on ring no more.
    pub(super) fn hush(&self) {
        self.is_polled.store(true, Ordering::SeqCst);
        self.has_rung.store(false, Ordering::SeqCst);
    }

    /// The task waits, once it has looked at the flags again.
    pub(super) fn unhush(&self) {
        self.is_polled.store(false, Ordering::SeqCst);
    }

    fn ring(&self) {
        if !self.is_polled.load(Ordering::SeqCst) && !self.has_rung.swap(true, Ordering::SeqCst) {
            self.task.wake_by_ref();
        }
    }
}

impl Flag {
    pub(super) fn new(bell: &Arc<Bell>) -> Arc<Self> {
        Arc::new(Self { is_set: AtomicBool::new(false), bell: Arc::clone(bell) })
    }

    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    pub(super) fn clear(&self) {
        self.is_set.store(false, Ordering::SeqCst);
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_set.store(true, Ordering::SeqCst);
        self.bell.ring();
    }
}

impl Requests {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self { places: Vec::new(), free: Vec::new(), bell }
    }

    /// Begins a request, and takes it as far as it goes without waiting.
    pub(super) fn begin(&mut self, request: impl Future<Output = ()> + 'static) {
        let index = self.free.pop().unwrap_or_else(|| {
            let flag = Flag::new(&self.bell);
            let waker = Waker::from(Arc::clone(&flag));
            self.places.push(Place { request: None, flag, waker });
            self.places.len() - 1
        });
        self.places[index].request = Some(Box::pin(request));
        self.poll_place(index);
    }

    /// True when there is a request to poll.
    pub(super) fn is_woken(&self) -> bool {
        self.places.iter().any(|place| place.flag.is_set())
    }

    /// Polls those that something has happened to.
    pub(super) fn poll_woken(&mut self) {
        for index in 0..self.places.len() {
            if self.places[index].flag.is_set() {
                self.poll_place(index);
            }
        }
        // Who has had a crowd's requests need not keep its places.
        if self.places.len() > HTTP2_PLACES_KEPT_MAX && self.free.len() == self.places.len() {
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
    }

    fn poll_place(&mut self, index: usize) {
        let place = &mut self.places[index];
        place.flag.clear();
        // The flag of a place may be set once more after its request has ended.
        let Some(request) = &mut place.request else { return };
        if request.as_mut().poll(&mut Context::from_waker(&place.waker)).is_ready() {
            place.request = None;
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;

    use super::*;

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A request that ends at its `polls_count`th poll, and where it leaves its waker.
    struct Staged {
        polls_count: Rc<Cell<usize>>,
        waker: Rc<RefCell<Option<Waker>>>,
    }

    impl Staged {
        fn begin(requests: &mut Requests, ends_at: usize) -> Self {
            let (polls_count, waker) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
            let (polled, left) = (Rc::clone(&polls_count), Rc::clone(&waker));
            requests.begin(poll_fn(move |context| {
                polled.set(polled.get() + 1);
                left.replace(Some(context.waker().clone()));
                if polled.get() == ends_at { Poll::Ready(()) } else { Poll::Pending }
            }));
            Self { polls_count, waker }
        }

        fn wake(&self) {
            self.waker.borrow().as_ref().unwrap().wake_by_ref();
        }
    }

    #[test]
    fn only_those_are_polled_that_were_woken_and_the_task_is_woken_once() {
        let task = Arc::new(Counting::default());
        let bell = Bell::new(Waker::from(Arc::clone(&task)));
        let mut requests = Requests::new(Arc::clone(&bell));
        let staged: Vec<Staged> = (0..3).map(|_| Staged::begin(&mut requests, 3)).collect();
        assert!(staged.iter().all(|staged| staged.polls_count.get() == 1) && !requests.is_woken());
        staged[0].wake();
        staged[2].wake();
        staged[2].wake();
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
        bell.hush();
        assert!(requests.is_woken());
        requests.poll_woken();
        // What is woken while the task runs is seen before it waits.
        staged[1].wake();
        bell.unhush();
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
        assert!(requests.is_woken());
        requests.poll_woken();
        assert!(staged.iter().all(|staged| staged.polls_count.get() == 2) && !requests.is_woken());
        staged[1].wake();
        assert_eq!(task.0.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn places_are_used_again_and_those_of_a_crowd_are_given_up() {
        let mut requests = Requests::new(Bell::new(Waker::noop().clone()));
        (0..100).for_each(|_| drop(Staged::begin(&mut requests, 1)));
        assert_eq!(requests.places.len(), 1);
        let crowd: Vec<Staged> =
            (0..=HTTP2_PLACES_KEPT_MAX).map(|_| Staged::begin(&mut requests, 2)).collect();
        let one_more = Staged::begin(&mut requests, 3);
        crowd.iter().chain([&one_more]).for_each(Staged::wake);
        requests.poll_woken();
        assert_eq!(requests.places.len(), crowd.len() + 1);
        // A waker that is left behind wakes nobody.
        crowd[0].wake();
        one_more.wake();
        requests.poll_woken();
        assert_eq!((crowd[0].polls_count.get(), requests.places.len()), (2, 0));
        assert!(!requests.is_woken());
    }
}
