//! Streams that begin, stall, return, change and end (assertions 32, 33, 44, 51, 71 to 74, 76, 78).

use crate::reload::{next, parsed};
use crate::report::Report;
use crate::support::http::{Client, Response, resolve};
use crate::support::playlist::{Media, Violation, Watcher};
use crate::support::publisher::{Playable, Source, wait_until_playable};
use crate::support::server::{ADMIN_KEY, Server};
use crate::{NOISE, PLAYABLE_WITHIN, Target, observer};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// 71: polls from before the publisher comes until there is a playlist.
pub fn begin(target: &Target, report: &Report, publish: impl FnOnce()) -> Playable {
    let mut client = target.client();
    let first = get(&mut client, &target.path);
    let evidence = format!("before anyone publishes: {}", first.status);
    report.expect(71, first.status == 404 && first.is_no_store(), evidence);
    report.expect(60, first.header("access-control-allow-origin").is_some(), "CORS on 404 of no stream");
    publish();
    let began = Instant::now();
    while began.elapsed() < PLAYABLE_WITHIN {
        let response = get(&mut client, &target.path);
        if response.status == 200 {
            let playable = wait_until_playable(&target.http, &target.path, Duration::ZERO);
            for path in &playable.media_paths {
                let media = parsed(&get(&mut client, path));
                let evidence =
                    format!("first playlist after {:?}: {} segments", began.elapsed(), media.segments.len());
                report.expect(71, !media.segments.is_empty(), evidence);
            }
            return playable;
        }
        report.expect(71, response.status == 404, format!("while starting: {}", response.status));
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} is not playable; {}", target.path, target.log());
}

/// 32, 51, 73: a publisher that is killed, and returns after a pause shorter than the grace.
pub fn killed_and_back(server: &Server, report: &Report) {
    let source = Source::default();
    let url = server.publish_url("killed");
    let mut publisher = source.publish(&url);
    let playable =
        wait_until_playable(&server.http().to_string(), "/live/killed/index.m3u8", PLAYABLE_WITHIN);
    let path = playable.media_paths[0].clone();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(server, &path, &stop));
        std::thread::sleep(Duration::from_secs(1));
        publisher.kill();
        // Everything that came is listed within this time.
        std::thread::sleep(Duration::from_millis(600));
        let mut client = server.client();
        let frozen = parsed(&get(&mut client, &path));
        let patience = Duration::from_secs(frozen.target_duration_s * 3);
        let (msn, part) = next(&frozen);
        let waits = [
            (32, format!("{path}?_HLS_msn={msn}&_HLS_part={part}")),
            (32, format!("{path}?_HLS_msn={msn}")),
            (51, resolve(&path, frozen.hinted_part().unwrap_or_default())),
        ];
        let mut waiting: Vec<Client> = waits.iter().map(|_| server.client()).collect();
        for (client, (_, target)) in waiting.iter_mut().zip(&waits) {
            client.send("GET", target, &[], &[]).unwrap_or_else(|error| panic!("{target}: {error}"));
        }
        for (client, (assertion, target)) in waiting.iter_mut().zip(&waits) {
            match client.receive(patience + Duration::from_secs(3)) {
                Ok(response) => {
                    let waited = response.waited();
                    let evidence = format!("{target}: {} after {waited:?}", response.status);
                    let half = Duration::from_millis(500);
                    let in_time = waited + half >= patience && waited <= patience + half + NOISE;
                    let holds = response.status == 503 && response.is_no_store() && in_time;
                    report.expect(*assertion, holds, evidence);
                    report.expect(55, response.is_no_store(), "503 is not stored");
                    report.expect(
                        60,
                        response.header("access-control-allow-origin").is_some(),
                        "CORS on 503",
                    );
                }
                Err(error) => report.expect(*assertion, false, format!("{target}: {error}")),
            }
        }
        returned(server, report, &path, &source, &frozen);
        stop.store(true, Ordering::Relaxed);
        let violations = watching.join().expect("the watcher's thread");
        report.checked(&[19, 74], &violations, "over a publisher's return");
    });
}

/// The second half of 73.
fn returned(server: &Server, report: &Report, path: &str, source: &Source, frozen: &Media) {
    let _publisher = source.publish(&server.publish_url("killed"));
    let mut client = server.client();
    let last = frozen.last_complete().unwrap_or(0);
    let within = Duration::from_secs(20);
    let back = crate::support::poll_until(within, || {
        let response = get(&mut client, path);
        let media = (response.status == 200).then(|| parsed(&response))?;
        (media.last_complete() > frozen.last_complete()).then_some(media)
    });
    let Some(back) = back else {
        return report.expect(73, false, format!("nothing after segment {last} of the same playlist"));
    };
    let first = back.segments.iter().find(|segment| segment.media_sequence == last + 1);
    let discontinuous = first.is_some_and(|segment| segment.discontinuity);
    let evidence = format!("segment {} of the same playlist, discontinuity {discontinuous}", last + 1);
    report.expect(73, first.is_some() && discontinuous && !back.ended, evidence);
    // The tag slides out of the window.
    let within = Duration::from_secs(back.target_duration_s * 7 + 15);
    let slid = crate::support::poll_until(within, || {
        let media = parsed(&get(&mut client, path));
        (media.media_sequence > last + 1).then_some(media)
    });
    let before = back.discontinuity_sequence.unwrap_or(0);
    let after = slid.and_then(|media| media.discontinuity_sequence);
    let evidence = format!("DISCONTINUITY-SEQUENCE {before}, {after:?} once the tag has left");
    report.expect(73, after == Some(before + 1), evidence);
}

/// 33, 44, 51, 72: a stop by the API.
pub fn stopped(server: &Server, report: &Report) {
    let mut publisher = Source::default().publish(&server.publish_url("stopped"));
    let playable =
        wait_until_playable(&server.http().to_string(), "/live/stopped/index.m3u8", PLAYABLE_WITHIN);
    let mut client = server.client();
    let mut waiting: Vec<(Client, String)> = Vec::new();
    for path in &playable.media_paths {
        let media = parsed(&get(&mut client, path));
        let last = media.last_complete().unwrap_or(0);
        waiting.push((server.client(), format!("{path}?_HLS_msn={}", last + 2)));
    }
    for (client, target) in &mut waiting {
        client.send("GET", target, &[], &[]).unwrap_or_else(|error| panic!("{target}: {error}"));
    }
    let key = format!("Bearer {ADMIN_KEY}");
    let refused = client.request("POST", "/api/v1/streams/stopped/stop", &[], &[]);
    report.expect(72, refused.is_ok_and(|response| response.status == 401), "no stop without the admin key");
    let stopped_at = Instant::now();
    let stopped = client.request("POST", "/api/v1/streams/stopped/stop", &[("Authorization", &key)], &[]);
    let status = stopped.map(|response| response.status);
    report.expect(72, matches!(status, Ok(200..=204)), format!("the stop was answered with {status:?}"));
    for (client, target) in &mut waiting {
        let answer = client.receive(Duration::from_secs(5));
        let after = stopped_at.elapsed();
        let ended = answer.is_ok_and(|response| response.status == 200 && parsed(&response).ended);
        let evidence = format!("{target} answered after {after:?}, with ENDLIST {ended}");
        report.expect(72, ended && after <= Duration::from_millis(100) + NOISE, evidence);
    }
    for path in &playable.media_paths {
        ended(&mut client, report, path);
    }
    let gone = publisher.wait(Duration::from_secs(5));
    report.expect(72, gone.is_some(), "the publisher was told to go");
    withdrawn_in_the_end(&mut client, report, &playable.media_paths[0], stopped_at);
}

fn ended(client: &mut Client, report: &Report, path: &str) {
    let media = parsed(&get(client, path));
    let holds = media.ended && media.hints.is_empty() && media.open.is_none();
    report.expect(72, holds, format!("ENDLIST {}, {} hints", media.ended, media.hints.len()));
    let last = media.last_complete().unwrap_or(0);
    for query in
        [format!("_HLS_msn={}", last + 2), format!("_HLS_msn={}", last + 50), "_HLS_part=3".to_owned()]
    {
        let response = get(client, &format!("{path}?{query}"));
        let evidence = format!("{query}: {} after {:?}", response.status, response.waited());
        let at_once = response.waited() <= Duration::from_millis(50) + NOISE;
        report.expect(33, response.status == 200 && at_once && parsed(&response).ended, evidence);
    }
    let response = parsed(&get(client, &format!("{path}?_HLS_skip=YES")));
    report.expect(44, response.skip.is_none() && response.ended, "a full playlist after ENDLIST");
    let next = media.parts().last().map(|(_, _, part)| part.uri.clone());
    if let Some(uri) = next {
        let path = crate::delivery::raised(&resolve(path, &uri), 1);
        let response = get(client, &path);
        let evidence = format!("the part after the last: {} after {:?}", response.status, response.waited());
        report.expect(
            51,
            response.status == 404 && response.waited() <= Duration::from_millis(50) + NOISE,
            evidence,
        );
    }
}

/// Segments stay for the duration of the playlist, then everything answers 404.
fn withdrawn_in_the_end(client: &mut Client, report: &Report, path: &str, stopped_at: Instant) {
    let media = parsed(&get(client, path));
    let stays = media.complete_duration();
    let newest = media.segments.last().and_then(|segment| segment.uri.clone()).unwrap_or_default();
    let newest = resolve(path, &newest);
    while stopped_at.elapsed() + Duration::from_millis(500) < stays {
        let status = get(client, &newest).status;
        if status != 200 {
            let evidence = format!("newest segment {status} {:?} after the stop", stopped_at.elapsed());
            return report.expect(72, false, evidence);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    report.expect(72, true, format!("the newest segment stayed for {stays:?}"));
    let patience = stays + Duration::from_secs(media.target_duration_s * 8);
    let gone = crate::support::poll_until(patience, || {
        (get(client, &newest).status == 404 && get(client, path).status == 404).then(|| stopped_at.elapsed())
    });
    report.expect(72, gone.is_some(), format!("404 after {gone:?}"));
}

/// 76: one-second GOPs, and from the eighth second on one GOP of five seconds after another.
pub fn long_gop(server: &Server, report: &Report) {
    let source = Source {
        gop_frames: 9999,
        audio: false,
        extra: [
            "-force_key_frames",
            "expr:if(lt(t,8),gte(t,n_forced),gte(t,8+(n_forced-8)*5))",
            // Without x264's own account of its settings the server has to learn.
            "-bsf:v",
            "filter_units=remove_types=6",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Source::default()
    };
    let seen = play(server, "longgop", &source, Duration::from_secs(20));
    let seen = &seen[0];
    report.checked(
        &[4, 5, 19, 76],
        &relabelled(&seen.violations, &[4, 5, 9, 12], 76),
        "a GOP of 5 s after GOPs of 1 s",
    );
    report.expect(76, seen.closed_at.len() >= 5, format!("{} segments closed", seen.closed_at.len()));
    let cuts = server.metric("rapidrtmp_repairs_total", "kind=\"forced_cut\"");
    report.expect(76, cuts.is_some_and(|cuts| cuts > 0.0), format!("{cuts:?} forced cuts counted"));
    let log = server.log();
    let said = log.lines().filter(|line| line.contains("live/longgop") && line.contains("keyframe interval"));
    report.expect(76, said.count() == 1, "the log says once what to change in the encoder");
}

/// 78: one track alone.
pub fn one_track(server: &Server, report: &Report) {
    for (key, video) in [("videoonly", true), ("audioonly", false)] {
        let source = Source { video, audio: !video, ..Source::default() };
        let seen = play(server, key, &source, Duration::from_secs(6));
        report.expect(78, seen.len() == 1, format!("{key}: {} renditions", seen.len()));
        for rendition in &seen {
            let violations = relabelled(&rendition.violations, &[], 78);
            report.checked(&[78], &violations, key);
            let evidence =
                format!("{key}: {} parts, failures {:?}", rendition.parts.len(), rendition.fetch_failures);
            report.expect(78, rendition.parts.len() > 5 && rendition.fetch_failures.is_empty(), evidence);
        }
    }
}

/// 74: the numbers of the new process are above those of the old one.
pub fn restarted(server: &mut Server, report: &Report) {
    let numbers = |server: &Server| {
        let _publisher = Source::default().publish(&server.publish_url("restarted"));
        let http = server.http().to_string();
        let playable = wait_until_playable(&http, "/live/restarted/index.m3u8", PLAYABLE_WITHIN);
        let media = parsed(&get(&mut server.client(), &playable.media_paths[0]));
        (media.last_complete(), media.discontinuity_sequence)
    };
    let before = numbers(server);
    server.restart();
    let after = numbers(server);
    let evidence = format!("(last segment, discontinuity) {before:?} before, {after:?} after");
    report.expect(74, after.0 > before.0 && after.1 >= before.1, evidence);
}

/// Publishes, and observes every rendition for a time.
fn play(server: &Server, key: &str, source: &Source, observed: Duration) -> Vec<observer::Seen> {
    let _publisher = source.publish(&server.publish_url(key));
    playing(server, key, observed)
}

/// Observes every rendition of a stream for a time, from when it plays.
pub fn playing(server: &Server, key: &str, observed: Duration) -> Vec<observer::Seen> {
    let path = format!("/live/{key}/index.m3u8");
    let target = Target::at(server.http().to_string(), path.clone());
    let playable = wait_until_playable(&target.http, &path, PLAYABLE_WITHIN);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let observers: Vec<_> = playable
            .media_paths
            .iter()
            .map(|path| scope.spawn(|| observer::observe(&target, path, &stop)))
            .collect();
        std::thread::sleep(observed);
        stop.store(true, Ordering::Relaxed);
        observers.into_iter().map(|observer| observer.join().expect("an observer's thread")).collect()
    })
}

/// Polls a playlist while its stream comes and goes.
fn watch(server: &Server, path: &str, stop: &AtomicBool) -> Vec<Violation> {
    let mut watcher = Watcher::new();
    let mut client = server.client();
    let mut found = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let response = get(&mut client, path);
        if response.status == 200 {
            found.extend(watcher.see(&response.text()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    found.dedup();
    found
}

/// The violations of some assertions (all, if none is named), under another number.
pub fn relabelled(violations: &[Violation], of: &[u8], assertion: u8) -> Vec<Violation> {
    let chosen = violations.iter().filter(|violation| of.is_empty() || of.contains(&violation.assertion));
    chosen.map(|violation| Violation { assertion, text: violation.to_string() }).collect()
}

fn get(client: &mut Client, target: &str) -> Response {
    client.get(target).unwrap_or_else(|error| panic!("{target}: {error}"))
}
