//! FLV tag bodies as RTMP carries them (FLV 10.1, annex E.4; Enhanced RTMP v2): codec headers and
//! frames, out of the fragments of messages as they arrive.
//!
//! Nothing is assembled but configuration records: the bytes of a frame are handed on as slices of
//! the input, and the lengths of its NAL units are walked on the way.
//!
//! Whether a frame is a key frame is said twice. [`FrameBegin::key`] is the FLV flag, known before
//! the first byte: a cut is decided on it. [`Event::FrameEnd`] says whether an IDR slice was really
//! in it: only that makes a sync sample, and only that makes a part independent. A segment that
//! was cut at a flagged frame without an IDR is then a forced cut, and counted as one.

mod event;
mod tag;

pub use event::{Event, Fault, Findings, Fragment, FrameBegin, FrameFault, Piece};
pub use tag::Unsupported;

use crate::codec::avc::{NalStep, NalWalker};
use crate::codec::{CodecConfig, aac, avc};
use crate::limits::{CODEC_CONFIG_BYTES_MAX, FLV_TAG_HEADER_BYTES_MAX};
use crate::media::TrackKind;
use crate::wire::Reader;
use bytes::Bytes;
use smallvec::SmallVec;
use tag::Body;

/// Turns one publisher's media messages into events. One state for each kind of track, so audio
/// fragments may stand between video fragments.
#[derive(Debug, Default)]
pub struct Demuxer {
    video: Track,
    audio: Track,
    findings: Findings,
}

impl Demuxer {
    /// A demuxer that has seen no configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one fragment. The events borrow from its bytes; those that the caller leaves in the
    /// iterator are worked off when it is dropped.
    pub fn feed<'d, 'a>(&'d mut self, fragment: Fragment<'a>) -> Events<'d, 'a> {
        let track = match fragment.kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        let mut cut = None;
        if fragment.first {
            // A message that begins within another means that the rest of that one never comes.
            cut = track.cut(fragment.kind, &mut self.findings);
            track.state = State::Header { bytes: SmallVec::new(), message_left: fragment.message_bytes };
        }
        Events { track, findings: &mut self.findings, rest: fragment.bytes, fragment, cut, ended: false }
    }

    /// The rest of a message never comes (RTMP Abort, or the end of the connection). A frame that
    /// had begun ends with a fault.
    pub fn abort(&mut self, kind: TrackKind) -> Option<Event<'static>> {
        match kind {
            TrackKind::Video => self.video.cut(kind, &mut self.findings),
            TrackKind::Audio => self.audio.cut(kind, &mut self.findings),
        }
    }

    /// The configuration in force; `None` before the first and after one that was refused.
    pub fn config(&self, kind: TrackKind) -> Option<&CodecConfig> {
        match kind {
            TrackKind::Video => self.video.config.as_ref(),
            TrackKind::Audio => self.audio.config.as_ref(),
        }
    }

    /// What was met so far that is no event or no ordinary one.
    pub fn findings(&self) -> Findings {
        self.findings
    }
}

#[derive(Debug, Default)]
struct Track {
    config: Option<CodecConfig>,
    /// Reported last, so that each is reported once.
    unsupported: Option<Unsupported>,
    state: State,
}

/// Where in a message the track stands.
#[derive(Debug, Default)]
enum State {
    /// Between messages, or in one whose rest is of no use.
    #[default]
    Idle,
    /// In the header; `bytes` holds what earlier fragments had of it.
    Header { bytes: SmallVec<[u8; FLV_TAG_HEADER_BYTES_MAX]>, message_left: u32 },
    /// In a configuration record, never more than [`CODEC_CONFIG_BYTES_MAX`].
    Config { record: Vec<u8>, left: u32 },
    /// In a frame; `None` when its bytes have no structure that is walked (audio).
    Frame { walker: Option<NalWalker>, left: u32 },
}

impl Track {
    fn cut(&mut self, kind: TrackKind, findings: &mut Findings) -> Option<Event<'static>> {
        match std::mem::take(&mut self.state) {
            State::Idle => None,
            State::Header { .. } | State::Config { .. } => {
                findings.messages_cut += 1;
                None
            }
            State::Frame { walker, left } => {
                findings.messages_cut += 1;
                findings.frames_faulty += 1;
                let idr = walker.is_some_and(|walker| walker.has_idr());
                Some(Event::FrameEnd { kind, idr, fault: Some(FrameFault::Cut { left }) })
            }
        }
    }
}

/// The events of one fragment, in order. See [`Demuxer::feed`].
#[derive(Debug)]
pub struct Events<'d, 'a> {
    track: &'d mut Track,
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
                State::Header { bytes, message_left } => self.in_header(bytes, message_left),
                State::Config { record, left } => self.in_config(record, left),
                State::Frame { walker, left } => self.in_frame(walker, left),
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

impl<'a> Events<'_, 'a> {
    fn kind(&self) -> TrackKind {
        self.fragment.kind
    }

    /// The fragment is used up: keep the state for the next one, unless this was the last one.
    fn wait(&mut self, state: State) -> Option<Event<'a>> {
        self.ended = true;
        self.track.state = state;
        if self.fragment.last { self.track.cut(self.fragment.kind, self.findings) } else { None }
    }

    fn in_header(
        &mut self,
        mut bytes: SmallVec<[u8; FLV_TAG_HEADER_BYTES_MAX]>,
        message_left: u32,
    ) -> Option<Event<'a>> {
        if message_left == 0 && bytes.is_empty() {
            // A message without a byte: silence, in Enhanced RTMP's words.
            self.findings.messages_empty += 1;
            return None;
        }
        let earlier = bytes.len();
        let room = FLV_TAG_HEADER_BYTES_MAX.min(earlier + message_left as usize) - earlier;
        bytes.extend_from_slice(&self.rest[..self.rest.len().min(room)]);
        let mut reader = Reader::new(&bytes);
        let Ok(body) = tag::read(self.kind(), &mut reader) else {
            if bytes.len() - earlier < room {
                let taken = (bytes.len() - earlier) as u32;
                self.rest = &[];
                return self.wait(State::Header { bytes, message_left: message_left - taken });
            }
            return self.refuse(Fault::Header);
        };
        let taken = reader.offset() - earlier;
        self.rest = &self.rest[taken..];
        self.begin(body, message_left - taken as u32)
    }

    /// The header is read, `left` bytes of the message follow.
    fn begin(&mut self, body: Body, left: u32) -> Option<Event<'a>> {
        let kind = self.kind();
        match body {
            Body::Metadata => self.findings.metadata += 1,
            Body::Command => self.findings.commands += 1,
            Body::EndOfSequence => return Some(Event::EndOfSequence { kind }),
            Body::Unsupported(what) => {
                self.findings.unsupported += 1;
                if self.track.unsupported.replace(what) != Some(what) {
                    return Some(Event::Unsupported { kind, what });
                }
            }
            // An empty record says nothing; an empty frame is what ffmpeg sends with a trailing
            // change of configuration.
            Body::Config | Body::Frame { .. } if left == 0 => self.findings.messages_empty += 1,
            Body::Config if left as usize > CODEC_CONFIG_BYTES_MAX => {
                self.track.config = None;
                return self.refuse(Fault::ConfigTooLarge { found: left });
            }
            Body::Config => self.track.state = State::Config { record: Vec::new(), left },
            Body::Frame { key, composition_ms } => {
                let walker = match &self.track.config {
                    None => return self.refuse(Fault::NoConfig),
                    Some(CodecConfig::Avc(config)) => Some(NalWalker::new(config.nal_length_bytes(), left)),
                    Some(_) => None,
                };
                self.track.state = State::Frame { walker, left };
                return Some(Event::FrameBegin(FrameBegin {
                    kind,
                    timestamp_ms: self.fragment.timestamp_ms,
                    composition_ms,
                    key,
                    coded_bytes: left,
                }));
            }
        }
        None
    }

    /// Drops the rest of the message.
    fn refuse(&mut self, fault: Fault) -> Option<Event<'a>> {
        self.findings.messages_refused += 1;
        Some(Event::Refused { kind: self.kind(), fault })
    }

    fn in_config(&mut self, mut record: Vec<u8>, left: u32) -> Option<Event<'a>> {
        let taken = self.take(left);
        record.extend_from_slice(taken);
        let left = left - taken.len() as u32;
        if left > 0 {
            return self.wait(State::Config { record, left });
        }
        let kind = self.kind();
        if self.track.config.as_ref().is_some_and(|config| config.record()[..] == record[..]) {
            self.findings.configs_repeated += 1;
            return None;
        }
        let record = Bytes::from(record);
        let parsed = match kind {
            TrackKind::Video => avc::DecoderConfig::parse(record).map(CodecConfig::Avc).map_err(Fault::Avc),
            TrackKind::Audio => aac::AudioConfig::parse(record).map(CodecConfig::Aac).map_err(Fault::Aac),
        };
        match parsed {
            Ok(config) => {
                self.track.config = Some(config.clone());
                self.track.unsupported = None;
                Some(Event::Config { kind, config })
            }
            Err(fault) => {
                // Frames that follow belong to what was refused, not to the one before it.
                self.track.config = None;
                self.refuse(fault)
            }
        }
    }

    fn in_frame(&mut self, walker: Option<NalWalker>, left: u32) -> Option<Event<'a>> {
        let kind = self.kind();
        if left == 0 {
            return Some(self.end_frame(walker, None));
        }
        if self.rest.is_empty() {
            return self.wait(State::Frame { walker, left });
        }
        let Some(mut walker) = walker else {
            let bytes = self.take(left);
            self.track.state = State::Frame { walker: None, left: left - bytes.len() as u32 };
            return Some(Event::FrameBytes { kind, bytes: Piece::Borrowed(bytes) });
        };
        if !walker.rewrites() {
            // Lengths have 4 bytes already: walk them for their truth, hand on the whole slice.
            let bytes = self.take(left);
            let mut walked = bytes;
            loop {
                match walker.step(&mut walked) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => return Some(self.end_frame(Some(walker), Some(FrameFault::Nal(error)))),
                }
            }
            self.track.state = State::Frame { walker: Some(walker), left: left - bytes.len() as u32 };
            return Some(Event::FrameBytes { kind, bytes: Piece::Borrowed(bytes) });
        }
        let mut input = &self.rest[..self.rest.len().min(left as usize)];
        let before = input.len();
        let step = walker.step(&mut input);
        let taken = before - input.len();
        self.rest = &self.rest[taken..];
        let bytes = match step {
            Err(error) => return Some(self.end_frame(Some(walker), Some(FrameFault::Nal(error)))),
            Ok(Some(NalStep::Length(length))) => Some(Piece::Inline(length.to_be_bytes())),
            Ok(Some(NalStep::Payload(payload))) => Some(Piece::Borrowed(payload)),
            Ok(None) => None,
        };
        self.track.state = State::Frame { walker: Some(walker), left: left - taken as u32 };
        bytes.map(|bytes| Event::FrameBytes { kind, bytes })
    }

    fn end_frame(&mut self, walker: Option<NalWalker>, fault: Option<FrameFault>) -> Event<'a> {
        let (idr, whole) = walker.map_or((true, true), |walker| (walker.has_idr(), walker.is_whole()));
        let fault = fault.or((!whole).then_some(FrameFault::Nal(avc::NalError::LengthCut)));
        if fault.is_some() {
            self.findings.frames_faulty += 1;
        }
        Event::FrameEnd { kind: self.kind(), idr, fault }
    }

    /// The next bytes of the fragment, at most `left`.
    fn take(&mut self, left: u32) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(self.rest.len().min(left as usize));
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests;
