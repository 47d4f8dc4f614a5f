//! A rendition against playlists that grow, without sockets.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::address::Resource;
use crate::fault::FaultKind;
use crate::playlist::Position;
use crate::scenario::Mode;

const PART_US: u64 = 500_000;
/// Parts of a segment.
const PARTS: u32 = 4;

/// A playlist whose open segment has this many parts, and twelve complete ones before it.
fn listed(open: u64, open_parts: u32, extra: &str) -> Bytes {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,\
         PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-MAP:URI=\"i.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-27T00:00:00Z\n",
        open - 12
    );
    for segment in open - 12..=open {
        let parts = if segment == open { open_parts } else { PARTS };
        if segment + 4 > open {
            for part in 0..parts {
                let independent = if part == 0 { ",INDEPENDENT=YES" } else { "" };
                writeln!(text, "#EXT-X-PART:DURATION=0.5,URI=\"p{segment}.{part}\"{independent}").unwrap();
            }
        }
        if segment < open {
            writeln!(text, "#EXTINF:2.0,\ns{segment}").unwrap();
        }
    }
    writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p{open}.{open_parts}\"{extra}").unwrap();
    text.into()
}

struct Viewer {
    rendition: Rendition,
    now_us: u64,
}

impl Viewer {
    fn new(mode: Mode) -> Self {
        let resource = Resource::parse("http://h/live/v.m3u8?token=x").unwrap();
        let channel = Listings::default().channel(&resource);
        Self { rendition: Rendition::new(channel, mode), now_us: 1_000_000 }
    }

    fn receive(&mut self, body: &Bytes) -> (Reloaded, Vec<FaultKind>) {
        let reload = self.rendition.next_reload();
        let (became, faults) = self.rendition.reloaded(&reload, body, false, self.now_us, self.now_us);
        (became, faults.into_iter().map(|fault| fault.kind).collect())
    }

    fn joined(mode: Mode) -> Self {
        let mut viewer = Self::new(mode);
        viewer.receive(&listed(100, 2, ""));
        let hold_back = viewer.rendition.hold_back().unwrap();
        viewer.rendition.start(hold_back).unwrap();
        viewer.rendition.began();
        viewer
    }

    /// Takes all that is there; names what was loaded.
    fn load_all(&mut self) -> Vec<String> {
        let mut loaded = Vec::new();
        while let Ok(wanted) = self.rendition.next_wanted() {
            loaded.push(wanted.address.resource.path().rsplit('/').next().unwrap().to_owned());
            match &wanted.listed {
                Some(listed) => drop(self.rendition.loaded(listed, &Arc::default())),
                None => drop(self.rendition.keep_hinted(&wanted, Arc::default())),
            }
        }
        loaded
    }
}

#[test]
fn a_viewer_begins_at_the_keyframe_behind_its_hold_back_and_loads_what_is_listed() {
    let mut viewer = Viewer::new(Mode::Parts);
    assert!(matches!(viewer.rendition.next_wanted(), Err(Taken::Nothing)));
    viewer.receive(&listed(100, 2, ""));
    assert_eq!(viewer.rendition.hold_back(), Some(Duration::from_millis(1500)));
    // The edge is 1 s into segment 100; 1.5 s before is 1.5 s into segment 99, whose first part is the keyframe.
    assert_eq!(viewer.rendition.start(Duration::from_millis(1500)), Some(Duration::from_millis(1500)));
    assert_eq!(viewer.load_all(), ["p99.0", "p99.1", "p99.2", "p99.3", "p100.0", "p100.1"]);
    viewer.receive(&listed(100, 3, ""));
    assert_eq!(viewer.load_all(), ["p100.2"]);
}

#[test]
fn what_was_listed_before_a_viewer_came_is_backlog() {
    let mut viewer = Viewer::joined(Mode::Parts);
    viewer.receive(&listed(100, 3, ""));
    let mut backlog = Vec::new();
    while let Ok(wanted) = viewer.rendition.next_wanted() {
        let listed = wanted.listed.unwrap();
        backlog.push(listed.is_backlog);
        viewer.rendition.loaded(&listed, &Arc::default());
    }
    assert_eq!(backlog, [true, true, true, true, true, true, false]);
}

#[test]
fn what_came_in_a_pause_is_backlog_and_what_follows_is_not() {
    let mut viewer = Viewer::joined(Mode::Parts);
    viewer.load_all();
    viewer.rendition.paused();
    viewer.receive(&listed(101, 2, ""));
    viewer.receive(&listed(101, 3, ""));
    let mut backlog = Vec::new();
    while let Ok(wanted) = viewer.rendition.next_wanted() {
        let listed = wanted.listed.unwrap();
        backlog.push(listed.is_backlog);
        viewer.rendition.loaded(&listed, &Arc::default());
    }
    assert_eq!(backlog, [true, true, true, true, false], "p100.2 to p101.1, and p101.2");
}

#[test]
fn a_part_is_due_when_it_was_first_listed_however_many_playlists_follow() {
    let mut viewer = Viewer::joined(Mode::Parts);
    viewer.load_all();
    for (parts, now_us) in [(3, 2_000_000), (4, 3_000_000)] {
        viewer.now_us = now_us;
        viewer.receive(&listed(100, parts, ""));
    }
    let mut due_us = Vec::new();
    while let Ok(wanted) = viewer.rendition.next_wanted() {
        due_us.push(wanted.listed_us);
        viewer.rendition.loaded(&wanted.listed.unwrap(), &Arc::default());
    }
    assert_eq!(due_us, [2_000_000, 3_000_000]);
}

#[test]
fn numbers_that_fell_begin_anew() {
    let mut viewer = Viewer::joined(Mode::Parts);
    viewer.load_all();
    viewer.receive(&listed(20, 2, ""));
    assert!(matches!(viewer.rendition.next_wanted(), Err(Taken::Lost(_))));
    assert_eq!(viewer.load_all()[0], "p19.0");
}

#[test]
fn a_viewer_without_low_latency_loads_whole_segments_and_polls() {
    let mut viewer = Viewer::joined(Mode::Segments);
    // Three target durations behind the end of the last segment.
    assert_eq!(viewer.load_all(), ["s97", "s98", "s99"]);
    let reload = viewer.rendition.next_reload();
    assert_eq!((reload.asked, reload.due_us), (None, viewer.now_us + 2_000_000));
    viewer.receive(&listed(101, 0, ""));
    assert_eq!(viewer.load_all(), ["s100"]);
}

#[test]
fn a_hint_is_asked_for_once_and_taken_when_it_is_listed() {
    let mut viewer = Viewer::joined(Mode::Hint);
    let loaded = viewer.load_all();
    assert_eq!(loaded[loaded.len() - 2..], ["p100.1", "p100.2"], "the hinted part is asked for ahead");
    assert!(matches!(viewer.rendition.next_wanted(), Err(Taken::Nothing)), "and only once");
    viewer.receive(&listed(100, 3, ""));
    let wanted = viewer.rendition.next_wanted().unwrap();
    assert_eq!(wanted.kind, WantedKind::Part);
    assert!(viewer.rendition.take_hinted(&wanted).is_some(), "it came already");
    viewer.rendition.loaded(&wanted.listed.unwrap(), &Arc::default());
    assert_eq!(viewer.load_all(), ["p100.3"]);
    // A hint that is never listed is replaced by the next one.
    viewer.receive(&listed(101, 0, ""));
    let wanted = viewer.rendition.next_wanted().unwrap();
    assert!(viewer.rendition.take_hinted(&wanted).is_some());
}

#[test]
fn blocking_reloads_ask_for_the_next_part_and_keep_the_query() {
    for (mode, wanted) in [
        (Mode::Parts, "/live/v.m3u8?token=x&_HLS_msn=100&_HLS_part=2"),
        (Mode::Delta, "/live/v.m3u8?token=x&_HLS_msn=100&_HLS_part=2&_HLS_skip=YES"),
    ] {
        let viewer = Viewer::joined(mode);
        let reload = viewer.rendition.next_reload();
        assert_eq!((reload.resource.target(), reload.asked), (wanted, Some((100, Some(2)))));
        assert_eq!(reload.due_us, viewer.now_us, "at once");
    }
}

#[test]
fn an_answer_that_brings_nothing_or_not_what_was_asked_for_is_a_fault() {
    let mut viewer = Viewer::joined(Mode::Parts);
    let (became, faults) = viewer.receive(&listed(100, 2, ""));
    assert!(matches!(became, Reloaded::Unchanged));
    assert_eq!(faults, [FaultKind::ReloadUnchanged]);
    // As hls.js: a plain reload after half a target duration.
    let reload = viewer.rendition.next_reload();
    assert_eq!((reload.asked, reload.due_us), (None, viewer.now_us + 1_000_000));
    let (became, faults) = viewer.receive(&listed(100, 2, ""));
    assert!(matches!(became, Reloaded::Unchanged) && faults.is_empty(), "a poll may bring nothing");

    let mut viewer = Viewer::joined(Mode::Parts);
    viewer.receive(&listed(100, 4, ""));
    let shorter = listed(100, 4, "").slice(..).to_vec();
    let shorter = String::from_utf8(shorter).unwrap().replace("s88\n", "s88?v=2\n");
    let (_, faults) = viewer.receive(&shorter.into());
    assert!(
        faults.contains(&FaultKind::ReloadUnchanged) && faults.contains(&FaultKind::PlaylistChanged),
        "{faults:?}"
    );
}

#[test]
fn a_viewer_that_fell_behind_goes_on_near_the_edge_and_says_what_it_lost() {
    let mut viewer = Viewer::joined(Mode::Parts);
    viewer.load_all();
    viewer.receive(&listed(140, 2, ""));
    let Err(Taken::Lost(parts)) = viewer.rendition.next_wanted() else { panic!("it is behind") };
    assert!((35 * u64::from(PARTS)..=41 * u64::from(PARTS)).contains(&parts), "{parts} parts of 40 segments");
    assert_eq!(viewer.load_all()[0], "p139.0");
}

#[test]
fn a_part_that_comes_late_is_told_once_and_not_when_nobody_waited() {
    let resource = Resource::parse("http://h/v.m3u8").unwrap();
    let channel: Rc<RefCell<Channel>> = Listings::default().channel(&resource);
    let read = |asked_us, now_us, parts| {
        let read = channel.borrow_mut().read(&listed(100, parts, ""), false, None, asked_us, now_us);
        read.faults.into_iter().map(|fault| fault.kind).collect::<Vec<_>>()
    };
    assert_eq!(read(0, 0, 1), []);
    assert_eq!(read(0, 2 * PART_US, 2), [], "a part time late is borne");
    assert_eq!(read(2 * PART_US, 4 * PART_US + 1, 3), [FaultKind::PartLate]);
    assert_eq!(read(2 * PART_US, 4 * PART_US + 2, 3), [], "other viewers see the same");
    assert_eq!(read(9 * PART_US, 9 * PART_US, 4), [], "nobody asked in between");
}

#[test]
fn the_same_bytes_are_read_once_and_succession_is_checked_once() {
    let resource = Resource::parse("http://h/v.m3u8").unwrap();
    let mut listings = Listings::default();
    let channel = listings.channel(&resource);
    let read = |body: &Bytes, previous: Option<&Rc<Listing>>| {
        let read = channel.borrow_mut().read(body, false, previous, 0, 0);
        (read.listing.unwrap(), read.faults.len())
    };
    let (first, _) = read(&listed(100, 2, ""), None);
    let (again, _) = read(&listed(100, 2, ""), None);
    assert!(Rc::ptr_eq(&first, &again));
    let changed =
        String::from_utf8(listed(100, 3, "").to_vec()).unwrap().replace("PART-TARGET=0.5", "PART-TARGET=0.6");
    let changed: Bytes = changed.into();
    let (_, faults) = read(&changed, Some(&first));
    assert!(faults > 0);
    assert_eq!(read(&changed, Some(&first)).1, 0, "the next viewer finds nothing new");
    let newest = first.playlist.newest();
    assert_eq!(newest, Some(Position { media_sequence: 100, part_index: 1 }));
}
