//! Bit reader with exp-Golomb codes (ISO/IEC 14496-10, section 9.1), for parameter sets and
//! AudioSpecificConfig.

/// A read past the last bit, or an exp-Golomb code of more than 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bits wanted at bit {offset}, {left} left")]
pub struct OutOfBits {
    /// Bit at which the read began.
    pub offset: usize,
    /// Bits that the read wanted.
    pub wanted: u32,
    /// Bits that were left.
    pub left: usize,
}

/// A cursor over bits, the most significant of each byte first.
#[derive(Debug, Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far; never more than the slice holds.
    offset: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() * 8 - self.offset
    }

    /// The next `count` bits, at most 32.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, OutOfBits> {
        debug_assert!(count <= 32);
        if self.remaining() < count as usize {
            return Err(self.out_of_bits(count));
        }
        let mut value = 0u64;
        for _ in 0..count {
            let bit = self.bytes[self.offset / 8] >> (7 - self.offset % 8) & 1;
            value = value << 1 | u64::from(bit);
            self.offset += 1;
        }
        Ok(value as u32)
    }

    /// The next `count` bits, at most 8.
    pub(crate) fn small(&mut self, count: u32) -> Result<u8, OutOfBits> {
        debug_assert!(count <= 8);
        Ok(self.bits(count)? as u8)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, OutOfBits> {
        Ok(self.bits(1)? == 1)
    }

    pub(crate) fn skip(&mut self, count: u32) -> Result<(), OutOfBits> {
        if self.remaining() < count as usize {
            return Err(self.out_of_bits(count));
        }
        self.offset += count as usize;
        Ok(())
    }

    /// ue(v). A code has at most 31 leading zeros here, so that the value fits 32 bits.
    pub(crate) fn ue(&mut self) -> Result<u32, OutOfBits> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return Err(self.out_of_bits(33));
            }
        }
        Ok(((1u64 << zeros) - 1) as u32 + self.bits(zeros)?)
    }

    /// se(v).
    pub(crate) fn se(&mut self) -> Result<i64, OutOfBits> {
        let code = i64::from(self.ue()?);
        Ok(if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) })
    }

    fn out_of_bits(&self, wanted: u32) -> OutOfBits {
        OutOfBits { offset: self.offset, wanted, left: self.remaining() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_of_the_standards_table() {
        // 9.1, table 9-2: 1, 010, 011, 00100, 00101 are 0, 1, 2, 3, 4.
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!((0..5).map(|_| bits.ue().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        // table 9-3: codes 1, 2, 3, 4 are 1, -1, 2, -2.
        let mut bits = BitReader::new(&[0b0100_1100, 0b1000_0101]);
        assert_eq!((0..4).map(|_| bits.se().unwrap()).collect::<Vec<_>>(), [1, -1, 2, -2]);
    }

    #[test]
    fn the_longest_code_fits_and_a_longer_one_is_refused() {
        let longest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe];
        assert_eq!(BitReader::new(&longest).ue(), Ok(u32::MAX - 1));
        assert!(BitReader::new(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]).ue().is_err());
        assert!(BitReader::new(&[0, 0]).ue().is_err());
        assert!(BitReader::new(&[1]).bits(9).is_err());
    }
}
