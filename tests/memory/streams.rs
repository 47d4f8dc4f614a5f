//! Streams of the largest frames there are, of parts that suit the buffers least, and of as many parts as there may be.

use crate::rtmp_publisher::RtmpPublisher;
use crate::{MIB, RETAINED_BYTES_MAX, is_pressed, machine, memory, metric, start};
use std::time::{Duration, Instant};

/// Publishes pictures of these sizes in turn as fast as they are taken, until the server has enough; how long it took.
fn publish(publisher: &mut RtmpPublisher, picture_bytes: &[usize], for_time: Duration) -> Option<Duration> {
    let began = Instant::now();
    let mut at = Duration::ZERO;
    for bytes in picture_bytes.iter().cycle() {
        publisher.picture_bytes = *bytes;
        at += Duration::from_millis(34);
        let sent = publisher.send_until(at).and_then(|()| match began.elapsed() < at {
            true => publisher.exchange(),
            false => Ok(()),
        });
        if sent.is_err() {
            return Some(began.elapsed());
        }
        if at > for_time {
            return None;
        }
    }
    None
}

#[test]
fn the_largest_pictures_fill_what_a_stream_may_keep_and_then_it_ends() {
    let _machine = machine();
    let (server, bounds) = start("", Vec::new());
    let before = memory(&server, "VmRSS");
    let mut publisher = RtmpPublisher::connect(server.rtmp(), "large", None).expect("anyone may publish");
    // 200 MB a second: the frames of the learning, and then two parts, are more than may be kept.
    let refused = publish(&mut publisher, &[7 * MIB as usize], Duration::from_secs(20));
    assert!(refused.is_some() && server.log().contains("lower the bit rate"), "{}", server.log());
    // While that is kept nobody adds to it.
    for _ in 0..3 {
        assert!(RtmpPublisher::connect(server.rtmp(), "large", None).is_err(), "{}", server.log());
    }
    assert!(metric(&server, "refused_total", "reason=\"retained_bytes\"") == 3.0, "{}", server.log());
    is_pressed(
        &server,
        "stream of the largest pictures",
        1,
        before,
        bounds.stream + bounds.shard,
        RETAINED_BYTES_MAX,
    );
}

/// A large picture now and then has the next parts written into buffers of its size.
#[test]
fn parts_of_very_different_sizes_take_no_more_memory_than_they_count_for() {
    let _machine = machine();
    let (server, bounds) = start("", Vec::new());
    let before = memory(&server, "VmRSS");
    let mut publisher = RtmpPublisher::connect(server.rtmp(), "uneven", None).expect("anyone may publish");
    // Six pictures a part: one part of 400 kB, then seven of 4 kB.
    let mut sizes = vec![400_000];
    sizes.resize(48, 700);
    assert!(publish(&mut publisher, &sizes, Duration::from_secs(25)).is_none(), "{}", server.log());
    let counted = metric(&server, "bytes_stored", "") as u64;
    let idle = metric(&server, "pool_idle_bytes", "") as u64;
    let resident = memory(&server, "VmRSS").saturating_sub(before);
    eprintln!("{counted} bytes counted, {idle} idle, {resident} resident");
    assert!(
        counted > MIB && resident < 2 * counted + idle + 8 * MIB,
        "{counted} and {idle}, {resident} resident"
    );
    is_pressed(&server, "uneven stream", 1, before, bounds.stream + bounds.shard, MIB);
}
