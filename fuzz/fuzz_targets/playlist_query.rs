#![no_main]
//! Fuzzes `hls::playlist_query`; its body also runs as an ordinary test.

#[path = "../../tests/fuzz_bodies/hls.rs"]
#[allow(dead_code)]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::playlist_query(data));
