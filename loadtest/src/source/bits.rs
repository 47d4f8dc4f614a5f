//! Bits, the most significant of each byte first, with the exp-Golomb codes of ITU-T H.264, section 9.1.

/// Appends bits to bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits still free in the last byte, 0 to 7.
    free: u32,
}

impl BitWriter {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Bits written so far.
    pub(super) fn bits_count(&self) -> usize {
        self.bytes.len() * 8 - self.free as usize
    }

    /// The lowest `count` bits of `value`, at most 32.
    pub(super) fn bits(&mut self, value: u32, count: u32) {
        debug_assert!(count == 32 || u64::from(value) < 1 << count);
        for shift in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> shift & 1) as u8) << self.free;
            }
        }
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.bits(u32::from(value), 1);
    }

    /// ue(v) of a value below 2^31.
    pub(super) fn ue(&mut self, value: u32) {
        debug_assert!(value < 1 << 31);
        let code = value + 1;
        let length = 32 - code.leading_zeros();
        self.bits(0, length - 1);
        self.bits(code, length);
    }

    /// se(v) of a value of at most 30 bits.
    pub(super) fn se(&mut self, value: i32) {
        let twice = value.unsigned_abs() * 2;
        self.ue(if value > 0 { twice - 1 } else { twice });
    }

    /// Zero bits up to the next byte.
    pub(super) fn align(&mut self) {
        self.free = 0;
    }

    /// Whole bytes; the writer must be aligned.
    pub(super) fn aligned_bytes(&mut self, count: usize, byte: u8) {
        debug_assert_eq!(self.free, 0);
        self.bytes.resize(self.bytes.len() + count, byte);
    }

    /// rbsp_trailing_bits, then the bytes.
    pub(super) fn into_rbsp(mut self) -> Vec<u8> {
        self.flag(true);
        self.bytes
    }

    /// The bytes, the last filled up with zero bits.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A read past the last bit, or an exp-Golomb code of more than 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfBits;

/// A cursor over bits.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far; never more than the slice holds.
    offset: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// The next `count` bits, at most 32.
    pub(super) fn bits(&mut self, count: u32) -> Result<u32, OutOfBits> {
        debug_assert!(count <= 32);
        let mut value = 0u64;
        for _ in 0..count {
            let byte = self.bytes.get(self.offset / 8).ok_or(OutOfBits)?;
            value = value << 1 | u64::from(byte >> (7 - self.offset % 8) & 1);
            self.offset += 1;
        }
        Ok(value as u32)
    }

    /// The next `count` bits, at most 8.
    pub(super) fn small(&mut self, count: u32) -> Result<u8, OutOfBits> {
        debug_assert!(count <= 8);
        Ok(self.bits(count)? as u8)
    }

    pub(super) fn flag(&mut self) -> Result<bool, OutOfBits> {
        Ok(self.bits(1)? == 1)
    }

    /// ue(v). A code has at most 31 leading zeros here, so that the value fits 32 bits.
    pub(super) fn ue(&mut self) -> Result<u32, OutOfBits> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return Err(OutOfBits);
            }
        }
        Ok(((1u64 << zeros) - 1) as u32 + self.bits(zeros)?)
    }

    /// se(v).
    pub(super) fn se(&mut self) -> Result<i64, OutOfBits> {
        let code = i64::from(self.ue()?);
        Ok(if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_of_the_standards_tables() {
        // Table 9-2: 1, 010, 011, 00100, 00101 are 0, 1, 2, 3, 4; table 9-3: they are 0, 1, -1, 2, -2.
        let mut unsigned = BitWriter::new();
        (0..5).for_each(|value| unsigned.ue(value));
        assert_eq!(
            (unsigned.bits_count(), &unsigned.bytes[..]),
            (17, &[0b1010_0110, 0b0100_0010, 0b1000_0000][..])
        );
        let mut signed = BitWriter::new();
        [0, 1, -1, 2, -2].into_iter().for_each(|value| signed.se(value));
        assert_eq!(signed.bytes, unsigned.bytes);
    }

    #[test]
    fn what_is_written_is_read() {
        let values = [0, 1, 2, 6, 7, 254, 255, 65_534, (1 << 31) - 1];
        let mut writer = BitWriter::new();
        writer.bits(u32::MAX, 32);
        for value in values {
            writer.ue(value);
            writer.se(-(value as i32 >> 2));
            writer.flag(true);
        }
        let bytes = writer.into_rbsp();
        let mut reader = BitReader::new(&bytes);
        assert_eq!(reader.bits(32), Ok(u32::MAX));
        for value in values {
            assert_eq!(reader.ue(), Ok(value));
            assert_eq!(reader.se(), Ok(-i64::from(value >> 2)));
            assert_eq!(reader.flag(), Ok(true));
        }
        assert_eq!(reader.flag(), Ok(true), "the trailing bit");
    }

    #[test]
    fn alignment_leaves_zeros_behind() {
        let mut writer = BitWriter::new();
        writer.bits(0b101, 3);
        writer.align();
        writer.align();
        writer.aligned_bytes(2, 0xab);
        writer.flag(true);
        assert_eq!(writer.into_bytes(), [0b1010_0000, 0xab, 0xab, 0x80]);
    }

    #[test]
    fn reads_past_the_end_and_codes_too_long_are_refused() {
        assert_eq!(BitReader::new(&[0, 0]).ue(), Err(OutOfBits));
        assert_eq!(BitReader::new(&[1]).bits(9), Err(OutOfBits));
        assert_eq!(BitReader::new(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]).ue(), Err(OutOfBits));
        assert_eq!(BitReader::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe]).ue(), Ok(u32::MAX - 1));
    }
}
