//! What a figure's name says: whether lower is better, and where among the others it stands.

use super::{latency::Stat, text};

/// How a figure is introduced when figures are listed: groups in their order, each with the beginnings of the names
/// that belong to it. The first that fits counts, so longer ones stand before shorter ones.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "Latency",
        &[
            "latency_newest_",
            "latency_oldest_",
            "latency_segment_",
            "latency_date_",
            "spread_",
            "join_",
            "reload_",
            "part_",
        ],
    ),
    (
        "Playback",
        &[
            "stalls",
            "stalled_",
            "stall_",
            "watched_",
            "joins",
            "leaves",
            "vanished",
            "faults",
            "verified",
            "parts_verified",
            "parts_skipped",
            "parts_unstamped",
            "hints_wrong",
        ],
    ),
    ("Load", &["measured_s", "viewers", "publishers"]),
    (
        "Traffic",
        &["requests", "received_", "parts", "segments", "reloads", "publishes", "frames_sent", "sent_"],
    ),
    ("Server", &["server_", "blocked_sends"]),
    (
        "Load generator",
        &["own_lateness_", "read_lateness_", "publisher_late_", "late_sends", "own_", "machine_"],
    ),
];

/// Beginnings of distributions of which lower is better. Not `reload_`: a blocking reload lasts as long as the next
/// part takes.
const LOWER_DISTRIBUTIONS: [&str; 11] = [
    "latency_newest_",
    "latency_oldest_",
    "latency_segment_",
    "latency_date_",
    "spread_",
    "join_",
    "part_",
    "stall_",
    "publisher_late_",
    "own_lateness_",
    "read_lateness_",
];

/// Other figures of which lower is better. Sums such as `server_cores` are not among them: they follow the load.
const LOWER: [&str; 15] = [
    "stalls",
    "stalled_s",
    "stalled_share",
    "joins_failed",
    "faults",
    "parts_skipped",
    "hints_wrong",
    "publishers_lost",
    "late_sends",
    "late_sends_percent",
    "server_cpu_ms_per_viewer_minute",
    "server_rss_kib_per_viewer",
    "server_cpu_us_per_request",
    "own_us_per_request",
    "own_cores_per_10k_requests_s",
];

/// Whether less of it is known to be better. No figure is known to be better when it is higher: requests and bytes
/// follow from the viewers and the stream.
pub(super) fn lower_is_better(name: &str) -> bool {
    let distribution =
        LOWER_DISTRIBUTIONS.iter().find_map(|beginning| name.strip_prefix(beginning)).unwrap_or(name);
    LOWER.contains(&name) || (stat(distribution).is_some() && distribution != Stat::Count.figure())
}

/// The group it is listed in.
pub(super) fn group(name: &str) -> &'static str {
    GROUPS.get(place(name).0).map_or("Other", |(group, _)| group)
}

/// Sorts figures as they are listed.
pub(super) fn place(name: &str) -> (usize, usize, usize, &str) {
    if let Some(stat) = stat(name) {
        return (0, 0, stat, "");
    }
    for (group, (_, beginnings)) in GROUPS.iter().enumerate() {
        for (beginning, text) in beginnings.iter().enumerate() {
            if let Some(rest) = name.strip_prefix(text) {
                return (group, beginning + 1, stat(rest).unwrap_or(0), name);
            }
        }
    }
    (GROUPS.len(), 0, 0, name)
}

fn stat(name: &str) -> Option<usize> {
    Stat::ALL.iter().position(|stat| stat.figure() == name)
}

/// The value with its unit's own look where the name tells it; the unit itself stands in the name.
pub(super) fn value(name: &str, value: f64) -> String {
    if name.ends_with("_bytes") { text::bytes(value) } else { text::number(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_is_better_only_where_the_name_makes_it_clear() {
        for name in [
            "p50_ms",
            "max_ms",
            "latency_oldest_p99_ms",
            "spread_mean_ms",
            "part_p99_ms",
            "own_lateness_p999_ms",
            "latency_newest_p99_ms",
            "stall_max_ms",
            "hints_wrong",
            "stalled_share",
            "server_cpu_ms_per_viewer_minute",
        ] {
            assert!(lower_is_better(name), "{name}");
        }
        for name in [
            "count",
            "join_count",
            "reload_p99_ms",
            "requests_per_s",
            "server_cores",
            "viewers",
            "parts",
            "unheard_of",
        ] {
            assert!(!lower_is_better(name), "{name}");
        }
    }

    #[test]
    fn figures_are_listed_by_subject() {
        let mut names = [
            "zebra",
            "own_cores",
            "own_lateness_count",
            "own_lateness_p99_ms",
            "server_cores",
            "received_mbit_s",
            "viewers",
            "parts",
            "parts_verified",
            "stalls",
            "part_p50_ms",
            "spread_max_ms",
            "spread_p50_ms",
            "max_ms",
            "p50_ms",
        ];
        names.sort_by_key(|name| place(name));
        assert_eq!(
            names,
            [
                "p50_ms",
                "max_ms",
                "spread_p50_ms",
                "spread_max_ms",
                "part_p50_ms",
                "stalls",
                "parts_verified",
                "viewers",
                "received_mbit_s",
                "parts",
                "server_cores",
                "own_lateness_p99_ms",
                "own_lateness_count",
                "own_cores",
                "zebra",
            ]
        );
        assert_eq!((group("p99_ms"), group("parts"), group("zebra")), ("Latency", "Traffic", "Other"));
    }
}
