//! What fuzzing has found worth keeping (`fuzz/seeds`), through the same bodies as an ordinary test.

#[path = "fuzz_bodies/codec.rs"]
mod codec;
#[path = "fuzz_bodies/hls.rs"]
mod hls;
#[path = "fuzz_bodies/http.rs"]
mod http;
#[path = "fuzz_bodies/http2.rs"]
mod http2;
#[path = "fuzz_bodies/recording.rs"]
mod recording;
#[path = "fuzz_bodies/rtmp.rs"]
mod rtmp;

use std::path::Path;

type Body = fn(&[u8]);

const TARGETS: &[(&str, Body)] = &[
    ("access_unit", codec::access_unit),
    ("amf0", rtmp::amf0),
    ("asc", codec::asc),
    ("av1", codec::av1),
    ("avcc", codec::avcc),
    ("chunks", rtmp::chunks),
    ("client", rtmp::client),
    ("flv", codec::flv),
    ("handshake", rtmp::handshake),
    ("hevc", codec::hevc),
    ("http2", http2::run),
    ("http_head", http::run),
    ("media_path", hls::media_path),
    ("other_codecs", codec::others),
    ("playlist_query", hls::playlist_query),
    ("recording", |bytes| _ = recording::recording(bytes)),
    ("session", rtmp::session),
    ("sps", codec::sps),
];

#[test]
fn every_seed_of_every_target_keeps_its_promises() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let targets = std::fs::read_dir(root.join("fuzz_targets")).expect("the targets");
    assert_eq!(targets.count(), TARGETS.len(), "each target is listed here");
    for (target, body) in TARGETS {
        let seeds = std::fs::read_dir(root.join("seeds").join(target));
        let seeds: Vec<_> = seeds.unwrap_or_else(|error| panic!("{target}: {error}")).collect();
        assert!(!seeds.is_empty(), "{target}");
        for seed in seeds {
            let path = seed.expect("a seed").path();
            let bytes = std::fs::read(&path).expect("a seed");
            let kept = std::panic::catch_unwind(|| body(&bytes));
            assert!(kept.is_ok(), "{}", path.display());
        }
    }
}
