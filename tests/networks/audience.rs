//! Viewers who reload every playlist of a stream part by part, check each snapshot, and fetch all that is new.

use crate::support::http::{Client, resolve};
use crate::support::playlist::{Media, Violation, Watcher};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a viewer of one playlist has seen.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub violations: Vec<Violation>,
    /// The newest snapshot.
    pub held: Media,
    pub snapshots: usize,
    /// Of parts and segments.
    pub fetched_bytes: usize,
    /// Statuses other than 200, with what was asked for.
    pub refused: Vec<(u16, String)>,
    /// How long a part let it wait, at most.
    pub waited_max: Duration,
}

/// One viewer for each playlist, on a thread of its own.
pub struct Audience {
    stop: Arc<AtomicBool>,
    seen: Vec<Arc<Mutex<Seen>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Audience {
    pub fn start(http: SocketAddr, paths: Vec<String>) -> Self {
        let mut audience = Self { stop: Arc::default(), seen: Vec::new(), threads: Vec::new() };
        for path in paths {
            let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::clone(&audience.stop));
            audience.seen.push(Arc::clone(&seen));
            audience.threads.push(std::thread::spawn(move || watch(http, &path, &seen, &stop)));
        }
        audience
    }

    /// What each has seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.iter().map(|seen| locked(seen).clone()).collect()
    }

    /// Waits until this is true of what each of them holds.
    pub fn wait_until(&self, within: Duration, what: &str, holds: impl Fn(&Media) -> bool) {
        let held = crate::support::poll_until(within, || {
            self.seen().iter().all(|seen| holds(&seen.held)).then_some(())
        });
        assert!(held.is_some(), "{what}: {:#?}", self.seen());
    }

    /// Stops them; what they were listed was valid throughout, and could be had.
    pub fn end(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.seen;
        for thread in self.threads {
            thread.join().expect("a viewer is answered");
        }
        let seen: Vec<Seen> = seen.iter().map(|seen| locked(seen).clone()).collect();
        for seen in &seen {
            assert!(seen.violations.is_empty() && seen.refused.is_empty(), "{seen:#?}");
            assert!(seen.snapshots > 2 && seen.fetched_bytes > 0, "{seen:#?}");
        }
        seen
    }
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until it is told to stop, or the playlist has ended.
fn watch(http: SocketAddr, path: &str, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut client = Client::connect(http).expect("the server accepts a connection");
    let (mut watcher, mut fetched) = (Watcher::new(), HashSet::new());
    let mut target = path.to_owned();
    while !stop.load(Ordering::Relaxed) {
        let response = client.get(&target).unwrap_or_else(|error| panic!("{target}: {error}"));
        if response.status != 200 {
            locked(seen).refused.push((response.status, target.clone()));
            // What it waited for did not come in time; what there is is another matter.
            path.clone_into(&mut target);
            continue;
        }
        let violations = watcher.see(&response.text());
        let held = watcher.held().cloned().unwrap_or_default();
        {
            let mut seen = locked(seen);
            seen.violations.extend(violations);
            seen.snapshots += 1;
            seen.waited_max = seen.waited_max.max(response.complete_at - response.sent_at);
            seen.held = held.clone();
        }
        for uri in listed(&held) {
            let path = resolve(path, &uri);
            if fetched.insert(path.clone()) {
                let response = client.get(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
                let mut seen = locked(seen);
                seen.fetched_bytes += response.body.len();
                if response.status != 200 {
                    seen.refused.push((response.status, path));
                }
            }
        }
        if held.ended {
            return;
        }
        target = next(path, &held);
    }
}

/// Parts, segments and init segments.
fn listed(held: &Media) -> Vec<String> {
    let segments = held.all_segments().filter(|segment| !segment.gap);
    segments
        .flat_map(|segment| {
            let parts = segment.parts.iter().filter(|part| !part.gap).map(|part| part.uri.clone());
            parts.chain(segment.uri.clone()).chain(segment.map.as_ref().map(|map| map.uri.clone()))
        })
        .collect()
}

/// The reload that waits for the next part.
fn next(path: &str, held: &Media) -> String {
    let (msn, part) = match (held.last_complete(), held.last_part()) {
        (Some(complete), Some((msn, part))) if msn > complete => (msn, part + 1),
        (complete, _) => (complete.map_or(held.media_sequence, |complete| complete + 1), 0),
    };
    format!("{path}?_HLS_msn={msn}&_HLS_part={part}")
}
