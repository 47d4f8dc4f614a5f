#![no_main]
//! Fuzzes `rtmp::amf0`; its body also runs as an ordinary test.

#[path = "../../tests/fuzz_bodies/rtmp.rs"]
#[allow(dead_code)]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::amf0(data));
