//! Bytes a second through the chunk reader, at the chunk sizes of librtmp, OBS and ffmpeg.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rapidrtmp::rtmp::chunk::{ChunkEvent, ChunkReader, ChunkWriter};
use rapidrtmp::rtmp::{MessageHeader, message_type};

/// A second of 6 Mbit/s video at 30 fps and of 47 audio frames, read in pieces of 64 KiB.
fn one_second(chunk_bytes: u32) -> Vec<u8> {
    let (mut writer, mut bytes) = (ChunkWriter::new(), Vec::new());
    writer.set_chunk_bytes(&mut bytes, chunk_bytes);
    let (video, audio) = (vec![0x5a; 25_000], vec![0xa5; 340]);
    for frame in 0..30 {
        let header = |timestamp_ms, type_id| MessageHeader {
            timestamp_ms,
            type_id,
            message_stream: 1,
            message_bytes: 0,
        };
        writer.write(&mut bytes, 6, header(frame * 33, message_type::VIDEO), &[&video]);
        for half in 0..=frame % 2 {
            writer.write(&mut bytes, 4, header(frame * 33 + half * 21, message_type::AUDIO), &[&audio]);
        }
    }
    bytes
}

fn read(bytes: &[u8]) -> usize {
    let mut reader = ChunkReader::new();
    let mut payload_bytes = 0;
    for piece in bytes.chunks(64 * 1024) {
        let mut input = piece;
        while let Some(event) = reader.poll(&mut input).expect("chunks of our own writer") {
            if let ChunkEvent::Fragment(fragment) = event {
                payload_bytes += fragment.payload.len();
            }
        }
    }
    payload_bytes
}

fn chunks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunks");
    for chunk_bytes in [128, 4096, 60_000] {
        let bytes = one_second(chunk_bytes);
        assert!(read(&bytes) > 30 * 25_000);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::new("read", chunk_bytes), &bytes, |bencher, bytes| {
            bencher.iter(|| read(black_box(bytes)));
        });
        group.bench_with_input(
            BenchmarkId::new("write", chunk_bytes),
            &chunk_bytes,
            |bencher, chunk_bytes| {
                bencher.iter(|| one_second(black_box(*chunk_bytes)));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, chunks);
criterion_main!(benches);
