//! Lines that are slow, far, or stand still for a while: nobody is disconnected, and nothing is lost.

use crate::proxy::Line;
use crate::rtmp_publisher::{RtmpPublisher, Running};
use crate::support::poll_until;
use crate::support::publisher::Source;
use crate::{FAR, NOISE, Stage};
use std::time::Duration;

const STALL: Duration = Duration::from_millis(1500);
/// Of media, so that the viewers have something to see.
const WATCHED: Duration = Duration::from_secs(4);
const SLOW_BYTES_PER_S: u32 = 64_000;

fn publish(stage: &Stage, picture_bytes: usize) -> Running {
    let publisher = RtmpPublisher::connect(stage.proxy.address(), "line", None);
    let mut publisher = publisher.unwrap_or_else(|failure| panic!("{failure:?}\n{}", stage.server.log()));
    publisher.picture_bytes = picture_bytes;
    Running::go_on(publisher)
}

/// The stream went on all the while: one publisher, one session, no discontinuity, and as many frames listed as came.
fn nothing_happened(stage: &Stage, audience: crate::Audience) {
    for seen in audience.end() {
        assert!(
            !seen.held.ended && seen.held.all_segments().all(|segment| !segment.discontinuity),
            "{seen:#?}"
        );
        assert!(seen.held.parts().all(|(_, _, part)| !part.gap), "{seen:#?}");
    }
    for (metric, count) in [("streams_started_total", 1.0), ("active_publishers", 1.0)] {
        assert_eq!(stage.server.metric(&format!("rapidrtmp_{metric}"), ""), Some(count), "{metric}");
    }
    assert_eq!(stage.lines(" publishing ").len(), 1, "{}", stage.server.log());
    assert!(stage.lines("publisher ended").is_empty(), "{}", stage.server.log());
    let repairs = |kind: &str| stage.server.metric("rapidrtmp_repairs_total", &format!("kind=\"{kind}\""));
    for kind in ["missing_frame", "discontinuity", "discarded", "silence"] {
        assert_eq!(repairs(kind), Some(0.0), "{kind}");
    }
    stage.is_unharmed();
}

/// Waits until the viewers were listed so much more.
fn watched(stage: &Stage, audience: &crate::Audience, media: Duration) {
    let parts = || stage.server.metric("rapidrtmp_parts_created_total", "").unwrap_or(0.0);
    // Of both renditions, of 0.2 s.
    let wanted = parts() + 2.0 * media.as_secs_f64() / 0.2;
    let listed = poll_until(media * 4 + NOISE * 2, || (parts() >= wanted).then_some(()));
    assert!(listed.is_some(), "{} of {wanted} parts: {:#?}", parts(), audience.seen());
}

#[test]
fn a_stall_of_one_and_a_half_seconds_and_the_burst_behind_it_lose_nothing() {
    for shards in [1, 2] {
        let stage = Stage::start(shards, FAR, "");
        let running = publish(&stage, 1200);
        let audience = stage.watch("line");
        watched(&stage, &audience, WATCHED);
        for _ in 0..2 {
            stage.proxy.stall(STALL);
            watched(&stage, &audience, WATCHED);
        }
        let waited = audience.seen().iter().map(|seen| seen.waited_max).max();
        assert!(waited > Some(Duration::from_secs(1)), "they noticed: {waited:?}");
        assert!(!running.has_ended());
        nothing_happened(&stage, audience);
    }
}

#[test]
fn a_line_of_64_kilobytes_a_second_carries_what_fits_and_delays_what_does_not() {
    let slow = Line { bytes_per_s: Some(SLOW_BYTES_PER_S), ..FAR };
    for shards in [1, 2] {
        // Of pictures of 1,200 and of 2,500 bytes: 45 and 84 kB a second.
        for picture_bytes in [1200, 2500] {
            let stage = Stage::start(shards, slow, "");
            let running = publish(&stage, picture_bytes);
            let audience = stage.watch("line");
            watched(&stage, &audience, WATCHED * 2);
            assert!(!running.has_ended());
            nothing_happened(&stage, audience);
        }
    }
}

#[test]
fn ffmpeg_over_a_far_line_that_stands_still_goes_on() {
    for shards in [1, 2] {
        let stage = Stage::start(shards, Line { bytes_per_s: Some(2 * SLOW_BYTES_PER_S), ..FAR }, "");
        let source = Source { extra: ["-b:v", "200k"].map(str::to_owned).to_vec(), ..Source::default() };
        let mut ffmpeg = source.publish(&stage.proxy.publish_url("line"));
        let audience = stage.watch("line");
        watched(&stage, &audience, WATCHED);
        stage.proxy.stall(STALL);
        watched(&stage, &audience, WATCHED);
        assert!(ffmpeg.is_running());
        nothing_happened(&stage, audience);
    }
}
