//! The bytes of init segments, parts and segments (assertions 53, 63 to 69).

use crate::observer::{Seen, SeenSegment};
use crate::report::Report;
use crate::support::http::resolve;
use crate::support::mp4;
use crate::support::playlist::Multivariant;
use std::collections::HashMap;

/// Drift between two renditions that is still none, milliseconds.
const DRIFT_MS_MAX: f64 = 20.0;

/// All that can be said of one rendition's bytes.
pub fn check(seen: &Seen, report: &Report) {
    let name = seen.path.rsplit('/').next().unwrap_or_default();
    for run in runs(&seen.segments) {
        let Some(init_bytes) = run[0].init_path.as_ref().and_then(|path| seen.bodies.get(path)) else {
            report.expect(63, false, format!("{name}: no init segment was listed"));
            continue;
        };
        let init = match mp4::check_init(init_bytes) {
            Ok(init) => init,
            Err(text) => {
                report.expect(63, false, format!("{name}: {text}"));
                continue;
            }
        };
        report.expect(63, true, format!("{name}: {} bytes", init_bytes.len()));
        let mut all_parts: Vec<&[u8]> = Vec::new();
        for segment in run {
            let parts: Vec<&[u8]> = segment
                .part_paths
                .iter()
                .filter_map(|path| seen.bodies.get(path))
                .map(Vec::as_slice)
                .collect();
            segment_is_its_parts(segment, &parts, seen, name, report);
            for (part, listed) in parts.iter().zip(&segment.segment.parts) {
                let outcome = mp4::check_part(part).map(|part| part.sequence);
                report.expect(64, outcome.is_ok(), format!("{name}: {outcome:?}"));
                let outcome = mp4::check_samples(&init, part);
                report.expect(66, outcome.is_ok(), format!("{name}: {outcome:?}"));
                let outcome =
                    mp4::check_listed(&init, part, listed.duration.as_secs_f64(), listed.independent);
                report.expect(67, outcome.is_ok(), format!("{name}: {outcome:?}"));
            }
            all_parts.extend(parts);
        }
        let outcome = mp4::check_parts(&init, all_parts.iter().copied()).map(|parts| parts.len());
        report.expect(65, outcome.is_ok(), format!("{name}: {outcome:?} parts"));
    }
}

fn segment_is_its_parts(segment: &SeenSegment, parts: &[&[u8]], seen: &Seen, name: &str, report: &Report) {
    let number = segment.segment.media_sequence;
    let body = seen.bodies.get(&segment.path).map(Vec::as_slice).unwrap_or_default();
    let evidence = format!("{name}: segment {number} of {} parts, {} bytes", parts.len(), body.len());
    report.expect(53, !parts.is_empty() && body == parts.concat(), evidence);
    let outcome = mp4::check_segment(body, parts);
    report.expect(66, outcome.is_ok(), format!("{name}: segment {number}: {outcome:?}"));
}

/// Segments that follow one another without a discontinuity, under one init segment.
fn runs(segments: &[SeenSegment]) -> Vec<&[SeenSegment]> {
    let follows = |before: &SeenSegment, after: &SeenSegment| {
        after.segment.media_sequence == before.segment.media_sequence + 1
            && !after.segment.discontinuity
            && after.init_path == before.init_path
    };
    segments.chunk_by(follows).collect()
}

/// 69: what the multivariant playlist says, against the init segments.
pub fn codecs(multivariant: &Multivariant, base: &str, seen: &[Seen], report: &Report) {
    let inits = seen.iter().filter_map(|seen| {
        let path = seen.segments.iter().find_map(|segment| segment.init_path.as_ref())?;
        mp4::check_init(seen.bodies.get(path)?).ok()
    });
    let tracks: Vec<mp4::InitTrack> = inits.flat_map(|init| init.tracks).collect();
    for variant in &multivariant.variants {
        for codec in &variant.codecs {
            let found = tracks.iter().any(|track| track.codec.eq_ignore_ascii_case(codec));
            let known: Vec<&str> = tracks.iter().map(|track| track.codec.as_str()).collect();
            report.expect(69, found, format!("{codec}, init segments hold {known:?}"));
        }
        if let Some(video) = tracks.iter().find(|track| track.video) {
            let size = (u64::from(video.size.0), u64::from(video.size.1));
            let evidence = format!("RESOLUTION {:?}, SPS {size:?}", variant.resolution);
            report.expect(69, variant.resolution == Some(size), evidence);
        }
        let played = seen.iter().any(|seen| seen.path == resolve(base, &variant.uri));
        report.expect(69, played, format!("played {}", variant.uri));
    }
}

/// 68: the distance between programme date and media time is the same in all renditions, and stays so.
pub fn drift(seen: &[Seen], report: &Report) {
    let offsets: Vec<HashMap<u64, f64>> = seen.iter().map(date_offsets_ms).collect();
    let Some((first, others)) = offsets.split_first() else { return };
    for other in others {
        let apart: Vec<f64> =
            first.iter().filter_map(|(number, offset)| Some(offset - other.get(number)?)).collect();
        let spread =
            apart.iter().copied().fold(f64::MIN, f64::max) - apart.iter().copied().fold(f64::MAX, f64::min);
        let evidence = format!("{spread:.1} ms over {} segments", apart.len());
        report.expect(68, apart.len() > 2 && spread < DRIFT_MS_MAX, evidence);
    }
}

/// By segment: its date less the earliest presentation time in it, milliseconds.
fn date_offsets_ms(seen: &Seen) -> HashMap<u64, f64> {
    let offset = |segment: &SeenSegment| {
        let init = mp4::check_init(seen.bodies.get(segment.init_path.as_ref()?)?).ok()?;
        let part = mp4::check_part(seen.bodies.get(segment.part_paths.first()?)?).ok()?;
        let run = part.runs.first()?;
        let track = init.tracks.iter().find(|track| track.track_id == run.track_id)?;
        let mut decode_time = i64::try_from(run.base_decode_time).ok()?;
        let mut presented = Vec::new();
        for sample in &run.samples {
            presented.push(decode_time + i64::from(sample.composition_offset));
            decode_time += i64::from(sample.duration);
        }
        let earliest = *presented.iter().min()? as f64 * 1000.0 / f64::from(track.timescale);
        Some((segment.segment.media_sequence, segment.segment.program_date_time_unix_ms? as f64 - earliest))
    };
    seen.segments.iter().filter_map(offset).collect()
}
