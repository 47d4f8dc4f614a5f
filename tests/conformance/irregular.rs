//! What publishers do once in a while: clocks that wrap or jump, tracks that fall silent, parameters that
//! change (assertions 70, 75, 77, 79).

use crate::lifecycle::{playing, relabelled};
use crate::observer::Seen;
use crate::report::Report;
use crate::support::mp4;
use crate::support::publisher::Source;
use crate::support::replay::{AUDIO, Replay, Tag, record};
use crate::support::server::Server;
use std::time::Duration;

/// Long enough for the server to learn the stream and for a few segments on either side.
const RECORDED_S: u32 = 16;
/// When it happens, milliseconds from the first tag.
const AT_MS: u32 = 9_000;

pub fn run(server: &Server, report: &Report) {
    let source = Source { seconds: Some(f64::from(RECORDED_S)), ..Source::default() };
    let recording = record(&source);
    let larger = record(&Source { size: "480x270", ..source });
    std::thread::scope(|scope| {
        scope.spawn(|| wrap(server, report, &recording));
        scope.spawn(|| silence(server, report, &recording));
        scope.spawn(|| parameters(server, report, &recording, &larger));
        scope.spawn(|| jump(server, report, "jumpahead", &recording, 3_600_000));
        scope.spawn(|| jump(server, report, "jumpback", &recording, -3_600_000));
    });
}

/// Publishes the tags, and observes until they are over.
fn play(
    server: &Server,
    key: &str,
    tags: &[Tag],
    stamp: impl FnMut(&Tag) -> Option<u32> + Send,
) -> Vec<Seen> {
    std::thread::scope(|scope| {
        let replay = scope.spawn(|| {
            let mut replay = Replay::publish(server.rtmp(), key).expect("the server takes the publisher");
            replay.play(tags, stamp).expect("the server keeps the publisher");
            replay
        });
        let seen = playing(server, key, Duration::from_secs(u64::from(RECORDED_S) - 5));
        drop(replay.join());
        seen
    })
}

/// 70: RTMP's clock of 32 bits wraps while the stream plays; nothing of it is to be seen.
fn wrap(server: &Server, report: &Report, tags: &[Tag]) {
    let seen = play(server, "wrap", tags, |tag| Some(tag.timestamp_ms.wrapping_sub(AT_MS)));
    for rendition in &seen {
        let name = rendition.path.rsplit('/').next().unwrap_or_default();
        report.checked(&[70], &relabelled(&rendition.violations, &[], 70), name);
        let discontinuous = rendition.segments.iter().filter(|segment| segment.segment.discontinuity).count();
        let spans = rendition.segments.len();
        report.expect(
            70,
            discontinuous == 0 && spans >= 4,
            format!("{name}: {spans} segments, {discontinuous} discontinuities"),
        );
        let outcome = contiguous(rendition);
        report.expect(70, outcome.is_ok(), format!("{name}: {outcome:?}"));
    }
}

/// All decode times follow one another, and none is near the end of 32 or 64 bits.
fn contiguous(seen: &Seen) -> Result<usize, String> {
    let init = seen.segments.iter().find_map(|segment| segment.init_path.as_ref());
    let init = init.and_then(|path| seen.bodies.get(path)).ok_or("no init segment")?;
    let init = mp4::check_init(init)?;
    let paths = seen.segments.iter().flat_map(|segment| &segment.part_paths);
    let parts: Vec<&[u8]> = paths.filter_map(|path| seen.bodies.get(path)).map(Vec::as_slice).collect();
    let parts = mp4::check_parts(&init, parts)?;
    let wrapped = parts.iter().flat_map(|part| &part.runs).any(|run| run.base_decode_time > u64::MAX / 2);
    if wrapped { Err("a negative decode time".to_owned()) } else { Ok(parts.len()) }
}

/// 77: no sound for five seconds; both playlists go on.
fn silence(server: &Server, report: &Report, tags: &[Tag]) {
    let silent = AT_MS..AT_MS + 5_000;
    let stamp =
        |tag: &Tag| (tag.kind != AUDIO || !silent.contains(&tag.timestamp_ms)).then_some(tag.timestamp_ms);
    let seen = play(server, "silence", tags, stamp);
    report.expect(77, seen.len() == 2, format!("{} renditions", seen.len()));
    for rendition in &seen {
        let name = rendition.path.rsplit('/').next().unwrap_or_default();
        let longest = rendition.parts.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default();
        // A track counts as silent after a part; then its gap is filled part by part.
        let allowed = rendition.part_target * 3 + crate::NOISE;
        let evidence = format!(
            "{name}: {} parts, {longest:?} apart at most, {allowed:?} allowed",
            rendition.parts.len()
        );
        report.expect(77, rendition.parts.len() > 15 && longest <= allowed, evidence);
        report.checked(&[77], &relabelled(&rendition.violations, &[], 77), name);
    }
}

/// 75: another picture size in mid-stream.
fn parameters(server: &Server, report: &Report, before: &[Tag], after: &[Tag]) {
    let first = before.iter().filter(|tag| tag.timestamp_ms < AT_MS);
    let second = after.iter().filter(|tag| tag.timestamp_ms >= AT_MS || is_header(tag));
    let second = second.map(|tag| Tag { timestamp_ms: tag.timestamp_ms.max(AT_MS), ..tag.clone() });
    let tags: Vec<Tag> = first.cloned().chain(second).collect();
    let seen = play(server, "parameters", &tags, |tag| Some(tag.timestamp_ms));
    let mut changed_at = Vec::new();
    for rendition in &seen {
        let name = rendition.path.rsplit('/').next().unwrap_or_default();
        report.checked(&[75], &relabelled(&rendition.violations, &[], 75), name);
        let inits: Vec<&String> =
            rendition.segments.iter().filter_map(|segment| segment.init_path.as_ref()).collect();
        let is_video = rendition.path.ends_with("/v.m3u8");
        let mut distinct = inits.clone();
        distinct.dedup();
        report.expect(75, !is_video || distinct.len() == 2, format!("{name}: {distinct:?}"));
        let changed: Vec<u64> = rendition
            .segments
            .iter()
            .filter(|segment| segment.segment.discontinuity)
            .map(|segment| segment.segment.media_sequence)
            .collect();
        changed_at.push(changed);
    }
    let alike = changed_at.iter().all(|changed| *changed == changed_at[0]);
    let evidence = format!("discontinuities at {changed_at:?}");
    report.expect(75, alike && changed_at.first().is_some_and(|changed| changed.len() == 1), evidence);
}

/// Metadata and the codecs' headers, which come once.
fn is_header(tag: &Tag) -> bool {
    tag.kind == 18 || tag.body.get(1) == Some(&0) && tag.timestamp_ms == 0
}

/// 79: the publisher's clock jumps by an hour.
fn jump(server: &Server, report: &Report, key: &str, tags: &[Tag], by_ms: i32) {
    let start = 7_200_000;
    let stamp = |tag: &Tag| {
        let jumped = if tag.timestamp_ms < AT_MS { 0 } else { by_ms };
        Some((start + tag.timestamp_ms).wrapping_add_signed(jumped))
    };
    let seen = play(server, key, tags, stamp);
    for rendition in &seen {
        let name = format!("{key} {}", rendition.path.rsplit('/').next().unwrap_or_default());
        // What the checkers allow is sane: no long EXTINF, dates without a gap, none in the future.
        report.checked(&[79], &relabelled(&rendition.violations, &[], 79), &name);
        let at: Vec<u64> = rendition
            .segments
            .iter()
            .filter(|segment| segment.segment.discontinuity)
            .map(|segment| segment.segment.media_sequence)
            .collect();
        let evidence = format!("{name}: discontinuities at {at:?}, {} parts", rendition.parts.len());
        report.expect(79, at.len() == 1 && rendition.parts.len() > 15, evidence);
    }
}
