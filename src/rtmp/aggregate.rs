//! Splits an aggregate message into the media messages that it carries (Adobe RTMP 1.0, 7.1.6).
//!
//! It is a row of FLV tags, each with an 11 byte header in front and its own length behind. Only relays send
//! them. Script tags inside are skipped: a relay sends metadata as a message of its own too.

use super::message::{message_bytes_max, message_type};
use crate::wire::{Reader, Truncated};

const TAG_HEADER_BYTES: usize = 11;
const BACK_POINTER_BYTES: u32 = 4;

/// Why an aggregate was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// A tag is longer than the aggregate or its type allows.
    #[error("aggregate: a tag of type {type_id} has {found} bytes, {allowed} are allowed")]
    TagTooLarge {
        /// The tag's type.
        type_id: u8,
        /// Bytes declared.
        found: u32,
        /// Bytes allowed.
        allowed: u32,
    },
    /// The message ends inside a tag.
    #[error("aggregate: the message ends inside a tag")]
    Truncated,
}

/// A media message of an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub type_id: u8,
    pub timestamp_ms: u32,
    pub message_bytes: u32,
}

#[derive(Debug)]
enum Stage {
    /// Bytes of a tag header so far.
    Header([u8; TAG_HEADER_BYTES], usize),
    /// Bytes of the tag's body still to come; more than 0.
    Body(Tag, u32),
    /// Bytes of the back pointer still to come; more than 0.
    BackPointer(u32),
}

/// One aggregate message, as far as it was received.
#[derive(Debug)]
pub(super) struct Aggregate {
    timestamp_ms: u32,
    /// Bytes of the message that were not pushed yet.
    left_bytes: u32,
    /// What is added to the tags' times: the first tag is at the message's own time.
    shift_ms: Option<u32>,
    stage: Stage,
}

impl Aggregate {
    /// [`Aggregate::bytes_wanted`] of a new one.
    pub const FIRST_BYTES_WANTED: usize = TAG_HEADER_BYTES;

    pub fn new(timestamp_ms: u32, message_bytes: u32) -> Self {
        let stage = Stage::Header([0; TAG_HEADER_BYTES], 0);
        Self { timestamp_ms, left_bytes: message_bytes, shift_ms: None, stage }
    }

    /// Bytes that the next push may have at most; more than 0.
    pub fn bytes_wanted(&self) -> usize {
        match &self.stage {
            Stage::Header(_, received) => TAG_HEADER_BYTES - received,
            Stage::Body(_, left) | Stage::BackPointer(left) => *left as usize,
        }
    }

    /// Takes the next bytes of the message, at most [`Aggregate::bytes_wanted`]. Returns the tag that they
    /// are of, with whether they begin and end it, when they are audio or video.
    ///
    /// # Errors
    /// [`AggregateError`] when the tags do not fit the message.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<(Tag, bool, bool)>, AggregateError> {
        debug_assert!(bytes.len() <= self.bytes_wanted());
        let count = bytes.len() as u32;
        self.left_bytes = self.left_bytes.saturating_sub(count);
        let found = match &mut self.stage {
            Stage::Header(header, received) => {
                header[*received..*received + bytes.len()].copy_from_slice(bytes);
                *received += bytes.len();
                if *received < TAG_HEADER_BYTES {
                    None
                } else {
                    let header = *header;
                    self.begin_tag(&header)?
                }
            }
            Stage::Body(tag, left) => {
                let (tag, first) = (*tag, *left == tag.message_bytes);
                *left -= count;
                let last = *left == 0;
                if last {
                    self.stage = Stage::BackPointer(BACK_POINTER_BYTES);
                }
                Some((tag, first, last))
            }
            Stage::BackPointer(left) => {
                *left -= count;
                if *left == 0 {
                    self.stage = Stage::Header([0; TAG_HEADER_BYTES], 0);
                }
                None
            }
        };
        // The last back pointer is missing from some senders' messages.
        let between_tags = matches!(self.stage, Stage::Header(_, 0) | Stage::BackPointer(BACK_POINTER_BYTES));
        if self.left_bytes == 0 && !between_tags {
            return Err(AggregateError::Truncated);
        }
        Ok(found.filter(|(tag, ..)| matches!(tag.type_id, message_type::AUDIO | message_type::VIDEO)))
    }

    fn begin_tag(
        &mut self,
        header: &[u8; TAG_HEADER_BYTES],
    ) -> Result<Option<(Tag, bool, bool)>, AggregateError> {
        let tag = parse_tag_header(header).map_err(|Truncated { .. }| AggregateError::Truncated)?;
        let (type_id, found) = (tag.type_id, tag.message_bytes);
        let allowed = message_bytes_max(type_id, self.left_bytes).min(self.left_bytes);
        if found > allowed {
            return Err(AggregateError::TagTooLarge { type_id, found, allowed });
        }
        let shift_ms = *self.shift_ms.get_or_insert(self.timestamp_ms.wrapping_sub(tag.timestamp_ms));
        let tag = Tag { timestamp_ms: tag.timestamp_ms.wrapping_add(shift_ms), ..tag };
        if found == 0 {
            self.stage = Stage::BackPointer(BACK_POINTER_BYTES);
            return Ok(Some((tag, true, true)));
        }
        self.stage = Stage::Body(tag, found);
        Ok(None)
    }
}

fn parse_tag_header(header: &[u8; TAG_HEADER_BYTES]) -> Result<Tag, Truncated> {
    let mut reader = Reader::new(header);
    let type_id = reader.u8()?;
    let message_bytes = reader.u24()?;
    let low = reader.u24()?;
    let high = u32::from(reader.u8()?);
    Ok(Tag { type_id, timestamp_ms: high << 24 | low, message_bytes })
}
