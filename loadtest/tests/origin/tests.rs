//! The origin conforms when told nothing, and each misbehaviour shows as what it is called and as nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::check::{self, Client, Media, Playlist, Viewer};
use super::time::unix_us;
use super::{Misbehaviour, Options, Origin, Track, frames};

/// What the loopback and a busy machine may add.
const NOISE: Duration = Duration::from_millis(100);
/// An origin that was later than this was held up by the machine.
const STARVED: Duration = Duration::from_millis(20);
const RUNS_MAX: usize = 6;

#[test]
fn a_healthy_stream_has_no_fault() {
    thread::scope(|scope| {
        for part_frames in [5, 6, 10] {
            for track in ["video", "audio"] {
                scope.spawn(move || {
                    repeat_when_starved(&format!("{track} in parts of {part_frames}"), || {
                        let origin = Origin::start(Options { part_frames, ..Options::default() });
                        let mut viewer = Viewer::new(&origin.url(), track);
                        viewer.play(Duration::from_millis(3200));
                        assert!(
                            viewer.parts_count * part_frames >= 60,
                            "{} {track} parts",
                            viewer.parts_count
                        );
                        (origin, viewer.faults)
                    });
                });
            }
        }
    });
}

#[test]
fn each_misbehaviour_shows_as_its_name_and_nothing_else() {
    thread::scope(|scope| {
        for (track, name) in [(Track::Video, "video"), (Track::Audio, "audio")] {
            let all = Misbehaviour::ALL.into_iter();
            for misbehaviour in all.filter(|one| track == Track::Video || one.is_for_audio()) {
                scope.spawn(move || {
                    repeat_when_starved(&format!("{misbehaviour:?} of {name}"), || {
                        let origin = Origin::start(Options::default());
                        let mut viewer = Viewer::new(&origin.url(), name);
                        viewer.play(Duration::from_millis(700));
                        let mut unexpected = std::mem::take(&mut viewer.faults);
                        origin.misbehave_in(track, misbehaviour, 1);
                        viewer.play(Duration::from_millis(4500));
                        assert_eq!(origin.misbehaved_count(), 1, "{misbehaviour:?}");
                        if viewer.faults.remove(misbehaviour.fault_name()).is_none() {
                            unexpected.insert("none of its name", String::new());
                        }
                        viewer.faults.retain(|fault, _| !misbehaviour.may_also().contains(fault));
                        unexpected.append(&mut viewer.faults);
                        (origin, unexpected)
                    });
                });
            }
        }
    });
}

/// Requires that a run finds nothing unexpected; one in which the machine held up the origin itself proves nothing.
fn repeat_when_starved(what: &str, run: impl Fn() -> (Origin, BTreeMap<&'static str, String>)) {
    for _ in 0..RUNS_MAX {
        let (origin, unexpected) = run();
        if unexpected.is_empty() || origin.lateness_max() < STARVED {
            assert_eq!(unexpected, BTreeMap::new(), "{what}");
            return;
        }
    }
    panic!("{what}: the origin was late in each of {RUNS_MAX} runs");
}

#[test]
fn publishes_each_part_a_fixed_time_after_its_newest_frame() {
    repeat_when_starved("latency", || {
        let options = Options { delay: Duration::from_millis(70), ..Options::default() };
        let expected = [options.delay, options.oldest_latency()];
        let origin = Origin::start(options);
        let mut client = Client::new(&origin.url());
        let mut unexpected = BTreeMap::new();
        for _ in 0..8 {
            let playlist = Playlist::parse(&client.text("video.m3u8").unwrap(), None).unwrap();
            let part = client.get(&playlist.hint).unwrap();
            let now_us = unix_us();
            let stamps = Media::parse(&part.body, true).unwrap().stamps;
            for (stamp, expected) in [stamps[5], stamps[0]].into_iter().zip(expected) {
                // A microsecond for the rounding of thirtieths of a second.
                let latency = Duration::from_micros(now_us - stamp.0 + 1);
                assert!(latency >= expected, "{latency:?} is less than {expected:?}");
                if latency > expected + NOISE {
                    unexpected.insert("late", format!("{latency:?} is more than {expected:?}"));
                }
            }
        }
        (origin, unexpected)
    });
}

#[test]
fn a_stamp_survives_in_its_frame() {
    for time in [0, 3, 0x03_0000, 0x0006_6144_0000_0302, 0x0006_6144_0003_0000, u64::MAX] {
        for number in [0, 1, 3, 0x300, 0x03_0000, u32::MAX] {
            let stamp = frames::stamp(time, number);
            assert_eq!(check::stamp(&frames::video(&stamp, 0), true), Some((time, number)));
            assert_eq!(check::stamp(&frames::audio(&stamp), false), Some((time, number)));
        }
    }
}

/// Reloads of a stream with three parts a segment, and after how many parts they are answered, if they are; `None` is
/// longer than the client waits. L is the newest complete segment, and they are asked right after it is complete.
const RELOADS: [(&str, Result<Option<u32>, &str>); 18] = [
    ("", Ok(Some(0))),
    ("?_HLS_msn=0", Ok(Some(0))),
    ("?_HLS_msn={L}", Ok(Some(0))),
    ("?_HLS_msn={L}&_HLS_part=2", Ok(Some(0))),
    ("?_HLS_part=1&token=a&_HLS_msn=1&_HLS_foo=1", Ok(Some(0))),
    ("?_HLS_msn={L+1}&_HLS_part=0", Ok(Some(1))),
    ("?_HLS_msn={L}&_HLS_part=3", Ok(Some(1))),
    ("?_HLS_msn={L+1}&_HLS_part=1&_HLS_skip=YES", Ok(Some(2))),
    ("?_HLS_msn={L+1}", Ok(Some(3))),
    ("?_HLS_msn={L+1}&_HLS_part=7", Ok(Some(4))),
    ("?_HLS_msn={L+2}", Ok(None)),
    ("?_HLS_msn={L+1}&_HLS_part=10", Err("status_4xx")),
    ("?_HLS_msn={L+3}", Err("status_4xx")),
    ("?_HLS_part=0", Err("status_4xx")),
    ("?_HLS_msn=", Err("status_4xx")),
    ("?_HLS_msn=-1", Err("status_4xx")),
    ("?_HLS_msn=1.5", Err("status_4xx")),
    ("?_HLS_msn=99999999999999999999", Err("status_4xx")),
];

#[test]
fn waits_for_what_comes_and_rejects_what_does_not() {
    thread::scope(|scope| {
        for (query, answer) in RELOADS {
            scope.spawn(move || {
                repeat_when_starved(query, || {
                    let origin = Origin::start(Options { part_frames: 10, ..Options::default() });
                    let mut client = Client::new(&origin.url());
                    let msn = Playlist::parse(&client.text("video.m3u8").unwrap(), None).unwrap().next().0;
                    client.text(&format!("video.m3u8?_HLS_msn={msn}")).unwrap();
                    let numbers = [("{L}", msn), ("{L+1}", msn + 1), ("{L+2}", msn + 2), ("{L+3}", msn + 3)];
                    let query = numbers
                        .iter()
                        .fold(query.to_owned(), |query, (name, msn)| query.replace(name, &msn.to_string()));
                    let asked = Instant::now();
                    let found = client.text(&format!("video.m3u8{query}")).map(|_| asked.elapsed());
                    let expected = match answer {
                        Ok(Some(parts)) => Ok(Duration::from_secs(1) * parts / 3),
                        Ok(None) => Err("timeout"),
                        Err(fault) => Err(fault),
                    };
                    let fits = match (found, expected) {
                        (Ok(found), Ok(expected)) => found.abs_diff(expected) < NOISE,
                        (found, expected) => found == expected,
                    };
                    let unexpected = (!fits).then(|| ("answer", format!("{found:?} is not {expected:?}")));
                    (origin, unexpected.into_iter().collect())
                });
            });
        }
    });
}

#[test]
fn has_no_media_but_what_is_listed_and_hinted() {
    let origin = Origin::start(Options::default());
    let mut client = Client::new(&origin.url());
    let (msn, part) = Playlist::parse(&client.text("video.m3u8").unwrap(), None).unwrap().next();
    for missing in [
        format!("v-{msn}-{}.m4s", part + 2),
        format!("v-{}-1.m4s", msn + 1),
        format!("v-{}.m4s", msn + 1),
        "x-init.mp4".to_owned(),
    ] {
        assert_eq!(client.get(&missing).map(|_| ()), Err("status_4xx"), "{missing}");
    }
}

#[test]
fn a_delta_update_is_the_end_of_the_full_playlist() {
    let origin = Origin::start(Options::default());
    let mut client = Client::new(&origin.url());
    let (full, delta) = loop {
        let full = client.text("video.m3u8").unwrap();
        let delta = client.text("video.m3u8?_HLS_skip=YES").unwrap();
        if full == client.text("video.m3u8").unwrap() {
            break (full, delta);
        }
    };
    let known = Playlist::parse(&full, None).unwrap();
    let merged = Playlist::parse(&delta, Some(&known)).unwrap();
    assert_eq!((merged.skipped_count, merged.segments), (6, known.segments));
    let kept = delta.split_once("#EXT-X-MAP").unwrap().1;
    let kept = kept.split_once('\n').unwrap().1;
    assert!(full.ends_with(kept));
}

#[test]
fn ffmpeg_finds_nothing_wrong_with_the_media() {
    if Command::new("ffprobe").arg("-version").output().is_err() {
        return;
    }
    let origin = Origin::start(Options::default());
    let mut client = Client::new(&origin.url());
    for (track, letter, frames, ticks) in [("video", 'v', 90, 3000), ("audio", 'a', 141, 1024)] {
        let first_msn =
            Playlist::parse(&client.text(&format!("{track}.m3u8")).unwrap(), None).unwrap().first_msn;
        // Audio segments differ by a frame; only their sum over eight is constant, but these three are known to start
        // where the eight do.
        let first_msn = first_msn.next_multiple_of(8) - 8;
        let mut media = client.get(&format!("{letter}-init.mp4")).unwrap().body;
        for msn in first_msn..first_msn + 3 {
            media.extend(client.get(&format!("{letter}-{msn}.m4s")).unwrap().body);
        }
        let file = TemporaryFile::new(&format!("{}-{letter}.mp4", std::process::id()), &media);
        let path = file.0.to_str().expect("a path in UTF-8");
        let packets = run("ffprobe", &["-show_entries", "packet=dts", "-of", "csv=p=0", path]);
        let times: Vec<u64> =
            packets.lines().map(|line| line.trim_end_matches(',').parse().unwrap()).collect();
        assert_eq!(times.len(), frames, "{track}");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == ticks), "{track}: {times:?}");
        run("ffmpeg", &["-xerror", "-i", path, "-f", "null", "-"]);
    }
}

/// Runs a tool and requires that it has nothing to say; what it found.
fn run(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(["-v", "error"]).args(arguments).output().expect("the tool runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{tool}");
    assert!(output.status.success(), "{tool}");
    String::from_utf8(output.stdout).expect("a text")
}

struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("loadtest-origin-{name}"));
        std::fs::write(&path, bytes).expect("a writable temporary directory");
        Self(path)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
