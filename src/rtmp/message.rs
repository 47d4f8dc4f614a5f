//! What every message has: a type, a stream, a time and a length (Adobe RTMP 1.0, 6.1.1 and 5.4).

use crate::limits::{RTMP_AUDIO_BYTES_MAX, RTMP_CONTROL_BYTES_MAX, RTMP_VIDEO_BYTES_MAX};

/// Type ids of messages.
pub mod message_type {
    /// Set Chunk Size, 5.4.1.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort Message, 5.4.2.
    pub const ABORT: u8 = 2;
    /// Acknowledgement, 5.4.3.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control, 6.2.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size, 5.4.4.
    pub const WINDOW_ACKNOWLEDGEMENT_SIZE: u8 = 5;
    /// Set Peer Bandwidth, 5.4.5.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio, 7.1.4.
    pub const AUDIO: u8 = 8;
    /// Video, 7.1.5.
    pub const VIDEO: u8 = 9;
    /// Data in an AMF3 envelope, 7.1.2.
    pub const DATA_AMF3: u8 = 15;
    /// A command in an AMF3 envelope, 7.1.1.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0, 7.1.2.
    pub const DATA_AMF0: u8 = 18;
    /// A command in AMF0, 7.1.1.
    pub const COMMAND_AMF0: u8 = 20;
    /// Aggregate, 7.1.6.
    pub const AGGREGATE: u8 = 22;

    /// For people; of an unknown type, nothing but that.
    pub fn name(type_id: u8) -> &'static str {
        match type_id {
            SET_CHUNK_SIZE => "set chunk size",
            ABORT => "abort",
            ACKNOWLEDGEMENT => "acknowledgement",
            USER_CONTROL => "user control",
            WINDOW_ACKNOWLEDGEMENT_SIZE => "window acknowledgement size",
            SET_PEER_BANDWIDTH => "set peer bandwidth",
            AUDIO => "audio",
            VIDEO => "video",
            DATA_AMF0 | DATA_AMF3 => "data",
            COMMAND_AMF0 | COMMAND_AMF3 => "command",
            AGGREGATE => "aggregate",
            _ => "unknown",
        }
    }
}

/// Chunk stream of protocol and user control messages, 5.4.
pub(super) const CONTROL_CHUNK_STREAM: u32 = 2;
/// Chunk stream of commands, by custom.
pub(super) const COMMAND_CHUNK_STREAM: u32 = 3;

/// The header of a message, whole however its chunks were compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageHeader {
    /// Milliseconds modulo 2^32, absolute.
    pub timestamp_ms: u32,
    /// Bytes of the whole message.
    pub message_bytes: u32,
    /// One of [`message_type`], or unknown.
    pub type_id: u8,
    /// The message stream; 0 for control and connect.
    pub message_stream: u32,
}

/// Bytes that a message of this type may have; `command_bytes_max` is for what is not media or control.
pub(super) fn message_bytes_max(type_id: u8, command_bytes_max: u32) -> u32 {
    match type_id {
        message_type::SET_CHUNK_SIZE..=message_type::SET_PEER_BANDWIDTH => RTMP_CONTROL_BYTES_MAX,
        message_type::AUDIO => RTMP_AUDIO_BYTES_MAX,
        message_type::VIDEO | message_type::AGGREGATE => RTMP_VIDEO_BYTES_MAX,
        _ => command_bytes_max,
    }
}
