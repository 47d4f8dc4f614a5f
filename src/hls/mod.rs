//! Low-Latency HLS: what a session is, how it is cut, what its playlists say
//! (draft-pantos-hls-rfc8216bis-22).

mod event;
mod id;

pub use event::{
    Close, EventBody, InitSegment, Part, Rendition, SegmentHead, SessionStart, StreamEvent, VideoRange,
};
pub use id::{Epoch, IdError, RenditionId, SessionId};
