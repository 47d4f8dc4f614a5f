//! Writing ISO BMFF boxes (ISO/IEC 14496-12, section 4.2).

use bytes::BufMut;

/// Appends a box: its size is filled in once `content` has written what is in it.
pub(super) fn boxed(out: &mut Vec<u8>, kind: &[u8; 4], content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(kind);
    content(out);
    // Boxes written here are init segments and moofs, bounded by limits.rs far below 32 bits.
    let size = u32::try_from(out.len() - start).expect("a box of less than 4 GiB");
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends a full box: version and flags come first.
pub(super) fn full_boxed(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    content: impl FnOnce(&mut Vec<u8>),
) {
    debug_assert!(flags < 1 << 24);
    boxed(out, kind, |out| {
        out.put_u32(u32::from(version) << 24 | flags);
        content(out);
    });
}
