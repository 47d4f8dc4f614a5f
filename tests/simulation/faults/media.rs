//! What encoders send, before anything goes wrong: a few seconds of one codec each, by the times of its own clock.

use super::super::captures::{Recording, play};
use super::super::support::encoder::{Encoder, Gop, Message, Random, Rounding};
use std::sync::OnceLock;

/// Pictures that are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    pub codec: VideoCodec,
    pub fps: (u32, u32),
    pub gop: Gop,
    pub b_frames: u32,
    pub width_mbs: u32,
    pub sps_timing: bool,
    pub rounding: Rounding,
    /// x264's SEI says its keyint.
    pub says_keyint: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    Avc,
    /// A key picture that is not the first of a scene is a CRA picture with leading pictures.
    Hevc {
        open_gops: bool,
        begins_open: bool,
    },
}

/// Sound that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audio {
    Aac { hz: u32 },
    Opus,
    Flac,
}

impl Video {
    /// Configuration and frames.
    pub fn messages(&self, seconds: u32, seed: u64) -> Vec<Message> {
        let is_avc = self.codec == VideoCodec::Avc;
        let keyint = match self.gop {
            Gop::Fixed(frames) | Gop::SceneCuts(_, frames) => frames,
        };
        let encoder = Encoder {
            fps: Some(self.fps),
            gop: self.gop,
            b_frames: if is_avc { self.b_frames } else { 0 },
            audio_hz: None,
            sps_timing: self.sps_timing,
            sei_keyint: Some(keyint).filter(|_| self.says_keyint && is_avc),
            rounding: self.rounding,
            jitter_us: 0,
            width_mbs: self.width_mbs,
            frame_bytes: 20,
            seed,
            ..Encoder::default()
        };
        let messages = encoder.messages(seconds);
        match self.codec {
            VideoCodec::Avc => messages,
            VideoCodec::Hevc { open_gops, begins_open } => self.as_hevc(messages, open_gops, begins_open),
        }
    }

    /// SPS and PPS, with their lengths, to stand in a key frame.
    pub fn parameter_sets(&self) -> Vec<u8> {
        let (fps, sps_timing, width_mbs) = (Some(self.fps), self.sps_timing, self.width_mbs);
        Encoder { fps, sps_timing, width_mbs, ..Encoder::default() }.parameter_sets()
    }

    fn as_hevc(&self, messages: Vec<Message>, open_gops: bool, begins_open: bool) -> Vec<Message> {
        // Of a group's pictures two lead, shown before the key picture; all are delayed by a frame.
        let frames_ms = |frames: u32| (frames * 1000 * self.fps.1 + self.fps.0 / 2) / self.fps.0;
        let mut since_key = 0;
        let mut is_open = false;
        let mut is_first = true;
        let turn = |mut message: Message| {
            if message.body[1] == 0 {
                message.body = [b"\x90hvc1", hevc_record()].concat();
                return message;
            }
            let key = message.body[0] >> 4 == 1;
            if key {
                since_key = 0;
                is_open = if is_first { begins_open } else { open_gops };
                is_first = false;
            }
            let (nal_type, delay) = match since_key {
                0 if is_open => (21, 3),
                0 => (19, 1),
                1 | 2 if is_open => (9, 0),
                _ => (1, 1),
            };
            since_key += 1;
            let payload = &message.body[10..];
            let unit = [&[nal_type << 1, 1], payload].concat();
            let head = [if key { 0x91 } else { 0xa1 }, b'h', b'v', b'c', b'1'];
            let composition_ms = frames_ms(delay).to_be_bytes();
            let length = (unit.len() as u32).to_be_bytes();
            message.body = [&head[..], &composition_ms[1..], &length, &unit].concat();
            message
        };
        messages.into_iter().map(turn).collect()
    }
}

/// x265's, as ffmpeg sent it.
fn hevc_record() -> &'static [u8] {
    static RECORD: OnceLock<Vec<u8>> = OnceLock::new();
    RECORD.get_or_init(|| {
        let tags = play(&Recording::open("ff9_hevc_aac"), 65_536).tags;
        let record = tags.iter().find_map(|tag| tag.body.strip_prefix(b"\x90hvc1"));
        record.expect("a record").to_vec()
    })
}

impl Audio {
    /// Configuration and frames.
    pub fn messages(self, seconds: u32, seed: u64) -> Vec<Message> {
        let (hz, samples, config, head): (u64, u64, Vec<u8>, Vec<u8>) = match self {
            Self::Aac { hz } => {
                let encoder =
                    Encoder { fps: None, audio_hz: Some(hz), jitter_us: 0, seed, ..Encoder::default() };
                return encoder.messages(seconds);
            }
            // CELT, full band, 20 ms, stereo.
            Self::Opus => {
                let header = b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
                (48_000, 960, header.to_vec(), b"\x91Opus\xfc".to_vec())
            }
            // 48 kHz mono of 16 bits in blocks of 4,608.
            Self::Flac => {
                let streaminfo =
                    b"\x12\0\x12\0\0\0\0\0\0\0\x0b\xb8\0\xf0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
                let config = [&b"\x90fLaC"[..], streaminfo].concat();
                (48_000, 4_608, config, b"\x91fLaC\xff\xf8\x5a\x08\0".to_vec())
            }
        };
        let mut random = Random::new(seed);
        let frame = |index: u64| {
            let at_us = index * samples * 1_000_000 / hz;
            let payload: Vec<u8> = (0..12).map(|_| random.below(256) as u8).collect();
            let timestamp_ms = ((at_us + 500) / 1000) as u32;
            Message { at_us, video: false, timestamp_ms, body: [&head[..], &payload].concat() }
        };
        let config = Message { at_us: 0, video: false, timestamp_ms: 0, body: config };
        [config].into_iter().chain((0..u64::from(seconds) * hz / samples).map(frame)).collect()
    }
}
