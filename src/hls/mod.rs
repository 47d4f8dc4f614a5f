//! Low-Latency HLS: what a session is, how it is cut, what its playlists say
//! (draft-pantos-hls-rfc8216bis-22).

pub mod bandwidth;
mod event;
mod gop;
mod id;
pub mod media_playlist;
pub mod multivariant;
pub mod numbering;
pub mod path;
mod plan;
pub mod reload;
mod segmenter;
#[cfg(test)]
mod tests;
mod text;
pub mod window;

pub use crate::codec::VideoRange;
pub use event::{Close, EventBody, InitSegment, Part, Rendition, SegmentHead, SessionStart, StreamEvent};
pub use gop::{GopLearner, TrackLearner};
pub use id::{Epoch, IdError, RenditionId, SessionId};
pub use plan::{LearntTrack, Plan, PlanError, TrackPlan, Wishes};
pub use segmenter::{Action, Findings, Listing, Segmenter, Verdict};
