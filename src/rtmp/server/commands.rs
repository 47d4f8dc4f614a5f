//! Commands and data messages, with the replies that each encoder needs (Adobe RTMP 1.0, 7.2).
//!
//! What encoders wait for: the results of connect and createStream, and onStatus on the message stream that
//! createStream gave. To a call with transaction 0 nobody expects a result.

use super::enhanced::Asked;
use super::{
    Event, Phase, PublishRequest, Refusal, ServerSession, SessionError, UnpublishCause, deadline_us,
};
use crate::limits::{
    RTMP_ACK_WINDOW_BYTES, RTMP_CHUNK_BYTES_SENT, RTMP_COMMAND_BYTES_MAX, RTMP_DESCRIPTION_CHARS_MAX,
    RTMP_MESSAGE_STREAMS_MAX,
};
use crate::media::Now;
use crate::rtmp::StreamMetadata;
use crate::rtmp::amf::{Value, read_values};
use crate::rtmp::message::{MessageHeader, message_type};
use crate::rtmp::metadata::printable;
use crate::rtmp::output::user_control;
use crate::rtmp::target::{Target, find_target};

/// 5.4.5: the limit type of Set Peer Bandwidth that leaves the choice to the peer.
const LIMIT_DYNAMIC: u8 = 2;

impl ServerSession {
    /// Accepts the publish that was asked for; the client then sends media. Without one it does nothing.
    pub fn accept_publish(&mut self, now: Now) {
        let (Phase::Decision, Some((message_stream, key))) = (self.phase, &self.connection.published) else {
            return;
        };
        let (message_stream, key) = (*message_stream, key.clone());
        self.output.user_control(user_control::STREAM_BEGIN, message_stream);
        if self.connection.fc_publish {
            self.output.command(0, "onFCPublish", 0.0, |writer| {
                writer.null().object(|writer| {
                    writer.key("code").string("NetStream.Publish.Start");
                    writer.key("description").string(&key);
                });
            });
        }
        self.send_status(message_stream, "status", "NetStream.Publish.Start", "Publishing", &key);
        self.chunks.set_command_bytes_max(RTMP_COMMAND_BYTES_MAX);
        self.connection.unpublished = false;
        self.phase = Phase::FirstMedia;
        self.deadline_us = Some(deadline_us(now.monotonic_us, self.config.first_media_timeout_ms));
    }

    /// Refuses the publish that was asked for; `description` is shown to its user. Without one it does
    /// nothing. Send the output, then close: not every encoder does.
    pub fn reject_publish(&mut self, refusal: Refusal, description: &str) {
        if self.phase == Phase::Decision {
            self.refuse(refusal, description);
            self.phase = Phase::Publish;
            self.deadline_us = Some(self.publish_deadline_us);
        }
    }

    /// Tells a publisher that it was stopped from our side. Send the output, then close: OBS does not read it.
    pub fn stop(&mut self, description: &str) {
        if let Some((message_stream, key)) = self.connection.published.take() {
            self.send_status(message_stream, "status", "NetStream.Unpublish.Success", description, &key);
        }
    }

    fn refuse(&mut self, refusal: Refusal, description: &str) {
        if let Some((message_stream, key)) = self.connection.published.take() {
            self.send_refusal(message_stream, refusal, description, &key);
        }
    }

    fn send_refusal(&mut self, message_stream: u32, refusal: Refusal, description: &str, key: &str) {
        let code = match refusal {
            Refusal::BadName => "NetStream.Publish.BadName",
            Refusal::Denied => "NetStream.Publish.Denied",
        };
        self.send_status(message_stream, "error", code, description, key);
    }

    /// 7.2.2: onStatus, on the message stream that it is about. GStreamer waits for exactly that one.
    fn send_status(&mut self, message_stream: u32, level: &str, code: &str, description: &str, key: &str) {
        let description: String = description.chars().take(RTMP_DESCRIPTION_CHARS_MAX).collect();
        self.output.command(message_stream, "onStatus", 0.0, |writer| {
            writer.null().object(|writer| {
                writer.key("level").string(level);
                writer.key("code").string(code);
                writer.key("description").string(&description);
                writer.key("details").string(key);
            });
        });
    }

    fn send_null_result(&mut self, transaction: f64) {
        if transaction != 0.0 {
            self.output.command(0, "_result", transaction, |writer| {
                writer.null().null();
            });
        }
    }

    pub(super) fn handle_data(
        &mut self,
        header: MessageHeader,
        body: &[u8],
    ) -> Result<Option<Event<'static>>, SessionError> {
        let values = read_values(without_envelope(header.type_id, body)?)?;
        if !matches!(self.phase, Phase::FirstMedia | Phase::Media) {
            return Ok(None);
        }
        Ok(StreamMetadata::from_values(&values).map(|metadata| Event::Metadata(Box::new(metadata))))
    }

    pub(super) fn handle_command(
        &mut self,
        header: MessageHeader,
        body: &[u8],
        now: Now,
    ) -> Result<Option<Event<'static>>, SessionError> {
        if !self.commands.take(now) {
            return Err(SessionError::TooManyCommands);
        }
        let values = read_values(without_envelope(header.type_id, body)?)?;
        let name = values.first().and_then(Value::as_str).ok_or(SessionError::NamelessCommand)?;
        let transaction = values.get(1).and_then(Value::as_f64).unwrap_or(0.0);
        // The command object, null for most, and what follows it.
        let arguments = values.get(2..).unwrap_or_default();
        if (name == "connect") != (self.phase == Phase::Connect) {
            let command = if name == "connect" { "connect" } else { "a command" };
            return Err(SessionError::CommandOrder { command, phase: self.phase });
        }
        match name {
            "connect" => self.connect(transaction, arguments.first().unwrap_or(&Value::Null)),
            "createStream" => self.create_stream(transaction)?,
            "publish" => return self.publish(header.message_stream, arguments.get(1)),
            "FCPublish" => {
                self.connection.fc_publish = true;
                self.send_null_result(transaction);
            }
            "FCUnpublish" => {
                self.output.command(0, "onFCUnpublish", 0.0, |writer| {
                    writer.null().object(|writer| {
                        writer.key("code").string("NetStream.Unpublish.Success");
                    });
                });
                self.send_null_result(transaction);
                return Ok(self.unpublish(UnpublishCause::FcUnpublish, now));
            }
            "deleteStream" => return Ok(self.delete_stream(header.message_stream, arguments.get(1), now)),
            "closeStream" => return Ok(self.unpublish(UnpublishCause::CloseStream, now)),
            "play" | "play2" => {
                let description = "this server takes publishers; watch over HLS";
                self.send_status(header.message_stream, "error", "NetStream.Play.Failed", description, "");
            }
            // Answers to what we send, such as a client's error to onFCPublish.
            "_result" | "_error" | "onStatus" => {}
            // releaseStream, _checkbw, getStreamLength and what encoders invent: an empty result suits them
            // all, where an error makes some give up.
            _ => self.send_null_result(transaction),
        }
        Ok(None)
    }

    /// 7.2.1.1. The chunk size is set before the result: OBS reads nothing once it publishes.
    fn connect(&mut self, transaction: f64, object: &Value) {
        let text = |name| object.property(name).and_then(Value::as_str).unwrap_or_default();
        self.connection.app = text("app").into();
        self.connection.tc_url = text("tcUrl").into();
        self.connection.encoder = printable(text("flashVer"));
        self.phase = Phase::Publish;
        self.deadline_us = Some(self.publish_deadline_us);

        self.output.control(message_type::WINDOW_ACKNOWLEDGEMENT_SIZE, RTMP_ACK_WINDOW_BYTES);
        let [a, b, c, d] = RTMP_ACK_WINDOW_BYTES.to_be_bytes();
        self.output.control_message(message_type::SET_PEER_BANDWIDTH, &[a, b, c, d, LIMIT_DYNAMIC]);
        self.output.set_chunk_bytes(RTMP_CHUNK_BYTES_SENT);
        let asked = Asked::of(object);
        // GStreamer looks for the code in the second object.
        self.output.command(0, "_result", transaction, |writer| {
            writer.object(|writer| {
                writer.key("fmsVer").string("FMS/3,0,1,123");
                writer.key("capabilities").number(31.0);
                writer.key("mode").number(1.0);
            });
            writer.object(|writer| {
                writer.key("level").string("status");
                writer.key("code").string("NetConnection.Connect.Success");
                writer.key("description").string("Connection succeeded.");
                writer.key("objectEncoding").number(0.0);
                asked.answer(writer);
            });
        });
    }

    fn create_stream(&mut self, transaction: f64) -> Result<(), SessionError> {
        let free = self.connection.message_streams.trailing_ones();
        if free >= RTMP_MESSAGE_STREAMS_MAX {
            return Err(SessionError::TooManyMessageStreams);
        }
        self.connection.message_streams |= 1 << free;
        self.output.command(0, "_result", transaction, |writer| {
            writer.null().number(f64::from(free + 1));
        });
        Ok(())
    }

    fn message_stream_exists(&self, message_stream: u32) -> bool {
        (1..=RTMP_MESSAGE_STREAMS_MAX).contains(&message_stream)
            && self.connection.message_streams & 1 << (message_stream - 1) != 0
    }

    /// 7.2.2.6. The type behind the name, live, record or append, makes no difference here.
    fn publish(
        &mut self,
        message_stream: u32,
        stream_name: Option<&Value>,
    ) -> Result<Option<Event<'static>>, SessionError> {
        if !self.message_stream_exists(message_stream) {
            return Err(SessionError::UnknownMessageStream { found: message_stream });
        }
        if self.phase != Phase::Publish {
            let description = "this connection publishes already";
            self.send_refusal(message_stream, Refusal::BadName, description, "");
            return Ok(None);
        }
        let stream_name = stream_name.and_then(Value::as_str).unwrap_or_default();
        match find_target(&self.connection.app, stream_name, &self.connection.tc_url) {
            Ok(Target { name, token, role }) => {
                self.connection.published = Some((message_stream, name.key().into()));
                self.phase = Phase::Decision;
                self.deadline_us = None;
                let encoder = self.connection.encoder.clone();
                Ok(Some(Event::PublishRequested(Box::new(PublishRequest { name, token, role, encoder }))))
            }
            Err(error) => {
                self.send_refusal(message_stream, Refusal::BadName, &error.to_string(), "");
                Ok(Some(Event::PublishRefused(error)))
            }
        }
    }

    /// 7.2.2.3. GStreamer writes its key where the message stream belongs.
    fn delete_stream(
        &mut self,
        message_stream: u32,
        deleted: Option<&Value>,
        now: Now,
    ) -> Option<Event<'static>> {
        let published = self.connection.published.as_ref().map(|(published, _)| *published);
        let deleted = match deleted.and_then(Value::as_f64) {
            // Saturates at both ends, where no message stream is.
            Some(deleted) => deleted as u32,
            None => published.unwrap_or(message_stream),
        };
        if self.message_stream_exists(deleted) {
            self.connection.message_streams &= !(1 << (deleted - 1));
        }
        if published != Some(deleted) {
            return None;
        }
        self.unpublish(UnpublishCause::DeleteStream, now)
    }

    /// Ends the publish, once: encoders send two of the three commands that do.
    fn unpublish(&mut self, cause: UnpublishCause, now: Now) -> Option<Event<'static>> {
        if !matches!(self.phase, Phase::Decision | Phase::FirstMedia | Phase::Media) {
            return None;
        }
        self.stop("Stream is now unpublished.");
        self.connection.unpublished = true;
        (self.open_audio, self.open_video) = (None, None);
        self.phase = Phase::Publish;
        self.publish_deadline_us = deadline_us(now.monotonic_us, self.config.publish_timeout_ms);
        self.deadline_us = Some(self.publish_deadline_us);
        Some(Event::Unpublished(cause))
    }
}

/// Types 15 and 17 hold AMF0 behind one byte, in which a value may switch to AMF3.
fn without_envelope(type_id: u8, body: &[u8]) -> Result<&[u8], SessionError> {
    if !matches!(type_id, message_type::DATA_AMF3 | message_type::COMMAND_AMF3) {
        return Ok(body);
    }
    match body.split_first() {
        Some((0, values)) => Ok(values),
        other => Err(SessionError::Envelope { found: other.map(|(format, _)| *format) }),
    }
}
