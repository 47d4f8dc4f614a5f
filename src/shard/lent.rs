//! Media that is out of retention and that slow viewers still hold: it is counted, and nobody is waited for who holds
//! too much of it.

use bytes::Bytes;

use crate::fmp4::BufferPool;
use crate::media::buffer_bytes;

/// The pieces of the streams of one shard.
#[derive(Debug, Default)]
pub struct Lent {
    pieces: Vec<Bytes>,
    bytes: u64,
}

impl Lent {
    /// Adds pieces that are held by others.
    pub fn add(&mut self, pieces: Vec<Bytes>) {
        self.bytes += pieces.iter().map(memory_bytes).sum::<u64>();
        self.pieces.extend(pieces);
    }

    /// Gives the memory of those that nobody holds any more to the pool; the bytes of memory that the others take.
    pub fn sweep(&mut self, pool: &mut BufferPool) -> u64 {
        for piece in self.pieces.extract_if(.., |piece| piece.is_unique()) {
            self.bytes -= memory_bytes(&piece);
            pool.reclaim(piece);
        }
        if self.pieces.is_empty() {
            self.pieces = Vec::new();
        }
        self.bytes
    }
}

fn memory_bytes(piece: &Bytes) -> u64 {
    buffer_bytes(piece.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PART_BUFFER_BYTES_MIN;

    #[test]
    fn a_piece_counts_until_the_last_viewer_lets_go_of_it() {
        const EACH: u64 = PART_BUFFER_BYTES_MIN as u64;
        let (mut lent, mut pool) = (Lent::default(), BufferPool::new(1 << 20));
        let pieces: Vec<Bytes> = (1..4).map(|byte| Bytes::from(vec![byte; 1000])).collect();
        let mut viewers =
            vec![pieces[0].clone(), Bytes::from_owner(pieces[1].clone()), pieces[0].slice(7..9)];
        lent.add(pieces);
        assert_eq!(lent.sweep(&mut pool), 2 * EACH);
        viewers.truncate(2);
        assert_eq!(lent.sweep(&mut pool), 2 * EACH);
        viewers.remove(0);
        assert_eq!(lent.sweep(&mut pool), EACH);
        viewers.clear();
        assert_eq!(lent.sweep(&mut pool), 0);
        assert!(lent.pieces.is_empty());
    }
}
