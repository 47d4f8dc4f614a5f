//! Publishers and viewers that tell the truth about an RTMP and Low-Latency HLS server.
//!
//! It works against any such server, and shares only the RTMP writer with this one: its playlist and media
//! readers are its own, so that a checker cannot have the bug of what it checks. A module uses those that
//! stand above it here.

// Names, clocks, the host.
pub mod address;
pub mod clock;
pub mod cost;
pub mod fault;
pub mod host;
pub mod stamp;
// What is sent, and what is read.
pub mod fmp4;
pub mod measure;
pub mod playlist;
pub mod report;
pub mod source;
// How it is asked for.
pub mod net;
// What is to happen.
pub mod scenario;
// A player without sockets.
pub mod player;
// One thread's share of a run.
pub mod worker;
// One publisher, one viewer.
pub mod publish;
pub mod watch;
// All threads.
pub mod engine;
// A whole run.
pub mod run;
