#![no_main]
//! Fuzzes `http::run`; its body also runs as an ordinary test.

#[path = "../../tests/fuzz_bodies/http.rs"]
#[allow(dead_code)]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::run(data));
