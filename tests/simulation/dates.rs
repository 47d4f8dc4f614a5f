//! PROGRAM-DATE-TIME of reordered pictures: dates and durations agree, and nothing is dated to come.

use super::harness::{LOW, Simulation, ULTRA, settings};
use super::support::encoder::{Encoder, Gop, Message};
use rapidrtmp::hls::{EventBody, SegmentHead, StreamEvent};
use rapidrtmp::origin::home::HomeSettings;

fn head(event: &StreamEvent) -> Option<(u8, SegmentHead)> {
    match &event.body {
        EventBody::Part(part) | EventBody::PartAndClose(part, _) => Some((part.rendition.0, part.opens?)),
        _ => None,
    }
}

/// The viewer checks each playlist: dates follow durations within 10 ms and are at most 100 ms ahead.
#[test]
fn dates_of_reordered_pictures_neither_step_nor_lie_ahead() {
    for fps in [10, 15, 24, 30] {
        for (b_frames, wishes) in [(0, LOW), (2, LOW), (3, LOW), (3, ULTRA)] {
            // A connection that begins with a burst: what dates were clamped by when it was over.
            for late_us in [0, 150_000, 400_000] {
                let case = format!("{fps} fps, {b_frames} B-frames, {late_us} us late");
                let gop = Gop::Fixed(fps * 2);
                let encoder =
                    Encoder { fps: Some((fps, 1)), gop, b_frames, jitter_us: 2000, ..Encoder::default() };
                let late = |message: Message| Message { at_us: message.at_us.max(late_us), ..message };
                let messages: Vec<Message> = encoder.messages(12).into_iter().map(late).collect();
                let mut simulation = Simulation::new(HomeSettings { wishes, ..settings() });
                simulation.viewer.skip = 2;
                let began_ms = simulation.now.unix_us / 1000;
                let id = simulation.attach();
                simulation.play(id, &messages);
                simulation.viewer.assert_faultless(&case);

                let heads: Vec<(u8, SegmentHead)> = simulation.events.iter().filter_map(head).collect();
                for rendition in [0, 1] {
                    let own = heads.iter().filter(|(id, _)| *id == rendition);
                    let dates: Vec<u64> = own.map(|(_, head)| head.program_date_time_unix_ms).collect();
                    // The key picture that begins the segment was sent then.
                    let sent_ms = |segment: u64| began_ms + 2000 * segment;
                    for (segment, date) in (0..).zip(&dates) {
                        let off_ms = date.abs_diff(sent_ms(segment));
                        assert!(off_ms <= 25, "{case}: segment {segment} of {rendition} is {off_ms} ms off");
                    }
                    assert!(dates.len() >= 5, "{case}");
                }
            }
        }
    }
}
