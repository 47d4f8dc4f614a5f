//! An ingest as its stream's home was told it, call by call with the time of each, so that another home can be told
//! the same offline: it makes the same playlists and the same parts, byte for byte.
//!
//! What is recorded are the calls of [`Home`](super::home::Home), behind the RTMP session: no handshake, no command,
//! and so no token; nor is a token's digest written, since nothing that a viewer gets depends on it.
//!
//! # The file, version 1
//! The line `RapidRTMP ingest recording 1`, then entries: a kind (u8), the length of the body (u32), the body. All
//! numbers are big-endian. A publisher is named by the number (u64) that its home knows it by.
//!
//! | kind | body | the call |
//! |---|---|---|
//! | 0 Time | monotonic microseconds (u64), Unix microseconds (u64) | of every entry that follows |
//! | 1 Begin | JSON: server, stream, settings, random number, record of before | a home begins; the first entry after a Time |
//! | 2 Settings | JSON | new settings |
//! | 3 Attach | publisher, 0 primary or 1 backup (u8) | a publisher begins |
//! | 4 Metadata | publisher, onMetaData in AMF0 | |
//! | 5 Media | publisher, flags (u8), timestamp in ms (u32), bytes of the whole message (u32), payload | a piece of a message; flags: 1 video, 2 first, 4 last |
//! | 6 Aborted | publisher, flags (u8: 1 video) | a message will not be completed |
//! | 7 Detach | publisher, 0 unpublished or 1 lost (u8) | |
//! | 8 Stop | | the stream was stopped |
//! | 9 Tick | | a deadline has passed |
//! | 10 End | why (u8), see [`Ending`] | the recording is complete, as far as it goes |
//!
//! A file without an End was cut off: its server died, or its disk is full. What it holds is replayed all the same.

mod entry;
mod files;
mod replay;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::home::{Departure, HomeSettings, PublisherId};
use crate::hls::numbering::StreamRecord;
use crate::media::{Now, StreamName, TrackKind};
use crate::rtmp::{MediaFragment, Role, StreamMetadata};

pub use entry::{RecordingError, read_magic};
pub use files::{Change, Files};
pub use replay::{Replay, Replayed};

/// The first line of every recording.
pub const MAGIC: &[u8; 29] = b"RapidRTMP ingest recording 1\n";

/// What a home begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// The version of the server.
    pub server: String,
    /// `app/key`.
    pub stream: String,
    /// Of the epoch's name.
    pub random: u16,
    /// Settings of the stream.
    pub settings: HomeSettings,
    /// What was known of the stream, without its token.
    pub record: Option<StreamRecord>,
}

impl Beginning {
    /// Of a home that begins with these.
    pub fn new(
        name: &StreamName,
        settings: HomeSettings,
        random: u16,
        record: Option<&StreamRecord>,
    ) -> Self {
        Self {
            server: env!("CARGO_PKG_VERSION").to_owned(),
            stream: name.as_str().to_owned(),
            random,
            settings,
            record: record.map(|record| StreamRecord { token: None, ..record.clone() }),
        }
    }
}

/// Why a recording ends where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The stream is over, or the server ended in order.
    Complete,
    /// The disk was slower than the ingest.
    Behind,
    /// A bound of the settings was reached.
    Full,
    /// The settings want no recording any more.
    SwitchedOff,
    /// The stream's core panicked at the last call.
    Panicked,
}

impl Ending {
    /// For a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "the stream is over",
            Self::Behind => "the disk is slower than the ingest",
            Self::Full => "it has reached ingest.record_bytes_max or ingest.record_total_bytes_max",
            Self::SwitchedOff => "switched off",
            Self::Panicked => "the stream's core panicked",
        }
    }
}

/// One entry of a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'a> {
    /// The time of every entry that follows.
    Time(Now),
    /// A home begins.
    Begin(Box<Beginning>),
    /// New settings.
    Settings(HomeSettings),
    /// A publisher begins.
    Attach(PublisherId, Role),
    /// onMetaData.
    Metadata(PublisherId, Cow<'a, StreamMetadata>),
    /// A piece of an audio or video message.
    Media(PublisherId, MediaFragment<'a>),
    /// The message of this kind will not be completed.
    Aborted(PublisherId, TrackKind),
    /// The publisher is gone.
    Detach(PublisherId, Departure),
    /// The stream was stopped.
    Stop,
    /// A deadline has passed.
    Tick,
    /// The recording is complete, as far as it goes.
    End(Ending),
}

/// Writes what a home is told; somebody takes the bytes away after each call.
#[derive(Debug)]
pub struct Recorder {
    bytes: Vec<u8>,
    /// As it was written last.
    now: Now,
}

impl Recorder {
    /// A recording of a home that begins now.
    pub fn new(beginning: Beginning, now: Now) -> Self {
        let mut bytes = MAGIC.to_vec();
        Entry::Time(now).write(&mut bytes);
        Entry::Begin(Box::new(beginning)).write(&mut bytes);
        Self { bytes, now }
    }

    /// A call, and its time where it has one.
    pub fn note(&mut self, now: Option<Now>, entry: &Entry<'_>) {
        if let Some(now) = now.filter(|now| *now != self.now) {
            Entry::Time(now).write(&mut self.bytes);
            self.now = now;
        }
        entry.write(&mut self.bytes);
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}
