//! Viewers who reload a playlist part by part, and note how long each part let them wait.

use crate::support::http::Client;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What one viewer has seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    pub parts: u64,
    /// Of all reloads.
    pub waited_max: Duration,
    /// Reloads that took longer than the hold-back: a player would have run dry.
    pub stalls: u64,
    /// Reloads that listed nothing new.
    pub vain: u64,
}

/// Viewers on threads of their own.
pub struct Viewers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Viewers {
    /// `count` viewers of the playlists, each of one.
    pub fn start(http: SocketAddr, paths: &[String], count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count).map(|viewer| {
            let (stop, path) = (Arc::clone(&stop), paths[viewer % paths.len()].clone());
            let builder = std::thread::Builder::new().stack_size(256 * 1024);
            builder.spawn(move || watch(http, &path, &stop)).expect("a thread")
        });
        Self { threads: threads.collect(), stop }
    }

    /// Stops them; what all have seen.
    ///
    /// # Panics
    /// When one of them was not answered, or watched nothing.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for thread in self.threads {
            let seen = thread.join().expect("a viewer is answered");
            assert!(seen.parts > 5, "{seen:?}");
            all.parts += seen.parts;
            all.stalls += seen.stalls;
            all.vain += seen.vain;
            all.waited_max = all.waited_max.max(seen.waited_max);
        }
        all
    }
}

/// What a reload needs of a playlist.
struct Listed {
    /// The segment and part to ask for next.
    next: (u64, u64),
    hold_back: Duration,
}

/// Reads no more than that: two hundred viewers check nothing else.
fn listed(text: &str) -> Option<Listed> {
    let (mut media_sequence, mut segments, mut parts, mut hold_back) = (None, 0, 0, None);
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            media_sequence = value.parse::<u64>().ok();
        } else if let Some((_, value)) = line.split_once("PART-HOLD-BACK=") {
            hold_back = value.split(',').next().and_then(|value| value.parse::<f64>().ok());
        } else if line.starts_with("#EXTINF:") {
            (segments, parts) = (segments + 1, 0);
        } else if line.starts_with("#EXT-X-PART:") {
            parts += 1;
        } else if line.starts_with("#EXT-X-ENDLIST") {
            return None;
        }
    }
    let hold_back = Duration::from_secs_f64(hold_back?);
    Some(Listed { next: (media_sequence? + segments, parts), hold_back })
}

fn watch(http: SocketAddr, path: &str, stop: &AtomicBool) -> Seen {
    let mut client = Client::connect(http).expect("the server accepts a connection");
    let mut seen = Seen::default();
    let mut target = path.to_owned();
    let mut before = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let response = client.get(&target).unwrap_or_else(|error| panic!("{target}: {error}"));
        let text = response.text();
        assert_eq!(response.status, 200, "{target}: {text}");
        let listed = listed(&text).unwrap_or_else(|| panic!("{target} is live: {text}"));
        let waited = response.complete_at - response.sent_at;
        seen.waited_max = seen.waited_max.max(waited);
        seen.stalls += u64::from(waited > listed.hold_back);
        seen.vain += u64::from(listed.next <= before);
        seen.parts += 1;
        before = listed.next;
        target = format!("{path}?_HLS_msn={}&_HLS_part={}", before.0, before.1);
    }
    seen
}
