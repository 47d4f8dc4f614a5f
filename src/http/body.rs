//! What follows a response head: shared slices, never copied.

use std::rc::Rc;

use bytes::Bytes;

/// A response's body. Cloning shares the bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// Contiguous.
    One(Bytes),
    /// In pieces that are sent one after the other, as a segment made of parts.
    Chain(Rc<[Bytes]>),
}

impl Body {
    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.slices().iter().map(|slice| slice.len() as u64).sum()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces, in order, for a gathering write.
    pub fn slices(&self) -> &[Bytes] {
        match self {
            Self::Empty => &[],
            Self::One(bytes) => std::slice::from_ref(bytes),
            Self::Chain(slices) => slices,
        }
    }

    /// The bytes from offset `first` to `last`, both included; what lies past the end is left out.
    /// Shares the bytes; only the list of a range over several pieces is allocated.
    pub fn range(&self, first: u64, last: u64) -> Self {
        let mut start = 0;
        let cut = self.slices().iter().filter_map(|slice| {
            let (offset, length) = (start, slice.len() as u64);
            start += length;
            let from = first.saturating_sub(offset).min(length);
            let to = last.saturating_add(1).saturating_sub(offset).min(length);
            // Both are at most the slice's length, which is a usize.
            (from < to).then(|| slice.slice(from as usize..to as usize))
        });
        let mut cut = cut.collect::<smallvec::SmallVec<[Bytes; 4]>>();
        match cut.len() {
            0 => Self::Empty,
            1 => Self::One(cut.remove(0)),
            _ => Self::Chain(Rc::from(cut.into_vec())),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::One(Bytes::from(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::One(Bytes::from(text))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::One(Bytes::from_static(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_of_a_chain_is_the_range_of_its_bytes(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..6),
            first in 0u64..40, last in 0u64..40,
        ) {
            let whole = pieces.concat();
            let chain = Body::Chain(pieces.into_iter().map(Bytes::from).collect());
            let wanted: Vec<u8> = whole.iter().enumerate()
                .filter(|(at, _)| (*at as u64) >= first && (*at as u64) <= last)
                .map(|(_, &byte)| byte).collect();
            let range = chain.range(first, last);
            prop_assert_eq!(range.len(), wanted.len() as u64);
            prop_assert_eq!(range.slices().concat(), wanted);
        }
    }
}
