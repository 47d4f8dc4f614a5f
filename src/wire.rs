//! Big-endian reader over borrowed bytes: the byte order of RTMP, FLV, AMF0 and ISO BMFF.
//!
//! Reading past the end is an error that says where and how much was missing; nothing panics.
//! Writing needs no type of its own: `bytes::BufMut` and `Vec<u8>` do it.

/// A read past the end of what was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes wanted at offset {offset}, {left} left")]
pub struct Truncated {
    /// Where the read began, from the start of the slice.
    pub offset: usize,
    /// Bytes that the read wanted.
    pub wanted: usize,
    /// Bytes that were left.
    pub left: usize,
}

/// A cursor over borrowed bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes read so far; never more than the slice holds.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// True when everything was read.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// What has not been read, without reading it.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Truncated`] when fewer are left; the reader then stays where it was.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let Some(taken) = self.rest().get(..count) else {
            return Err(Truncated { offset: self.offset, wanted: count, left: self.remaining() });
        };
        self.offset += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// An unsigned byte. Fails with [`Truncated`] at the end, as all that follow.
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        Ok(self.array::<1>()?[0])
    }

    /// 16 bits, unsigned.
    pub fn u16(&mut self) -> Result<u16, Truncated> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// 24 bits, unsigned.
    pub fn u24(&mut self) -> Result<u32, Truncated> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    /// 24 bits, two's complement.
    pub fn i24(&mut self) -> Result<i32, Truncated> {
        let [a, b, c] = self.array()?;
        Ok(i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    /// 32 bits, unsigned.
    pub fn u32(&mut self) -> Result<u32, Truncated> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// 64 bits, unsigned.
    pub fn u64(&mut self) -> Result<u64, Truncated> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// An IEEE 754 double.
    pub fn f64(&mut self) -> Result<f64, Truncated> {
        Ok(f64::from_be_bytes(self.array()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_network_order_and_keeps_signs() {
        let bytes = [0x01, 0x02, 0x03, 0xff, 0xff, 0xfe, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x07];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u24(), Ok(0x01_02_03));
        assert_eq!(reader.i24(), Ok(-2));
        assert_eq!(reader.u16(), Ok(1));
        assert_eq!(reader.u32(), Ok(0));
        assert_eq!(reader.rest(), [7]);
        assert_eq!(reader.u8(), Ok(7));
        assert!(reader.is_empty());
    }

    #[test]
    fn a_read_past_the_end_says_where_and_moves_nothing() {
        let mut reader = Reader::new(&[1, 2]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Err(Truncated { offset: 1, wanted: 2, left: 1 }));
        assert_eq!(reader.u8(), Ok(2));
    }
}
