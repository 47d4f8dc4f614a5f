//! Worker threads, one a core, each with its own runtime and its own share of publishers and viewers.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc as commands, oneshot};
use tokio::task::LocalSet;

use crate::address::PublishAddress;
use crate::measure::{Measure, Meter};
use crate::publish::{self, PublishPlan};
use crate::watch::{self, WatchPlan};
use crate::worker::{Shared, ViewerFigures, Worker};
use crate::{clock, cost, host};

/// How often a worker looks how late its timers are.
const TICK: Duration = Duration::from_millis(5);
/// Sockets that a worker serves before it looks at its timers again.
const IO_EVENTS_PER_TURN_MAX: usize = 64;

/// A publisher or a viewer, by a number of the run's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// A publisher.
    Publisher(u32),
    /// A viewer.
    Viewer(u32),
}

/// What a worker is told.
pub enum Command {
    /// Begins to publish.
    Publish {
        /// Its number.
        number: u32,
        /// What its group has in common.
        plan: Arc<PublishPlan>,
        /// Where to.
        address: PublishAddress,
        /// When it is to begin, by the monotonic clock.
        due_us: u64,
    },
    /// Begins to watch.
    Watch {
        /// Its number.
        number: u32,
        /// What its group has in common.
        plan: Arc<WatchPlan>,
        /// Its number in its group.
        place: u32,
        /// When it was to begin, by the monotonic clock.
        due_us: u64,
    },
    /// Ends one; a viewer leaves as a player that is closed.
    End(Task),
    /// Hands over what was measured since the last time.
    Second,
    /// Hands over what is known at the end.
    EndRun,
    /// Ends all.
    Stop,
}

/// What a worker hands over at the end of a second.
pub struct WorkerSecond {
    /// What it measured.
    pub measure: Measure,
    /// Its thread's processor time since it began, in microseconds.
    pub cpu_us: u64,
    /// What each viewer saw; at the end of the run only.
    pub viewers: Vec<ViewerFigures>,
}

struct Handle {
    commands: commands::UnboundedSender<Command>,
    seconds: mpsc::Receiver<WorkerSecond>,
    thread: JoinHandle<()>,
}

/// All worker threads.
pub struct Workers {
    handles: Vec<Handle>,
}

impl Workers {
    /// Starts one worker for each of these processors, pinned there if there are no more workers than those.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be had.
    pub fn start(shared: &Arc<Shared>, count: usize, processors: &[usize]) -> std::io::Result<Self> {
        let mut handles = Vec::new();
        for index in 0..count {
            let processor = processors.get(index).copied().filter(|_| count <= processors.len());
            let (commands, received) = commands::unbounded_channel();
            let (seconds_sender, seconds) = mpsc::channel();
            let shared = Arc::clone(shared);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_io_events_per_tick(IO_EVENTS_PER_TURN_MAX)
                .build()?;
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                if let Some(processor) = processor {
                    host::pin_to(processor);
                }
                let worker = Worker::new(shared, index);
                LocalSet::new().block_on(&runtime, serve(worker, received, seconds_sender));
                // Tasks that still hold sockets are dropped here, not waited for.
                runtime.shutdown_background();
            })?;
            handles.push(Handle { commands, seconds, thread });
        }
        Ok(Self { handles })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// Tells the worker that has this task something.
    pub fn send(&self, task: Task, command: Command) {
        let (Task::Publisher(number) | Task::Viewer(number)) = task;
        // A worker that has ended by a panic is noticed at the second's end.
        let _ = self.handles[number as usize % self.handles.len()].commands.send(command);
    }

    /// What all workers measured since the last time.
    ///
    /// # Errors
    /// The number of a worker that has ended.
    pub fn end_second(&self) -> Result<Vec<WorkerSecond>, usize> {
        self.ask_all(|| Command::Second)
    }

    /// What all workers know at the end of the run.
    ///
    /// # Errors
    /// The number of a worker that has ended.
    pub fn end_run(&self) -> Result<Vec<WorkerSecond>, usize> {
        self.ask_all(|| Command::EndRun)
    }

    fn ask_all(&self, command: impl Fn() -> Command) -> Result<Vec<WorkerSecond>, usize> {
        for handle in &self.handles {
            // A worker that has ended says nothing below.
            let _ = handle.commands.send(command());
        }
        self.handles
            .iter()
            .enumerate()
            .map(|(index, handle)| handle.seconds.recv().map_err(|_| index))
            .collect()
    }

    /// Ends all.
    pub fn stop(self) {
        for handle in &self.handles {
            let _ = handle.commands.send(Command::Stop);
        }
        for handle in self.handles {
            // Its panic, if it had one, was printed when it happened.
            let _ = handle.thread.join();
        }
    }
}

async fn serve(
    worker: Rc<Worker>,
    mut received: commands::UnboundedReceiver<Command>,
    seconds: mpsc::Sender<WorkerSecond>,
) {
    tokio::task::spawn_local(watch_own_lateness(Rc::clone(&worker)));
    let mut running: HashMap<Task, oneshot::Sender<()>> = HashMap::new();
    while let Some(command) = received.recv().await {
        match command {
            Command::Publish { number, plan, address, due_us } => {
                let task = publish::publish(Rc::clone(&worker), plan, number, address, due_us);
                running.insert(Task::Publisher(number), until_ended(task));
            }
            Command::Watch { number, plan, place, due_us } => {
                let task = watch::watch(Rc::clone(&worker), plan, number, place, due_us);
                running.insert(Task::Viewer(number), until_ended(task));
            }
            Command::End(task) => drop(running.remove(&task)),
            Command::Second => {
                let (measure, cpu_us) = (worker.end_second(), cost::own_thread_cpu_us());
                if seconds.send(WorkerSecond { measure, cpu_us, viewers: Vec::new() }).is_err() {
                    return;
                }
            }
            Command::EndRun => {
                let (measure, viewers) = worker.end_run();
                if seconds.send(WorkerSecond { measure, cpu_us: cost::own_thread_cpu_us(), viewers }).is_err()
                {
                    return;
                }
            }
            Command::Stop => return,
        }
    }
}

/// Runs a task until it ends or what is returned is dropped.
fn until_ended(task: impl Future<Output = ()> + 'static) -> oneshot::Sender<()> {
    let (ended, told) = oneshot::channel();
    tokio::task::spawn_local(async move {
        tokio::select! {
            biased;
            _ = told => {}
            () = task => {}
        }
    });
    ended
}

/// Every timer of this worker is as late as this one.
async fn watch_own_lateness(worker: Rc<Worker>) {
    loop {
        let due_us = clock::monotonic_us() + TICK.as_micros() as u64;
        tokio::time::sleep_until(clock::instant_at(due_us)).await;
        let late_us = clock::monotonic_us().saturating_sub(due_us);
        let every_us = TICK.as_micros() as u64;
        worker.measure(|measure| measure.record_corrected_us(Meter::OwnLateness, late_us, every_us));
    }
}
