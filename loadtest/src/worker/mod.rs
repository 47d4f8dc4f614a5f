//! What the publishers and viewers of one thread share.

mod shared;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use shared::Shared;

use crate::clock;
use crate::fault::Fault;
use crate::measure::{Counter, Measure};
use crate::player::{Listings, Parts, Playback};

/// A viewer's playback clock; `None` before it has found where to begin.
pub type Screen = Rc<RefCell<Option<Playback>>>;

/// It stays on its thread.
pub struct Worker {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Playlists that were read, for all viewers here.
    pub listings: RefCell<Listings>,
    /// Parts that were received, for all viewers here.
    pub parts: RefCell<Parts>,
    measure: RefCell<Measure>,
    random: RefCell<fastrand::Rng>,
    /// Of viewers that play or try to.
    screens: RefCell<HashMap<u32, Screen>>,
    looked_us: Cell<u64>,
}

impl Worker {
    /// A worker with a seed of its own.
    pub fn new(shared: Arc<Shared>, index: usize) -> Rc<Self> {
        let seed = shared.seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Rc::new(Self {
            shared,
            listings: RefCell::default(),
            parts: RefCell::default(),
            measure: RefCell::default(),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            screens: RefCell::default(),
            looked_us: Cell::new(clock::monotonic_us()),
        })
    }

    /// Writes to the worker's figures.
    pub fn measure<T>(&self, write: impl FnOnce(&mut Measure) -> T) -> T {
        write(&mut self.measure.borrow_mut())
    }

    /// Counts a fault of a request.
    pub fn fault(&self, fault: Fault) {
        self.measure(|measure| measure.fault(fault));
    }

    /// Counts faults of a playlist or of media at this path, each once, whoever of all viewers sees it.
    pub fn shared_faults(&self, path: &str, faults: Vec<Fault>) {
        for fault in faults {
            if self.shared.is_news(fault.kind, (path, &fault.detail)) {
                self.fault(Fault::new(fault.kind, format!("{path}: {}", fault.detail)));
            }
        }
    }

    /// A time from the exponential distribution of this mean; `None` for a mean of zero, which is never.
    pub fn random_time(&self, mean: Duration) -> Option<Duration> {
        if mean.is_zero() {
            return None;
        }
        let share = self.random.borrow_mut().f64().clamp(1e-9, 1.0 - 1e-9);
        Some(mean.mul_f64(-share.ln()))
    }

    /// True in this share of cases, in percent.
    pub fn happens(&self, percent: f64) -> bool {
        percent > 0.0 && self.random.borrow_mut().f64() * 100.0 < percent
    }

    /// Counts a publisher for as long as the guard lives.
    pub fn count_publisher(self: &Rc<Self>) -> impl Drop + use<> {
        self.measure(|measure| measure.publishers += 1);
        OnDrop(Rc::clone(self), |worker: &Worker| worker.measure(|measure| measure.publishers -= 1))
    }

    /// Counts a viewer, and looks at its playhead once a second, for as long as the guard lives.
    pub fn count_viewer(self: &Rc<Self>, number: u32, screen: &Screen) -> impl Drop + use<> {
        self.screens.borrow_mut().insert(number, Rc::clone(screen));
        self.measure(|measure| measure.viewers += 1);
        OnDrop(Rc::clone(self), move |worker: &Worker| {
            let screen = worker.screens.borrow_mut().remove(&number);
            worker.measure(|measure| measure.viewers -= 1);
            if let Some(playback) = screen.as_ref().and_then(|screen| screen.borrow_mut().take()) {
                worker.end_playback(playback);
            }
        })
    }

    /// A stall that is cut short by leaving counts as far as it went.
    fn end_playback(&self, mut playback: Playback) {
        let now_us = clock::monotonic_us();
        playback.look(now_us);
        self.measure(|measure| {
            measure.add(Counter::Stalls, playback.take_stalls_begun());
            measure.add(Counter::StalledUs, playback.take_stalled_us(now_us));
        });
    }

    /// Looks at every playhead, and hands over what was measured since the last time.
    pub fn end_second(&self) -> Measure {
        let now_us = clock::monotonic_us();
        let passed_us = now_us - self.looked_us.replace(now_us);
        let mut measure = self.measure.borrow_mut();
        self.parts.borrow_mut().end_second(&mut measure);
        for screen in self.screens.borrow().values() {
            if let Some(playback) = screen.borrow_mut().as_mut().filter(|playback| playback.has_started()) {
                playback.look(now_us);
                measure.add(Counter::Stalls, playback.take_stalls_begun());
                measure.add(Counter::StalledUs, playback.take_stalled_us(now_us));
                measure.add(Counter::WatchedUs, passed_us);
            }
        }
        measure.take()
    }
}

struct OnDrop<F: Fn(&Worker)>(Rc<Worker>, F);

impl<F: Fn(&Worker)> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.1)(&self.0);
    }
}
