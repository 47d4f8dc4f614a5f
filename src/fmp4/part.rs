//! Writes parts: samples behind head room as they arrive, moof in front of them at the end.

use super::moof::{Sample, SealedTrack, write_head};
use super::pool::BufferPool;
use crate::limits::{PART_BYTES_MAX, PART_HEAD_FIXED_BYTES, PART_HEAD_SAMPLE_BYTES, PART_SAMPLES_MAX};
use crate::media;
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

/// Writes one rendition's parts, one after the other.
///
/// The first track's samples stand in the part's own buffer from the start. A second track's (muxed
/// output) are collected aside and appended behind them when the part is sealed, so that a track's
/// samples are contiguous: those few bytes are copied twice.
#[derive(Debug)]
pub struct PartWriter {
    tracks: SmallVec<[Track; 2]>,
    /// Most samples a part is expected to hold, all tracks together.
    samples_planned: usize,
    /// Scratch for the head, kept for its memory.
    head: Vec<u8>,
    counters: Counters,
}

/// A part is full: [`PART_BYTES_MAX`] or [`PART_SAMPLES_MAX`] is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a part of {bytes} bytes and {samples} samples is full: \
     {PART_BYTES_MAX} bytes and {PART_SAMPLES_MAX} samples a track are allowed"
)]
pub struct PartFull {
    /// Bytes of the part, with what was to be added.
    pub bytes: usize,
    /// Samples of the track.
    pub samples: usize,
}

/// What writing parts has cost, in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Media bytes appended: the one copy of each.
    pub bytes_copied: u64,
    /// Bytes copied once more: a second track's, those of a sample carried into the next part, of
    /// a buffer that grew, of a part whose head room fell short.
    pub bytes_copied_again: u64,
    /// Buffers that were too small and grew.
    pub buffers_grown: u64,
    /// Parts with more samples than planned.
    pub head_room_short: u64,
}

/// A finished part, in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPart {
    /// moof and mdat.
    pub bytes: Bytes,
    /// Those tracks that have samples in it, in the writer's order.
    pub tracks: SmallVec<[SealedTrack; 2]>,
}

impl SealedPart {
    /// True when the writer's first track, or its only one here, holds a sync sample: INDEPENDENT=YES.
    pub fn independent(&self) -> bool {
        self.tracks.first().is_some_and(|track| track.samples.iter().any(|sample| sample.sync))
    }
}

#[derive(Debug)]
struct Track {
    track_id: u32,
    /// Head room (first track only), ended samples, then the open sample. Without memory until
    /// there is a sample.
    buffer: BytesMut,
    /// Bytes of head room at the front of `buffer`.
    head_room: usize,
    /// Ended samples; their offsets count from the end of the head room.
    samples: Vec<Sample>,
    /// Where the open sample begins in `buffer`.
    open: Option<usize>,
    duration: u64,
    /// The open sample is a key frame, and so was the first of the part.
    open_key: bool,
    key_first: bool,
    /// Bytes that recent parts needed, of those that begin with a key frame and of the others, which are a fraction
    /// of them; falls slowly, so that one small part costs no growth.
    learnt_bytes: LearntBytes,
}

#[derive(Debug, Default, Clone, Copy)]
struct LearntBytes {
    key_first: usize,
    others: usize,
}

impl PartWriter {
    /// A writer for one track, or two that share parts, by their ids in the init segment. The order
    /// is that of the `track` argument of the other calls.
    pub fn new(track_ids: &[u32], samples_planned: usize) -> Self {
        debug_assert!((1..=2).contains(&track_ids.len()));
        let track = |&track_id: &u32| Track {
            track_id,
            buffer: BytesMut::new(),
            head_room: 0,
            samples: Vec::new(),
            open: None,
            duration: 0,
            open_key: false,
            key_first: false,
            learnt_bytes: LearntBytes::default(),
        };
        Self {
            tracks: track_ids.iter().map(track).collect(),
            samples_planned: samples_planned.min(PART_SAMPLES_MAX),
            head: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Parts will hold other numbers of samples from the next one on.
    pub fn plan_samples(&mut self, samples_planned: usize) {
        self.samples_planned = samples_planned.min(PART_SAMPLES_MAX);
    }

    /// Begins a sample, `key` when it is announced as a key frame, which tells how much room the part will take.
    /// One that was open is dropped: its end was never told.
    ///
    /// # Errors
    /// [`PartFull`] when the track has [`PART_SAMPLES_MAX`] samples: seal first.
    pub fn begin_sample(&mut self, track: usize, key: bool, pool: &mut BufferPool) -> Result<(), PartFull> {
        self.abort_sample(track);
        let bytes = self.bytes();
        let head_room = if track == 0 { self.planned_head_room() } else { 0 };
        let track = &mut self.tracks[track];
        if track.samples.len() >= PART_SAMPLES_MAX {
            return Err(PartFull { bytes, samples: track.samples.len() });
        }
        track.open_key = key;
        if track.buffer.capacity() == 0 {
            track.prepare(head_room, pool);
        }
        track.open = Some(track.buffer.len());
        Ok(())
    }

    /// Appends bytes to the open sample: the one copy of each media byte. Without an open sample
    /// they are dropped, as the rest of a sample that was aborted is.
    ///
    /// # Errors
    /// [`PartFull`] when the part would exceed [`PART_BYTES_MAX`]; nothing was appended then.
    pub fn append(&mut self, track: usize, bytes: &[u8]) -> Result<(), PartFull> {
        let total = self.bytes() + bytes.len();
        let track = &mut self.tracks[track];
        if track.open.is_none() {
            return Ok(());
        }
        if total > PART_BYTES_MAX {
            return Err(PartFull { bytes: total, samples: track.samples.len() });
        }
        track.make_room(bytes.len(), &mut self.counters);
        track.buffer.extend_from_slice(bytes);
        self.counters.bytes_copied += bytes.len() as u64;
        Ok(())
    }

    /// The bytes of the open sample so far.
    pub fn open_sample(&self, track: usize) -> Option<&[u8]> {
        let track = &self.tracks[track];
        track.open.map(|start| &track.buffer[start..])
    }

    /// Ends the open sample: `duration` (more than 0) and `composition_offset` are ticks of the
    /// track's timescale; `sync` when decoding can start here. Nothing happens without one.
    pub fn end_sample(&mut self, track: usize, duration: u32, composition_offset: i32, sync: bool) {
        debug_assert!(duration > 0);
        let track = &mut self.tracks[track];
        let Some(start) = track.open.take() else { return };
        // PART_BYTES_MAX keeps both within 32 bits.
        let offset = (start - track.head_room) as u32;
        let size = (track.buffer.len() - start) as u32;
        track.samples.push(Sample { offset, size, duration, composition_offset, sync });
        track.duration += u64::from(duration);
    }

    /// Lengthens the newest ended sample of the part, so that the next one begins where it ends.
    pub fn stretch_last_sample(&mut self, track: usize, by: u32) {
        let track = &mut self.tracks[track];
        if let Some(sample) = track.samples.last_mut() {
            sample.duration += by;
            track.duration += u64::from(by);
        }
    }

    /// Drops the open sample; nothing of it stays.
    pub fn abort_sample(&mut self, track: usize) {
        let track = &mut self.tracks[track];
        if let Some(start) = track.open.take() {
            track.buffer.truncate(start);
        }
    }

    /// Samples that have ended.
    pub fn samples_count(&self, track: usize) -> usize {
        self.tracks[track].samples.len()
    }

    /// Sum of the durations of samples that have ended, ticks.
    pub fn duration(&self, track: usize) -> u64 {
        self.tracks[track].duration
    }

    /// Media bytes collected, open samples included.
    pub fn bytes(&self) -> usize {
        self.tracks.iter().map(|track| track.buffer.len() - track.head_room).sum()
    }

    /// True when no sample has ended.
    pub fn is_empty(&self) -> bool {
        self.tracks.iter().all(|track| track.samples.is_empty())
    }

    /// What writing has cost so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Drops all that is collected, open samples too.
    pub fn clear(&mut self, pool: &mut BufferPool) {
        for track in &mut self.tracks {
            pool.put_back(track.reset());
        }
    }

    /// Finishes the part: `sequence` is mfhd's, `base_decode_times` the decode time of each track's
    /// first sample in ticks. `None` when no sample has ended. A sample that is still open is carried
    /// into the next part.
    pub fn seal(
        &mut self,
        sequence: u32,
        base_decode_times: &[u64],
        pool: &mut BufferPool,
    ) -> Option<SealedPart> {
        debug_assert_eq!(base_decode_times.len(), self.tracks.len());
        if self.is_empty() {
            return None;
        }
        let carried: SmallVec<[Option<Bytes>; 2]> = self.tracks.iter_mut().map(Track::split_open).collect();
        let mut sealed: SmallVec<[SealedTrack; 2]> = SmallVec::new();
        let mut first_bytes = 0;
        for (index, (track, &base_decode_time)) in self.tracks.iter_mut().zip(base_decode_times).enumerate() {
            let media_bytes = track.buffer.len() - track.head_room;
            for sample in &mut track.samples {
                sample.offset += first_bytes as u32;
            }
            if index == 0 {
                first_bytes = media_bytes;
            }
            if !track.samples.is_empty() {
                let capacity = track.samples.len();
                let samples = std::mem::replace(&mut track.samples, Vec::with_capacity(capacity));
                let duration = track.duration;
                sealed.push(SealedTrack { track_id: track.track_id, base_decode_time, duration, samples });
            }
        }
        let media_bytes = self.bytes();
        let mut head = std::mem::take(&mut self.head);
        write_head(&mut head, sequence, &mut sealed, media_bytes);
        let bytes = self.join(&head, media_bytes, pool);
        self.head = head;
        for (index, open) in carried.into_iter().enumerate() {
            if let Some(open) = open {
                self.carry(index, &open, pool);
            }
        }
        Some(SealedPart { bytes, tracks: sealed })
    }

    /// Head, first track, second track as one piece.
    fn join(&mut self, head: &[u8], media_bytes: usize, pool: &mut BufferPool) -> Bytes {
        let planned = self.planned_head_room();
        let (first, others) = self.tracks.split_first_mut().expect("a writer has a track");
        first.learn(first.head_room.max(planned) + media_bytes);
        if first.buffer.capacity() == 0 {
            first.prepare(planned, pool);
        }
        if first.head_room < head.len() {
            // More samples than planned: move them once, behind enough room.
            self.counters.head_room_short += 1;
            self.counters.bytes_copied_again += (first.buffer.len() - first.head_room) as u64;
            let mut roomier = pool.take(room_bytes(head.len(), media_bytes));
            roomier.resize(head.len(), 0);
            roomier.extend_from_slice(&first.buffer[first.head_room..]);
            let cramped = std::mem::replace(&mut first.buffer, roomier);
            pool.put_back(cramped);
            first.head_room = head.len();
        }
        for other in others {
            let media = other.buffer.len();
            other.learn(media);
            first.make_room(media, &mut self.counters);
            first.buffer.extend_from_slice(&other.buffer);
            self.counters.bytes_copied_again += media as u64;
            pool.put_back(other.reset());
        }
        let head_room = first.head_room;
        let mut buffer = first.reset();
        let fitting_bytes = media::buffer_bytes(head.len() + media_bytes);
        if buffer.capacity() > 2 * fitting_bytes {
            // Its like were much larger: what is kept takes the memory that it counts for, or twice as much.
            self.counters.bytes_copied_again += media_bytes as u64;
            let mut fitting = pool.take(fitting_bytes);
            fitting.extend_from_slice(head);
            fitting.extend_from_slice(&buffer[head_room..]);
            pool.put_back(buffer);
            return fitting.freeze();
        }
        let start = head_room - head.len();
        buffer[start..start + head.len()].copy_from_slice(head);
        debug_assert_eq!(buffer.len() - start, head.len() + media_bytes);
        buffer.freeze().slice(start..)
    }

    /// Begins the next part with the bytes of a sample that was open when the last one was sealed.
    fn carry(&mut self, track: usize, open: &[u8], pool: &mut BufferPool) {
        let head_room = if track == 0 { self.planned_head_room() } else { 0 };
        let track = &mut self.tracks[track];
        track.prepare(head_room, pool);
        track.open = Some(track.buffer.len());
        track.make_room(open.len(), &mut self.counters);
        track.buffer.extend_from_slice(open);
        // Once out of the sealed part, once into this one.
        self.counters.bytes_copied_again += 2 * open.len() as u64;
    }

    /// Bytes that the head of a part takes with as many samples as planned, and two to spare.
    fn planned_head_room(&self) -> usize {
        PART_HEAD_FIXED_BYTES * self.tracks.len() + PART_HEAD_SAMPLE_BYTES * (self.samples_planned + 2)
    }
}

impl Track {
    /// Takes memory for a part of the size that was learnt.
    fn prepare(&mut self, head_room: usize, pool: &mut BufferPool) {
        self.key_first = self.open_key;
        let learnt_bytes = *self.learnt_bytes();
        self.buffer = pool.take(room_bytes(head_room, learnt_bytes.saturating_sub(head_room)));
        self.buffer.resize(head_room, 0);
        self.head_room = head_room;
    }

    /// Room for `bytes` more. Growth keeps to the pool's sizes.
    fn make_room(&mut self, bytes: usize, counters: &mut Counters) {
        let wanted = self.buffer.len() + bytes;
        if wanted > self.buffer.capacity() {
            let mut larger = BytesMut::with_capacity(media::buffer_bytes(wanted));
            larger.extend_from_slice(&self.buffer);
            counters.buffers_grown += 1;
            counters.bytes_copied_again += (self.buffer.len() - self.head_room) as u64;
            self.buffer = larger;
        }
    }

    /// Cuts the open sample off the buffer. It is copied, so that the buffer stays in one hand.
    fn split_open(&mut self) -> Option<Bytes> {
        let start = self.open.take()?;
        let open = Bytes::copy_from_slice(&self.buffer[start..]);
        self.buffer.truncate(start);
        Some(open)
    }

    fn learnt_bytes(&mut self) -> &mut usize {
        if self.key_first { &mut self.learnt_bytes.key_first } else { &mut self.learnt_bytes.others }
    }

    fn learn(&mut self, bytes: usize) {
        let learnt_bytes = self.learnt_bytes();
        *learnt_bytes = bytes.max(*learnt_bytes - *learnt_bytes / 8);
    }

    /// Back to having no sample and no memory; returns the memory.
    fn reset(&mut self) -> BytesMut {
        self.samples.clear();
        self.open = None;
        self.duration = 0;
        self.head_room = 0;
        std::mem::take(&mut self.buffer)
    }
}

/// Bytes of a buffer for head room and media. Head room stays below half of it, which lets the pool
/// recognise the buffer by what is behind the unused head room.
fn room_bytes(head_room: usize, media_bytes: usize) -> usize {
    (head_room + media_bytes).max(2 * head_room + 1)
}
