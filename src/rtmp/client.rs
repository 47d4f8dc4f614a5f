//! The publishing side of a connection: what an encoder does, without a socket.
//!
//! It opens as Flash Media Live Encoder does, one command after the other, and then writes media as fast as
//! it is given some. The caller bounds what waits in the output.

use std::borrow::Cow;

use super::amf::{AmfError, AmfWriter, Value, read_values};
use super::chunk::{ChunkError, ChunkEvent, ChunkReader};
use super::handshake::{ClientHandshake, HANDSHAKE_RANDOM_BYTES, HandshakeError};
use super::message::{MessageHeader, message_type};
use super::metadata::{StreamMetadata, printable};
use super::output::{Output, user_control};
use crate::limits::{RTMP_AUDIO_BYTES_MAX, RTMP_CHUNK_BYTES_SENT, RTMP_VIDEO_BYTES_MAX};
use crate::media::TrackKind;
use crate::wire::Reader;

/// Transactions of the opening commands.
const CONNECT: f64 = 1.0;
const RELEASE_STREAM: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE_STREAM: f64 = 4.0;
const PUBLISH: f64 = 5.0;
const FC_UNPUBLISH: f64 = 6.0;
const DELETE_STREAM: f64 = 7.0;

/// Chunk streams of media: one for each kind, so that headers stay small.
const AUDIO_CHUNK_STREAM: u32 = 4;
const VIDEO_CHUNK_STREAM: u32 = 6;

/// What to publish, and how.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The URL of the application, `rtmp://HOST/APP`.
    pub tc_url: String,
    /// The application.
    pub app: String,
    /// The key, and the query behind it.
    pub stream_name: String,
    /// What the encoder calls itself.
    pub encoder: String,
    /// Chunk size to send with; brought into 1..=16,777,215.
    pub chunk_bytes: u32,
}

impl ClientConfig {
    /// Publishes `app`/`key` at `host` (with a port, if need be), the token in the key's query.
    pub fn new(host: &str, app: &str, key: &str, token: Option<&str>) -> Self {
        let stream_name = match token {
            Some(token) => format!("{key}?token={token}"),
            None => key.into(),
        };
        Self {
            tc_url: format!("rtmp://{host}/{app}"),
            app: app.into(),
            stream_name,
            encoder: concat!("rapidrtmp/", env!("CARGO_PKG_VERSION")).into(),
            chunk_bytes: RTMP_CHUNK_BYTES_SENT,
        }
    }
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// Media may be written from now on.
    Publishing,
    /// The server ended the publish.
    Stopped {
        /// NetStream.Unpublish.Success, or what else it is.
        code: String,
        /// For people.
        description: String,
    },
}

/// Why a publisher's connection failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// The server is no RTMP.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// Chunks that cannot be read.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command that cannot be read.
    #[error(transparent)]
    Amf(#[from] AmfError),
    /// The server refused connect, createStream or publish.
    #[error("refused: {code}: {description}")]
    Refused {
        /// Its code, such as NetStream.Publish.Denied; empty when it gave none.
        code: String,
        /// For people.
        description: String,
    },
    /// createStream gave no usable number.
    #[error("the server created message stream {found:?}")]
    MessageStream {
        /// What it gave.
        found: Option<f64>,
    },
    /// Media before [`ClientEvent::Publishing`] or after the end.
    #[error("not publishing")]
    NotPublishing,
    /// A message longer than servers take.
    #[error("a message of {found} bytes; {allowed} are allowed")]
    MessageTooLarge {
        /// Its length.
        found: usize,
        /// The most.
        allowed: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connect,
    CreateStream,
    Publish,
    Publishing,
    Stopped,
}

/// One publisher's connection.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    /// `None` once it is complete.
    handshake: Option<ClientHandshake>,
    stage: Stage,
    message_stream: u32,
    chunks: ChunkReader,
    output: Output,
    /// Commands that are not complete, by chunk stream; the chunk reader bounds them.
    assembling: Vec<(u32, Vec<u8>)>,
}

impl ClientSession {
    /// A session whose output begins with the handshake. `random` goes into it.
    pub fn new(config: ClientConfig, random: [u8; HANDSHAKE_RANDOM_BYTES]) -> Self {
        let mut output = Output::default();
        let handshake = Some(ClientHandshake::new(&random, output.raw()));
        Self {
            config,
            handshake,
            stage: Stage::Connect,
            message_stream: 0,
            chunks: ChunkReader::new(),
            output,
            assembling: Vec::new(),
        }
    }

    /// Consumes `input` until there is an event; `None` when all of it is consumed.
    ///
    /// # Errors
    /// [`ClientError`]: the connection is of no more use.
    pub fn poll(&mut self, input: &mut &[u8]) -> Result<Option<ClientEvent>, ClientError> {
        if let Some(handshake) = &mut self.handshake {
            if !handshake.poll(input, self.output.raw())? {
                return Ok(None);
            }
            self.handshake = None;
            self.connect();
        }
        while let Some(event) = self.chunks.poll(input)? {
            let fragment = match event {
                ChunkEvent::Fragment(fragment) => fragment,
                ChunkEvent::Aborted { chunk_stream, .. } => {
                    self.assembling.retain(|(id, _)| *id != chunk_stream);
                    continue;
                }
            };
            let read =
                matches!(fragment.header.type_id, message_type::COMMAND_AMF0 | message_type::USER_CONTROL);
            if !read {
                continue;
            }
            let body = if fragment.first && fragment.last {
                Cow::Borrowed(fragment.payload)
            } else {
                if fragment.first {
                    self.assembling.push((fragment.chunk_stream, Vec::new()));
                }
                let found = self.assembling.iter().position(|(id, _)| *id == fragment.chunk_stream);
                let Some(index) = found else { continue };
                self.assembling[index].1.extend_from_slice(fragment.payload);
                if !fragment.last {
                    continue;
                }
                Cow::Owned(self.assembling.swap_remove(index).1)
            };
            if let Some(event) = self.handle_message(fragment.header.type_id, &body)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Bytes to send now.
    pub fn output(&mut self) -> &[u8] {
        self.output.pending()
    }

    /// The first `count` bytes of [`ClientSession::output`] were sent.
    pub fn output_written(&mut self, count: usize) {
        self.output.written(count);
    }

    /// True when media may be written.
    pub fn is_publishing(&self) -> bool {
        self.stage == Stage::Publishing
    }

    /// Describes the stream.
    ///
    /// # Errors
    /// [`ClientError::NotPublishing`] before the server accepted.
    pub fn write_metadata(&mut self, metadata: &StreamMetadata) -> Result<(), ClientError> {
        let mut body = Vec::new();
        metadata.write(&mut body);
        self.write_message(AUDIO_CHUNK_STREAM, message_type::DATA_AMF0, 0, &[&body])
    }

    /// One audio or video message, the body of an FLV tag, from pieces.
    ///
    /// # Errors
    /// [`ClientError::NotPublishing`] before the server accepted; [`ClientError::MessageTooLarge`].
    pub fn write_media(
        &mut self,
        kind: TrackKind,
        timestamp_ms: u32,
        pieces: &[&[u8]],
    ) -> Result<(), ClientError> {
        let (chunk_stream, type_id, allowed) = match kind {
            TrackKind::Audio => (AUDIO_CHUNK_STREAM, message_type::AUDIO, RTMP_AUDIO_BYTES_MAX),
            TrackKind::Video => (VIDEO_CHUNK_STREAM, message_type::VIDEO, RTMP_VIDEO_BYTES_MAX),
        };
        let found = pieces.iter().map(|piece| piece.len()).sum();
        if found > allowed as usize {
            return Err(ClientError::MessageTooLarge { found, allowed });
        }
        self.write_message(chunk_stream, type_id, timestamp_ms, pieces)
    }

    /// Ends the publish: FCUnpublish and deleteStream. Send the output, then close.
    ///
    /// # Errors
    /// [`ClientError::NotPublishing`] when there is none.
    pub fn unpublish(&mut self) -> Result<(), ClientError> {
        if !self.is_publishing() {
            return Err(ClientError::NotPublishing);
        }
        self.call("FCUnpublish", FC_UNPUBLISH);
        let message_stream = f64::from(self.message_stream);
        self.output.command(0, "deleteStream", DELETE_STREAM, |writer| {
            writer.null().number(message_stream);
        });
        self.stage = Stage::Stopped;
        Ok(())
    }

    fn write_message(
        &mut self,
        chunk_stream: u32,
        type_id: u8,
        timestamp_ms: u32,
        pieces: &[&[u8]],
    ) -> Result<(), ClientError> {
        if !self.is_publishing() {
            return Err(ClientError::NotPublishing);
        }
        let message_stream = self.message_stream;
        let header = MessageHeader { timestamp_ms, type_id, message_stream, message_bytes: 0 };
        self.output.message(chunk_stream, header, pieces);
        Ok(())
    }

    fn connect(&mut self) {
        let ClientConfig { tc_url, app, encoder, chunk_bytes, .. } = &self.config;
        self.output.set_chunk_bytes(*chunk_bytes);
        self.output.command(0, "connect", CONNECT, |writer| {
            writer.object(|writer| {
                writer.key("app").string(app);
                writer.key("type").string("nonprivate");
                writer.key("flashVer").string(encoder);
                writer.key("tcUrl").string(tc_url);
            });
        });
    }

    /// A command about the stream by its name.
    fn call(&mut self, name: &str, transaction: f64) {
        let stream_name = &self.config.stream_name;
        self.output.command(0, name, transaction, |writer| {
            writer.null().string(stream_name);
        });
    }

    fn handle_message(&mut self, type_id: u8, body: &[u8]) -> Result<Option<ClientEvent>, ClientError> {
        if type_id == message_type::USER_CONTROL {
            let mut reader = Reader::new(body);
            if let (Ok(user_control::PING_REQUEST), Ok(value)) = (reader.u16(), reader.u32()) {
                self.output.user_control(user_control::PING_RESPONSE, value);
            }
            return Ok(None);
        }
        let values = read_values(body)?;
        let transaction = values.get(1).and_then(Value::as_f64);
        let argument = values.get(3).unwrap_or(&Value::Null);
        match (values.first().and_then(Value::as_str), self.stage) {
            (Some("_result"), Stage::Connect) if transaction == Some(CONNECT) => self.create_stream(),
            (Some("_result"), Stage::CreateStream) if transaction == Some(CREATE_STREAM) => {
                self.publish(argument.as_f64())?;
            }
            (Some("_error"), Stage::Connect | Stage::CreateStream | Stage::Publish)
                if [Some(CONNECT), Some(CREATE_STREAM), Some(PUBLISH)].contains(&transaction) =>
            {
                let (code, description) = status(argument);
                return Err(ClientError::Refused { code, description });
            }
            (Some("onStatus"), stage) => return self.handle_status(stage, argument),
            _ => {}
        }
        Ok(None)
    }

    fn create_stream(&mut self) {
        self.call("releaseStream", RELEASE_STREAM);
        self.call("FCPublish", FC_PUBLISH);
        self.output.command(0, "createStream", CREATE_STREAM, |writer| {
            writer.null();
        });
        self.stage = Stage::CreateStream;
    }

    fn publish(&mut self, created: Option<f64>) -> Result<(), ClientError> {
        let usable = created.filter(|created| (1.0..=f64::from(u32::MAX)).contains(created));
        self.message_stream = usable.ok_or(ClientError::MessageStream { found: created })? as u32;
        let stream_name = &self.config.stream_name;
        self.output.command(self.message_stream, "publish", PUBLISH, |writer: &mut AmfWriter| {
            writer.null().string(stream_name).string("live");
        });
        self.stage = Stage::Publish;
        Ok(())
    }

    fn handle_status(&mut self, stage: Stage, argument: &Value) -> Result<Option<ClientEvent>, ClientError> {
        let (code, description) = status(argument);
        let failed = argument.property("level").and_then(Value::as_str) == Some("error");
        match stage {
            Stage::Publishing if failed || code == "NetStream.Unpublish.Success" => {
                self.stage = Stage::Stopped;
                Ok(Some(ClientEvent::Stopped { code, description }))
            }
            Stage::Publish if code == "NetStream.Publish.Start" => {
                self.stage = Stage::Publishing;
                Ok(Some(ClientEvent::Publishing))
            }
            Stage::Connect | Stage::CreateStream | Stage::Publish if failed => {
                Err(ClientError::Refused { code, description })
            }
            _ => Ok(None),
        }
    }
}

/// Code and description of an information object, as they may be printed.
fn status(information: &Value) -> (String, String) {
    let text = |name| information.property(name).and_then(Value::as_str).map(printable).unwrap_or_default();
    (text("code"), text("description"))
}
