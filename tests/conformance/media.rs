//! The bytes of init segments, parts and segments (assertions 53, 63 to 70).

use crate::observer::Seen;
use crate::report::Report;
use crate::support::http::resolve;
use crate::support::playlist::Multivariant;

/// 53: a segment is the concatenation of its parts.
pub fn concatenation(seen: &Seen, report: &Report) {
    let name = seen.path.rsplit('/').next().unwrap_or_default();
    for segment in &seen.segments {
        let parts: Vec<u8> =
            segment.part_paths.iter().filter_map(|path| seen.bodies.get(path)).flatten().copied().collect();
        let same = seen.bodies.get(&segment.path) == Some(&parts);
        let evidence = format!(
            "{name}: segment {} of {} parts, {} bytes",
            segment.segment.media_sequence,
            segment.part_paths.len(),
            parts.len()
        );
        report.expect(53, same && !parts.is_empty(), evidence);
    }
}

/// 69: what the multivariant playlist says of each init segment.
pub fn codecs(multivariant: &Multivariant, base: &str, seen: &[Seen], report: &Report) {
    for variant in &multivariant.variants {
        for codec in &variant.codecs {
            let described = seen.iter().filter_map(|seen| {
                let init = seen.segments.iter().find_map(|segment| segment.init_path.clone())?;
                seen.bodies.get(&init)
            });
            let found =
                described.filter_map(|init| avc_codec(init)).any(|avc| avc.eq_ignore_ascii_case(codec));
            if codec.starts_with("avc1") {
                report.expect(69, found, format!("{codec}, resolution {:?}", variant.resolution));
            }
        }
        let played = seen.iter().any(|seen| seen.path == resolve(base, &variant.uri));
        report.expect(69, played, format!("the variant's playlist was played: {}", variant.uri));
    }
}

/// `avc1.` and profile, constraints and level of the avcC box in an init segment.
fn avc_codec(init: &[u8]) -> Option<String> {
    let at = init.windows(4).position(|window| window == b"avcC")? + 4;
    let [_version, profile, constraints, level] = init.get(at..at + 4)?.try_into().ok()?;
    Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
}
