//! RapidRTMP: flags, preflight, signals.
fn main() {}
