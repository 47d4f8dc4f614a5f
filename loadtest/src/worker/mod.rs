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
use crate::measure::{Counter, Measure, Meter};
use crate::player::{Listings, Parts, Playback};

/// Whoever has no picture by then when the run ends waits in vain.
const JOIN_US_MAX: u64 = 2_000_000;
/// Viewers that have gone whose figures are kept; of a long churn only the first ones are.
const GONE_MAX: usize = 10_000;

/// What one viewer saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewerFigures {
    /// Its number in the run.
    pub number: u32,
    /// Path of what it watched.
    pub stream: String,
    /// How it played.
    pub mode: &'static str,
    /// From when it was to join to its first picture; `None` when it never had one.
    pub join_us: Option<u64>,
    /// How long it was there.
    pub stayed_us: u64,
    /// Parts and segments received.
    pub parts: u64,
    /// Parts lost.
    pub parts_skipped: u64,
    /// Stalls.
    pub stalls: u64,
    /// How long they lasted in all.
    pub stalled_us: u64,
    /// Faults of its own requests.
    pub faults: u64,
    /// Newest frame of the latest part, from sent to received.
    pub latency_max_us: u64,
}

/// What a viewer sees: its playback clock, and what it has to say in the end.
#[derive(Debug)]
pub struct Screen {
    /// `None` before the viewer has found where to begin.
    pub playback: RefCell<Option<Playback>>,
    /// When it was to join, by the monotonic clock.
    pub due_us: u64,
    /// Of this viewer alone.
    pub figures: RefCell<ViewerFigures>,
}

impl Screen {
    /// Of a viewer that is to join.
    pub fn new(number: u32, stream: &str, mode: &'static str, due_us: u64) -> Rc<Self> {
        let figures = ViewerFigures { number, stream: stream.to_owned(), mode, ..ViewerFigures::default() };
        Rc::new(Self { playback: RefCell::default(), due_us, figures: RefCell::new(figures) })
    }

    fn has_started(&self) -> bool {
        self.playback.borrow().as_ref().is_some_and(Playback::has_started)
    }

    /// Sees where the playhead is; true once there was a picture.
    fn look(&self, now_us: u64, measure: &mut Measure) -> bool {
        let mut playback = self.playback.borrow_mut();
        let Some(playback) = playback.as_mut().filter(|playback| playback.has_started()) else {
            return false;
        };
        playback.look(now_us);
        let (stalls, stalled_us) = (playback.take_stalls_begun(), playback.take_stalled_us(now_us));
        measure.add(Counter::Stalls, stalls);
        measure.add(Counter::StalledUs, stalled_us);
        let figures = &mut *self.figures.borrow_mut();
        figures.stalls += stalls;
        figures.stalled_us += stalled_us;
        figures.stayed_us = now_us.saturating_sub(self.due_us);
        true
    }
}

/// It stays on its thread.
pub struct Worker {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Playlists that were read, for all viewers here.
    pub listings: RefCell<Listings>,
    /// Parts that were received, for all viewers here.
    pub parts: RefCell<Parts>,
    measure: RefCell<Measure>,
    random: RefCell<Random>,
    /// Of viewers that play or try to.
    screens: RefCell<HashMap<u32, Rc<Screen>>>,
    /// Of viewers that have gone.
    gone: RefCell<Vec<ViewerFigures>>,
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
            random: RefCell::new(Random(fastrand::Rng::with_seed(seed))),
            screens: RefCell::default(),
            gone: RefCell::default(),
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

    /// Chance of one task's own, so that the same seed makes the same run whatever else happens.
    pub fn random_of(&self, task: u64) -> Random {
        Random(fastrand::Rng::with_seed(self.shared.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ task))
    }

    /// True in this share of cases, in percent.
    pub fn happens(&self, percent: f64) -> bool {
        self.random.borrow_mut().happens(percent)
    }

    /// Counts a publisher for as long as the guard lives.
    pub fn count_publisher(self: &Rc<Self>) -> impl Drop + use<> {
        self.measure(|measure| measure.publishers += 1);
        OnDrop(Rc::clone(self), |worker: &Worker| worker.measure(|measure| measure.publishers -= 1))
    }

    /// Counts a viewer, and looks at its playhead once a second, for as long as the guard lives.
    pub fn count_viewer(self: &Rc<Self>, screen: &Rc<Screen>) -> impl Drop + use<> {
        let number = screen.figures.borrow().number;
        self.screens.borrow_mut().insert(number, Rc::clone(screen));
        self.measure(|measure| {
            measure.viewers += 1;
            measure.add(Counter::Joins, 1);
        });
        OnDrop(Rc::clone(self), move |worker: &Worker| worker.viewer_goes(number))
    }

    fn viewer_goes(&self, number: u32) {
        let Some(screen) = self.screens.borrow_mut().remove(&number) else { return };
        let now_us = clock::monotonic_us();
        self.measure(|measure| {
            measure.viewers -= 1;
            measure.add(Counter::Leaves, 1);
            if !screen.look(now_us, measure) {
                never_joined(&screen, now_us, measure);
            }
        });
        let mut gone = self.gone.borrow_mut();
        if gone.len() < GONE_MAX {
            gone.push(screen.figures.borrow().clone());
        }
    }

    /// Looks at every playhead, and hands over what was measured since the last time.
    pub fn end_second(&self) -> Measure {
        let now_us = clock::monotonic_us();
        let passed_us = now_us - self.looked_us.replace(now_us);
        let mut measure = self.measure.borrow_mut();
        self.parts.borrow_mut().end_second(&mut measure);
        for screen in self.screens.borrow().values() {
            if screen.look(now_us, &mut measure) {
                measure.add(Counter::WatchedUs, passed_us);
            }
        }
        measure.take()
    }

    /// The run is over: whoever waits for a picture in vain has failed to join. What every viewer saw, those that
    /// have gone first.
    pub fn end_run(&self) -> (Measure, Vec<ViewerFigures>) {
        let now_us = clock::monotonic_us();
        let mut measure = Measure::default();
        let mut viewers = std::mem::take(&mut *self.gone.borrow_mut());
        for screen in self.screens.borrow().values() {
            if !screen.has_started() && now_us > screen.due_us + JOIN_US_MAX {
                never_joined(screen, now_us, &mut measure);
            }
            viewers.push(screen.figures.borrow().clone());
        }
        (measure, viewers)
    }
}

/// It waited at least so long.
fn never_joined(screen: &Screen, now_us: u64, measure: &mut Measure) {
    measure.add(Counter::JoinsFailed, 1);
    measure.record_us(Meter::Join, now_us.saturating_sub(screen.due_us));
}

/// A source of chance.
#[derive(Debug)]
pub struct Random(fastrand::Rng);

impl Random {
    /// A time from the exponential distribution of this mean; `None` for a mean of zero, which is never.
    pub fn time(&mut self, mean: Duration) -> Option<Duration> {
        if mean.is_zero() {
            return None;
        }
        let share = self.0.f64().clamp(1e-9, 1.0 - 1e-9);
        Some(mean.mul_f64(-share.ln()))
    }

    /// True in this share of cases, in percent.
    pub fn happens(&mut self, percent: f64) -> bool {
        percent > 0.0 && self.0.f64() * 100.0 < percent
    }
}

struct OnDrop<F: Fn(&Worker)>(Rc<Worker>, F);

impl<F: Fn(&Worker)> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.1)(&self.0);
    }
}
