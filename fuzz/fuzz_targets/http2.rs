#![no_main]
//! Fuzzes `http2::run`; its body also runs as an ordinary test.

#[path = "../../tests/fuzz_bodies/http2.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::run(data));
