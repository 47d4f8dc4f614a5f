#![no_main]
//! Fuzzes `rtmp::session`; its body also runs as an ordinary test.

#[path = "../../tests/fuzz_bodies/rtmp.rs"]
#[allow(dead_code)]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::session(data));
