//! The messages of supplemental enhancement information; H.264 and HEVC write them alike (ISO/IEC 14496-10,
//! section 7.3.2.3.1; 23008-2, section 7.3.5).

/// The messages of an SEI, header and emulation prevention removed: payloadType and payload, which is cut when
/// the bytes end within it.
pub(super) fn messages(rest: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = rest;
    std::iter::from_fn(move || {
        // Two bytes are the least a message has; rbsp_trailing_bits alone are one.
        if rest.len() <= 2 {
            return None;
        }
        let payload_type = extended(&mut rest)?;
        let size = extended(&mut rest)? as usize;
        let (payload, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        Some((payload_type, payload))
    })
}

/// A number written as a run of 255s and a last byte.
fn extended(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    loop {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value += u32::from(byte);
        if byte != 255 {
            return Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_follow_one_another_and_the_last_may_be_cut() {
        let mut sei = vec![1, 2, 7, 8, 255, 255, 5, 255, 1];
        sei.extend([9; 256]);
        let whole: Vec<(u32, &[u8])> = messages(&sei).collect();
        assert_eq!(whole, [(1, &[7, 8][..]), (515, &[9; 256])]);
        sei.truncate(20);
        assert_eq!(messages(&sei).last(), Some((515, &[9; 11][..])));
        assert_eq!(messages(&[255, 255, 255]).count(), 0);
        assert_eq!(messages(&[0x80]).count(), 0);
    }
}
