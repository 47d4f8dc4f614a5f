//! One request head in and one response head out: what every reload and every part costs a shard.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rapidrtmp::http::{
    Body, Cache, ETag, Encoding, HttpDate, Response, Version, content_type, parse, write_head,
};

const BROWSER: &[u8] = b"GET /live/demo/0f3k9q2c00-2-334/v.m3u8?_HLS_msn=12345678&_HLS_part=3&_HLS_skip=YES HTTP/1.1\r\n\
    Host: media.example.org:8080\r\n\
    Connection: keep-alive\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: */*\r\n\
    Origin: https://player.example.org\r\n\
    Sec-Fetch-Site: cross-site\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Referer: https://player.example.org/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\r\n";
const SIMULATOR: &[u8] =
    b"GET /live/demo/0f3k9q2c00/v-1234567.m4s HTTP/1.1\r\nHost: media.example.org:8080\r\n\r\n";

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("http_head");
    for (name, head) in [("parse_browser", BROWSER), ("parse_simulator", SIMULATOR)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |b| b.iter(|| black_box(parse(black_box(head)))));
    }

    let playlist = Response {
        etag: Some(ETag(0x0123_4567_89ab_cdef)),
        encoding: Encoding::Gzip,
        varies: true,
        urgency: Some(1),
        ..Response::ok(content_type::PLAYLIST, Cache::MaxAge(12), Body::One(Bytes::from_static(&[0; 900])))
    };
    let date = HttpDate::from_unix_s(1_795_000_000);
    let mut out = Vec::with_capacity(1024);
    write_head(&mut out, &playlist, Version::Http11, &date, true);
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function("write_playlist_head", |b| {
        b.iter(|| {
            out.clear();
            write_head(&mut out, black_box(&playlist), Version::Http11, &date, true);
            black_box(&out);
        });
    });
    group.finish();
}

criterion_group!(benches, heads);
criterion_main!(benches);
