//! What writing a part costs: ten video samples of 5 kB, in fragments of 4,096 bytes as OBS sends
//! them, sealed and given back to the pool.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rapidrtmp::fmp4::{BufferPool, PartWriter};
use rapidrtmp::limits::PART_POOL_IDLE_BYTES_MAX;
use std::hint::black_box;

const SAMPLES: usize = 10;
const SAMPLE_BYTES: usize = 5_000;
const FRAGMENT_BYTES: usize = 4_096;

fn write_part(c: &mut Criterion) {
    let frame = vec![0x41; SAMPLE_BYTES];
    let mut pool = BufferPool::new(PART_POOL_IDLE_BYTES_MAX);
    let mut writer = PartWriter::new(&[1], SAMPLES);
    let mut group = c.benchmark_group("parts");
    group.throughput(Throughput::Bytes((SAMPLES * SAMPLE_BYTES) as u64));
    group.bench_function("10 samples of 5 kB", |b| {
        let mut sequence = 0;
        b.iter(|| {
            for index in 0..SAMPLES {
                writer.begin_sample(0, false, &mut pool).expect("room");
                for fragment in black_box(&frame).chunks(FRAGMENT_BYTES) {
                    writer.append(0, fragment).expect("room");
                }
                writer.end_sample(0, 3000, 3000 * (index as i32 % 3), index == 0);
            }
            sequence += 1;
            let part = writer.seal(sequence, &[u64::from(sequence) * 30_000], &mut pool).expect("samples");
            pool.reclaim(black_box(part.bytes))
        });
    });
    group.finish();
}

criterion_group!(benches, write_part);
criterion_main!(benches);
