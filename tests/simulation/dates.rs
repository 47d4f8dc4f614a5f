//! PROGRAM-DATE-TIME of reordered pictures: dates and durations agree, and nothing is dated to come.

use super::faults::media::{Audio, Video, VideoCodec};
use super::harness::{LOW, Simulation, ULTRA, settings};
use super::support::encoder::{Encoder, Gop, Message, Rounding};
use super::support::mp4;
use rapidrtmp::hls::{EventBody, SegmentHead, StreamEvent};
use rapidrtmp::media::MediaRef;
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

/// For each segment of a rendition its date less the time at which its earliest sample is shown, milliseconds.
fn dated_off_ms(simulation: &Simulation, rendition: u8) -> Vec<i64> {
    let mut timescale = 0;
    let mut segments: Vec<(u64, u64)> = Vec::new();
    for event in &simulation.events {
        let part = match &event.body {
            EventBody::Start(start) => {
                timescale = u64::from(start.renditions[usize::from(rendition)].timescale.get());
                continue;
            }
            EventBody::Part(part) | EventBody::PartAndClose(part, _) if part.rendition.0 == rendition => part,
            _ => continue,
        };
        let Some(MediaRef::Memory(bytes)) = &part.media else { panic!("a gap") };
        if let Some(head) = part.opens {
            segments.push((head.program_date_time_unix_ms, u64::MAX));
        }
        let (_, earliest) = segments.last_mut().expect("a segment");
        let run = mp4::check_part(bytes).expect("a part").runs.remove(0);
        let mut decode = run.base_decode_time;
        for sample in &run.samples {
            *earliest = (*earliest).min(decode.saturating_add_signed(sample.composition_offset.into()));
            decode += u64::from(sample.duration);
        }
    }
    segments.iter().map(|(date_ms, shown)| *date_ms as i64 - (shown * 1000 / timescale) as i64).collect()
}

/// Sound begins when it likes, and HEVC with a CRA picture whose leading pictures are thrown away.
#[test]
fn every_segment_is_dated_by_when_its_first_sample_is_shown() {
    let avc = Video {
        codec: VideoCodec::Avc,
        fps: (30, 1),
        gop: Gop::Fixed(60),
        b_frames: 0,
        width_mbs: 20,
        sps_timing: true,
        rounding: Rounding::Nearest,
        says_keyint: false,
    };
    let hevc =
        |begins_open| Video { codec: VideoCodec::Hevc { open_gops: true, begins_open }, ..avc.clone() };
    for pictures in [avc.clone(), Video { b_frames: 2, ..avc.clone() }, hevc(false), hevc(true)] {
        for sound_ms in [0, 46, 90, 250] {
            let case = format!("{:?} {} {sound_ms} ms", pictures.codec, pictures.b_frames);
            let sound = Audio::Aac { hz: 48_000 }.messages(14, 1).into_iter().map(|message| Message {
                at_us: message.at_us + sound_ms * 1000,
                timestamp_ms: message.timestamp_ms + sound_ms as u32,
                ..message
            });
            let mut messages: Vec<Message> = pictures.messages(14, 1).into_iter().chain(sound).collect();
            messages.sort_by_key(|message| message.at_us);
            let mut simulation = Simulation::new(settings());
            let id = simulation.attach();
            simulation.play(id, &messages);
            simulation.viewer.assert_faultless(&case);
            let off_ms = [0, 1].map(|rendition| dated_off_ms(&simulation, rendition));
            assert!(off_ms.iter().all(|segments| segments.len() >= 6), "{case}: {off_ms:?}");
            // Dates follow durations from the first segment on, so that is dated as if its leading pictures were there.
            let lost = usize::from(pictures == hevc(true));
            let all = || off_ms[0].iter().skip(lost).chain(&off_ms[1]);
            let spread_ms = all().max().unwrap_or(&0) - all().min().unwrap_or(&0);
            assert!(spread_ms <= 8, "{case}: {off_ms:?}");
        }
    }
}
