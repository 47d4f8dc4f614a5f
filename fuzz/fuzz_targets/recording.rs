#![no_main]
//! Fuzzes `origin::recording`; its body also runs as an ordinary test.

#[path = "../../tests/fuzz_bodies/recording.rs"]
#[allow(dead_code)]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::recording(data);
});
