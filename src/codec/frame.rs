//! One way to walk a frame of any codec that arrives in fragments cut anywhere: which of its bytes belong in a
//! sample, and what kind of frame it was.

use super::nal::{NalError, NalStep, NalTypes, NalWalker};
use super::{avc, piece};
pub use piece::Piece;

/// What a frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What decoding needs before it. Of sound always [`FrameRole::Sync`].
    pub role: FrameRole,
    /// Sound: how long it lasts, in samples at [`Sound::sample_rate`](super::Sound). `None` for pictures.
    pub samples: Option<u32>,
    /// Pictures: parameter sets or a sequence header are in it.
    pub parameter_sets: bool,
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
    inner: Inner,
}

#[derive(Debug, Clone)]
enum Inner {
    Avc(NalWalker),
    /// Sound whose frames all last so many samples.
    Samples(u32),
}

impl FrameWalker {
    pub(super) fn avc(nal_length_bytes: u8, frame_bytes: u32) -> Self {
        Self { left: frame_bytes, inner: Inner::Avc(NalWalker::new(nal_length_bytes, frame_bytes)) }
    }

    pub(super) fn samples(samples: u32, frame_bytes: u32) -> Self {
        Self { left: frame_bytes, inner: Inner::Samples(samples) }
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
        match &self.inner {
            Inner::Avc(walker) if !walker.is_whole() => Err(NalError::LengthCut.into()),
            _ => Ok(self.so_far()),
        }
    }

    /// What can be told of a frame by the bytes there are.
    pub fn so_far(&self) -> Frame {
        let picture = |role, parameter_sets| Frame { role, samples: None, parameter_sets };
        match &self.inner {
            Inner::Avc(walker) => picture(avc_role(walker.seen()), has_any(walker.seen(), &AVC_SETS)),
            Inner::Samples(samples) => sound(Some(*samples)),
        }
    }
}

impl Inner {
    fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameError> {
        match self {
            Self::Avc(walker) => step_nal(walker, input),
            Self::Samples(_) => Ok(take_all(input)),
        }
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
    Frame { role: FrameRole::Sync, samples, parameter_sets: false }
}

const AVC_SETS: [u8; 2] = [avc::NAL_SPS, avc::NAL_PPS];

fn has_any(seen: NalTypes, types: &[u8]) -> bool {
    types.iter().any(|nal_type| seen.has(*nal_type))
}

fn avc_role(seen: NalTypes) -> FrameRole {
    if seen.has(avc::NAL_IDR) { FrameRole::Sync } else { FrameRole::Dependent }
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
            let frame_was = Frame { role: FrameRole::Sync, samples: None, parameter_sets: true };
            assert_eq!(walk_cut_anywhere(&walker, frame), (long.to_vec(), frame_was));
        }
        let walker = FrameWalker::avc(4, 5);
        let frame_was = Frame { role: FrameRole::Dependent, samples: None, parameter_sets: false };
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
    fn sound_passes_through() {
        let frame_was = Frame { role: FrameRole::Sync, samples: Some(1024), parameter_sets: false };
        assert_eq!(walk_cut_anywhere(&FrameWalker::samples(1024, 3), b"abc"), (b"abc".to_vec(), frame_was));
    }
}
