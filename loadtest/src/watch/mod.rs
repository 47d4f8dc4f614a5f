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
use crate::scenario::Modes;
use crate::worker::{Screen, Worker};

/// A viewer that vanished keeps its connections open for this long: longer than servers wait for a request.
const VANISHED_FOR: Duration = Duration::from_secs(90);
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
    screen: Screen,
    renditions: Vec<Followed>,
    /// When it was to join.
    due_us: u64,
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
    loop {
        let screen = Screen::default();
        let conduct = Rc::new(Conduct::default());
        let mut tasks = JoinSet::new();
        let stay = worker.random_time(plan.stay);
        let counted = worker.count_viewer(number, &screen);
        let joining = Joining {
            worker: &worker,
            plan: &plan,
            index: &index,
            mode,
            conduct: &conduct,
            screen: &screen,
            due_us,
        };
        let session = watch_once(joining, &mut tasks);
        let ended = match stay {
            Some(stay) => tokio::time::timeout(stay, session).await.ok(),
            None => {
                session.await;
                Some(())
            }
        };
        drop(counted);
        match ended {
            // The stream ended, or there was none.
            Some(()) => tokio::time::sleep(AGAIN_AFTER).await,
            None => leave(&worker, &plan, &conduct, tasks),
        }
        due_us = clock::monotonic_us();
    }
}

/// From joining to the stream's end.
async fn watch_once(joining: Joining<'_>, tasks: &mut JoinSet<()>) {
    let worker = joining.worker;
    worker.measure(|measure| measure.add(Counter::Joins, 1));
    let joined = match joining.join_in_time().await {
        Ok(joined) => joined,
        Err(error) => {
            worker.measure(|measure| {
                measure.add(Counter::JoinsFailed, 1);
                measure.fault(error.fault(joining.index.path()));
            });
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
        () = pause_now_and_then(&viewer) => {}
    }
}

/// Pauses at random; never completes.
async fn pause_now_and_then(viewer: &Viewer) {
    let Viewer { worker, plan, conduct, screen, .. } = viewer;
    while let Some(played) = worker.random_time(plan.pause_every) {
        tokio::time::sleep(played).await;
        conduct.is_paused.set(true);
        let paused = screen.borrow_mut().as_mut().map(|playback| playback.pause(clock::monotonic_us()));
        tokio::time::sleep(plan.pause).await;
        let now_us = clock::monotonic_us();
        if let (Some(playback), Some(paused)) = (screen.borrow_mut().as_mut(), paused) {
            playback.resume(paused, now_us);
        }
        conduct.resumed_us.set(now_us);
        conduct.is_paused.set(false);
        conduct.resumed.notify_waiters();
    }
    std::future::pending().await
}

/// A viewer goes: its connections are closed, or left open and unread.
fn leave(worker: &Rc<Worker>, plan: &WatchPlan, conduct: &Conduct, tasks: JoinSet<()>) {
    if !worker.happens(plan.vanish_percent) {
        worker.measure(|measure| measure.add(Counter::Leaves, 1));
        return;
    }
    worker.measure(|measure| measure.add(Counter::Vanished, 1));
    conduct.has_vanished.set(true);
    // Its tasks hold its connections, and end when they are dropped.
    tokio::task::spawn_local(async move {
        tokio::time::sleep(VANISHED_FOR).await;
        drop(tasks);
    });
}
