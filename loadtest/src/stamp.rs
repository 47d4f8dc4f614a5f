//! The wall clock of sending, inside every frame: a publisher writes it, and whoever receives the frame
//! reads it.
//!
//! Both kinds of frame carry the same 28 bytes:
//!
//! | Bytes | Content                                                                                   |
//! |------:|-------------------------------------------------------------------------------------------|
//! |    16 | ASCII `RapidRTMP-sent-1`                                                                  |
//! |     8 | Unix time of sending in microseconds, big endian                                          |
//! |     4 | frame number, big endian: counts in decode order within its track from 0, on over loops   |
//!
//! Video: an SEI NAL unit of its own (nal_unit_type 6) with one message, user_data_unregistered (payload
//! type 5, ITU-T H.264, D.1.7), whose UUID is the 16 ASCII bytes and whose size is 28; then the trailing
//! bits. Emulation prevention applies: 00 00 03 stands for 00 00. It is the first NAL unit of its access
//! unit, but for a delimiter.
//!
//! Audio: a data_stream_element (ISO/IEC 14496-3, 4.4.2.6) as the first element of the raw_data_block: tag
//! 0, data_byte_align_flag 1, whose data begins with the 28 bytes. Its header fills 2 bytes (3 from 255
//! bytes of data on), so that the elements after it lie as they did before it was put there.

/// Bytes of a stamp as such.
pub const STAMP_BYTES: usize = 28;
/// Bytes of a stamp in an access unit with 4-byte lengths, its length included, where nothing needs escaping.
pub const SEI_BYTES: usize = 4 + 3 + STAMP_BYTES + 1;
/// The same at most: its 12 bytes of numbers need an escape after every two when all are 0.
pub const SEI_BYTES_MAX: usize = SEI_BYTES + 5;
/// Bytes of a stamp in front of a raw_data_block.
pub const DATA_STREAM_ELEMENT_BYTES: usize = 2 + STAMP_BYTES;

/// Has no zero byte, so that no escape falls inside it.
const UUID: [u8; 16] = *b"RapidRTMP-sent-1";

const NAL_SEI: u8 = 6;
const NAL_DELIMITER: u8 = 9;
const SEI_USER_DATA_UNREGISTERED: u32 = 5;
/// rbsp_stop_one_bit and its alignment.
const TRAILING_BITS: u8 = 0x80;
/// id_syn_ele ID_DSE (100), element_instance_tag 0, data_byte_align_flag 1.
const DATA_STREAM_ALIGNED: u8 = 0x81;

/// When a frame was sent, and which one it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Unix time of sending in microseconds.
    pub sent_unix_us: u64,
    /// Counts in decode order within the track from 0; runs on over loops, then wraps.
    pub frame: u32,
}

impl Stamp {
    /// Appends the stamp as a NAL unit behind a length of `nal_length_size` (1 to 4) bytes. It allocates
    /// only when `out` lacks room for [`SEI_BYTES_MAX`].
    pub fn write_sei(self, nal_length_size: u8, out: &mut Vec<u8>) {
        debug_assert!((1..=4).contains(&nal_length_size));
        let length_at = out.len();
        out.extend_from_slice(&[0; 4][..usize::from(nal_length_size.clamp(1, 4))]);
        let unit_at = out.len();
        out.extend_from_slice(&[NAL_SEI, SEI_USER_DATA_UNREGISTERED as u8, STAMP_BYTES as u8]);
        out.extend_from_slice(&UUID);
        let mut zeros = 0;
        for byte in self.numbers() {
            if zeros == 2 && byte <= 3 {
                out.push(3);
                zeros = 0;
            }
            out.push(byte);
            zeros = if byte == 0 { zeros + 1 } else { 0 };
        }
        out.push(TRAILING_BITS);
        // At most 37: it fits a length of any size.
        let unit_bytes = (out.len() - unit_at) as u8;
        out[unit_at - 1] = unit_bytes;
        debug_assert!(out.len() - length_at <= SEI_BYTES_MAX);
    }

    /// Appends the stamp as a data_stream_element, to stand in front of a raw_data_block.
    pub fn write_data_stream_element(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[DATA_STREAM_ALIGNED, STAMP_BYTES as u8]);
        out.extend_from_slice(&UUID);
        out.extend_from_slice(&self.numbers());
    }

    fn numbers(self) -> [u8; 12] {
        let mut numbers = [0; 12];
        numbers[..8].copy_from_slice(&self.sent_unix_us.to_be_bytes());
        numbers[8..].copy_from_slice(&self.frame.to_be_bytes());
        numbers
    }

    fn from_bytes(bytes: &[u8; STAMP_BYTES]) -> Option<Self> {
        let (uuid, numbers) = bytes.split_first_chunk::<16>()?;
        let (sent, frame) = numbers.split_first_chunk::<8>()?;
        (*uuid == UUID).then_some(Self {
            sent_unix_us: u64::from_be_bytes(*sent),
            frame: u32::from_be_bytes(*frame.first_chunk()?),
        })
    }
}

/// Where in an access unit the stamp goes: behind an access unit delimiter (ITU-T H.264, 7.4.1.2.3: it
/// comes first where there is one), else at 0.
pub fn access_unit_insert_offset(access_unit: &[u8], nal_length_size: u8) -> usize {
    let mut rest = access_unit;
    match next_nal_unit(&mut rest, nal_length_size) {
        Some([header, ..]) if header & 0x1f == NAL_DELIMITER => access_unit.len() - rest.len(),
        _ => 0,
    }
}

/// The stamp in an access unit whose NAL units have lengths of `nal_length_size` bytes; `None` when it has
/// none or is no access unit.
pub fn read_access_unit(sample: &[u8], nal_length_size: u8) -> Option<Stamp> {
    let mut rest = sample;
    while let Some(unit) = next_nal_unit(&mut rest, nal_length_size) {
        if let Some((header, payload)) = unit.split_first()
            && header & 0x1f == NAL_SEI
            && let Some(stamp) = read_sei(payload)
        {
            return Some(stamp);
        }
    }
    None
}

/// The stamp in front of a raw_data_block; `None` when there is none.
pub fn read_raw_data_block(sample: &[u8]) -> Option<Stamp> {
    let (&[DATA_STREAM_ALIGNED, count], mut data) = sample.split_first_chunk::<2>()? else { return None };
    if count == 255 {
        // esc_count; whatever it says, the data is long enough.
        data = data.get(1..)?;
    }
    if usize::from(count) < STAMP_BYTES {
        return None;
    }
    Stamp::from_bytes(data.first_chunk()?)
}

/// Takes the next NAL unit off the front of `rest`; `None` at the end, or where a length cannot be true.
fn next_nal_unit<'a>(rest: &mut &'a [u8], nal_length_size: u8) -> Option<&'a [u8]> {
    if !(1..=4).contains(&nal_length_size) {
        return None;
    }
    let (length, behind) = rest.split_at_checked(usize::from(nal_length_size))?;
    let unit_bytes = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    let (unit, behind) = behind.split_at_checked(unit_bytes)?;
    *rest = behind;
    Some(unit)
}

/// Looks for the stamp among the messages of an SEI NAL unit (ITU-T H.264, 7.3.2.3) behind its header.
fn read_sei(payload: &[u8]) -> Option<Stamp> {
    let mut plain = Unescaped { rest: payload.iter(), zeros: 0 };
    loop {
        let payload_type = read_sei_number(&mut plain)?;
        let mut payload_bytes = read_sei_number(&mut plain)?;
        if payload_type == SEI_USER_DATA_UNREGISTERED && payload_bytes >= STAMP_BYTES as u32 {
            let mut message = [0; STAMP_BYTES];
            for byte in &mut message {
                *byte = plain.next()?;
            }
            if let Some(stamp) = Stamp::from_bytes(&message) {
                return Some(stamp);
            }
            payload_bytes -= STAMP_BYTES as u32;
        }
        for _ in 0..payload_bytes {
            plain.next()?;
        }
    }
}

/// payloadType or payloadSize: a sum that goes on after each 0xff.
fn read_sei_number(plain: &mut Unescaped<'_>) -> Option<u32> {
    let mut sum = 0u32;
    loop {
        let byte = plain.next()?;
        sum = sum.checked_add(u32::from(byte))?;
        if byte < 0xff {
            return Some(sum);
        }
    }
}

/// The bytes of a NAL unit without emulation prevention (ITU-T H.264, 7.4.1.1).
struct Unescaped<'a> {
    rest: std::slice::Iter<'a, u8>,
    /// Zero bytes since the last that was none.
    zeros: usize,
}

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let mut byte = *self.rest.next()?;
        if self.zeros >= 2 && byte == 3 {
            self.zeros = 0;
            byte = *self.rest.next()?;
        }
        self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sei(stamp: Stamp, nal_length_size: u8) -> Vec<u8> {
        let mut out = Vec::new();
        stamp.write_sei(nal_length_size, &mut out);
        out
    }

    fn data_stream_element(stamp: Stamp) -> Vec<u8> {
        let mut out = Vec::new();
        stamp.write_data_stream_element(&mut out);
        out
    }

    #[test]
    fn golden_bytes() {
        let stamp = Stamp { sent_unix_us: 0x0006_6091_8d4e_7a00, frame: 0x107 };
        let video = [
            &b"\0\0\0\x21\x06\x05\x1cRapidRTMP-sent-1\0\x06\x60\x91\x8d\x4e\x7a\0"[..],
            b"\0\x03\0\x01\x07\x80",
        ];
        assert_eq!(sei(stamp, 4), video.concat());
        let audio = [&b"\x81\x1cRapidRTMP-sent-1\0\x06\x60\x91\x8d\x4e\x7a\0"[..], b"\0\0\x01\x07"];
        assert_eq!(data_stream_element(stamp), audio.concat());
    }

    #[test]
    fn sizes_are_those_of_the_constants() {
        let zeros = Stamp { sent_unix_us: 0, frame: 0 };
        let ones = Stamp { sent_unix_us: u64::MAX, frame: u32::MAX };
        assert_eq!((sei(zeros, 4).len(), sei(ones, 4).len()), (SEI_BYTES_MAX, SEI_BYTES));
        assert_eq!(data_stream_element(zeros).len(), DATA_STREAM_ELEMENT_BYTES);
    }

    #[test]
    fn a_stamp_goes_behind_a_delimiter_and_before_all_else() {
        for (access_unit, nal_length_size, offset) in [
            (&[0, 0, 0, 2, 9, 0xf0, 0, 0, 0, 1, 0x65][..], 4, 6),
            (&[0, 2, 9, 0xf0, 0, 1, 0x65], 2, 4),
            (&[0, 0, 0, 1, 0x65], 4, 0),
            (&[0, 0, 0, 9, 9, 0xf0], 4, 0),
            (&[0, 0, 0, 0], 4, 0),
            (&[], 4, 0),
            (&[1, 9], 0, 0),
        ] {
            assert_eq!(access_unit_insert_offset(access_unit, nal_length_size), offset, "{access_unit:?}");
        }
    }

    #[test]
    fn a_stamp_is_found_behind_other_units_and_other_messages() {
        let stamp = Stamp { sent_unix_us: 1_795_000_000_000_000, frame: 7 };
        let alone = sei(stamp, 4);
        let before = [&[0, 0, 0, 2, 9, 0xf0][..], &alone, &[0, 0, 0, 2, 0x65, 1]].concat();
        assert_eq!(read_access_unit(&before, 4), Some(stamp));
        let after = [&[0, 0, 0, 2, 0x65, 1][..], &alone].concat();
        assert_eq!(read_access_unit(&after, 4), Some(stamp));

        // One NAL unit: a recovery point, a foreign UUID of 300 bytes, then the stamp.
        let foreign = [&[6, 6, 1, 0xc4, 5, 0xff, 45][..], &[0x77; 300], &alone[5..]].concat();
        let length = (foreign.len() as u32).to_be_bytes();
        assert_eq!(read_access_unit(&[&length[..], &foreign].concat(), 4), Some(stamp));
    }

    #[test]
    fn longer_data_may_follow_an_audio_stamp() {
        let stamp = Stamp { sent_unix_us: 5, frame: 6 };
        let plain = data_stream_element(stamp);
        let padded = [&[0x81, 29][..], &plain[2..], &[0xff]].concat();
        assert_eq!(read_raw_data_block(&padded), Some(stamp));
        let escaped = [&[0x81, 255, 0][..], &plain[2..], &[0; 227]].concat();
        assert_eq!(read_raw_data_block(&escaped), Some(stamp));
        for other in [&[0x81, 27][..], &[0x80, 28], &[0x21, 0x10]] {
            assert_eq!(read_raw_data_block(&[other, &plain[2..]].concat()), None, "{other:?}");
        }
    }

    fn number_of_few_or_all_bits() -> impl Strategy<Value = u64> {
        // Masks of whole bytes: numbers full of zero bytes, where escapes are.
        (any::<u64>(), any::<u8>()).prop_map(|(number, mask)| {
            let bytes = number.to_be_bytes();
            let kept =
                std::array::from_fn(|index| if mask >> index & 1 == 1 { bytes[index] & 0x83 } else { 0 });
            if mask == 0xff { number } else { u64::from_be_bytes(kept) }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            sent_unix_us in number_of_few_or_all_bits(),
            frame in number_of_few_or_all_bits(),
            nal_length_size in 1u8..=4,
        ) {
            let stamp = Stamp { sent_unix_us, frame: (frame >> 16) as u32 };
            let video = sei(stamp, nal_length_size);
            prop_assert_eq!(read_access_unit(&video, nal_length_size), Some(stamp));
            let unit = &video[usize::from(nal_length_size)..];
            prop_assert!(!unit.windows(3).any(|three| three[..2] == [0, 0] && three[2] < 3), "{:x?}", unit);
            prop_assert!(video.len() <= SEI_BYTES_MAX);
            prop_assert_eq!(read_raw_data_block(&data_stream_element(stamp)), Some(stamp));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, nal_length_size: u8, cut in 0usize..41, at in 0usize..36, byte: u8) {
            let _ = read_access_unit(&bytes, nal_length_size);
            let _ = access_unit_insert_offset(&bytes, nal_length_size);
            let _ = read_raw_data_block(&bytes);
            let mut video = sei(Stamp { sent_unix_us: 0, frame: 0 }, 4);
            video[at] = byte;
            let _ = read_access_unit(&video[..cut], 4);
            let mut audio = data_stream_element(Stamp { sent_unix_us: 0, frame: 0 });
            audio[at % DATA_STREAM_ELEMENT_BYTES] = byte;
            let _ = read_raw_data_block(&audio[..cut.min(DATA_STREAM_ELEMENT_BYTES)]);
        }
    }
}
