//! Playlists as text (RFC 8216bis, section 4).

use std::fmt::Write as _;

use super::frames::PICTURE_SIZE;
use super::misbehaviour::Misbehaviour;
use super::mp4;
use super::stream::{Rendition, SKIP_UNTIL_S, Segment, TARGET_S, Track};
use super::time::date_time;

/// How long EXT-X-PART tags stay: 4.4.4.9 lets them go once they are three target durations from the end.
const PARTS_LISTED_S: u64 = 3 * TARGET_S;
/// Which complete segment changes when that is told, counted from the newest: its parts are no longer listed, and a
/// delta update does not skip it.
const CHANGED_SEGMENT: usize = 4;

/// What a rendition reports of the other one.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// The other one.
    pub track: Track,
    /// Number and part index of its newest part.
    pub newest: (u64, u64),
}

/// The multivariant playlist. BANDWIDTH is that of what is sent, with room for boxes.
pub fn multivariant(with_audio: bool, bandwidth: u64) -> String {
    let (width, height) = PICTURE_SIZE;
    let mut text = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    let mut codecs = mp4::codec(Track::Video);
    let mut audio = "";
    if with_audio {
        codecs = format!("{codecs},{}", mp4::codec(Track::Audio));
        audio = ",AUDIO=\"audio\"";
        let uri = Track::Audio.playlist_name();
        text += "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"silence\",LANGUAGE=\"und\",DEFAULT=YES,";
        let _ = writeln!(text, "AUTOSELECT=YES,CHANNELS=\"1\",URI=\"{uri}\"");
    }
    let _ = write!(
        text,
        "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},AVERAGE-BANDWIDTH={bandwidth},CODECS=\"{codecs}\",\
         RESOLUTION={width}x{height},FRAME-RATE=30.000,CLOSED-CAPTIONS=NONE{audio}\n{}\n",
        Track::Video.playlist_name()
    );
    text
}

/// A media playlist, or a delta update to it where there is something to skip; with what is wrong with it.
pub fn media(
    rendition: &Rendition,
    report: Option<Report>,
    delta: bool,
    flaw: Option<Misbehaviour>,
) -> String {
    let track = rendition.track;
    let mut first_msn = rendition.first_listed_msn();
    if flaw == Some(Misbehaviour::SequenceBack) {
        first_msn -= 1;
    }
    let listed = || rendition.complete().filter(|segment| segment.msn >= first_msn);
    let end_ticks = rendition.open().first_frame * track.frame_ticks();
    let is_past = |segment: &Segment, seconds: u64| {
        segment.end_frame() * track.frame_ticks() + seconds * track.timescale() <= end_ticks
    };
    // 4.4.5.2: what is further from the end of the last complete segment than the Skip Boundary.
    let skipped_count =
        if delta { listed().filter(|segment| is_past(segment, SKIP_UNTIL_S)).count() } else { 0 };
    let changed_msn = listed().nth_back(CHANGED_SEGMENT).map(|segment| segment.msn);

    let mut text = head(rendition, first_msn, flaw);
    if skipped_count > 0 {
        let too_many = if flaw == Some(Misbehaviour::DeltaWrong) { listed().count() + 1 } else { 0 };
        let _ = writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={}", skipped_count + too_many);
    }
    let _ = writeln!(text, "#EXT-X-MAP:URI=\"{}-init.mp4\"", track.letter());
    for segment in listed().skip(skipped_count).chain([rendition.open()]) {
        let is_open = segment.msn == rendition.open().msn;
        if is_open && segment.parts.is_empty() {
            break;
        }
        let sent_ms = rendition.sent_unix_us(segment.first_frame) / 1000;
        let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", date_time(sent_ms));
        if is_open || !is_past(segment, PARTS_LISTED_S) {
            parts(&mut text, rendition, segment, flaw);
        }
        if !is_open {
            let mut ticks = segment.listed_ticks();
            if flaw == Some(Misbehaviour::SegmentChanges) && Some(segment.msn) == changed_msn {
                ticks -= track.frame_ticks();
            }
            let duration = seconds(ticks, track.timescale());
            let _ = writeln!(text, "#EXTINF:{duration},\n{}-{}.m4s", track.letter(), segment.msn);
        }
    }
    let (msn, index) = rendition.hint();
    let _ = writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}-{msn}-{index}.m4s\"", track.letter());
    if let Some(Report { track, newest: (msn, index) }) = report {
        let uri = track.playlist_name();
        let _ = writeln!(text, "#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={msn},LAST-PART={index}");
    }
    text
}

fn head(rendition: &Rendition, first_msn: u64, flaw: Option<Misbehaviour>) -> String {
    let video_second = Track::Video.timescale();
    let mut target_ticks = rendition.shape.part_frames * Track::Video.frame_ticks();
    if rendition.target_raised {
        target_ticks += video_second / 100;
    }
    let target = seconds(target_ticks, video_second);
    let hold_back = seconds(3 * target_ticks, video_second);
    let skip_until = seconds(SKIP_UNTIL_S * video_second, video_second);
    let target_duration = match flaw {
        Some(Misbehaviour::PlaylistLacksTarget) => String::new(),
        _ => format!("#EXT-X-TARGETDURATION:{TARGET_S}\n"),
    };
    format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n{target_duration}\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back},CAN-SKIP-UNTIL={skip_until}\n\
         #EXT-X-PART-INF:PART-TARGET={target}\n\
         #EXT-X-MEDIA-SEQUENCE:{first_msn}\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n"
    )
}

fn parts(text: &mut String, rendition: &Rendition, segment: &Segment, flaw: Option<Misbehaviour>) {
    let track = rendition.track;
    for (index, part) in segment.listed_parts().enumerate() {
        let is_newest = (segment.msn, index as u64) == rendition.newest();
        let duration = match flaw {
            Some(Misbehaviour::PlaylistSyntax) if is_newest => "soon".to_owned(),
            _ => seconds(part.listed_ticks, track.timescale()),
        };
        let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
        let uri = format!("{}-{}-{index}.m4s", track.letter(), segment.msn);
        let _ = writeln!(text, "#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{independent}");
    }
}

/// Seconds with five decimals, rounded to the nearest.
fn seconds(ticks: u64, timescale: u64) -> String {
    let tens_of_us = (ticks * 100_000 + timescale / 2) / timescale;
    format!("{}.{:05}", tens_of_us / 100_000, tens_of_us % 100_000)
}
