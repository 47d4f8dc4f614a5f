//! A panic at each place where one could be: it ends what it belongs to and nothing else.

use crate::in_process::InProcess;
use crate::rtmp_publisher::Running;
use crate::support::http::Client;
use crate::support::{http2, poll_until};
use crate::{NOISE, get, next_segment, playable, watch_undisturbed};
use rapidrtmp::config::Config;
use rapidrtmp::shard::fault::{Fault, FaultAt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// What a fault does to the stream that it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// The stream: its publisher is told, and who publishes next begins a new session.
    Stream,
    /// The publisher: its session waits for it.
    Publisher,
    /// At most one viewer's connection, or one message.
    Little,
}

#[test]
fn a_panic_ends_what_it_belongs_to_and_disturbs_nothing_else() {
    let places = [
        (FaultAt::Media, Ends::Stream),
        (FaultAt::Time, Ends::Stream),
        (FaultAt::Books, Ends::Stream),
        (FaultAt::Publisher, Ends::Publisher),
        (FaultAt::Viewer, Ends::Little),
        (FaultAt::Event, Ends::Little),
        (FaultAt::Message, Ends::Little),
    ];
    for shards in [1, 2] {
        let stage = FaultStage::start(shards);
        for (at, ends) in places {
            if shards == 1 && matches!(at, FaultAt::Event | FaultAt::Message) {
                // With one shard there is nobody to send any.
                continue;
            }
            stage.strike(at, ends);
        }
        // The window of a stream that panics when it is asked is of no use to anybody; a replica of it is
        // followed anew.
        stage.strike(FaultAt::Answer, Ends::Stream);
        if shards > 1 {
            stage.strike(FaultAt::ReplicaAnswer, Ends::Little);
        }
    }
}

struct FaultStage {
    server: InProcess,
    /// The place where the next fault is to be, plus 1; taken by the first who comes by.
    armed: Arc<AtomicU32>,
    bystander: Running,
    bystander_path: String,
}

impl FaultStage {
    fn start(shards: usize) -> Self {
        let armed = Arc::new(AtomicU32::new(0));
        let trigger = Arc::clone(&armed);
        let mut config = Config::default();
        config.hls.part_wish_ms = 200;
        config.hls.segment_target_ms = 1000;
        config.ingest.reconnect_grace_s = 8;
        let server = InProcess::start(
            shards,
            config,
            Some(Arc::new(move |at, name| {
                let struck = name.strip_prefix("live/struck").and_then(|number| number.parse().ok());
                let mine = name.is_empty() || struck == Some(at as u32);
                let place = at as u32 + 1;
                let taken =
                    mine && trigger.compare_exchange(place, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
                taken.then_some(Fault::Panic)
            })),
        );
        let bystander = Running::start(server.rtmp, "bystander");
        let bystander_path = playable(server.http, "bystander").remove(0);
        Self { server, armed, bystander, bystander_path }
    }

    fn strike(&self, at: FaultAt, ends: Ends) {
        let (server, key) = (&self.server, format!("struck{}", at as u32));
        let mut publisher = Some(Running::start(server.rtmp, &key));
        let path = playable(server.http, &key).remove(0);
        let panics = || server.client().metric("rapidrtmp_panics_total", "");
        let before = panics();
        std::thread::scope(|scope| {
            scope.spawn(|| watch_undisturbed(server.http, &self.bystander_path, Duration::from_secs(4)));
            // Viewers on every shard, for the places that only they come by.
            let mut viewers: Vec<Client> = (0..12).map(|_| server.client()).collect();
            viewers.iter_mut().for_each(|viewer| assert_eq!(get(viewer, &path).status, 200));
            self.armed.store(at as u32 + 1, Ordering::Relaxed);
            if at == FaultAt::Time {
                // While media comes, it sets the pace; the end of the grace does not come with any.
                publisher = None;
            }
            let struck = poll_until(5 * NOISE, || {
                // One of them may be cut off by the fault.
                viewers.retain_mut(|viewer| viewer.get(&path).is_ok());
                (self.armed.load(Ordering::Relaxed) == 0).then_some(())
            });
            assert!(struck.is_some(), "{at:?} is a place that is come by");
            let lost = 12 - viewers.len();
            assert!(lost == usize::from(at == FaultAt::Viewer), "{at:?}: {lost} viewers are cut off");
        });
        let counted = poll_until(NOISE, || (panics() > before).then_some(()));
        assert!(counted.is_some(), "{at:?} is counted");
        match ends {
            Ends::Little => {
                if let Some(ended) = publisher.take_if(|publisher| publisher.has_ended()) {
                    panic!("{at:?}: the publisher ended: {:?}", ended.stop().err());
                }
                assert!(publisher.is_some(), "{at:?}");
                let next = crate::media(&get(&mut server.client(), &path));
                assert_eq!(get(&mut server.client(), &crate::next_part(&path, &next)).status, 200, "{at:?}");
            }
            Ends::Publisher | Ends::Stream => {
                let ended =
                    poll_until(NOISE, || publisher.as_ref().is_none_or(Running::has_ended).then_some(()));
                assert!(ended.is_some(), "{at:?}: the publisher's connection is closed");
                let left = poll_until(NOISE, || {
                    (server.client().metric("rapidrtmp_active_publishers", "") == Some(1.0)).then_some(())
                });
                assert!(left.is_some(), "{at:?}: the publisher leaves nothing behind");
                let again = Running::start(server.rtmp, &key);
                let new_path = playable(server.http, &key).remove(0);
                assert_eq!(new_path == path, ends == Ends::Publisher, "{at:?}: {path}, then {new_path}");
                drop(again);
            }
        }
        assert!(!self.bystander.has_ended(), "{at:?}");
    }
}

/// What holds a shard for longer than 8 ms is a number that an operator sees.
#[test]
fn a_shard_that_is_held_up_counts_its_stalls() {
    let stalls_left = Arc::new(AtomicU32::new(0));
    let left = Arc::clone(&stalls_left);
    let take_one =
        move || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let server = InProcess::start(
        2,
        Config::default(),
        Some(Arc::new(move |at, _| {
            if at == FaultAt::Media && take_one() {
                std::thread::sleep(Duration::from_millis(40));
            }
            None
        })),
    );
    let publisher = Running::start(server.rtmp, "held-up");
    let path = playable(server.http, "held-up").remove(0);
    // Viewers on both shards: the events go from one to the other all the while.
    let mut viewers: Vec<Client> = (0..16).map(|_| server.client()).collect();
    viewers.iter_mut().for_each(|viewer| assert_eq!(get(viewer, &path).status, 200));
    let stalls = || server.client().metric("rapidrtmp_shard_stalls_total", "").unwrap();
    let before = stalls();
    stalls_left.store(10, Ordering::Relaxed);
    let counted = poll_until(2 * NOISE, || (stalls() >= before + 10.0).then_some(()));
    assert!(counted.is_some(), "{before} stalls, then {}", stalls());
    assert!(!publisher.has_ended());
}

/// Over HTTP/2 a request is one of many on its connection: the others are none the worse.
#[test]
fn a_panic_in_one_request_leaves_those_beside_it_on_the_connection() {
    let armed = Arc::new(AtomicBool::new(false));
    let trigger = Arc::clone(&armed);
    let mut config = Config::default();
    config.hls.part_wish_ms = 200;
    config.hls.segment_target_ms = 1000;
    let struck = move |at, _: &str| {
        (at == FaultAt::Viewer && trigger.swap(false, Ordering::Relaxed)).then_some(Fault::Panic)
    };
    let server = InProcess::start(1, config, Some(Arc::new(struck)));
    let _publisher = Running::start(server.rtmp, "shared");
    let path = playable(server.http, "shared").remove(0);
    let mut client = http2::Client::plain(server.http);
    let held = crate::media(&get(&mut server.client(), &path));
    let waiting = client.send("GET", &next_segment(&path, &held), &[], &[]);
    // It has been read when what came after it is answered.
    client.ping();
    armed.store(true, Ordering::Relaxed);
    let asked = client.send("GET", &path, &[], &[]);
    let error = client.head(asked).err().and_then(|error| error.reason());
    assert_eq!(error, Some(h2::Reason::INTERNAL_ERROR));
    assert_eq!(client.receive(waiting).status, 200);
    assert_eq!(client.get(&path).status, 200);
    assert_eq!(server.client().metric("rapidrtmp_panics_total", ""), Some(1.0));
    assert!(client.ended.is_none());
}
