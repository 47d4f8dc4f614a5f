//! The layout of a track's channels (Enhanced RTMP v2, "Enhanced Audio": MultichannelConfig).

use crate::wire::{Reader, Truncated};

/// A MultichannelConfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelLayout {
    /// How many channels there are.
    pub channels: u8,
    /// Bit n stands for speaker n of the specification's list; `None` when the order is not its own.
    pub speakers: Option<u32>,
}

/// AudioChannelOrder.
const ORDER_NATIVE: u8 = 1;

impl ChannelLayout {
    /// Parses the body of a MultichannelConfig. A custom order lists a speaker for each channel, which says
    /// nothing that is of use here.
    ///
    /// # Errors
    /// [`Truncated`] when it ends too early.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        let order = reader.u8()?;
        let channels = reader.u8()?;
        let speakers = if order == ORDER_NATIVE { Some(reader.u32()?) } else { None };
        Ok(Self { channels, speakers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_of_real_encoders_and_every_truncation() {
        let stereo = [1, 2, 0, 0, 0, 3];
        assert_eq!(ChannelLayout::parse(&stereo), Ok(ChannelLayout { channels: 2, speakers: Some(3) }));
        let surround = [1, 6, 0, 0, 0, 0x3f];
        assert_eq!(ChannelLayout::parse(&surround), Ok(ChannelLayout { channels: 6, speakers: Some(0x3f) }));
        assert_eq!(ChannelLayout::parse(&[0, 3]), Ok(ChannelLayout { channels: 3, speakers: None }));
        assert_eq!(ChannelLayout::parse(&[2, 2, 1, 0]), Ok(ChannelLayout { channels: 2, speakers: None }));
        for length in 0..stereo.len() {
            assert!(ChannelLayout::parse(&stereo[..length]).is_err(), "{length} bytes");
        }
    }
}
