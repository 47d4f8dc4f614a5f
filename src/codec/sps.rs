//! Why sequence parameter sets are refused, of H.264 and H.265 alike.

use super::bits::OutOfBits;

/// Why a sequence parameter set was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpsError {
    /// It ends too early, or holds a number of more than 32 bits.
    #[error("SPS: {0}")]
    Bits(#[from] OutOfBits),
    /// Not an SPS.
    #[error("SPS: NAL unit of type {found}")]
    NalType {
        /// nal_unit_type found; 0 for none.
        found: u8,
    },
    /// A field is outside its range.
    #[error("SPS: {field} is {found}, at most {allowed} is allowed")]
    Range {
        /// The standard's name of the field.
        field: &'static str,
        /// Value found.
        found: u32,
        /// Largest value allowed.
        allowed: u32,
    },
    /// Cropping leaves no picture.
    #[error("SPS: cropping leaves nothing of {width}x{height}")]
    Cropping {
        /// Coded width.
        width: u32,
        /// Coded height.
        height: u32,
    },
}
