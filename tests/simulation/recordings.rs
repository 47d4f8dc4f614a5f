//! Recorded ingests, told to another home: the same events and the same bytes.

use super::captures;
use super::harness::{NAME, Simulation, ULTRA, Viewer, settings};
use super::support::encoder::Encoder;
use rapidrtmp::hls::{EventBody, StreamEvent};
use rapidrtmp::media::Now;
use rapidrtmp::origin::home::{Departure, Home, HomeError, HomeSettings};
use rapidrtmp::origin::live::SessionSettings;
use rapidrtmp::origin::recording::{Beginning, Change, Ending, Entry, Files, Replay, read_magic};
use std::collections::BTreeMap;
use std::path::Path;

/// Replays a whole recording; `see` is told what each call has changed.
fn replay(recorded: &[u8], mut see: impl FnMut(&mut Home, Now, &[StreamEvent])) -> Option<Ending> {
    let mut rest = &recorded[read_magic(recorded).expect("a recording").expect("its first line")..];
    let mut replay = Replay::default();
    while let Some((entry, count)) = Entry::read(rest).expect("an entry") {
        rest = &rest[count..];
        let entry = match entry {
            // The viewer of the simulation knows one stream.
            Entry::Begin(beginning) => {
                Entry::Begin(Box::new(Beginning { stream: NAME.to_owned(), ..*beginning }))
            }
            entry => entry,
        };
        let replayed = replay.apply(entry).expect("a call");
        assert!(replayed.failure.is_none(), "{:?}", replayed.failure);
        let now = replay.now();
        if let Some(home) = replay.home_mut() {
            see(home, now, &replayed.output.events);
        }
    }
    assert!(rest.is_empty());
    replay.ending()
}

fn assert_replays(simulation: &Simulation) {
    let mut events = Vec::new();
    replay(&simulation.recorded, |_, _, more| events.extend_from_slice(more));
    assert!(events.len() > 10);
    let same = events.iter().zip(&simulation.events).take_while(|(a, b)| a == b).count();
    assert!(events == simulation.events, "{same} of {} events are the same", events.len());
}

/// Reconnects, a grace that runs out, settings that change, a second session, a stop and what follows it.
#[test]
fn a_home_that_is_told_a_recording_makes_the_same_events() {
    let mut simulation = Simulation::new(settings());
    let encoder = Encoder::default();
    let id = simulation.publish(&encoder, 8);
    simulation.detach(id, Departure::Lost);
    simulation.advance_ms(3000);
    let id = simulation.publish(&encoder, 6);
    simulation.home.set_settings(HomeSettings { wishes: ULTRA, ..settings() });
    simulation.detach(id, Departure::Unpublished);
    simulation.advance_ms(12_000);
    let id = simulation.publish(&encoder, 8);
    simulation.advance_ms(700);
    simulation.stop();
    simulation.detach(id, Departure::Lost);
    simulation.advance_ms(120_000);
    assert_eq!(simulation.viewer.sessions().len(), 2);
    let retired = |event: &&StreamEvent| matches!(event.body, EventBody::Retire(_));
    assert_eq!(simulation.events.iter().filter(retired).count(), 2);
    assert_replays(&simulation);
}

/// A publisher that comes again and again to a stream that keeps too much.
#[test]
fn what_comes_behind_a_refused_publisher_is_replayed() {
    let session = SessionSettings { retained_bytes_max: 400_000, ..settings().session };
    let mut simulation = Simulation::new(HomeSettings { session, ..settings() });
    let encoder = Encoder::default();
    let id = simulation.attach();
    let mut messages = encoder.messages(60).into_iter();
    let refused = messages.find_map(|message| {
        simulation.advance_to(message.at_us.max(simulation.now.monotonic_us));
        simulation.send(id, &message).err()
    });
    assert!(matches!(refused, Some(HomeError::RetainedBytes { .. })), "{refused:?}");
    simulation.detach(id, Departure::Lost);
    assert!(simulation.try_attach().is_err() && simulation.try_attach().is_err());
    simulation.advance_ms(120_000);
    simulation.publish(&encoder, 2);
    let mut events = Vec::new();
    let mut replay = Replay::default();
    let mut rest = &simulation.recorded[read_magic(&simulation.recorded).unwrap().unwrap()..];
    while let Some((entry, count)) = Entry::read(rest).expect("an entry") {
        rest = &rest[count..];
        events.extend(replay.apply(entry).expect("a call").output.events);
    }
    assert!(events == simulation.events);
}

#[test]
fn recordings_of_recordings_replay_however_they_are_cut() {
    for (name, piece_bytes) in [("ff9_hevc_aac", 700), ("ff9_multitrack", 65_536), ("obs29_h264_aac", 9000)] {
        assert_replays(&captures::play(&captures::Recording::open(name), piece_bytes).simulation);
    }
}

/// ffmpeg to a server of two shards, killed, and back within the grace: every byte plays, and what is listed as files is
/// what a viewer reads.
#[test]
fn a_recording_of_a_server_plays() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings/reconnect.ingest");
    let recorded = std::fs::read(path).expect("a recording");
    let mut viewer = Viewer::default();
    viewer.keep_media = true;
    let (mut files, mut written) = (Files::default(), BTreeMap::new());
    let mut discontinuities = 0;
    let ending = replay(&recorded, |home, now, events| {
        if events.is_empty() {
            return;
        }
        for Change { path, body } in files.changes(home, events) {
            written.insert(path, body);
        }
        let breaks = events.iter().filter(|event| matches!(&event.body, EventBody::Part(part) if part.opens.is_some_and(|head| head.discontinuity)));
        discontinuities += breaks.count();
        viewer.see(home.view_mut(), now);
    });
    viewer.assert_faultless("the recording");
    assert_eq!((ending, viewer.sessions().len()), (Some(Ending::Complete), 1));
    // One in each rendition.
    assert_eq!(discontinuities, 2);
    let media = |ending: &str| -> usize {
        let of_rendition = written.iter().filter(|(path, _)| path.contains(ending));
        of_rendition.filter_map(|(_, body)| body.as_ref()).map(|body| body.len()).sum()
    };
    for rendition in ["v", "a"] {
        let (read, inits, all) = (
            viewer.media(rendition).len(),
            media(&format!("/{rendition}-i")),
            media(&format!("/{rendition}-")),
        );
        // Parts stand in the listing twice: alone and in their segments. After ENDLIST the multivariant stays.
        assert_eq!((read - inits) * 2 + inits, all, "{rendition}");
    }
}
