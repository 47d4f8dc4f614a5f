//! A publisher made of numbers: FLV audio and video messages of any frame rate, GOP and jitter, with
//! tiny but valid H.264 and AAC in them, and the time at which each arrives.

/// One RTMP message of audio or video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When its last byte arrives, microseconds after the publisher began.
    pub at_us: u64,
    pub video: bool,
    pub timestamp_ms: u32,
    pub body: Vec<u8>,
}

/// Lengths of groups of pictures, in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gop {
    Fixed(u32),
    /// x264's scene cut: any length from the first to the second.
    SceneCuts(u32, u32),
}

/// How milliseconds are made of frame times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// As OBS.
    Down,
    /// As ffmpeg.
    Nearest,
}

/// What is published.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// Frames in seconds; `None` for audio alone.
    pub fps: Option<(u32, u32)>,
    pub gop: Gop,
    pub b_frames: u32,
    /// Samples a second; `None` for video alone.
    pub audio_hz: Option<u32>,
    /// The SPS says the frame rate.
    pub sps_timing: bool,
    /// x264's SEI says this keyint.
    pub sei_keyint: Option<u32>,
    pub rounding: Rounding,
    /// Arrivals are late by up to this much.
    pub jitter_us: u64,
    /// Sound is sent this long before the pictures of its time; behind them when negative.
    pub sound_ahead_us: i64,
    /// Bytes of an inter frame; an IDR has ten times as many.
    pub frame_bytes: usize,
    /// Timestamp of the first frame.
    pub first_ms: u32,
    /// Coded pictures stand for this width, so that another one is another configuration.
    pub width_mbs: u32,
    pub seed: u64,
}

const PPS: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];

impl Default for Encoder {
    fn default() -> Self {
        Self {
            fps: Some((30, 1)),
            gop: Gop::Fixed(30),
            b_frames: 0,
            audio_hz: Some(48_000),
            sps_timing: true,
            sei_keyint: None,
            rounding: Rounding::Nearest,
            jitter_us: 8_000,
            sound_ahead_us: 0,
            frame_bytes: 60,
            first_ms: 0,
            width_mbs: 20,
            seed: 1,
        }
    }
}

impl Encoder {
    /// The configurations and all frames of this many seconds, by the times at which they are sent.
    pub fn messages(&self, seconds: u32) -> Vec<Message> {
        let mut random = Random::new(self.seed);
        let mut frames: Vec<(u64, Message)> = Vec::new();
        if let Some(fps) = self.fps {
            frames.push((0, self.message(true, 0, &[&[0x17, 0, 0, 0, 0], &self.avc_config()[..]])));
            frames.extend(self.pictures(fps, seconds, &mut random));
        }
        if let Some(hz) = self.audio_hz {
            frames.push((0, self.message(false, 0, &[&[0xaf, 0], &audio_config(hz)])));
            frames.extend(self.sound(hz, seconds, &mut random));
        }
        for (sent_us, message) in &mut frames {
            let waits_us = if message.video { self.sound_ahead_us } else { -self.sound_ahead_us };
            let is_config = message.body[1] == 0;
            *sent_us += if is_config { 0 } else { u64::try_from(waits_us).unwrap_or(0) };
        }
        frames.sort_by_key(|(sent_us, _)| *sent_us);
        let mut newest_us = 0;
        let frames = frames.into_iter().map(|(sent_us, mut message)| {
            newest_us = newest_us.max(sent_us + random.below(self.jitter_us + 1));
            message.at_us = newest_us;
            message
        });
        frames.collect()
    }

    fn message(&self, video: bool, decode_us: u64, parts: &[&[u8]]) -> Message {
        let timestamp_ms = self.first_ms.wrapping_add(self.to_ms(decode_us) as u32);
        Message { at_us: 0, video, timestamp_ms, body: parts.concat() }
    }

    fn to_ms(&self, us: u64) -> u64 {
        match self.rounding {
            Rounding::Down => us / 1000,
            Rounding::Nearest => (us + 500) / 1000,
        }
    }

    fn pictures(&self, fps: (u32, u32), seconds: u32, random: &mut Random) -> Vec<(u64, Message)> {
        let (frames, per) = (u64::from(fps.0), u64::from(fps.1));
        let count = frames * u64::from(seconds) / per;
        let begins_us = |index: u64| index * per * 1_000_000 / frames;
        // x264 refers to B-frames from three of them on, which delays pictures by two frames.
        let delay = [0, 1, 1, 2][self.b_frames.min(3) as usize];
        let mut messages: Vec<(u64, Message)> = Vec::new();
        while (messages.len() as u64) < count {
            let first = messages.len() as u64;
            let length = match self.gop {
                Gop::Fixed(length) => length,
                Gop::SceneCuts(least, most) => least + random.below(u64::from(most - least + 1)) as u32,
            };
            for (place, shown) in decode_order(length, self.b_frames).into_iter().enumerate() {
                let decode_us = begins_us(first + place as u64);
                let shown_us = begins_us(first + u64::from(shown) + delay);
                let composition_ms = (self.to_ms(shown_us) - self.to_ms(decode_us)) as u32;
                let key = place == 0;
                let mut body = vec![if key { 0x17 } else { 0x27 }, 1];
                body.extend(&composition_ms.to_be_bytes()[1..]);
                if key
                    && messages.is_empty()
                    && let Some(keyint) = self.sei_keyint
                {
                    unit(&mut body, &x264_sei(keyint));
                }
                let size = self.frame_bytes * if key { 10 } else { 1 };
                let mut slice = vec![if key { 0x65 } else { 0x41 }];
                // No byte of it is 0, so none needs an escape.
                slice.extend((0..size).map(|_| 1 + random.below(255) as u8));
                unit(&mut body, &slice);
                messages.push((decode_us, self.message(true, decode_us, &[&body])));
            }
        }
        messages.truncate(count as usize);
        messages
    }

    fn sound(&self, hz: u32, seconds: u32, random: &mut Random) -> Vec<(u64, Message)> {
        let count = u64::from(hz) * u64::from(seconds) / 1024;
        let frame = |index: u64| {
            let decode_us = index * 1024 * 1_000_000 / u64::from(hz);
            let coded: Vec<u8> = (0..24).map(|_| random.below(256) as u8).collect();
            (decode_us, self.message(false, decode_us, &[&[0xaf, 1], &coded]))
        };
        (0..count).map(frame).collect()
    }

    /// avcC with an SPS of Main profile, level 3.1, and its PPS.
    pub fn avc_config(&self) -> Vec<u8> {
        let sps = self.sps();
        let mut record = vec![1, sps[1], sps[2], sps[3], 0xff, 0xe1];
        record.extend((sps.len() as u16).to_be_bytes());
        record.extend(&sps);
        record.extend([1, 0, PPS.len() as u8]);
        record.extend(PPS);
        record
    }

    /// SPS and PPS with their lengths, to stand in a key frame.
    pub fn parameter_sets(&self) -> Vec<u8> {
        let mut sets = Vec::new();
        unit(&mut sets, &self.sps());
        unit(&mut sets, &PPS);
        sets
    }

    /// Section 7.3.2.1.1 of H.264.
    fn sps(&self) -> Vec<u8> {
        let mut bits = Bits::default();
        for value in [0, 0, 2] {
            bits.exp_golomb(value); // id, log2_max_frame_num - 4, pic_order_cnt_type
        }
        bits.exp_golomb(4); // max_num_ref_frames
        bits.put(0, 1);
        bits.exp_golomb(self.width_mbs - 1);
        bits.exp_golomb(12 - 1);
        bits.put(0b11, 2); // frame_mbs_only_flag, direct_8x8_inference_flag
        // 192 lines of macroblocks show 180.
        bits.put(1, 1);
        for value in [0, 0, 0, 6] {
            bits.exp_golomb(value);
        }
        let timing = self.fps.filter(|_| self.sps_timing);
        bits.put(u32::from(timing.is_some()), 1);
        if let Some((frames, seconds)) = timing {
            bits.put(0, 4); // aspect ratio, overscan, video signal, chroma location
            bits.put(1, 1);
            bits.put(seconds, 32);
            bits.put(2 * frames, 32);
            bits.put(1, 1); // fixed_frame_rate_flag
            bits.put(0, 4); // HRD twice, pic_struct, bitstream_restriction
        }
        bits.put(1, 1);
        [&[0x67, 77, 0x40, 31][..], &escape(&bits.bytes())].concat()
    }
}

/// The places at which the frames of a closed group are shown, in the order in which they are decoded.
fn decode_order(length: u32, b_frames: u32) -> Vec<u32> {
    let mut order = vec![0];
    while (order.len() as u32) < length {
        let first = order.len() as u32;
        let anchor = (first + b_frames).min(length - 1);
        order.push(anchor);
        order.extend(first..anchor);
    }
    order
}

/// AudioSpecificConfig of AAC-LC, stereo.
pub fn audio_config(hz: u32) -> [u8; 2] {
    let rates =
        [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000];
    let index = rates.iter().position(|&rate| rate == hz).expect("a rate of the table") as u16;
    (2 << 11 | index << 7 | 2 << 3_u16).to_be_bytes()
}

/// The SEI of x264 with its options.
fn x264_sei(keyint: u32) -> Vec<u8> {
    let uuid: [u8; 16] = *b"\xdc\x45\xe9\xbd\xe6\xd9\x48\xb7\x96\x2c\xd8\x20\xd9\x23\xee\xef";
    let text = format!(
        "x264 - core 164 - options: cabac=1 ref=3 bframes=3 keyint={keyint} keyint_min=25 scenecut=40\0"
    );
    let size = uuid.len() + text.len();
    let mut sei = vec![6, 5];
    sei.extend(std::iter::repeat_n(255, size / 255));
    sei.push((size % 255) as u8);
    sei.extend(uuid);
    sei.extend(text.bytes());
    sei.push(0x80);
    sei
}

/// A NAL unit with its length before it.
fn unit(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend((bytes.len() as u32).to_be_bytes());
    body.extend(bytes);
}

/// Section 7.4.1: no three bytes look like a start code.
fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    let mut zeros = 0;
    for &byte in bytes {
        if zeros == 2 && byte <= 3 {
            escaped.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        escaped.push(byte);
    }
    escaped
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn exp_golomb(&mut self, value: u32) {
        let bits = 32 - (value + 1).leading_zeros();
        self.put(0, bits - 1);
        self.put(value + 1, bits);
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter().enumerate().fold(0, |byte, (index, &bit)| byte | u8::from(bit) << (7 - index))
        };
        self.0.chunks(8).map(byte).collect()
    }
}

/// xorshift64*.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 up to, not including, `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound.max(1)
    }
}
