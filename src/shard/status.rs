//! What the API shows of a stream, as its home says it once a second.

use super::streams::{HomeHere, Status};
use crate::api::{ExtraTrackDetails, FindingDetails, PublisherDetails, StreamDetails, split_codecs};
use crate::limits::STATUS_EVERY_US;
use crate::media::TrackKind;
use crate::origin::live::Fit;

/// The status of now; the bit rate is that since the last call, a [`STATUS_EVERY_US`] ago.
pub fn of(here: &mut HomeHere) -> Status {
    let mut details = StreamDetails::default();
    for present in here.home.present() {
        let Some(publisher) = here.publishers.iter_mut().find(|publisher| publisher.id == present.id) else {
            continue;
        };
        let received = publisher.transport.socket().received_bytes();
        let bytes = received.saturating_sub(std::mem::replace(&mut publisher.bytes_before, received));
        details.publishers.push(PublisherDetails {
            role: present.role.as_str(),
            on_air: present.is_on_air,
            address: publisher.address.clone(),
            encoder: (!publisher.encoder.is_empty()).then(|| publisher.encoder.clone()),
            bitrate_bits: bytes * 8 * 1_000_000 / STATUS_EVERY_US,
            takes_over: here.home.standby_fit().filter(|_| !present.is_on_air).map(|fit| match fit {
                Fit::Hitless => "hitless",
                Fit::Discontinuity(_) => "discontinuity",
                Fit::NewSession(_) => "new session",
            }),
        });
    }
    if let Some(on_air) = details.publishers.iter().find(|publisher| publisher.on_air) {
        details.publisher_address = Some(on_air.address.clone());
        details.encoder.clone_from(&on_air.encoder);
        details.bitrate_bits = on_air.bitrate_bits;
    }
    details.unsupported = here.home.unsupported().map(str::to_owned);
    let extra = here.home.extra_tracks().iter().map(|track| ExtraTrackDetails {
        kind: if track.kind == TrackKind::Video { "video" } else { "audio" },
        track_id: track.id,
        codec: track.codec.clone().unwrap_or_else(|| track.four_cc.escape_ascii().to_string()),
        resolution: track.resolution.map(|(width, height)| format!("{width}x{height}")),
        frames: track.frames,
        bytes: track.bytes,
    });
    details.extra_tracks = extra.collect();
    details.findings = here.home.findings().found().map(FindingDetails::from).collect();
    if let Some(live) = here.home.live() {
        let start = live.start();
        details.started_at_unix_ms = Some(start.session.started_unix_ms);
        details.target_duration_s = Some(start.session.target_duration_s);
        details.part_target_ms = Some(start.session.part_target_ms);
        for rendition in &start.renditions {
            let (video, audio) = split_codecs(&rendition.codecs);
            details.video_codec = details.video_codec.or(video);
            details.audio_codec = details.audio_codec.or(audio);
            if let Some((width, height)) = rendition.resolution {
                details.resolution = Some(format!("{width}x{height}"));
            }
            details.frame_rate_milli = details.frame_rate_milli.or(rendition.frame_rate_milli);
        }
        let (repairs, findings) = (live.repairs(), live.findings());
        details.drift_ppm = live.drift_ppm();
        details.repairs = repairs.missing_frames + repairs.discarded + repairs.composition_clamped;
        details.discontinuities = repairs.discontinuities;
        details.forced_cuts = findings.forced_cuts;
        details.open_gops = live.open_gops();
    }
    Status { state: here.home.state(), details }
}
