//! RTMP (Adobe RTMP 1.0): handshake, chunk streams, AMF0, the publishing session.

mod aggregate;
pub mod amf;
pub mod chunk;
mod client;
mod digest;
mod handshake;
mod message;
mod metadata;
mod opening;
mod output;
mod pace;
mod rate;
mod server;
mod target;

pub use aggregate::AggregateError;
pub use client::{ClientConfig, ClientError, ClientEvent, ClientSession};
pub use handshake::{HANDSHAKE_RANDOM_BYTES, HandshakeError};
pub use message::{MessageHeader, message_type};
pub use metadata::StreamMetadata;
pub use opening::Opening;
pub use server::{
    Event, MediaFragment, Phase, PublishRequest, Refusal, ServerConfig, ServerSession, SessionError,
    UnpublishCause,
};
pub use target::{Role, TargetError, Token};
