//! One way to walk a frame of any codec that arrives in fragments cut anywhere: which of its bytes belong in a
//! sample, and what kind of frame it was.

use super::ac3::{PacketWalker, SyncError};
use super::av1::{ObuError, ObuWalker};
use super::nal::{NalError, NalStep, NalTypes, NalWalker};
use super::piece::Piece;
use super::{avc, flac, hevc, opus, vp9};

/// What a frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What decoding needs before it. Of sound always [`FrameRole::Sync`].
    pub role: FrameRole,
    /// Sound: how long it lasts, in samples at [`Sound::sample_rate`](super::Sound). `None` for pictures.
    pub samples: Option<u32>,
}

/// What a frame needs to be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameRole {
    /// Nothing before it, nor do those that follow: IDR, an AV1 or VP9 key frame that is shown, sound.
    Sync,
    /// Nothing before it, but pictures that follow it and are shown before it do (HEVC: CRA, BLA with leading
    /// pictures). A decoder that begins here leaves those out: no clean point to join at.
    OpenSync,
    /// One of those pictures (HEVC: RASL).
    SkippedLeading,
    /// Frames before it.
    Dependent,
}

impl FrameRole {
    /// True when everything from this frame on decodes.
    pub fn is_sync(self) -> bool {
        self == Self::Sync
    }
}

/// What is wrong with a frame's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The lengths of its NAL units cannot be true.
    #[error("{0}")]
    Nal(#[from] NalError),
    /// Its OBUs cannot be walked.
    #[error("{0}")]
    Obu(#[from] ObuError),
    /// Its synchronisation frames cannot be walked.
    #[error("{0}")]
    Sync(#[from] SyncError),
    /// Sound whose header does not say how long it lasts, or says what cannot be.
    #[error("a frame of {codec} without a duration")]
    NoDuration {
        /// As people call it.
        codec: &'static str,
    },
    /// Sound that says it lasts longer than any does.
    #[error("a frame of {found} samples, {allowed} are allowed")]
    TooLong {
        /// Samples found.
        found: u32,
        /// Samples of [`SOUND_FRAME_MS_MAX`](crate::limits::SOUND_FRAME_MS_MAX).
        allowed: u32,
    },
    /// It has not ended.
    #[error("{left} bytes of the frame are still to come")]
    Cut {
        /// Bytes to come.
        left: u32,
    },
}

/// Walks one frame. See [`CodecConfig::walker`](super::CodecConfig::walker).
#[derive(Debug, Clone)]
pub struct FrameWalker {
    /// Bytes of the frame to come.
    left: u32,
    /// Of sound: more are refused.
    samples_max: u32,
    inner: Inner,
}

#[derive(Debug, Clone)]
enum Inner {
    Avc(NalWalker),
    Hevc(NalWalker),
    Av1(ObuWalker),
    /// The first byte, once it is there.
    Vp9(Option<u8>),
    /// Sound whose frames all last so many samples.
    Samples(u32),
    Opus(Head),
    Ac3(PacketWalker),
    Flac(Head),
}

/// The first bytes of a frame, as many as any header needs.
#[derive(Debug, Clone, Default)]
struct Head {
    bytes: [u8; flac::FRAME_HEAD_BYTES],
    /// Never more than `bytes` has.
    count: usize,
}

impl Head {
    fn push(&mut self, input: &[u8]) {
        let free = &mut self.bytes[self.count..];
        let count = free.len().min(input.len());
        free[..count].copy_from_slice(&input[..count]);
        self.count += count;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.count]
    }
}

impl FrameWalker {
    pub(super) fn avc(nal_length_bytes: u8, frame_bytes: u32) -> Self {
        Self {
            left: frame_bytes,
            samples_max: u32::MAX,
            inner: Inner::Avc(NalWalker::new(nal_length_bytes, frame_bytes)),
        }
    }

    pub(super) fn hevc(nal_length_bytes: u8, frame_bytes: u32) -> Self {
        Self {
            left: frame_bytes,
            samples_max: u32::MAX,
            inner: Inner::Hevc(NalWalker::new_hevc(nal_length_bytes, frame_bytes)),
        }
    }

    pub(super) fn av1(still: bool, frame_bytes: u32) -> Self {
        Self {
            left: frame_bytes,
            samples_max: u32::MAX,
            inner: Inner::Av1(ObuWalker::new(still, frame_bytes)),
        }
    }

    pub(super) fn vp9(frame_bytes: u32) -> Self {
        Self { left: frame_bytes, samples_max: u32::MAX, inner: Inner::Vp9(None) }
    }

    pub(super) fn samples(samples: u32, frame_bytes: u32) -> Self {
        Self { left: frame_bytes, samples_max: u32::MAX, inner: Inner::Samples(samples) }
    }

    pub(super) fn opus(frame_bytes: u32) -> Self {
        Self { left: frame_bytes, samples_max: u32::MAX, inner: Inner::Opus(Head::default()) }
    }

    pub(super) fn ac3(frame_bytes: u32) -> Self {
        Self { left: frame_bytes, samples_max: u32::MAX, inner: Inner::Ac3(PacketWalker::default()) }
    }

    pub(super) fn flac(frame_bytes: u32) -> Self {
        Self { left: frame_bytes, samples_max: u32::MAX, inner: Inner::Flac(Head::default()) }
    }

    /// The same, of sound that lasts no longer than this many samples.
    pub(super) fn with_samples_max(self, samples_max: u32) -> Self {
        Self { samples_max, ..self }
    }

    /// Bytes of the frame that are still to come.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Takes bytes off the front of `input` and returns the next ones of the sample, never none of them;
    /// `None` when `input` is used up or the frame is at its end. Whatever follows the frame stays.
    ///
    /// # Errors
    /// [`FrameError`] when the frame cannot be whole; nothing sensible follows then.
    pub fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameError> {
        let frame = &input[..input.len().min(self.left as usize)];
        let mut rest = frame;
        let piece = self.inner.step(&mut rest);
        let taken = frame.len() - rest.len();
        *input = &input[taken..];
        // No more than `left` bytes were offered.
        self.left -= taken as u32;
        piece
    }

    /// What the frame was, once its last byte went through [`step`](Self::step).
    ///
    /// # Errors
    /// [`FrameError`] when it ends within something, or before its end.
    pub fn finish(&self) -> Result<Frame, FrameError> {
        if self.left > 0 {
            return Err(FrameError::Cut { left: self.left });
        }
        let frame = self.so_far();
        match &self.inner {
            Inner::Avc(walker) | Inner::Hevc(walker) if !walker.is_whole() => Err(NalError::LengthCut.into()),
            Inner::Av1(walker) if !walker.is_whole() => Err(ObuError::HeaderCut.into()),
            Inner::Opus(_) if frame.samples.is_none() => Err(FrameError::NoDuration { codec: "Opus" }),
            Inner::Ac3(_) if frame.samples.is_none() => Err(SyncError::Cut.into()),
            Inner::Flac(_) if frame.samples.is_none() => Err(FrameError::NoDuration { codec: "FLAC" }),
            _ => match frame.samples {
                Some(found) if found > self.samples_max => {
                    Err(FrameError::TooLong { found, allowed: self.samples_max })
                }
                _ => Ok(frame),
            },
        }
    }

    /// What can be told of a frame by the bytes there are.
    pub fn so_far(&self) -> Frame {
        let picture = |role| Frame { role, samples: None };
        match &self.inner {
            Inner::Avc(walker) => picture(avc_role(walker.seen())),
            Inner::Hevc(walker) => picture(hevc::role(walker.seen())),
            Inner::Av1(walker) => picture(key_or_not(walker.is_key())),
            Inner::Vp9(first) => picture(key_or_not(first.is_some_and(vp9::is_key))),
            Inner::Samples(samples) => sound(Some(*samples)),
            Inner::Opus(head) => sound(opus::packet_samples(head.bytes())),
            Inner::Ac3(walker) => sound(walker.samples()),
            Inner::Flac(head) => sound(flac::frame_samples(head.bytes())),
        }
    }
}

impl Inner {
    fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameError> {
        match self {
            Self::Avc(walker) | Self::Hevc(walker) => return step_nal(walker, input),
            Self::Av1(walker) => return Ok(walker.step(input)?),
            Self::Vp9(first) => *first = first.or(input.first().copied()),
            Self::Opus(head) | Self::Flac(head) => head.push(input),
            Self::Ac3(walker) => walker.walk(input)?,
            Self::Samples(_) => {}
        }
        Ok(take_all(input))
    }
}

/// Passes everything on.
fn take_all<'a>(input: &mut &'a [u8]) -> Option<Piece<'a>> {
    let all = std::mem::take(input);
    (!all.is_empty()).then_some(Piece::Borrowed(all))
}

fn step_nal<'a>(walker: &mut NalWalker, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameError> {
    if walker.rewrites() {
        return Ok(walker.step(input)?.map(|step| match step {
            NalStep::Length(length) => Piece::inline(&length.to_be_bytes()),
            NalStep::Payload(payload) => Piece::Borrowed(payload),
        }));
    }
    // Lengths have 4 bytes already: walk them for their truth, hand on the whole slice.
    let all = *input;
    while walker.step(input)?.is_some() {}
    *input = &[];
    Ok((!all.is_empty()).then_some(Piece::Borrowed(all)))
}

fn sound(samples: Option<u32>) -> Frame {
    Frame { role: FrameRole::Sync, samples }
}

fn avc_role(seen: NalTypes) -> FrameRole {
    key_or_not(seen.has(avc::NAL_IDR))
}

fn key_or_not(key: bool) -> FrameRole {
    if key { FrameRole::Sync } else { FrameRole::Dependent }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample, and what it was, with the frame cut in two at every place and with bytes behind it.
    fn walk_cut_anywhere(walker: &FrameWalker, frame: &[u8]) -> (Vec<u8>, Frame) {
        let walked = |cut: usize| {
            let (mut walker, mut sample) = (walker.clone(), vec![]);
            let with_more = [&frame[cut..], b"more"].concat();
            for mut input in [&frame[..cut], &with_more] {
                while let Some(piece) = walker.step(&mut input).unwrap() {
                    assert!(!piece.is_empty());
                    sample.extend_from_slice(&piece);
                }
                assert!(input.is_empty() || input == b"more");
            }
            (sample, walker.finish().unwrap())
        };
        let whole = walked(frame.len());
        for cut in 0..frame.len() {
            assert_eq!(walked(cut), whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn lengths_of_two_bytes_become_four_and_four_stay() {
        let short = [0, 2, 0x67, 1, 0, 2, 0x65, 2];
        let long = [0, 0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x65, 2];
        for (length_bytes, frame) in [(2, &short[..]), (4, &long)] {
            let walker = FrameWalker::avc(length_bytes, frame.len() as u32);
            let frame_was = Frame { role: FrameRole::Sync, samples: None };
            assert_eq!(walk_cut_anywhere(&walker, frame), (long.to_vec(), frame_was));
        }
        let walker = FrameWalker::avc(4, 5);
        let frame_was = Frame { role: FrameRole::Dependent, samples: None };
        assert_eq!(walk_cut_anywhere(&walker, &[0, 0, 0, 1, 0x41]).1, frame_was);
    }

    #[test]
    fn a_frame_that_is_not_all_there_is_an_error() {
        let mut walker = FrameWalker::avc(4, 12);
        assert_eq!(walker.finish(), Err(FrameError::Cut { left: 12 }));
        assert_eq!(walker.step(&mut &[0, 0, 0, 2, 0x65, 2, 0, 0][..]).unwrap().unwrap().len(), 8);
        assert_eq!(walker.finish(), Err(FrameError::Cut { left: 4 }));
        assert_eq!(walker.so_far().role, FrameRole::Sync);
        let mut walker = FrameWalker::avc(4, 7);
        walker.step(&mut &[0, 0, 0, 1, 0x65, 0, 0][..]).unwrap();
        assert_eq!(walker.finish(), Err(NalError::LengthCut.into()));
        assert!(FrameWalker::avc(4, 6).step(&mut &[0, 0, 0, 3, 0x65, 0][..]).is_err());
    }

    #[test]
    fn sound_passes_through_and_says_how_long_it_lasts() {
        let ac3 = [&[0x0b, 0x77, 0x38, 0x90, 0x00, 0x40, 0x43, 0xe1][..], &[7; 120]].concat();
        for (walker, frame, samples) in [
            (FrameWalker::samples(1024, 3), &b"abc"[..], 1024),
            (FrameWalker::opus(4), b"\xff\x03ab", 2880),
            (FrameWalker::opus(1), b"\x18", 2880),
            (FrameWalker::flac(9), b"\xff\xf8\x7a\x08\x00\x02\xffab", 768),
            (FrameWalker::ac3(128), &ac3, 1536),
        ] {
            let frame_was = Frame { role: FrameRole::Sync, samples: Some(samples) };
            assert_eq!(walk_cut_anywhere(&walker, frame), (frame.to_vec(), frame_was));
        }
    }

    #[test]
    fn sound_that_cannot_be_is_an_error() {
        let finish = |mut walker: FrameWalker, mut frame: &[u8]| -> Result<Frame, FrameError> {
            while walker.step(&mut frame)?.is_some() {}
            walker.finish()
        };
        assert_eq!(finish(FrameWalker::opus(1), b"\x03"), Err(FrameError::NoDuration { codec: "Opus" }));
        assert_eq!(finish(FrameWalker::flac(3), b"abc"), Err(FrameError::NoDuration { codec: "FLAC" }));
        assert_eq!(finish(FrameWalker::ac3(3), b"\x0b\x77\x38"), Err(SyncError::Cut.into()));
        let found = 0x6162;
        assert_eq!(finish(FrameWalker::ac3(8), b"abcdefgh"), Err(SyncError::SyncWord { found }.into()));
    }

    /// IDR, CRA, RASL, TRAIL, each behind an access unit delimiter, as types of HEVC.
    #[test]
    fn hevc_tells_where_decoding_can_begin() {
        for (nal_type, role) in [
            (19, FrameRole::Sync),
            (20, FrameRole::Sync),
            (17, FrameRole::Sync),
            (18, FrameRole::Sync),
            (16, FrameRole::OpenSync),
            (21, FrameRole::OpenSync),
            (8, FrameRole::SkippedLeading),
            (9, FrameRole::SkippedLeading),
            (6, FrameRole::Dependent),
            (1, FrameRole::Dependent),
        ] {
            let frame = [0, 0, 0, 2, 35 << 1, 1, 0, 0, 0, 3, nal_type << 1, 1, 9];
            let frame_was = Frame { role, samples: None };
            assert_eq!(walk_cut_anywhere(&FrameWalker::hevc(4, 13), &frame), (frame.to_vec(), frame_was));
        }
    }

    #[test]
    fn av1_loses_its_temporal_delimiters_wherever_they_stand() {
        // Delimiter, sequence header, delimiter with extension and padding, key frame, a frame without size.
        let unit = [0x12, 0, 0x0a, 2, 7, 7, 0x16, 0, 1, 9, 0x32, 3, 0x10, 1, 2, 0x30, 0x30, 5];
        let sample = [0x0a, 2, 7, 7, 0x32, 3, 0x10, 1, 2, 0x30, 0x30, 5];
        let frame_was = Frame { role: FrameRole::Sync, samples: None };
        let walker = FrameWalker::av1(false, unit.len() as u32);
        assert_eq!(walk_cut_anywhere(&walker, &unit), (sample.to_vec(), frame_was));
        // OBS sends none: show_existing_frame.
        let frame_was = Frame { role: FrameRole::Dependent, samples: None };
        assert_eq!(
            walk_cut_anywhere(&FrameWalker::av1(false, 3), &[0x1a, 1, 0xe8]),
            (vec![0x1a, 1, 0xe8], frame_was)
        );
        let mut walker = FrameWalker::av1(false, 3);
        assert!(walker.step(&mut &[0x12, 0, 0x32][..]).unwrap().is_none());
        assert_eq!(walker.finish(), Err(ObuError::HeaderCut.into()));
    }

    #[test]
    fn vp9_tells_key_frames_by_the_first_byte() {
        for (first, role) in [(0x82, FrameRole::Sync), (0x86, FrameRole::Dependent)] {
            let frame_was = Frame { role, samples: None };
            assert_eq!(
                walk_cut_anywhere(&FrameWalker::vp9(2), &[first, 0x49]),
                (vec![first, 0x49], frame_was)
            );
        }
    }
}
