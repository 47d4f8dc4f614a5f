//! How many frames of a peer ask for an answer and bring nothing, told from the heads of its frames alone
//! (RFC 9113, section 4.1): a PING is acknowledged, and so are SETTINGS.

/// The client's preface stands before its frames (section 3.4).
const PREFACE_BYTES: u32 = 24;
const HEAD_BYTES: usize = 9;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

/// Follows what h2 reads.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    /// Of the head that is being read; never all of it.
    head_bytes: usize,
    /// Still to come of the preface, or of a frame behind its head.
    left_bytes: u32,
    asking_count: u64,
}

impl Default for Frames {
    fn default() -> Self {
        Self { head: [0; HEAD_BYTES], head_bytes: 0, left_bytes: PREFACE_BYTES, asking_count: 0 }
    }
}

impl Frames {
    /// PING and SETTINGS frames so far, acknowledgements of ours included.
    pub(super) fn asking_count(&self) -> u64 {
        self.asking_count
    }

    /// What comes next, however it was cut.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left_bytes > 0 {
                let count = bytes.len().min(self.left_bytes as usize);
                self.left_bytes -= count as u32;
                bytes = &bytes[count..];
                continue;
            }
            let count = bytes.len().min(HEAD_BYTES - self.head_bytes);
            self.head[self.head_bytes..][..count].copy_from_slice(&bytes[..count]);
            self.head_bytes += count;
            bytes = &bytes[count..];
            if self.head_bytes == HEAD_BYTES {
                self.head_bytes = 0;
                let [a, b, c, kind, ..] = self.head;
                self.left_bytes = u32::from_be_bytes([0, a, b, c]);
                self.asking_count += u64::from(matches!(kind, SETTINGS | PING));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_however_they_are_cut_and_whatever_is_in_them() {
        let frame = |kind: u8, payload: &[u8]| {
            let length = (payload.len() as u32).to_be_bytes();
            [&length[1..], &[kind, 0, 0, 0, 0, 0], payload].concat()
        };
        let bytes = [
            vec![b'P'; PREFACE_BYTES as usize],
            frame(SETTINGS, &[]),
            frame(0, &frame(PING, &[0; 8]).repeat(1000)),
            frame(PING, &[4; 8]),
            frame(1, &[6; 300]),
            frame(SETTINGS, &[6; 6]),
        ]
        .concat();
        for piece_bytes in [1, 2, 7, 8, 9, 10, 100, bytes.len()] {
            let mut frames = Frames::default();
            bytes.chunks(piece_bytes).for_each(|piece| frames.read(piece));
            assert_eq!((frames.asking_count(), frames.left_bytes, frames.head_bytes), (3, 0, 0));
        }
    }
}
