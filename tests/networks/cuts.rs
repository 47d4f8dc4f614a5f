//! Connections that end as no encoder ends them.

use crate::proxy::Cut;
use crate::rtmp_publisher::{RtmpPublisher, Running};
use crate::support::playlist::Media;
use crate::support::poll_until;
use crate::support::publisher::Source;
use crate::{FAR, NOISE, PLAYABLE_WITHIN, Stage};

const ENDED: &str = "publisher ended: ";

fn publish(stage: &Stage, key: &str) -> Running {
    let publisher = RtmpPublisher::connect(stage.proxy.address(), key, None);
    Running::go_on(publisher.unwrap_or_else(|failure| panic!("{failure:?}\n{}", stage.server.log())))
}

/// Cuts the line in the middle of a picture: the first after so many bytes more that has begun.
fn cut(stage: &Stage, running: &Running, how: Cut) {
    let ended_before = stage.lines(ENDED).len();
    stage.proxy.set(|line| line.cut = Some((20_000, how)));
    let ended = poll_until(NOISE * 2, || (stage.lines(ENDED).len() > ended_before).then_some(()));
    assert!(ended.is_some(), "{how:?}: {}", stage.server.log());
    let told = poll_until(NOISE * 4, || running.has_ended().then_some(()));
    assert!(told.is_some(), "{how:?}: the publisher is told");
}

#[test]
fn a_publisher_whose_line_is_cut_in_mid_message_goes_on_in_its_session_when_it_returns() {
    for shards in [1, 2] {
        let stage = Stage::start(shards, FAR, "");
        let mut running = publish(&stage, "cut");
        let audience = stage.watch("cut");
        // However it ends, what the server tells of it.
        for (count, (how, line)) in [
            (Cut::Close, "closed by the publisher"),
            (Cut::Reset, "Connection reset by peer"),
            (Cut::HalfClose, "closed by the publisher"),
        ]
        .into_iter()
        .enumerate()
        {
            let position = |held: &Media| held.last_complete().map_or(0, |number| number + 1);
            let before = audience.seen().iter().map(|seen| position(&seen.held)).max().unwrap_or(0);
            cut(&stage, &running, how);
            let told = stage.lines(ENDED);
            assert_eq!(told.len(), count + 1, "{told:?}");
            assert!(told[count].contains(line) && told[count].contains("stream=live/cut"), "{told:?}");
            running = publish(&stage, "cut");
            audience.wait_until(PLAYABLE_WITHIN, "it goes on behind a discontinuity", |held| {
                !held.ended
                    && position(held) > before + 1
                    && held
                        .all_segments()
                        .any(|segment| segment.media_sequence >= before && segment.discontinuity)
            });
        }
        let ended: Vec<_> = audience.end();
        assert!(ended.iter().all(|seen| !seen.held.ended), "one session");
        assert_eq!(stage.server.metric("rapidrtmp_streams_started_total", ""), Some(1.0));
        assert_eq!(stage.lines(" publishing ").len(), 4, "{}", stage.server.log());
        stage.is_unharmed();
        drop(running);
    }
}

#[test]
fn a_stream_whose_publisher_does_not_return_ends_in_order() {
    for shards in [1, 2] {
        for how in [Cut::Close, Cut::Reset, Cut::HalfClose] {
            let stage = Stage::start(shards, FAR, "[ingest]\nreconnect_grace_s = 1\n");
            let running = publish(&stage, "lost");
            let audience = stage.watch("lost");
            cut(&stage, &running, how);
            audience.wait_until(NOISE * 4, "ENDLIST", |held| held.ended);
            audience.end();
            assert_eq!(stage.lines(ENDED).len(), 1, "{how:?}: {}", stage.server.log());
            stage.is_unharmed();
        }
    }
}

#[test]
fn ffmpeg_cut_off_and_started_again_goes_on_in_its_session() {
    for shards in [1, 2] {
        let stage = Stage::start(shards, FAR, "");
        let url = stage.proxy.publish_url("ffmpeg");
        let mut first = Source::default().publish(&url);
        let audience = stage.watch("ffmpeg");
        stage.proxy.set(|line| line.cut = Some((30_000, Cut::Reset)));
        stage.waits_for_line(ENDED);
        assert!(first.wait(NOISE * 4).is_some(), "ffmpeg has noticed");
        let _second = Source::default().publish(&url);
        audience.wait_until(PLAYABLE_WITHIN, "it goes on behind a discontinuity", |held| {
            let discontinuity = held.segments.iter().find(|segment| segment.discontinuity);
            discontinuity.is_some_and(|segment| held.last_complete() > Some(segment.media_sequence + 1))
        });
        audience.end();
        assert_eq!(stage.lines(ENDED).len(), 1, "{}", stage.server.log());
        assert_eq!(stage.server.metric("rapidrtmp_streams_started_total", ""), Some(1.0));
        stage.is_unharmed();
    }
}
