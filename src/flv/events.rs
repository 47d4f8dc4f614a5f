//! The state machine over one fragment.

use super::event::{Event, Fault, Findings, Fragment, FrameBegin, FrameFault, Piece};
use super::extra::ExtraTracks;
use super::tag::{Body, BodyHeader, Header, HeaderError};
use super::{ChannelLayout, Message, Record, State, Track};
use crate::codec::{self, Codec, CodecConfig, Frame, FrameWalker, InBand, Parsed};
use crate::limits::{
    CHANNEL_LAYOUT_BYTES_MAX, CODEC_CONFIG_BYTES_MAX, FIRST_FRAME_BYTES, FLV_MESSAGE_TRACKS_MAX,
    FLV_TAG_HEADER_BYTES_MAX, VIDEO_METADATA_BYTES_MAX,
};
use crate::media::TrackKind;
use crate::wire::Reader;
use bytes::{Buf, Bytes};
use smallvec::SmallVec;

/// The events of one fragment, in order. See [`Demuxer::feed`](super::Demuxer::feed).
#[derive(Debug)]
pub struct Events<'d, 'a> {
    track: &'d mut Track,
    extra: &'d mut ExtraTracks,
    findings: &'d mut Findings,
    fragment: Fragment<'a>,
    /// Bytes of the fragment not yet looked at.
    rest: &'a [u8],
    /// The end of the message that this one cut off.
    cut: Option<Event<'static>>,
    ended: bool,
}

impl<'a> Iterator for Events<'_, 'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        if let Some(cut) = self.cut.take() {
            return Some(cut);
        }
        while !self.ended {
            let event = match std::mem::take(&mut self.track.state) {
                State::Idle => {
                    self.ended = true;
                    None
                }
                State::Header { bytes } => self.in_header(bytes),
                State::Record { what, bytes, left } => self.in_record(what, bytes, left),
                State::Skip { left } => self.in_skipped(left),
                State::Head { begin, codec, bytes, wanted } => self.in_head(begin, codec, bytes, wanted),
                State::Frame { walker, kept, is_empty } => self.in_frame(walker, kept, is_empty),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }
}

/// Whatever the caller did not take still moves the state on.
impl Drop for Events<'_, '_> {
    fn drop(&mut self) {
        while self.next().is_some() {}
    }
}

impl<'d, 'a> Events<'d, 'a> {
    pub(super) fn new(
        track: &'d mut Track,
        extra: &'d mut ExtraTracks,
        findings: &'d mut Findings,
        fragment: Fragment<'a>,
    ) -> Self {
        let mut cut = None;
        if fragment.first {
            // A message that begins within another means that the rest of that one never comes.
            cut = track.cut(fragment.kind, findings);
            track.message = Message { left: fragment.message_bytes, ..Message::default() };
            track.state = State::Header { bytes: SmallVec::new() };
        }
        Self { track, extra, findings, rest: fragment.bytes, fragment, cut, ended: false }
    }

    fn kind(&self) -> TrackKind {
        self.fragment.kind
    }

    /// The fragment is used up: keep the state for the next one, unless this was the last one.
    fn wait(&mut self, state: State) -> Option<Event<'a>> {
        self.ended = true;
        self.track.state = state;
        if self.fragment.last { self.track.cut(self.fragment.kind, self.findings) } else { None }
    }

    /// Drops what is being received: the rest of the message, unless the state says what to skip.
    fn refuse(&mut self, fault: Fault) -> Option<Event<'a>> {
        self.findings.messages_refused += 1;
        Some(Event::Refused { kind: self.kind(), fault })
    }

    /// A track's body has ended: another may follow.
    fn end_body(&mut self) {
        let has_more = self.track.message.media.is_some_and(|media| media.has_many_tracks());
        if has_more && self.track.message.left > 0 {
            self.track.state = State::Header { bytes: SmallVec::new() };
        }
    }

    fn in_header(&mut self, mut bytes: SmallVec<[u8; FLV_TAG_HEADER_BYTES_MAX]>) -> Option<Event<'a>> {
        let message_left = self.track.message.left;
        if message_left == 0 && bytes.is_empty() {
            // A message without a byte: silence, in Enhanced RTMP's words.
            self.findings.messages_empty += 1;
            return None;
        }
        let earlier = bytes.len();
        let room = FLV_TAG_HEADER_BYTES_MAX.min(earlier + message_left as usize) - earlier;
        bytes.extend_from_slice(&self.rest[..self.rest.len().min(room)]);
        let mut reader = Reader::new(&bytes);
        let read = match self.track.message.media {
            Some(media) => media.read_body(&mut reader).map(Some),
            None => match Header::read(self.kind(), &mut reader) {
                Err(_) => Err(HeaderError::Truncated),
                Ok(Header::Media(media)) => {
                    let read = media.read_body(&mut reader);
                    if read.is_ok() {
                        self.track.message.media = Some(media);
                    }
                    read.map(Some)
                }
                Ok(Header::Command) => {
                    self.findings.commands += 1;
                    Ok(None)
                }
                Ok(Header::Unsupported(what)) => return self.unsupported(what),
            },
        };
        match read {
            Ok(Some(header)) => {
                let taken = reader.offset() - earlier;
                self.rest = &self.rest[taken..];
                self.track.message.left = message_left - taken as u32;
                self.begin(header)
            }
            Ok(None) => None,
            Err(HeaderError::TrackSize(found)) => self.refuse(Fault::TrackSize { found, left: message_left }),
            Err(HeaderError::Truncated) if bytes.len() - earlier < room => {
                let taken = (bytes.len() - earlier) as u32;
                self.rest = &[];
                self.track.message.left = message_left - taken;
                self.wait(State::Header { bytes })
            }
            Err(HeaderError::Truncated) => self.refuse(Fault::Header),
        }
    }

    fn unsupported(&mut self, what: super::Unsupported) -> Option<Event<'a>> {
        self.findings.unsupported += 1;
        let is_new = self.track.unsupported.replace(what) != Some(what);
        is_new.then_some(Event::Unsupported { kind: self.kind(), what })
    }

    /// The header of a track is read, its body follows.
    fn begin(&mut self, header: BodyHeader) -> Option<Event<'a>> {
        let message = &mut self.track.message;
        let left = header.body_bytes.unwrap_or(message.left);
        if left > message.left {
            let fault = Fault::TrackSize { found: left, left: message.left };
            return self.refuse(fault);
        }
        if message.tracks == FLV_MESSAGE_TRACKS_MAX {
            return self.refuse(Fault::TooManyTracks);
        }
        message.tracks += 1;
        message.left -= left;
        if header.track != 0 {
            self.begin_extra(&header, left);
            return None;
        }
        let kind = self.kind();
        // Where nothing else is said below, the body is of no use.
        self.track.state = State::Skip { left };
        let record = |what| State::Record { what, bytes: Vec::new(), left };
        match header.body {
            Body::Metadata => {
                self.findings.metadata += 1;
                if left as usize <= VIDEO_METADATA_BYTES_MAX {
                    self.track.state = record(Record::VideoMetadata);
                }
            }
            Body::Multichannel => {
                self.findings.channel_layouts += 1;
                if left as usize <= CHANNEL_LAYOUT_BYTES_MAX {
                    self.track.state = record(Record::Channels);
                }
            }
            Body::EndOfSequence => return Some(Event::EndOfSequence { kind }),
            Body::Unsupported(what) => return self.unsupported(what),
            Body::Config(codec) if left == 0 && !may_be_empty(codec) => {
                // An empty record says nothing.
                self.findings.messages_empty += 1;
            }
            Body::Config(_) if left as usize > CODEC_CONFIG_BYTES_MAX => {
                self.forget_config();
                return self.refuse(Fault::ConfigTooLarge { found: left });
            }
            Body::Config(codec) => self.track.state = record(Record::Config { track: 0, codec }),
            // An empty frame is what ffmpeg sends with a trailing change of configuration.
            Body::Frame { .. } if left == 0 => self.findings.messages_empty += 1,
            Body::Frame { codec, key, composition_ms, offset_ns } => {
                let timestamp_ms = self.fragment.timestamp_ms;
                let begin = FrameBegin {
                    kind,
                    timestamp_ms,
                    composition_ms,
                    offset_ns,
                    key,
                    samples: None,
                    coded_bytes: left,
                };
                return self.begin_frame(begin, codec);
            }
        }
        None
    }

    /// A track that is not played: what it is and how much of it there is.
    fn begin_extra(&mut self, header: &BodyHeader, left: u32) {
        let kind = self.kind();
        let listed = self.extra.note(kind, header.track, header.four_cc);
        self.track.state = State::Skip { left };
        match header.body {
            Body::Frame { .. } if left > 0 => {
                self.findings.extra_frames += 1;
                if let Some(track) = listed {
                    track.frames += 1;
                    track.bytes += u64::from(left);
                }
            }
            Body::Config(codec) if listed.is_some() && left as usize <= CODEC_CONFIG_BYTES_MAX => {
                let what = Record::Config { track: header.track, codec };
                self.track.state = State::Record { what, bytes: Vec::new(), left };
            }
            _ => {}
        }
    }

    fn begin_frame(&mut self, begin: FrameBegin, codec: Codec) -> Option<Event<'a>> {
        let whole = begin.coded_bytes;
        let wanted = match (&self.track.unfinished, &self.track.config) {
            (Some(unfinished), _) if unfinished.codec() == codec => whole.min(FIRST_FRAME_BYTES as u32),
            (_, Some(config)) if config.codec() == codec && frames_differ(config) => whole,
            (_, Some(config)) if config.codec() == codec && self.is_said_again(&begin) => {
                whole.min(FIRST_FRAME_BYTES as u32)
            }
            (_, Some(config)) if config.codec() == codec => match config.in_band(&[], begin.key) {
                InBand::Needs(bytes) => whole.min(bytes),
                InBand::Same | InBand::Other(_) => 0,
            },
            // Some send no configuration but the one in their key frames.
            (None, None) if begin.key && self.track.record.is_none() && codec != Codec::Avc => {
                whole.min(FIRST_FRAME_BYTES as u32)
            }
            // Frames of another codec than the one that is configured are not to be decoded as that one.
            _ => {
                self.track.state = State::Skip { left: whole };
                return self.refuse(Fault::NoConfig);
            }
        };
        self.track.state = State::Head { begin, codec, bytes: Vec::new(), wanted };
        None
    }

    /// This frame may say another configuration, under the same record.
    fn is_said_again(&self, begin: &FrameBegin) -> bool {
        self.track.again.is_some() && (begin.key || begin.kind == TrackKind::Audio)
    }

    /// Before a frame begins: its first `wanted` bytes complete the configuration, or say how long it lasts.
    fn in_head(
        &mut self,
        mut begin: FrameBegin,
        codec: Codec,
        mut bytes: Vec<u8>,
        wanted: u32,
    ) -> Option<Event<'a>> {
        // In one piece they are looked at where they are.
        let is_here = bytes.is_empty() && self.rest.len() >= wanted as usize;
        if !is_here {
            let missing = wanted - bytes.len() as u32;
            bytes.extend_from_slice(self.take(missing));
            if (bytes.len() as u32) < wanted {
                return self.wait(State::Head { begin, codec, bytes, wanted });
            }
        }
        let head = if is_here { &self.rest[..wanted as usize] } else { &bytes[..] };
        let unfinished = self.track.unfinished.as_ref().filter(|unfinished| unfinished.codec() == codec);
        let completed = match (unfinished, &self.track.config) {
            (Some(unfinished), _) => Some(unfinished.finish(head)),
            // One that does not say it is of the configuration in force.
            (None, Some(_)) if self.is_said_again(&begin) => {
                self.track.again.take().and_then(|again| again.finish(head).ok()).map(Ok)
            }
            (None, None) => Some(CodecConfig::from_frame(codec, head)),
            (None, Some(config)) => match config.in_band(head, begin.key) {
                InBand::Same => None,
                InBand::Other(config) => Some(Ok(config)),
                InBand::Needs(needed)
                    if needed > wanted && needed <= begin.coded_bytes.min(FIRST_FRAME_BYTES as u32) =>
                {
                    self.track.state = State::Head { begin, codec, bytes, wanted: needed };
                    return None;
                }
                InBand::Needs(_) => None,
            },
        };
        match completed {
            Some(Ok(config)) => {
                self.track.unfinished = None;
                // Now its frames may have to be seen whole.
                let wanted = if frames_differ(&config) { begin.coded_bytes } else { bytes.len() as u32 };
                self.track.state = State::Head { begin, codec, bytes, wanted };
                return self.configured(config);
            }
            Some(Err(error)) => {
                self.track.state = State::Skip { left: begin.coded_bytes - bytes.len() as u32 };
                // Pictures say it in key frames only.
                let is_awaited = begin.key && unfinished.is_some();
                return self.refuse(if is_awaited { Fault::Codec(error) } else { Fault::NoConfig });
            }
            None => {}
        }
        let Some(config) = &self.track.config else { return None };
        let walker = config.walker(begin.coded_bytes);
        if frames_differ(config) {
            // What is wrong with it is told when it has begun.
            begin.samples = walked(walker.clone(), head).and_then(|frame| frame.samples);
        }
        self.track.state = State::Frame { walker, kept: bytes.into(), is_empty: true };
        Some(Event::FrameBegin(begin))
    }

    fn in_record(&mut self, what: Record, mut bytes: Vec<u8>, left: u32) -> Option<Event<'a>> {
        let taken = self.take(left);
        bytes.extend_from_slice(taken);
        let left = left - taken.len() as u32;
        if left > 0 {
            return self.wait(State::Record { what, bytes, left });
        }
        self.end_body();
        match what {
            Record::Config { track: 0, codec } => self.config(codec, bytes.into()),
            Record::Config { track, codec } => {
                // Of a track that only a frame configures, the name of its codec must do.
                if let Ok(Parsed::Whole(config)) = CodecConfig::parse(codec, bytes.into()) {
                    self.extra.configure(self.kind(), track, &config);
                }
                None
            }
            Record::VideoMetadata => Some(Event::VideoMetadata { amf: bytes.into() }),
            Record::Channels => {
                self.track.channels = ChannelLayout::parse(&bytes).ok().or(self.track.channels);
                None
            }
        }
    }

    fn config(&mut self, codec: Codec, record: Bytes) -> Option<Event<'a>> {
        if self.track.record.as_ref().is_some_and(|known| *known == (codec, record.clone())) {
            self.findings.configs_repeated += 1;
            if self.track.config.is_some()
                && self.track.unfinished.is_none()
                && let Ok(Parsed::Unfinished(again)) = CodecConfig::parse(codec, record)
            {
                self.track.again = Some(again);
            }
            return None;
        }
        self.track.unsupported = None;
        self.track.unfinished = None;
        self.track.again = None;
        match CodecConfig::parse(codec, record.clone()) {
            Ok(parsed) => {
                self.track.record = Some((codec, record));
                match parsed {
                    Parsed::Whole(config) => self.configured(config),
                    Parsed::Unfinished(unfinished) => {
                        self.track.unfinished = Some(unfinished);
                        None
                    }
                }
            }
            Err(error) => {
                // Frames that follow belong to what was refused, not to the one before it.
                self.forget_config();
                self.findings.messages_refused += 1;
                Some(Event::Refused { kind: self.kind(), fault: Fault::Codec(error) })
            }
        }
    }

    /// A configuration is complete: an event, if it is another one.
    fn configured(&mut self, config: CodecConfig) -> Option<Event<'a>> {
        let config = config.with_hdr(self.track.hdr);
        if self.track.config.as_ref() == Some(&config) {
            // ffmpeg sends FLAC's once more at the end, with sums that it did not know before.
            self.findings.configs_repeated += 1;
            return None;
        }
        self.track.config = Some(config.clone());
        Some(Event::Config { kind: self.kind(), config })
    }

    fn forget_config(&mut self) {
        self.track.config = None;
        self.track.unfinished = None;
        self.track.again = None;
        self.track.record = None;
    }

    fn in_skipped(&mut self, left: u32) -> Option<Event<'a>> {
        let left = left - self.take(left).len() as u32;
        if left > 0 {
            return self.wait(State::Skip { left });
        }
        self.end_body();
        None
    }

    fn in_frame(&mut self, mut walker: FrameWalker, mut kept: Bytes, is_empty: bool) -> Option<Event<'a>> {
        let kind = self.kind();
        let from_kept = !kept.is_empty();
        let bytes = if from_kept {
            let mut input = &kept[..];
            let step = walker.step(&mut input).map(|piece| piece.map(|piece| share(&kept, piece)));
            let left = if matches!(step, Ok(Some(_))) { input.len() } else { 0 };
            kept.advance(kept.len() - left);
            step
        } else {
            walker.step(&mut self.rest).map(|piece| piece.map(Piece::Received))
        };
        match bytes {
            Err(error) => {
                self.track.state = State::Skip { left: walker.left() };
                Some(self.end_frame(&walker, Some(error.into())))
            }
            Ok(Some(bytes)) => {
                self.track.state = State::Frame { walker, kept, is_empty: false };
                Some(Event::FrameBytes { kind, bytes })
            }
            // What was kept is used up; the fragment has more.
            Ok(None) if from_kept => {
                self.track.state = State::Frame { walker, kept, is_empty };
                None
            }
            Ok(None) if walker.left() > 0 => self.wait(State::Frame { walker, kept, is_empty }),
            Ok(None) => {
                self.end_body();
                let fault = walker.finish().err().map(FrameFault::from);
                let fault = fault.or(is_empty.then_some(FrameFault::Empty));
                Some(self.end_frame(&walker, fault))
            }
        }
    }

    fn end_frame(&mut self, walker: &FrameWalker, fault: Option<FrameFault>) -> Event<'a> {
        self.findings.frames_faulty += u64::from(fault.is_some());
        Event::FrameEnd { kind: self.kind(), frame: walker.so_far(), fault }
    }

    /// The next bytes of the fragment, at most `left`.
    fn take(&mut self, left: u32) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(self.rest.len().min(left as usize));
        self.rest = rest;
        taken
    }
}

/// A piece of `kept`, sharing its memory.
fn share<'a>(kept: &Bytes, piece: codec::Piece<'_>) -> Piece<'a> {
    match piece {
        codec::Piece::Borrowed(bytes) => Piece::Kept(kept.slice_ref(bytes)),
        codec::Piece::Inline(inline) => Piece::Received(codec::Piece::Inline(inline)),
    }
}

/// What a whole frame is; `None` when something is wrong with it.
fn walked(mut walker: FrameWalker, mut frame: &[u8]) -> Option<Frame> {
    while walker.step(&mut frame).ok()?.is_some() {}
    walker.finish().ok()
}

/// Sound whose frames are not all of one length.
fn frames_differ(config: &CodecConfig) -> bool {
    config.sound().is_some_and(|sound| sound.frame_samples.is_none())
}

/// A decoder of these may do with an empty record: the first frame, or a default, says the rest.
fn may_be_empty(codec: Codec) -> bool {
    matches!(codec, Codec::Opus | Codec::Ac3 | Codec::Eac3)
}
