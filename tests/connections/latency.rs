//! What the server says of its own latency: a stream is published and watched, and its histograms are sane.

use crate::support::http::Client;
use crate::support::poll_until;
use crate::{NOISE, Stage, get, media, next_part};
use std::time::Duration;

/// Enough for the kernel to spread them over both shards.
const VIEWERS_COUNT: usize = 16;
const ROUNDS: usize = 10;
/// A landing is told of when the next ones need its place, or 2 s later.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// One histogram of one shard.
#[derive(Debug)]
struct Histogram {
    /// Upper bound in seconds, and how many were not above it.
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: f64,
}

impl Histogram {
    fn read(client: &mut Client, name: &str, shard: usize) -> Self {
        let text = get(client, "/metrics").text();
        let label = format!("shard=\"{shard}\"");
        let values = |suffix: &str| {
            let start = format!("rapidrtmp_{name}_seconds_{suffix}{{");
            let lines: Vec<_> =
                text.lines().filter(|line| line.starts_with(&start) && line.contains(&label)).collect();
            lines.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let value = |line: &String| -> f64 { line.rsplit(' ').next().unwrap().parse().unwrap() };
        let bound = |line: &String| -> f64 {
            let text = line.split("le=\"").nth(1).unwrap().split('"').next().unwrap();
            if text == "+Inf" { f64::INFINITY } else { text.parse().unwrap() }
        };
        Self {
            buckets: values("bucket").iter().map(|line| (bound(line), value(line))).collect(),
            sum: values("sum").iter().map(value).sum(),
            count: values("count").iter().map(value).sum(),
        }
    }

    fn assert_sane(&self, what: &str) {
        assert!(self.count > 0.0, "{what}: {self:?}");
        assert!(self.buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{what}: {self:?}");
        let (last_bound, all) = self.buckets.last().copied().unwrap();
        assert_eq!((last_bound, all), (f64::INFINITY, self.count), "{what}");
        // A part waits for nobody longer than the machine may be kept busy.
        assert!((0.0..NOISE.as_secs_f64()).contains(&self.mean()), "{what}: {self:?}");
    }

    fn mean(&self) -> f64 {
        self.sum / self.count
    }
}

#[test]
fn frames_parts_viewers_and_events_are_timed_on_every_shard() {
    for shards_count in [1, 2] {
        let stage = Stage::start(shards_count);
        let path = stage.video();
        let mut clients: Vec<_> = (0..VIEWERS_COUNT).map(|_| stage.server.client()).collect();
        let mut held = media(&get(&mut clients[0], path));
        for _ in 0..ROUNDS {
            let target = next_part(path, &held);
            clients.iter_mut().for_each(|client| client.send("GET", &target, &[], &[]).unwrap());
            for client in &mut clients {
                held = media(&client.receive(NOISE).unwrap());
            }
        }
        let mut client = stage.server.client();
        for shard in 0..shards_count {
            let told = poll_until(TOLD_WITHIN, || {
                let [first, last] = ["part_to_first_viewer", "part_to_last_viewer"]
                    .map(|name| Histogram::read(&mut client, name, shard));
                (last.count == first.count && last.count >= ROUNDS as f64 / 2.0).then_some((first, last))
            });
            let (first, last) = told.expect("every landing is told of");
            first.assert_sane("first");
            last.assert_sane("last");
            assert!(first.mean() <= last.mean(), "{first:?} {last:?}");
        }
        // Each on the shards that it happens on, and on no other.
        let read = |client: &mut Client, name| -> Vec<_> {
            (0..shards_count).map(|shard| Histogram::read(client, name, shard)).collect()
        };
        let mut frames = read(&mut client, "frame_to_part");
        frames.retain(|of_shard| of_shard.count > 0.0);
        let [home] = &frames[..] else { panic!("one shard is home: {frames:?}") };
        home.assert_sane("frame to part");
        let mut events = read(&mut client, "event_delivery");
        events.retain(|of_shard| of_shard.count > 0.0);
        assert_eq!(events.len(), shards_count - 1, "{events:?}");
        events.iter().for_each(|of_shard| of_shard.assert_sane("event delivery"));
    }
}
