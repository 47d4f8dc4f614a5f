//! One viewer: finds the stream, begins near its live edge, and follows every rendition until it leaves.

mod follow;
mod join;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use join::Joining;
pub use join::{JoinError, probe};

use crate::address::Resource;
use crate::clock;
use crate::measure::Counter;
use crate::net::{Client, Pace};
use crate::player::Rendition;
use crate::scenario::{Modes, VANISHED_FOR_S};
use crate::worker::{Random, Screen, Worker};

/// A viewer whose stream has ended, or who could not join, tries anew after this.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What all viewers of a group have in common.
pub struct WatchPlan {
    /// The streams' addresses; a viewer takes the one of its number.
    pub urls: Vec<String>,
    /// How they ask.
    pub client: Arc<Client>,
    /// What the viewer of a number does.
    pub modes: Modes,
    /// Share of media read and checked besides one copy of everything.
    pub verify_percent: f64,
    /// Line of each viewer, in bytes a second.
    pub line_bytes_s: Option<u64>,
    /// Mean stay; zero is to the end.
    pub stay: Duration,
    /// Of those who go, how many vanish.
    pub vanish_percent: f64,
    /// Mean time to a pause; zero is never.
    pub pause_every: Duration,
    /// Length of a pause.
    pub pause: Duration,
}

/// What a viewer is told while it plays.
#[derive(Default)]
struct Conduct {
    is_paused: Cell<bool>,
    has_vanished: Cell<bool>,
    /// When the last pause was over; what was due before is due then.
    resumed_us: Cell<u64>,
    resumed: Notify,
}

impl Conduct {
    /// Waits while the viewer pauses; for ever once it has vanished.
    async fn may_ask(&self) {
        while self.is_paused.get() {
            self.resumed.notified().await;
        }
        if self.has_vanished.get() {
            std::future::pending::<()>().await;
        }
    }
}

/// What the tasks of one viewer share.
struct Viewer {
    worker: Rc<Worker>,
    plan: Arc<WatchPlan>,
    conduct: Rc<Conduct>,
    pace: Pace,
    screen: Rc<Screen>,
    renditions: Vec<Followed>,
}

/// One rendition of a viewer.
struct Followed {
    rendition: RefCell<Rendition>,
    /// Path of its playlist.
    path: String,
    /// The playlist has changed.
    changed: Notify,
}

/// Watches until it is dropped. Viewers that leave are followed by others of the same number. `place` is the
/// viewer's number in its group, which says what it watches and how.
pub async fn watch(worker: Rc<Worker>, plan: Arc<WatchPlan>, number: u32, place: u32, mut due_us: u64) {
    tokio::time::sleep_until(clock::instant_at(due_us)).await;
    let url = &plan.urls[place as usize % plan.urls.len()];
    // Addresses were tried before the run.
    let Ok(index) = Resource::parse(url) else { return };
    let mode = plan.modes.of(place / plan.urls.len() as u32);
    let mut random = worker.random_of(u64::from(number));
    loop {
        let screen = Screen::new(number, index.path(), mode.name(), due_us);
        let conduct = Rc::new(Conduct::default());
        let mut tasks = JoinSet::new();
        let stay = random.time(plan.stay);
        let pauses = worker.random_of(u64::from(number) | 1 << 62);
        let counted = worker.count_viewer(&screen);
        let joining =
            Joining { worker: &worker, plan: &plan, index: &index, mode, conduct: &conduct, screen: &screen };
        let session = watch_once(joining, pauses, &mut tasks);
        let ended = match stay {
            Some(stay) => tokio::time::timeout(stay, session).await.ok(),
            None => {
                session.await;
                Some(())
            }
        };
        drop(counted);
        match ended {
            // The stream ended, or there was none: a page looks now and then whether there is another.
            Some(()) => {
                while !joining.is_live().await {
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
            None if random.happens(plan.vanish_percent) => vanish(&worker, &conduct, tasks),
            None => {}
        }
        due_us = clock::monotonic_us();
    }
}

/// From joining to the stream's end.
async fn watch_once(joining: Joining<'_>, pauses: Random, tasks: &mut JoinSet<()>) {
    let worker = joining.worker;
    let joined = match joining.join_in_time().await {
        Ok(joined) => joined,
        Err(error) => {
            joining.screen.figures.borrow_mut().faults += 1;
            worker.fault(error.fault(joining.index.path()));
            return;
        }
    };
    let viewer = Rc::new(joined.viewer);
    for (index, connection) in joined.connections.into_iter().enumerate() {
        tasks.spawn_local(follow::follow_playlist(Rc::clone(&viewer), index, connection.playlist));
        tasks.spawn_local(follow::follow_media(Rc::clone(&viewer), index, connection.media));
    }
    let followed = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = followed => {}
        () = pause_now_and_then(&viewer, pauses) => {}
    }
}

/// Pauses at random; never completes.
async fn pause_now_and_then(viewer: &Viewer, mut random: Random) {
    let Viewer { plan, conduct, screen, .. } = viewer;
    while let Some(played) = random.time(plan.pause_every) {
        tokio::time::sleep(played).await;
        conduct.is_paused.set(true);
        if let Some(playback) = screen.playback.borrow_mut().as_mut() {
            playback.pause(clock::monotonic_us());
        }
        tokio::time::sleep(plan.pause).await;
        let now_us = clock::monotonic_us();
        if let Some(playback) = screen.playback.borrow_mut().as_mut() {
            playback.resume(now_us);
        }
        for followed in &viewer.renditions {
            followed.rendition.borrow_mut().paused();
        }
        conduct.resumed_us.set(now_us);
        conduct.is_paused.set(false);
        conduct.resumed.notify_waiters();
    }
    std::future::pending().await
}

/// A viewer goes without a word: its connections are left open, and no request follows on them.
fn vanish(worker: &Rc<Worker>, conduct: &Conduct, tasks: JoinSet<()>) {
    worker.measure(|measure| measure.add(Counter::Vanished, 1));
    conduct.has_vanished.set(true);
    // Its tasks hold its connections, and end when they are dropped.
    tokio::task::spawn_local(async move {
        tokio::time::sleep(Duration::from_secs_f64(VANISHED_FOR_S)).await;
        drop(tasks);
    });
}
