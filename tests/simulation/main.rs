//! A stream at its home on a simulated clock, without sockets: encoders of all kinds for ten minutes
//! each, its life cycle, restarts and replicas. Every playlist and every byte is read by strict checkers.

#[path = "../support/mod.rs"]
mod support;

mod captures;
mod clocks;
mod dates;
mod defects;
mod encoders;
mod enhanced;
mod faults;
mod findings;
mod harness;
mod interleaving;
mod latency;
mod learning;
mod lifecycle;
mod long_frames;
mod pairs;
mod recordings;
mod replicas;
mod wire;
