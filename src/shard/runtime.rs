//! Starts one executor per shard, and what every task of a shard may ask of it.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{OnceLock, mpsc},
    task::{Poll, Waker},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::{
    deadline::{Deadline, Wheel},
    parked::Landing,
    placement::Plan,
    poll::PollSet,
    ring::{self, Budget},
};
use crate::{
    limits::{RING_ENTRIES, RING_IO_BYTES, SHARDS_MAX, STALL_US, TICK_US, WAKES_PER_TURN_MAX},
    media::Now,
};

/// Why the shards did not start; none of them then runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The plan asks for no shard or too many.
    #[error("{found} shards: 1 to {SHARDS_MAX} are allowed")]
    ShardsCount {
        /// What the plan asked for.
        found: usize,
    },
    /// An executor could not be made.
    #[error("shard {shard} does not start: {reason}")]
    Shard {
        /// Which shard.
        shard: usize,
        /// In the words of the runtime or the system.
        reason: String,
    },
}

/// A shard that ended before its time.
#[derive(Debug, thiserror::Error)]
#[error("shard {shard} ended: {reason}")]
pub struct ShardEnded {
    /// Which shard.
    pub shard: usize,
    /// In the words of the runtime, or the panic's.
    pub reason: String,
}

/// The running shards.
#[must_use = "join them, or a shard that fails is never noticed"]
pub struct Shards {
    handles: Vec<ExecutorJoinHandle<io::Result<()>>>,
}

impl Shards {
    /// Waits until every shard has ended.
    ///
    /// # Errors
    /// The first shard, by number, that ended by a panic or failed.
    pub fn join(self) -> Result<(), ShardEnded> {
        let ends: Vec<_> = self.handles.into_iter().map(end_of).collect();
        ends.into_iter().enumerate().try_for_each(|(shard, end)| match end {
            None => Ok(()),
            Some(reason) => Err(ShardEnded { shard, reason }),
        })
    }
}

/// Why an executor ended, unless it did so by itself.
fn end_of(handle: ExecutorJoinHandle<io::Result<()>>) -> Option<String> {
    match handle.join() {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// Starts `plan.shards_count` executors and runs `main` on each, as soon as all of them stand.
///
/// `main` is called on the shard's own thread; the shard ends when its future does, and takes its tasks
/// along. The future is not caught: a panic in it ends the shard, and [`Shards::join`] tells.
///
/// # Errors
/// [`StartError`], for the first shard that cannot be made; the others then end without running `main`.
pub fn spawn_shards<M, F>(plan: &Plan, main: M) -> Result<Shards, StartError>
where
    M: Fn(Shard) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let shards_count = plan.shards_count;
    if !(1..=SHARDS_MAX).contains(&shards_count) {
        return Err(StartError::ShardsCount { found: shards_count });
    }
    process_zero();
    let (mut handles, mut starters) = (Vec::new(), Vec::new());
    for index in 0..shards_count {
        let placement = match plan.processors.get(index) {
            Some(&processor) if shards_count <= plan.processors.len() => Placement::Fixed(processor),
            _ => Placement::Unbound,
        };
        let (stands_sender, stands) = mpsc::channel();
        let (start, start_receiver) = mpsc::channel::<()>();
        let main = main.clone();
        let handle = LocalExecutorBuilder::new(placement)
            .name(&format!("shard-{index}"))
            .ring_depth(RING_ENTRIES)
            .io_memory(RING_IO_BYTES)
            // A preempt timer that fires makes the executor park with runnable tasks.
            .preempt_timer(Duration::from_secs(3600))
            .spawn(move || async move {
                let shard = Shard::new(index, shards_count)?;
                // The builder has no error of its own to give; a receiver that is gone has given up.
                let _ = stands_sender.send(());
                // Blocks the executor, which carries nothing yet. A sender that is gone: another one failed.
                if start_receiver.recv().is_ok() {
                    shard.serve(main).await;
                }
                Ok(())
            })
            .map_err(|error| StartError::Shard { shard: index, reason: error.to_string() })?;
        if stands.recv().is_err() {
            let reason = end_of(handle).unwrap_or_else(|| "its thread ended".to_owned());
            return Err(StartError::Shard { shard: index, reason });
        }
        handles.push(handle);
        starters.push(start);
    }
    for (shard, start) in starters.iter().enumerate() {
        start.send(()).map_err(|_| StartError::Shard { shard, reason: "its thread ended".to_owned() })?;
    }
    Ok(Shards { handles })
}

/// What one shard has counted since it started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Tasks that are alive.
    pub tasks: Cell<u64>,
    /// Tasks that ended by a panic.
    pub panics: Cell<u64>,
    /// Ticks that came more than 8 ms late.
    pub stalls: Cell<u64>,
    /// The latest tick, in microseconds.
    pub stall_longest_us: Cell<u64>,
    /// Ticks of 5 ms.
    pub ticks: Cell<u64>,
    /// Turns of the ring that tasks took at the end of a budget.
    pub ring_turns: Cell<u64>,
    /// Connections accepted.
    pub accepted: Cell<u64>,
    /// Times that accepting paused for want of descriptors or memory.
    pub accept_pauses: Cell<u64>,
}

impl Stats {
    pub(super) fn add_one(counter: &Cell<u64>) {
        counter.set(counter.get() + 1);
    }
}

/// What a task may ask of its shard. A cheap clone; it stays on its thread.
#[derive(Clone)]
pub struct Shard {
    inner: Rc<Inner>,
}

pub(super) struct Inner {
    index: usize,
    shards_count: usize,
    pub(super) poll_set: Rc<PollSet>,
    pub(super) landing: Rc<Landing>,
    wheel: Rc<RefCell<Wheel>>,
    /// Always readable.
    turn: OwnedFd,
    stats: Stats,
}

impl Shard {
    fn new(index: usize, shards_count: usize) -> io::Result<Self> {
        let inner = Inner {
            index,
            shards_count,
            poll_set: PollSet::new()?,
            landing: Rc::default(),
            wheel: Rc::new(RefCell::new(Wheel::new(monotonic_us()))),
            turn: ring::eventfd(1)?,
            stats: Stats::default(),
        };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// Runs the shard's own tasks and `main`.
    async fn serve<F: Future<Output = ()>>(self, main: impl Fn(Self) -> F) {
        glommio::spawn_local(self.clone().tick()).detach();
        glommio::spawn_local(Rc::clone(&self.inner.poll_set).run()).detach();
        glommio::spawn_local(Rc::clone(&self.inner.landing).run(self.clone())).detach();
        main(self).await;
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// This shard's number, from 0.
    pub fn index(&self) -> usize {
        self.inner.index
    }

    /// The shards of the process.
    pub fn shards_count(&self) -> usize {
        self.inner.shards_count
    }

    /// The time, as the cores are told it.
    pub fn now(&self) -> Now {
        now()
    }

    /// The monotonic half of [`Self::now`], for who wants no more: one clock read instead of two.
    pub fn monotonic_us(&self) -> u64 {
        monotonic_us()
    }

    /// The other half.
    pub fn unix_us(&self) -> u64 {
        unix_us()
    }

    /// What the shard has counted.
    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// Passes of the poll task: each is one wait for the epoll set.
    pub fn poll_passes_count(&self) -> u64 {
        self.inner.poll_set.passes_count.get()
    }

    /// Events that the epoll set has told.
    pub fn poll_events_count(&self) -> u64 {
        self.inner.poll_set.events_count.get()
    }

    /// Descriptors in the epoll set now: sockets, listeners, inboxes.
    pub fn descriptors_count(&self) -> usize {
        self.inner.poll_set.registered_count()
    }

    /// Starts a task. It is on its own from here on: ask it to end through a flag that it looks at.
    ///
    /// A panic ends the task, is counted, and leaves one line in the log; the shard lives on.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + 'static) {
        let shard = self.clone();
        // Boxed once: moved into an async block and pinned there, it would take its size twice.
        let mut future = Box::pin(future);
        let task = async move {
            let stats = shard.stats();
            stats.tasks.set(stats.tasks.get() + 1);
            let end = poll_fn(|context| {
                CURRENT_TASK.set(Some(name));
                let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
                CURRENT_TASK.set(None);
                match polled {
                    Ok(poll) => poll.map(Ok),
                    Err(panic) => Poll::Ready(Err(panic)),
                }
            })
            .await;
            stats.tasks.set(stats.tasks.get() - 1);
            if let Err(panic) = end {
                Stats::add_one(&stats.panics);
                tracing::error!(shard = shard.index(), task = name, "panicked: {}", message_of(&*panic));
            }
        };
        glommio::spawn_local(task).detach();
    }

    /// Lets the ring have its turn: sockets, timers and other tasks come first. About 4 µs.
    ///
    /// The executor looks at its ring only when nothing is runnable, so yielding would not do.
    pub async fn ring_turn(&self) {
        Stats::add_one(&self.inner.stats.ring_turns);
        ring::readable(self.inner.turn.as_fd()).await;
    }

    /// A fresh budget of bytes and requests.
    pub fn budget(&self) -> Budget {
        Budget::new(self.clone())
    }

    /// A deadline of this shard, cleared.
    pub fn deadline(&self) -> Deadline {
        Deadline::new(&self.inner.wheel)
    }

    /// Completes at the first tick at or past `at_us` of the monotonic clock.
    pub async fn sleep_until(&self, at_us: u64) {
        let deadline = self.deadline();
        deadline.set(at_us);
        deadline.expired().await;
    }

    /// The mandatory timer: keeps the executor awake, moves the deadlines on, notices stalls.
    async fn tick(self) {
        let (stats, mut woken) = (self.stats(), Vec::new());
        loop {
            let due_us = monotonic_us() + TICK_US;
            glommio::timer::sleep(Duration::from_micros(TICK_US)).await;
            let now_us = monotonic_us();
            Stats::add_one(&stats.ticks);
            let late_us = now_us.saturating_sub(due_us);
            if late_us > STALL_US {
                Stats::add_one(&stats.stalls);
            }
            stats.stall_longest_us.set(stats.stall_longest_us.get().max(late_us));
            self.inner.wheel.borrow_mut().advance(now_us, &mut woken);
            self.wake_in_slices(&mut woken).await;
        }
    }

    async fn wake_in_slices(&self, woken: &mut Vec<Waker>) {
        while !woken.is_empty() {
            let slice_start = woken.len().saturating_sub(WAKES_PER_TURN_MAX);
            woken.drain(slice_start..).for_each(Waker::wake);
            if !woken.is_empty() {
                self.ring_turn().await;
            }
        }
    }
}

/// What a panic said, if it said it in words.
pub(super) fn message_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}

thread_local! {
    static CURRENT_TASK: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// The name of the task that this thread's shard is in; `None` outside any. For whoever asks whose a
/// piece of work is: an allocation, a stall. Never allocates.
pub fn current_task() -> Option<&'static str> {
    CURRENT_TASK.get()
}

/// The zero of the process's monotonic clock, the same for all shards and threads.
fn process_zero() -> Instant {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    *ZERO.get_or_init(Instant::now)
}

/// The time now, for threads that are no shard; its zero is that of the shards.
pub fn now() -> Now {
    Now { monotonic_us: monotonic_us(), unix_us: unix_us() }
}

fn monotonic_us() -> u64 {
    process_zero().elapsed().as_micros() as u64
}

fn unix_us() -> u64 {
    // A clock before 1970 shows 0: wrong, as it is.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    };

    use super::*;
    use crate::shard::testing::on_one_shard;

    #[test]
    fn every_shard_runs_main_with_its_own_number() {
        let sum = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&sum);
        let plan = Plan { shards_count: 2, processors: Vec::new() };
        let shards = spawn_shards(&plan, move |shard| {
            let told = Arc::clone(&told);
            async move {
                assert_eq!(shard.shards_count(), 2);
                told.fetch_add(1 + shard.index(), Ordering::SeqCst);
            }
        });
        shards.unwrap().join().unwrap();
        assert_eq!(sum.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_panic_in_a_task_is_counted_and_the_shard_lives_on() {
        on_one_shard(|shard| async move {
            shard.spawn("test", async { panic!("on purpose") });
            let after = shard.deadline();
            after.set(shard.monotonic_us());
            after.expired().await;
            assert_eq!((shard.stats().panics.get(), shard.stats().tasks.get()), (1, 0));
        });
    }

    #[test]
    fn a_panic_in_main_is_told_by_join() {
        let shards = spawn_shards(&Plan::new(1), |_| async { panic!("on purpose") }).unwrap();
        assert_eq!(shards.join().unwrap_err().shard, 0);
    }

    #[test]
    fn a_processor_that_does_not_exist_is_an_error_and_nothing_runs() {
        let ran = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&ran);
        let plan = Plan { shards_count: 2, processors: vec![0, 1_000_000] };
        let started = spawn_shards(&plan, move |_| {
            told.fetch_add(1, Ordering::SeqCst);
            async {}
        });
        assert!(matches!(started, Err(StartError::Shard { shard: 1, .. })));
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_ring_turn_lets_timers_and_other_tasks_run() {
        on_one_shard(|shard| async move {
            let ticks = Rc::new(Cell::new(0_u64));
            let counted = Rc::clone(&ticks);
            let other = shard.clone();
            shard.spawn("other", async move {
                other.sleep_until(0).await;
                counted.set(1);
            });
            let mut budget = shard.budget();
            while ticks.get() == 0 {
                budget.spend_request().await;
            }
            assert!(shard.stats().ring_turns.get() > 0);
        });
    }

    #[test]
    fn a_stalled_shard_is_noticed() {
        on_one_shard(|shard| async move {
            let before = shard.stats().stalls.get();
            shard.sleep_until(0).await;
            let until_us = monotonic_us() + 4 * STALL_US;
            while monotonic_us() < until_us {
                std::hint::spin_loop();
            }
            shard.sleep_until(0).await;
            assert!(shard.stats().stalls.get() > before);
            assert!(shard.stats().stall_longest_us.get() > STALL_US);
        });
    }

    #[test]
    fn deadlines_come_in_their_order_and_never_early() {
        let last = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&last);
        on_one_shard(move |shard| {
            let told = Arc::clone(&told);
            async move {
                let start_us = shard.monotonic_us();
                for after_us in [0, 12_000, 31_000] {
                    shard.sleep_until(start_us + after_us).await;
                    let now_us = shard.monotonic_us();
                    assert!(now_us >= start_us + after_us);
                    told.store(now_us - start_us, Ordering::SeqCst);
                }
            }
        });
        assert!(last.load(Ordering::SeqCst) >= 31_000);
    }
}
