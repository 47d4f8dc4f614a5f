//! Sound that is sent ahead of the pictures of its time, or behind them, with groups of pictures of any
//! length: a track that was sent without holes is listed without holes.

use super::harness::{LOW, SAFE, Simulation, ULTRA, settings};
use super::support::encoder::{Encoder, Gop};
use rapidrtmp::hls::{EventBody, StreamEvent, Wishes};
use rapidrtmp::origin::home::HomeSettings;

const SECONDS: u32 = 20;

fn is_gap(event: &&StreamEvent) -> bool {
    matches!(&event.body, EventBody::Part(part) | EventBody::PartAndClose(part, _) if part.media.is_none())
}

/// Publishes what was planned as groups of two seconds, and tells how often it was cut without a key frame.
fn assert_complete(encoder: &Encoder, wishes: Wishes) -> u64 {
    let case = format!("{:?} {:?} {} us, {wishes:?}", encoder.fps, encoder.gop, encoder.sound_ahead_us);
    let mut simulation = Simulation::new(HomeSettings { gop_ms: Some(2000), wishes, ..settings() });
    simulation.viewer.skip = 9;
    let messages = encoder.messages(SECONDS);
    let id = simulation.attach();
    simulation.play(id, &messages);
    assert_eq!(simulation.events.iter().filter(is_gap).count(), 0, "{case}: GAP parts");
    let findings = simulation.home.live().expect("a session").findings();
    assert_eq!((findings.frames_late, findings.gaps), (0, 0), "{case}: {findings:?}");
    simulation.stop();
    simulation.viewer.assert_faultless(&case);
    let count = |video| messages.iter().filter(|message| message.video == video).count() as u64 - 1;
    assert_eq!(simulation.viewer.samples[0], count(true), "{case}: pictures");
    // Sound of before the first picture is shown is not used; none is made up.
    let sound = simulation.viewer.samples[1];
    assert!((count(false).saturating_sub(12)..=count(false)).contains(&sound), "{case}: {sound} of sound");
    findings.forced_cuts
}

#[test]
fn a_track_that_delivered_all_its_frames_has_no_gap_part() {
    std::thread::scope(|scope| {
        for wishes in [ULTRA, LOW, SAFE] {
            scope.spawn(move || {
                for ahead_ms in [-500, -100, -20, 20, 60, 250, 500] {
                    for gop in [Gop::Fixed(72), Gop::Fixed(150), Gop::Fixed(100_000), Gop::SceneCuts(8, 90)] {
                        let encoder = Encoder { gop, sound_ahead_us: ahead_ms * 1000, ..Encoder::default() };
                        let forced = assert_complete(&encoder, wishes);
                        let must = gop == Gop::Fixed(100_000);
                        assert!(forced > 0 || !must, "{wishes:?} {gop:?}: {forced} forced cuts");
                    }
                }
            });
        }
    });
}

#[test]
fn reordered_pictures_of_any_rate_are_cut_without_gaps() {
    for (fps, b_frames) in [((10u32, 1u32), 3), ((15, 1), 3), ((24, 1), 2), ((30_000, 1001), 3), ((60, 1), 1)]
    {
        for ahead_ms in [-500, -100, 100, 500] {
            for seconds in [5, 1000] {
                let gop = Gop::Fixed(fps.0.div_ceil(fps.1) * seconds);
                let fps = Some(fps);
                let sound_ahead_us = ahead_ms * 1000;
                let encoder = Encoder { fps, gop, b_frames, sound_ahead_us, ..Encoder::default() };
                assert!(assert_complete(&encoder, LOW) > 0, "{encoder:?}");
            }
        }
    }
}
