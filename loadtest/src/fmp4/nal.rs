//! NAL units of a sample: whether they fill it, and whether it is an IDR picture (ISO/IEC 14496-15, 5.2 and 5.3;
//! ITU-T H.264, 7.3.1).

const NAL_IDR: u8 = 5;
const NAL_SLICE: u8 = 1;

/// What the NAL units of an access unit say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct AccessUnit {
    /// It has a slice of an IDR picture.
    pub has_idr: bool,
    /// It has a slice of another picture.
    pub has_other_slice: bool,
}

/// Reads the types of all NAL units; an error says why they do not fill the sample.
pub(super) fn read_access_unit(sample: &[u8], nal_length_size: u8) -> Result<AccessUnit, String> {
    let mut found = AccessUnit::default();
    each_nal_unit(sample, nal_length_size, |header| match header & 0x1f {
        NAL_IDR => found.has_idr = true,
        NAL_SLICE..NAL_IDR => found.has_other_slice = true,
        _ => {}
    })?;
    Ok(found)
}

/// Calls back with the first byte of each NAL unit; an error says why they do not fill the sample.
pub(super) fn each_nal_unit(
    sample: &[u8],
    nal_length_size: u8,
    mut visit: impl FnMut(u8),
) -> Result<(), String> {
    let mut rest = sample;
    while !rest.is_empty() {
        let Some((length, behind)) = rest.split_at_checked(usize::from(nal_length_size)) else {
            return Err(format!("{} bytes are left; a length has {nal_length_size}", rest.len()));
        };
        let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        let Some((unit, behind)) = behind.split_at_checked(length) else {
            return Err(format!("a NAL unit of {length} bytes where {} are left", behind.len()));
        };
        let Some(&header) = unit.first() else {
            return Err("a NAL unit of 0 bytes; it has 1 at least".to_owned());
        };
        visit(header);
        rest = behind;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units_that_fill_the_sample_and_no_others() {
        let idr = AccessUnit { has_idr: true, has_other_slice: false };
        let other = AccessUnit { has_idr: false, has_other_slice: true };
        for (sample, length_size, expected) in [
            (&[0, 0, 0, 1, 0x65][..], 4, Some(idr)),
            (&[0, 0, 0, 2, 0x09, 0xf0, 0, 0, 0, 1, 0x25], 4, Some(idr)),
            (&[0, 1, 0x41], 2, Some(other)),
            (&[1, 0x06], 1, Some(AccessUnit::default())),
            (&[], 4, Some(AccessUnit::default())),
            (&[0, 0, 0], 4, None),
            (&[0, 0, 0, 2, 0x65], 4, None),
            (&[0, 0, 0, 1, 0x65, 9], 4, None),
            (&[0, 0, 0, 0], 4, None),
            (&[0xff, 0xff, 0xff, 0xff, 0x65], 4, None),
        ] {
            assert_eq!(read_access_unit(sample, length_size).ok(), expected, "{sample:?}");
        }
    }
}
