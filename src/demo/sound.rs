//! The demo's sound: eight seconds of AAC-LC, 48 kHz stereo, that repeat without a seam: a quiet chord and
//! a tick as each second begins, the first of the eight higher.
//!
//! `assets/loop.aac` is raw ADTS, 375 frames of 1024 samples; `assets/README.md` says how it was made.

use super::DemoError;

const LOOP: &[u8] = include_bytes!("assets/loop.aac");
const ADTS_HEADER_BYTES: usize = 7;
const LOOP_MS: u64 = 8000;

/// Samples a second.
pub const SAMPLE_RATE: u32 = 48_000;
/// Channels of each sample.
pub const CHANNELS: u8 = 2;
/// Samples of one frame.
pub const FRAME_SAMPLES: u64 = 1024;
/// AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1): AAC-LC, 48 kHz, two channels.
pub const AUDIO_SPECIFIC_CONFIG: [u8; 2] = [0x11, 0x90];

/// The loop, entered so that its ticks fall on the wall clock's seconds.
pub struct Sound {
    frames: Vec<&'static [u8]>,
    /// Which of `frames` is frame 0 of the stream.
    first: u64,
}

impl Sound {
    /// The loop as it sounds from this moment on, to the nearest frame (10.7 ms).
    ///
    /// # Errors
    /// [`DemoError::Sound`] when the built-in loop is not whole frames of ADTS.
    pub fn starting_at(unix_ms: u64) -> Result<Self, DemoError> {
        let samples = unix_ms % LOOP_MS * u64::from(SAMPLE_RATE) / 1000;
        Ok(Self { frames: adts_frames(LOOP)?, first: (samples + FRAME_SAMPLES / 2) / FRAME_SAMPLES })
    }

    /// The raw data block of the stream's frame `index`.
    pub fn frame(&self, index: u64) -> &'static [u8] {
        self.frames[((self.first + index) % self.frames.len() as u64) as usize]
    }
}

/// Raw data blocks of an ADTS stream (ISO/IEC 14496-3, 1.A.2) without CRC.
fn adts_frames(mut adts: &[u8]) -> Result<Vec<&[u8]>, DemoError> {
    let mut frames = Vec::new();
    while let Some(header) = adts.first_chunk::<ADTS_HEADER_BYTES>() {
        // Sync word, MPEG-4 or MPEG-2, layer 0, no CRC.
        if header[0] != 0xff || header[1] & 0xf7 != 0xf1 {
            return Err(DemoError::Sound);
        }
        let length =
            usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5]) >> 5;
        let frame = adts.get(ADTS_HEADER_BYTES..length).ok_or(DemoError::Sound)?;
        frames.push(frame);
        adts = &adts[length..];
    }
    if adts.is_empty() && !frames.is_empty() { Ok(frames) } else { Err(DemoError::Sound) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_is_a_whole_number_of_frames_and_of_seconds() {
        let frames = adts_frames(LOOP).unwrap();
        let samples = frames.len() as u64 * FRAME_SAMPLES;
        assert_eq!(samples * 1000 / u64::from(SAMPLE_RATE), LOOP_MS);
        assert_eq!(samples % u64::from(SAMPLE_RATE), 0);
        assert!(frames.iter().all(|frame| !frame.is_empty()));
    }

    /// The loop's own header and the AudioSpecificConfig that is sent must say the same.
    #[test]
    fn the_config_says_what_the_adts_header_says() {
        let object_type = (LOOP[2] >> 6) + 1;
        let rate_index = LOOP[2] >> 2 & 0xf;
        let channels = (LOOP[2] & 1) << 2 | LOOP[3] >> 6;
        assert_eq!(channels, CHANNELS);
        let config = u16::from(object_type) << 11 | u16::from(rate_index) << 7 | u16::from(channels) << 3;
        assert_eq!(AUDIO_SPECIFIC_CONFIG, config.to_be_bytes());
    }

    #[test]
    fn the_loop_repeats_and_begins_where_the_clock_is() {
        let at_zero = Sound::starting_at(1_795_000_000_000).unwrap();
        assert_eq!(at_zero.frame(0), at_zero.frame(375));
        assert_ne!(at_zero.frame(0), at_zero.frame(1));
        // 3.2 s are 150 frames exactly.
        assert_eq!(Sound::starting_at(1_795_000_003_200).unwrap().frame(0), at_zero.frame(150));
    }

    #[test]
    fn broken_adts_is_refused() {
        for length in 0..400 {
            let _ = adts_frames(&LOOP[..length]);
        }
        assert!(adts_frames(&LOOP[..LOOP.len() - 1]).is_err(), "a frame that is cut short");
        assert!(adts_frames(&LOOP[1..]).is_err(), "no sync word");
        assert!(
            adts_frames(&[0xff, 0xf1, 0x4c, 0x80, 0, 0x1f, 0xfc]).is_err(),
            "a length below the header's"
        );
    }
}
