use super::*;
use crate::limits::FINDING_DRIFT_WINDOWS_MIN;

const GOP_MS: u32 = 2000;
const UNIX_MS: u64 = 1_795_348_800_000;

fn at_ms(ms: u64) -> Now {
    Now { monotonic_us: 7_000_000 + ms * 1000, unix_us: (UNIX_MS + ms) * 1000 }
}

/// Pictures of 25 a second with sound of 50 a second, each sent at its time.
#[derive(Clone, Copy)]
struct Publisher {
    seconds: u64,
    gop_frames: u64,
    /// By the frame's place in its group.
    composition_ms: fn(u64) -> i32,
    audio_late_ms: fn(u64) -> u64,
    /// By when it is sent, milliseconds.
    held_ms: fn(u64) -> u64,
    declared_kbit: Option<(f64, f64)>,
    /// Of each frame: 200 kbit/s of pictures, 100 kbit/s of sound.
    bytes: (u32, u32),
}

/// Nothing is wrong with it.
const CLEAN: Publisher = Publisher {
    seconds: 60,
    gop_frames: 50,
    composition_ms: |_| 0,
    audio_late_ms: |_| 40,
    held_ms: |_| 0,
    declared_kbit: Some((200.0, 100.0)),
    bytes: (1000, 250),
};

impl Publisher {
    fn publish(&self, findings: &mut StreamFindings, began_ms: u64) {
        if let Some((video, audio)) = self.declared_kbit {
            findings.declare(&StreamMetadata {
                video_data_rate_kbit: Some(video),
                audio_data_rate_kbit: Some(audio),
                ..StreamMetadata::default()
            });
        }
        let mut frames: Vec<(u64, TrackKind, u64)> = Vec::new();
        let mut newest_ms = [0, 0];
        for ms in (0..self.seconds * 1000).step_by(20) {
            let mut send = |kind, late_ms: u64| {
                let sent_ms = ms + late_ms + (self.held_ms)(ms + late_ms);
                // None overtakes another.
                let newest_ms = &mut newest_ms[usize::from(kind == TrackKind::Audio)];
                *newest_ms = sent_ms.max(*newest_ms);
                frames.push((*newest_ms, kind, ms));
            };
            if ms % 40 == 0 {
                send(TrackKind::Video, 0);
            }
            send(TrackKind::Audio, (self.audio_late_ms)(ms));
        }
        frames.sort_by_key(|&(sent_ms, ..)| sent_ms);
        for (sent_ms, kind, ms) in frames {
            let place = ms / 40 % self.gop_frames;
            let is_video = kind == TrackKind::Video;
            let begin = FrameBegin {
                kind,
                timestamp_ms: ms as u32,
                composition_ms: if is_video { (self.composition_ms)(place) } else { 0 },
                offset_ns: 0,
                // Encoders are not to be believed: the role counts.
                key: true,
                samples: None,
                coded_bytes: if is_video { self.bytes.0 } else { self.bytes.1 },
            };
            findings.frame_begins(&begin, ms as i64, at_ms(began_ms + sent_ms));
            findings.frame_ends(kind, if place == 0 { FrameRole::Sync } else { FrameRole::Dependent });
        }
    }

    /// What is found of it: the finding, how often, and its value.
    fn found(&self) -> Vec<(&'static str, u64, Option<i64>)> {
        let mut findings = StreamFindings::default();
        findings.publisher_begins(GOP_MS, false, at_ms(0));
        self.publish(&mut findings, 0);
        findings.found().map(|found| (found.finding.name(), found.count, found.value())).collect()
    }
}

#[test]
fn a_clean_publisher_gives_none() {
    assert_eq!(CLEAN.found(), []);
    // Nothing declared, nothing to compare with; sound and pictures may be as far apart as players take it.
    assert_eq!(Publisher { declared_kbit: None, bytes: (9, 9), ..CLEAN }.found(), []);
    assert_eq!(Publisher { audio_late_ms: |_| 450, held_ms: |ms| ms * 7919 % 300, ..CLEAN }.found(), []);
    // A composition offset that all pictures have reorders none.
    assert_eq!(Publisher { composition_ms: |_| 80, gop_frames: 25, ..CLEAN }.found(), []);
}

#[test]
fn each_group_that_is_too_long_counts_once_and_one_that_never_ends_counts_too() {
    let ten_seconds = Publisher { gop_frames: 250, ..CLEAN };
    assert_eq!(ten_seconds.found(), [("gop_too_long", 6, Some(10_000))]);
    assert_eq!(Publisher { gop_frames: u64::MAX, ..CLEAN }.found(), [("gop_too_long", 1, Some(59_960))]);
    assert_eq!(Publisher { gop_frames: 56, ..CLEAN }.found(), [], "2.24 s");
}

#[test]
fn pictures_that_are_shown_before_one_that_was_sent_before_them_are_b_frames() {
    // I P B B P B B ...: each reference is shown three frames after the one before it.
    let composition_ms = |place: u64| match place % 3 {
        _ if place == 0 => 40,
        1 => 120,
        _ => 0,
    };
    // 25 pictures are one key picture, 8 others, and 16 between them.
    let found = Publisher { composition_ms, gop_frames: 25, ..CLEAN }.found();
    assert_eq!(found, [("b_frames", 60 * 16, Some(120))]);
}

#[test]
fn a_bit_rate_is_found_where_it_is_clearly_another_than_the_declared_one() {
    let of = |bytes, declared_kbit| Publisher { bytes, declared_kbit, ..CLEAN }.found();
    let both = Some((200.0, 100.0));
    // The five windows that are whole; two thirds and four thirds of 300 are ordinary.
    assert_eq!(of((400, 250), both), [("bit_rate_low", 5, Some(180))]);
    assert_eq!(of((1600, 250), both), [("bit_rate_high", 5, Some(420))]);
    for bytes in [(550, 250), (1450, 250)] {
        assert_eq!(of(bytes, both), [], "{bytes:?}");
    }
    // Of what is not declared, or makes no sense, nothing is said.
    for nothing in [(0.0, 100.0), (f64::NAN, 100.0), (1e9, 100.0)] {
        assert_eq!(of((9000, 250), Some(nothing)), [], "{nothing:?}");
    }
}

#[test]
fn sound_that_comes_long_after_its_pictures_is_late_once_for_each_time_that_it_is() {
    let late = Publisher { audio_late_ms: |ms| if ms / 10_000 % 2 == 1 { 800 } else { 40 }, ..CLEAN };
    let found = late.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(matches!(found[0], ("audio_late", 3, Some(760..=800))), "{found:?}");
}

#[test]
fn frames_that_stand_still_and_then_come_at_once_are_a_burst() {
    // From the 20th second on 1.2 s of frames come together.
    let held_ms = |ms: u64| if (20_000..21_200).contains(&ms) { 21_200 - ms } else { 0 };
    let found = Publisher { held_ms, ..CLEAN }.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(matches!(found[0], ("uplink_burst", 1, Some(1100..=1200))), "{found:?}");
}

#[test]
fn drift_is_found_of_each_kind_by_itself() {
    // Sound falls behind by 100 ppm: 120 ms in 20 minutes.
    let drifts = Publisher { seconds: 1200, audio_late_ms: |ms| 40 + ms / 10_000, ..CLEAN };
    let found = drifts.found();
    // From the window on that makes them enough.
    let windows = 1200 / 10 - FINDING_DRIFT_WINDOWS_MIN as u64 + 1;
    assert!(matches!(found[..], [("audio_drift", count, Some(-103..=-97))] if count == windows), "{found:?}");
}

#[test]
fn counters_of_sessions_add_up_and_a_discontinuity_is_none_of_them() {
    let mut findings = StreamFindings::default();
    for _ in 0..2 {
        findings.session_begins();
        let mut repairs = Repairs { missing_frames: 2, discontinuities: 5, ..Repairs::default() };
        findings.counted(repairs, 0, at_ms(0));
        repairs += Repairs { absorbed: 1, slewed: 1, composition_clamped: 1, discarded: 1, ..repairs };
        findings.counted(repairs, 3, at_ms(10));
    }
    let found: Vec<_> = findings.found().map(|found| (found.finding.name(), found.count)).collect();
    assert_eq!(found, [("open_gop", 6), ("frame_missing", 8), ("timestamp_repaired", 8)]);
}

#[test]
fn findings_outlive_their_publisher_and_say_when_they_were_made_last() {
    let mut findings = StreamFindings::default();
    findings.publisher_begins(GOP_MS, false, at_ms(0));
    Publisher { gop_frames: 75, seconds: 9, ..CLEAN }.publish(&mut findings, 0);
    findings.publisher_leaves(at_ms(9000));
    findings.publisher_begins(GOP_MS, true, at_ms(13_000));
    CLEAN.publish(&mut findings, 13_000);
    let found: Vec<Found> = findings.found().copied().collect();
    assert_eq!(found.len(), 2);
    let [gop, returned] = [found[0], found[1]];
    assert_eq!((gop.finding, gop.count, gop.value()), (Finding::GopTooLong, 3, Some(3000)));
    // The first group is found too long at its 58th picture, the last one is seen to its 75th.
    assert_eq!((gop.first_seen_unix_ms, gop.last_seen_unix_ms), (UNIX_MS + 2280, UNIX_MS + 8960));
    assert_eq!((returned.finding, returned.value()), (Finding::PublisherReturned, Some(4000)));
}

#[test]
fn the_log_has_each_finding_once_a_publisher_and_ten_minutes_apart() {
    let mut findings = StreamFindings::default();
    let news = |findings: &mut StreamFindings, minutes: u64| -> Vec<&'static str> {
        findings.take_news(at_ms(minutes * 60_000)).map(|found| found.finding.name()).collect()
    };
    findings.publisher_begins(GOP_MS, false, at_ms(0));
    findings.note(Finding::FrameMissing, 3, at_ms(0));
    assert_eq!(news(&mut findings, 0), ["frame_missing"]);
    findings.note(Finding::FrameMissing, 3, at_ms(1));
    findings.note(Finding::Discontinuity, 0, at_ms(1));
    assert_eq!(news(&mut findings, 60), [] as [&str; 0], "the same publisher");
    // It comes back each minute.
    let mut said = 0;
    for minute in 61..91 {
        findings.publisher_begins(GOP_MS, false, at_ms(minute * 60_000));
        findings.note(Finding::FrameMissing, 1, at_ms(minute * 60_000));
        said += news(&mut findings, minute).len();
    }
    assert_eq!(said, 3);
}

#[test]
fn each_finding_has_one_sentence_with_its_number_and_a_setting_and_a_row_in_the_readme() {
    let readme = include_str!("../../../README.md");
    for &finding in Finding::ALL {
        let mut records = Records::default();
        records.note(finding, 1, Amount { value: 4321, beside: 2000 }, at_ms(0));
        let found = records.found[finding.index()].unwrap();
        let (name, advice) = (finding.name(), found.advice());
        assert_eq!(finding.unit().is_some(), advice.contains("4321"), "{name}: {advice}");
        assert!(advice.contains("ffmpeg: -") || advice.contains("OBS: "), "{name}: {advice}");
        assert!(advice.ends_with('.') && !advice.contains(". "), "{name}: one sentence: {advice}");
        let in_table =
            readme.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{name}`")));
        assert!(in_table, "{name} has no row in README.md");
    }
}
