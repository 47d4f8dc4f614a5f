use super::*;
use crate::codec::{CodecConfig, aac::AudioConfig};
use crate::limits::{
    PART_BUFFER_BYTES_MIN, PART_BYTES_MAX, PART_HEAD_FIXED_BYTES, PART_HEAD_SAMPLE_BYTES, PART_SAMPLES_MAX,
};
use crate::media::{Timescale, buffer_bytes};
use bytes::Bytes;
use mp4_atom::{Decode, Mdat, Moof};

fn pool() -> BufferPool {
    BufferPool::new(1 << 20)
}

fn sample(writer: &mut PartWriter, pool: &mut BufferPool, track: usize, bytes: &[u8], duration: u32) {
    writer.begin_sample(track, false, pool).unwrap();
    for piece in bytes.chunks(3) {
        writer.append(track, piece).unwrap();
    }
    writer.end_sample(track, duration, 0, true);
}

/// Decodes with a reader that is not ours; returns moof and each sample's bytes in file order.
fn decode(part: &SealedPart) -> (Moof, Vec<Vec<u8>>) {
    let mut rest = &part.bytes[..];
    let moof = Moof::decode(&mut rest).unwrap();
    let media_start = part.bytes.len() - rest.len() + 8;
    let mdat = Mdat::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    let mut samples = vec![];
    for traf in &moof.traf {
        let run = &traf.trun[0];
        let mut at = run.data_offset.unwrap() as usize - media_start;
        for entry in run.samples.iter() {
            let size = entry.size.unwrap() as usize;
            samples.push(mdat.data[at..at + size].to_vec());
            at += size;
        }
    }
    (moof, samples)
}

/// Every shape of trun: constant or changing durations, flags alike, first differing or mixed, with
/// and without composition offsets. All come back as they went in.
#[test]
fn samples_come_back_as_they_went_in_whatever_is_constant() {
    let cases: [&[(u32, i32, bool)]; 6] = [
        &[(1024, 0, true), (1024, 0, true)],
        &[(3000, 6000, true), (3000, 0, false), (3000, -3000, false)],
        &[(3000, 0, false), (3001, 0, true), (3000, 0, false)],
        &[(3000, 0, false), (3000, 0, false), (3000, 0, true)],
        &[(1, i32::MIN, true)],
        &[(u32::MAX, i32::MAX, false), (1, 0, false)],
    ];
    for samples in cases {
        let (mut writer, mut pool) = (PartWriter::new(&[7], samples.len()), pool());
        for (index, &(duration, offset, sync)) in samples.iter().enumerate() {
            writer.begin_sample(0, false, &mut pool).unwrap();
            writer.append(0, &vec![index as u8; 5 + index]).unwrap();
            writer.end_sample(0, duration, offset, sync);
        }
        let part = writer.seal(9, &[1 << 40], &mut pool).unwrap();
        let (moof, bytes) = decode(&part);
        assert_eq!(moof.mfhd.sequence_number, 9);
        let (traf, track) = (&moof.traf[0], &part.tracks[0]);
        assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, 1 << 40);
        assert!(traf.tfhd.default_base_is_moof && traf.tfhd.base_data_offset.is_none());
        for (index, entry) in traf.trun[0].samples.iter().enumerate() {
            let duration = entry.duration.or(traf.tfhd.default_sample_duration).unwrap();
            let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap();
            let offset = entry.cts.map_or(0, i64::from);
            assert_eq!((duration, offset as i32, flags == 0x0200_0000), samples[index], "{samples:?}");
            assert!(flags == 0x0200_0000 || flags == 0x0101_0000);
            assert_eq!(bytes[index], vec![index as u8; 5 + index]);
            let ours = track.samples[index];
            let at = ours.offset as usize;
            assert_eq!(&part.bytes[at..at + ours.size as usize], bytes[index]);
            assert_eq!((ours.duration, ours.composition_offset, ours.sync), samples[index]);
        }
        assert_eq!(track.duration, samples.iter().map(|sample| u64::from(sample.0)).sum::<u64>());
        assert_eq!(part.independent(), samples.iter().any(|sample| sample.2));
    }
}

#[test]
fn each_media_byte_is_copied_once_and_the_memory_comes_back() {
    let (mut writer, mut pool) = (PartWriter::new(&[1], 10), pool());
    let mut media = 0;
    for number in 0..5u32 {
        for _ in 0..10 {
            sample(&mut writer, &mut pool, 0, &[7; 1200], 3000);
            media += 1200;
        }
        let part = writer.seal(number, &[0], &mut pool).unwrap();
        let pointer = part.bytes.as_ptr_range().end;
        let shared = part.bytes.clone();
        assert!(!pool.reclaim(shared), "a viewer still holds it");
        assert!(pool.reclaim(part.bytes));
        assert_eq!(pool.idle_bytes(), PART_BUFFER_BYTES_MIN);
        writer.begin_sample(0, false, &mut pool).unwrap();
        writer.append(0, &[1; 12_000]).unwrap();
        assert!(writer.open_sample(0).unwrap().as_ptr_range().end <= pointer, "the same memory");
        writer.abort_sample(0);
        writer.clear(&mut pool);
        media += 12_000;
    }
    let counters = writer.counters();
    assert_eq!(counters, Counters { bytes_copied: media, ..Counters::default() });
}

#[test]
fn a_part_that_outgrows_what_was_learnt_grows_once_and_is_remembered() {
    let (mut writer, mut pool) = (PartWriter::new(&[1], 4), pool());
    for round in 0..3 {
        for _ in 0..4 {
            sample(&mut writer, &mut pool, 0, &[9; 10_000], 3000);
        }
        let part = writer.seal(round, &[0], &mut pool).unwrap();
        assert_eq!(decode(&part).1.concat(), vec![9; 40_000]);
        pool.reclaim(part.bytes);
        assert_eq!(writer.counters().buffers_grown, 2, "16 to 32 to 64 KiB, in the first round only");
    }
}

/// A key frame is ten times the size of the others: each kind of part takes the room that it needs.
#[test]
fn parts_without_a_key_frame_take_no_room_for_one() {
    let (mut writer, mut pool) = (PartWriter::new(&[1], 4), pool());
    for number in 0..20 {
        let key = number % 5 == 0;
        writer.begin_sample(0, key, &mut pool).unwrap();
        writer.append(0, &vec![1; if key { 100_000 } else { 10_000 }]).unwrap();
        writer.end_sample(0, 3000, 0, key);
        let part = writer.seal(number, &[0], &mut pool).unwrap();
        let idle_before = pool.idle_bytes();
        assert!(pool.reclaim(part.bytes));
        let room = if key { 128 * 1024 } else { PART_BUFFER_BYTES_MIN };
        assert_eq!(pool.idle_bytes() - idle_before, room, "part {number}");
    }
    assert_eq!(writer.counters().buffers_grown, 1, "the first key frame's");
}

#[test]
fn more_samples_than_planned_move_the_part_once() {
    let (mut writer, mut pool) = (PartWriter::new(&[1], 1), pool());
    for index in 0..200u32 {
        sample(&mut writer, &mut pool, 0, &[index as u8; 40], 1000 + index);
    }
    let part = writer.seal(1, &[5], &mut pool).unwrap();
    let (_, bytes) = decode(&part);
    assert_eq!(bytes.len(), 200);
    assert!(bytes.iter().enumerate().all(|(index, bytes)| *bytes == vec![index as u8; 40]));
    let counters = writer.counters();
    assert_eq!((counters.head_room_short, counters.bytes_copied_again), (1, 8000));
    assert!(pool.reclaim(part.bytes), "the larger buffer is of the pool's sizes too");
}

/// The constants in limits.rs against the widest head there is.
#[test]
fn head_room_is_enough_for_the_planned_samples_of_every_shape() {
    for (tracks, samples) in [(1, 1), (1, 60), (2, 2), (2, 60)] {
        let ids: Vec<u32> = (1..=tracks).collect();
        let (mut writer, mut pool) = (PartWriter::new(&ids, samples), pool());
        for index in 0..samples {
            let track = index % tracks as usize;
            writer.begin_sample(track, false, &mut pool).unwrap();
            writer.append(track, b"x").unwrap();
            // Durations, flags and offsets all differ, so each sample's entry has 16 bytes.
            writer.end_sample(track, 1 + index as u32, index as i32, index / 2 % 3 == 1);
        }
        let part = writer.seal(1, &vec![0; tracks as usize], &mut pool).unwrap();
        let head = part.bytes.len() - samples;
        assert!(head <= PART_HEAD_FIXED_BYTES * tracks as usize + PART_HEAD_SAMPLE_BYTES * samples, "{head}");
        assert_eq!(writer.counters().head_room_short, 0);
    }
}

#[test]
fn two_tracks_interleave_at_will_and_lie_one_behind_the_other() {
    let (mut writer, mut pool) = (PartWriter::new(&[1, 2], 8), pool());
    // An audio sample between the fragments of a video sample.
    writer.begin_sample(0, false, &mut pool).unwrap();
    writer.append(0, b"vi").unwrap();
    sample(&mut writer, &mut pool, 1, b"audio-1", 1024);
    writer.append(0, b"deo").unwrap();
    writer.end_sample(0, 3000, 0, true);
    sample(&mut writer, &mut pool, 1, b"audio-2", 1024);
    let part = writer.seal(1, &[3000, 1024], &mut pool).unwrap();
    let (moof, bytes) = decode(&part);
    assert_eq!(bytes, [b"video".to_vec(), b"audio-1".to_vec(), b"audio-2".to_vec()]);
    assert_eq!(moof.traf.iter().map(|traf| traf.tfhd.track_id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((writer.counters().bytes_copied, writer.counters().bytes_copied_again), (19, 14));
    // A part without one of them.
    sample(&mut writer, &mut pool, 1, b"audio-3", 1024);
    let part = writer.seal(2, &[6000, 3072], &mut pool).unwrap();
    let (moof, bytes) = decode(&part);
    assert_eq!((moof.traf.len(), bytes), (1, vec![b"audio-3".to_vec()]));
    assert_eq!((part.tracks[0].track_id, part.tracks[0].base_decode_time), (2, 3072));
}

#[test]
fn an_aborted_sample_leaves_nothing_and_an_open_one_goes_on_in_the_next_part() {
    let (mut writer, mut pool) = (PartWriter::new(&[1], 4), pool());
    assert_eq!(writer.seal(1, &[0], &mut pool), None);
    writer.begin_sample(0, false, &mut pool).unwrap();
    writer.append(0, b"broken").unwrap();
    writer.abort_sample(0);
    writer.append(0, b"the rest of it").unwrap();
    assert!(writer.is_empty() && writer.bytes() == 0);
    assert_eq!(writer.seal(1, &[0], &mut pool), None);
    sample(&mut writer, &mut pool, 0, b"whole", 3000);
    writer.begin_sample(0, false, &mut pool).unwrap();
    writer.append(0, b"begun in one ").unwrap();
    let part = writer.seal(1, &[0], &mut pool).unwrap();
    assert_eq!(decode(&part).1, [b"whole"]);
    assert!(pool.reclaim(part.bytes));
    writer.append(0, b"part, ended in the next").unwrap();
    writer.end_sample(0, 3000, 0, false);
    let part = writer.seal(2, &[3000], &mut pool).unwrap();
    assert_eq!(decode(&part).1, [b"begun in one part, ended in the next"]);
    assert_eq!(part.tracks[0].duration, 3000);
}

#[test]
fn a_part_has_bounds() {
    let (mut writer, mut pool) = (PartWriter::new(&[1], 4), pool());
    for _ in 0..PART_SAMPLES_MAX {
        sample(&mut writer, &mut pool, 0, b"x", 1);
    }
    assert!(writer.begin_sample(0, false, &mut pool).is_err());
    assert_eq!(writer.seal(1, &[0], &mut pool).unwrap().tracks[0].samples.len(), PART_SAMPLES_MAX);
    writer.begin_sample(0, false, &mut pool).unwrap();
    let mebibyte = vec![0; 1 << 20];
    for _ in 0..PART_BYTES_MAX >> 20 {
        writer.append(0, &mebibyte).unwrap();
    }
    let full = writer.append(0, b"x").unwrap_err();
    assert_eq!(full, PartFull { bytes: PART_BYTES_MAX + 1, samples: 0 });
    writer.end_sample(0, 1, 0, true);
    let part = writer.seal(2, &[0], &mut pool).unwrap();
    assert_eq!(part.tracks[0].samples[0].size as usize, PART_BYTES_MAX);
    assert!(!pool.reclaim(part.bytes), "more than may lie idle");
}

#[test]
fn the_pool_keeps_no_more_than_it_may_and_no_memory_of_others() {
    let mut pool = BufferPool::new(2 * PART_BUFFER_BYTES_MIN);
    let buffers: Vec<_> = (0..3).map(|_| pool.take(1)).collect();
    let kept: Vec<bool> = buffers.into_iter().map(|buffer| pool.put_back(buffer)).collect();
    assert_eq!((kept, pool.idle_bytes()), (vec![true, true, false], 2 * PART_BUFFER_BYTES_MIN));
    let buffer = pool.take(PART_BUFFER_BYTES_MIN);
    assert_eq!((buffer.capacity(), pool.idle_bytes()), (PART_BUFFER_BYTES_MIN, PART_BUFFER_BYTES_MIN));
    for foreign in
        [Bytes::new(), Bytes::from_static(b"x"), Bytes::from(vec![0; 100]), Bytes::from_owner([0u8; 99])]
    {
        assert!(!pool.reclaim(foreign));
    }
}

/// Learnt from a large part, room for one would be kept with each of the next ones.
#[test]
fn a_part_that_is_much_smaller_than_its_like_is_kept_in_a_buffer_of_its_own_size() {
    let (mut writer, mut pool) = (PartWriter::new(&[1], 2), pool());
    sample(&mut writer, &mut pool, 0, &vec![7; 200_000], 3000);
    let large = writer.seal(0, &[0], &mut pool).unwrap();
    assert!(pool.reclaim(large.bytes));
    let (room, copied_before) = (pool.idle_bytes(), writer.counters().bytes_copied_again);
    for number in 1..4 {
        sample(&mut writer, &mut pool, 0, &[number as u8; 20_000], 3000);
        let part = writer.seal(number, &[0], &mut pool).unwrap();
        assert_eq!(decode(&part).1.concat(), vec![number as u8; 20_000]);
        assert_eq!(pool.idle_bytes(), room, "the large one is there for the next");
        let memory_bytes = part.bytes.try_into_mut().unwrap().capacity();
        assert_eq!(memory_bytes, buffer_bytes(20_000));
    }
    assert_eq!(writer.counters().bytes_copied_again, copied_before + 60_000);
}

#[test]
fn a_trim_gives_back_what_nobody_has_needed_since_the_last_one() {
    const LARGE: usize = 4 * PART_BUFFER_BYTES_MIN;
    let mut pool = pool();
    let use_of = |pool: &mut BufferPool, bytes, count| {
        let taken: Vec<_> = (0..count).map(|_| pool.take(bytes)).collect();
        taken.into_iter().for_each(|buffer| assert!(pool.put_back(buffer)));
    };
    // Two streams, and the burst of one.
    use_of(&mut pool, LARGE, 5);
    use_of(&mut pool, PART_BUFFER_BYTES_MIN, 3);
    assert_eq!(pool.trim(), 0);
    assert_eq!(pool.idle_bytes(), 5 * LARGE + 3 * PART_BUFFER_BYTES_MIN, "all of it was just used");
    // One is left, and needs two at once.
    use_of(&mut pool, LARGE, 1);
    use_of(&mut pool, LARGE, 2);
    assert_eq!(pool.trim(), 3 * LARGE + 3 * PART_BUFFER_BYTES_MIN);
    assert_eq!(pool.idle_bytes(), 2 * LARGE);
    assert_eq!(pool.trim(), 2 * LARGE);
    assert_eq!(pool.idle_bytes(), 0);
    assert_eq!(pool.take(1).capacity(), PART_BUFFER_BYTES_MIN);
}

#[test]
fn rates_beyond_16_bits_are_left_to_the_audio_specific_config() {
    let config = CodecConfig::Aac(AudioConfig::parse(Bytes::from_static(&[0x10, 0x10])).unwrap());
    let timescale = Timescale::new(96_000).unwrap();
    let init = init_segment(&[InitTrack { track_id: 1, timescale, config: &config }]);
    let mp4a = init.windows(4).position(|window| window == b"mp4a").unwrap();
    assert_eq!(init[mp4a + 4 + 24..mp4a + 4 + 28], [0; 4]);
}
