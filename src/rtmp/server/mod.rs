//! One publisher's connection, from its first byte to its last, without a socket.
//!
//! Input is consumed to its end at each poll, unless the session rests from who sends too fast: then nothing is to be
//! read for a moment. The session is plain owned data and may move to another core between two polls. It never waits for answers: OBS gives none once it sends.

mod commands;
mod enhanced;
mod event;
#[cfg(test)]
mod tests;

pub use event::{
    Event, MediaFragment, Phase, PublishRequest, Refusal, ServerConfig, SessionError, UnpublishCause,
};

use std::borrow::Cow;

use super::aggregate::Aggregate;
use super::chunk::{ChunkEvent, ChunkReader, Fragment};
use super::handshake::{HANDSHAKE_RANDOM_BYTES, ServerHandshake};
use super::message::{MessageHeader, message_type};
use super::output::{Output, user_control};
use super::pace::Pace;
use super::rate::Rate;
use crate::limits::{
    RTMP_ACK_WINDOW_BYTES, RTMP_ACK_WINDOW_BYTES_MIN, RTMP_COMMANDS_PER_S_MAX, RTMP_CONNECT_TIMEOUT_MS,
    RTMP_OUTPUT_BYTES_MAX,
};
use crate::media::{Now, TrackKind};
use crate::wire::Reader;

/// The receiving side of a connection on which a client publishes.
#[derive(Debug)]
pub struct ServerSession {
    config: ServerConfig,
    phase: Phase,
    /// By when the peer must leave `phase`; `None` while the decision is ours.
    deadline_us: Option<u64>,
    /// By when it must have asked to publish; anew after an unpublish.
    publish_deadline_us: u64,
    accepted_us: u64,
    /// `None` once it is complete.
    handshake: Option<ServerHandshake>,
    chunks: ChunkReader,
    output: Output,
    /// Commands, data and control messages that are not complete, by chunk stream. The chunk reader bounds
    /// their number and length.
    assembling: Vec<(u32, Vec<u8>)>,
    /// Chunk streams of the audio and the video message of which fragments were given out, but not the last.
    open_audio: Option<u32>,
    open_video: Option<u32>,
    /// The aggregate being received, and its chunk stream.
    aggregate: Option<(u32, Aggregate)>,
    connection: Connection,
    received_bytes: u64,
    acknowledged_bytes: u64,
    ack_window_bytes: u32,
    peer_bandwidth_bytes: u32,
    pace: Pace,
    commands: Rate,
    /// Empty unless they are to be noted; `pace` bounds them.
    noted: Vec<MessageHeader>,
}

/// What commands have said so far.
#[derive(Debug, Default)]
struct Connection {
    app: String,
    tc_url: String,
    encoder: String,
    /// The client uses the commands of Flash Media Live Encoder and may wait for their answers.
    fc_publish: bool,
    /// Bit n is set when message stream n + 1 exists.
    message_streams: u8,
    /// The message stream and key of the newest publish.
    published: Option<(u32, String)>,
    /// A publish has ended: media on its way is late, not early.
    unpublished: bool,
}

fn deadline_us(now_us: u64, timeout_ms: u32) -> u64 {
    now_us.saturating_add(u64::from(timeout_ms) * 1000)
}

impl ServerSession {
    /// A session of a connection accepted `now`. `random` goes into the handshake.
    pub fn new(config: ServerConfig, random: [u8; HANDSHAKE_RANDOM_BYTES], now: Now) -> Self {
        let accepted_us = now.monotonic_us;
        Self {
            config,
            phase: Phase::Handshake,
            deadline_us: Some(deadline_us(accepted_us, config.handshake_timeout_ms)),
            publish_deadline_us: deadline_us(accepted_us, config.publish_timeout_ms),
            accepted_us,
            handshake: Some(ServerHandshake::new(random)),
            chunks: ChunkReader::new(),
            output: Output::default(),
            assembling: Vec::new(),
            open_audio: None,
            open_video: None,
            aggregate: None,
            connection: Connection::default(),
            received_bytes: 0,
            acknowledged_bytes: 0,
            ack_window_bytes: RTMP_ACK_WINDOW_BYTES,
            peer_bandwidth_bytes: 0,
            pace: Pace::new(now),
            commands: Rate::new(RTMP_COMMANDS_PER_S_MAX, RTMP_COMMANDS_PER_S_MAX, now),
            noted: Vec::new(),
        }
    }

    /// Consumes `input` until there is an event; `None` when all of it is consumed, or when the session rests
    /// ([`ServerSession::rest_until_us`]). To be called again with what is left of it, and then with new bytes.
    ///
    /// # Errors
    /// [`SessionError`]: send what [`ServerSession::output`] holds, if the socket takes it, and close.
    pub fn poll<'a>(&mut self, input: &mut &'a [u8], now: Now) -> Result<Option<Event<'a>>, SessionError> {
        loop {
            if !self.pace.resume(now).ok_or(SessionError::TooManyMessages)? {
                return Ok(None);
            }
            let before = input.len();
            let progress = self.step(input, now);
            self.received_bytes += (before - input.len()) as u64;
            if self.output.pending().len() > RTMP_OUTPUT_BYTES_MAX {
                return Err(SessionError::OutputFull { found: self.output.pending().len() });
            }
            match progress? {
                Step::Event(event) => return Ok(Some(event)),
                Step::Done => return Ok(None),
                Step::Continue => {}
            }
        }
    }

    /// Bytes to send now. An acknowledgement that is due joins them when they are all sent, so that a client
    /// which does not read piles up none.
    pub fn output(&mut self) -> &[u8] {
        let unacknowledged = self.received_bytes - self.acknowledged_bytes;
        let connected = !matches!(self.phase, Phase::Handshake | Phase::Connect);
        if connected && unacknowledged >= u64::from(self.ack_window_bytes) && self.output.pending().is_empty()
        {
            self.acknowledged_bytes = self.received_bytes;
            // 5.4.3: the sequence number wraps.
            self.output.control(message_type::ACKNOWLEDGEMENT, self.received_bytes as u32);
        }
        self.output.pending()
    }

    /// The first `count` bytes of [`ServerSession::output`] were sent.
    pub fn output_written(&mut self, count: usize) {
        self.output.written(count);
    }

    /// Monotonic microseconds by when the peer must have done what [`ServerSession::phase`] waits for; `None`
    /// while a decision is ours.
    pub fn deadline_us(&self) -> Option<u64> {
        self.deadline_us
    }

    /// Monotonic microseconds until which nothing is to be read, since the peer sends too fast: at most a second
    /// away. It is held back by its own socket.
    pub fn rest_until_us(&self) -> Option<u64> {
        self.pace.rest_until_us()
    }

    /// What the session waits for.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Bytes received since the connection began.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// The messages that began since the last call, if they are to be noted: to be called after each input.
    pub fn take_messages(&mut self) -> Vec<MessageHeader> {
        std::mem::take(&mut self.noted)
    }

    /// To be called when the deadline may have passed.
    ///
    /// # Errors
    /// [`SessionError::TimedOut`] when it has.
    pub fn handle_time(&mut self, now: Now) -> Result<(), SessionError> {
        match self.deadline_us {
            Some(deadline_us) if now.monotonic_us >= deadline_us => {
                Err(SessionError::TimedOut { waiting_for: self.phase })
            }
            _ => Ok(()),
        }
    }

    /// Asks for a sign of life. Its absence proves nothing: OBS never answers.
    pub fn ping(&mut self, now: Now) {
        let elapsed_ms = now.monotonic_us.saturating_sub(self.accepted_us) / 1000;
        self.output.user_control(user_control::PING_REQUEST, elapsed_ms as u32);
    }

    fn step<'a>(&mut self, input: &mut &'a [u8], now: Now) -> Result<Step<'a>, SessionError> {
        if let Some(handshake) = &mut self.handshake {
            if !handshake.poll(input, self.output.raw())? {
                return Ok(Step::Done);
            }
            self.handshake = None;
            self.phase = Phase::Connect;
            let connect_us = deadline_us(now.monotonic_us, RTMP_CONNECT_TIMEOUT_MS);
            self.deadline_us = Some(connect_us.min(self.publish_deadline_us));
        }

        let aggregate_bytes = self.aggregate.as_ref().map(|(_, aggregate)| aggregate.bytes_wanted());
        let bytes_max = |header: &MessageHeader| match header.type_id {
            message_type::AGGREGATE => aggregate_bytes.unwrap_or(Aggregate::FIRST_BYTES_WANTED),
            _ => usize::MAX,
        };
        let event = match self.chunks.poll_at_most(input, bytes_max)? {
            None => return Ok(Step::Done),
            Some(ChunkEvent::Fragment(fragment)) => self.handle_fragment(fragment, now)?,
            Some(ChunkEvent::Aborted { chunk_stream, .. }) => self.handle_abort(chunk_stream),
        };
        Ok(event.map_or(Step::Continue, Step::Event))
    }

    fn handle_fragment<'a>(
        &mut self,
        fragment: Fragment<'a>,
        now: Now,
    ) -> Result<Option<Event<'a>>, SessionError> {
        if fragment.first {
            self.pace.message(now);
        }
        if fragment.first && self.config.note_messages {
            self.noted.push(fragment.header);
        }
        let Fragment { chunk_stream, header, payload, first, last } = fragment;
        let media = |kind| MediaFragment {
            kind,
            timestamp_ms: header.timestamp_ms,
            message_bytes: header.message_bytes,
            payload,
            first,
            last,
        };
        match header.type_id {
            message_type::AUDIO => self.handle_media(chunk_stream, media(TrackKind::Audio), now),
            message_type::VIDEO => self.handle_media(chunk_stream, media(TrackKind::Video), now),
            message_type::AGGREGATE => self.handle_aggregate(fragment, now),
            message_type::USER_CONTROL
            | message_type::WINDOW_ACKNOWLEDGEMENT_SIZE
            | message_type::SET_PEER_BANDWIDTH
            | message_type::DATA_AMF0
            | message_type::DATA_AMF3
            | message_type::COMMAND_AMF0
            | message_type::COMMAND_AMF3 => match self.assemble(fragment) {
                Some(body) => self.handle_message(header, &body, now),
                None => Ok(None),
            },
            // Set Chunk Size and Abort were the chunk reader's; acknowledgements, shared objects and what is
            // unknown mean nothing here and are not kept.
            _ => Ok(None),
        }
    }

    /// The whole message once its last fragment is there, copied only if it came in several.
    fn assemble<'a>(&mut self, fragment: Fragment<'a>) -> Option<Cow<'a, [u8]>> {
        if fragment.first && fragment.last {
            return Some(Cow::Borrowed(fragment.payload));
        }
        if fragment.first {
            self.assembling.push((fragment.chunk_stream, Vec::new()));
        }
        let index = self.assembling.iter().position(|(id, _)| *id == fragment.chunk_stream)?;
        self.assembling[index].1.extend_from_slice(fragment.payload);
        fragment.last.then(|| Cow::Owned(self.assembling.swap_remove(index).1))
    }

    fn open_media(&mut self, kind: TrackKind) -> &mut Option<u32> {
        match kind {
            TrackKind::Audio => &mut self.open_audio,
            TrackKind::Video => &mut self.open_video,
        }
    }

    fn handle_media<'a>(
        &mut self,
        chunk_stream: u32,
        fragment: MediaFragment<'a>,
        now: Now,
    ) -> Result<Option<Event<'a>>, SessionError> {
        let kind = fragment.kind;
        match self.phase {
            Phase::FirstMedia | Phase::Media => {}
            Phase::Publish if self.connection.unpublished => return Ok(None),
            _ => return Err(SessionError::MediaBeforePublish { kind }),
        }
        let open = match kind {
            TrackKind::Audio => &mut self.open_audio,
            TrackKind::Video => &mut self.open_video,
        };
        if fragment.first {
            // The receiver appends fragments in place, so two open messages of a kind would mix; and no
            // encoder sends them so: their order in time would be anyone's guess.
            if let Some(open) = *open {
                return Err(SessionError::ParallelMedia { kind, open, chunk_stream });
            }
            self.pace.media(kind, fragment.timestamp_ms, now);
        } else if *open != Some(chunk_stream) {
            // The rest of a message whose beginning went with an earlier publish.
            return Ok(None);
        }
        *open = (!fragment.last).then_some(chunk_stream);
        if fragment.last && fragment.message_bytes > 0 {
            self.phase = Phase::Media;
            self.deadline_us = Some(deadline_us(now.monotonic_us, self.config.media_timeout_ms));
        }
        // Messages have their own streams only to tell several publishes apart, and there is one.
        Ok(Some(Event::Media(fragment)))
    }

    fn handle_aggregate<'a>(
        &mut self,
        fragment: Fragment<'a>,
        now: Now,
    ) -> Result<Option<Event<'a>>, SessionError> {
        let Fragment { chunk_stream, header, payload, first, last } = fragment;
        if first {
            if let Some((open, _)) = &self.aggregate {
                return Err(SessionError::ParallelAggregates { open: *open, chunk_stream });
            }
            self.aggregate = Some((chunk_stream, Aggregate::new(header.timestamp_ms, header.message_bytes)));
        }
        let Some((_, aggregate)) = &mut self.aggregate else { return Ok(None) };
        let found = aggregate.push(payload)?;
        if last {
            self.aggregate = None;
        }
        let Some((tag, first, last)) = found else { return Ok(None) };
        if first {
            // As if it had been sent by itself.
            self.pace.message(now);
        }
        let kind = if tag.type_id == message_type::AUDIO { TrackKind::Audio } else { TrackKind::Video };
        let payload = if tag.message_bytes == 0 { &[] } else { payload };
        let (timestamp_ms, message_bytes) = (tag.timestamp_ms, tag.message_bytes);
        let media = MediaFragment { kind, timestamp_ms, message_bytes, payload, first, last };
        self.handle_media(chunk_stream, media, now)
    }

    fn handle_abort(&mut self, chunk_stream: u32) -> Option<Event<'static>> {
        self.assembling.retain(|(id, _)| *id != chunk_stream);
        self.aggregate.take_if(|(id, _)| *id == chunk_stream);
        [TrackKind::Audio, TrackKind::Video].into_iter().find_map(|kind| {
            self.open_media(kind).take_if(|id| *id == chunk_stream).map(|_| Event::MediaAborted(kind))
        })
    }

    /// A whole message that is no media.
    fn handle_message(
        &mut self,
        header: MessageHeader,
        body: &[u8],
        now: Now,
    ) -> Result<Option<Event<'static>>, SessionError> {
        match header.type_id {
            message_type::COMMAND_AMF0 | message_type::COMMAND_AMF3 => self.handle_command(header, body, now),
            message_type::DATA_AMF0 | message_type::DATA_AMF3 => self.handle_data(header, body),
            type_id => {
                let reader = &mut Reader::new(body);
                self.handle_control(type_id, reader).map_err(SessionError::Control)?;
                Ok(None)
            }
        }
    }

    fn handle_control(&mut self, type_id: u8, body: &mut Reader) -> Result<(), crate::wire::Truncated> {
        match type_id {
            message_type::WINDOW_ACKNOWLEDGEMENT_SIZE => {
                self.ack_window_bytes = body.u32()?.max(RTMP_ACK_WINDOW_BYTES_MIN);
            }
            message_type::SET_PEER_BANDWIDTH => {
                let bandwidth_bytes = body.u32()?;
                // 5.4.5: answered when it differs from the last one.
                if bandwidth_bytes != self.peer_bandwidth_bytes {
                    self.peer_bandwidth_bytes = bandwidth_bytes;
                    self.output.control(message_type::WINDOW_ACKNOWLEDGEMENT_SIZE, bandwidth_bytes);
                }
            }
            _ => {
                if body.u16()? == user_control::PING_REQUEST {
                    self.output.user_control(user_control::PING_RESPONSE, body.u32()?);
                }
            }
        }
        Ok(())
    }
}

/// What one step of a poll came to.
enum Step<'a> {
    Event(Event<'a>),
    Continue,
    /// The input is empty.
    Done,
}
