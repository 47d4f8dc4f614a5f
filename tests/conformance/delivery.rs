//! HTTP: caching, encodings, CORS, ranges, hinted parts (assertions 1, 14, 18, 49, 50, 52, 55 to 57, 60, 61).

use crate::reload::{is_held, parsed};
use crate::report::Report;
use crate::support::http::{Client, Response, resolve};
use crate::support::playlist::{Stage, check_media, check_renditions};
use crate::{NOISE, Target};
use std::time::Duration;

pub fn run(target: &Target, report: &Report, paths: &[String]) {
    let mut client = target.client();
    for path in paths {
        form(&mut client, report, path);
        caching(&mut client, report, path);
        gzip(&mut client, report, path);
    }
    renditions(&mut client, report, paths);
    let Some(path) = paths.first() else { return };
    hinted(target, report, path);
    unknown(&mut client, report, path);
    cors(&mut client, report, path);
    ranges(&mut client, report, path);
}

/// Once the window is full.
pub fn steady(target: &Target, report: &Report, paths: &[String]) {
    let mut client = target.client();
    for path in paths {
        let media = parsed(&get(&mut client, path));
        let evidence =
            format!("{} segments, {:?} in the window", media.segments.len(), media.complete_duration());
        report.checked(&[18], &check_media(&media, Stage::Steady), &evidence);
    }
}

fn get(client: &mut Client, target: &str) -> Response {
    client.get(target).unwrap_or_else(|error| panic!("{target}: {error}"))
}

fn form(client: &mut Client, report: &Report, path: &str) {
    let response = get(client, path);
    let kind = response.header("content-type").unwrap_or_default();
    let kinds = ["application/vnd.apple.mpegurl", "audio/mpegurl"];
    report.expect(1, kinds.contains(&kind), format!("content type {kind}"));
    let begins = response.body.starts_with(b"#EXTM3U\n") || response.body.starts_with(b"#EXTM3U\r\n");
    report.expect(1, begins && String::from_utf8(response.body).is_ok(), "begins with #EXTM3U, UTF-8");
    let media = parsed(&get(client, path));
    let violations = check_media(&media, Stage::WarmUp);
    report.checked(&[16], &violations, &format!("discontinuity sequence {:?}", media.discontinuity_sequence));
}

/// 14: the playlists of one presentation, asked for right after one another.
fn renditions(client: &mut Client, report: &Report, paths: &[String]) {
    for _ in 0..5 {
        let playlists: Vec<_> = paths.iter().map(|path| parsed(&get(client, path))).collect();
        let names: Vec<&str> = paths.iter().map(|path| path.rsplit('/').next().unwrap_or_default()).collect();
        let pairs: Vec<_> = names.into_iter().zip(&playlists).collect();
        let evidence = format!("{} renditions", pairs.len());
        report.checked(&[5, 14], &check_renditions(&pairs), &evidence);
    }
}

fn caching(client: &mut Client, report: &Report, path: &str) {
    let plain = get(client, path);
    let media = parsed(&plain);
    let target = media.target_duration_s;
    let (msn, part) = media.last_part().unwrap_or_default();
    let directed = get(client, &format!("{path}?_HLS_msn={msn}&_HLS_part={part}"));
    let age = |response: &Response| response.header("cache-control").unwrap_or("none").to_owned();
    let is_short = plain
        .max_age_s()
        .map_or(plain.is_no_store() || age(&plain).contains("no-cache"), |age| age <= target.div_ceil(2));
    report.expect(55, is_short, format!("plain playlist: {}", age(&plain)));
    report.expect(
        55,
        directed.max_age_s() == Some(6 * target),
        format!("directed playlist: {}", age(&directed)),
    );
    let newest = media.parts().last().map(|(_, _, part)| part.uri.clone()).unwrap_or_default();
    let segment = media.segments.last().and_then(|segment| segment.uri.clone()).unwrap_or_default();
    let map =
        media.all_segments().find_map(|segment| segment.map.clone()).map(|map| map.uri).unwrap_or_default();
    for uri in [newest, segment, map] {
        let response = get(client, &resolve(path, &uri));
        report.expect(55, response.max_age_s() >= Some(6 * target), format!("{uri}: {}", age(&response)));
        report.expect(56, response.header("age").is_none(), "no Age on media");
    }
    let missing = get(client, &resolve(path, "no-such-thing.m4s"));
    let short = missing.is_no_store() || missing.max_age_s().is_some_and(|age| age <= target);
    report.expect(55, missing.status == 404 && short, format!("404: {}", age(&missing)));
    report.expect(
        56,
        plain.header("age").is_none() && directed.header("age").is_none(),
        "no Age on playlists",
    );
}

fn gzip(client: &mut Client, report: &Report, path: &str) {
    let (msn, part) = crate::reload::next(&parsed(&get(client, path)));
    for target in [path.to_owned(), format!("{path}?_HLS_msn={msn}&_HLS_part={part}")] {
        for (accepted, zipped) in [("gzip, deflate, br", true), ("identity", false), ("gzip;q=0", false)] {
            let response = client.request("GET", &target, &[("Accept-Encoding", accepted)], &[]);
            let response = response.unwrap_or_else(|error| panic!("{target}: {error}"));
            let is_zipped = response.header("content-encoding") == Some("gzip");
            let varies = response
                .header("vary")
                .is_some_and(|vary| vary.to_ascii_lowercase().contains("accept-encoding"));
            let sound = response.status == 200 && response.text().starts_with("#EXTM3U");
            let evidence =
                format!("{accepted}: zipped {is_zipped}, varies {varies}, status {}", response.status);
            report.expect(57, is_zipped == zipped && varies && sound, evidence);
        }
    }
}

/// 49, 52: over a few parts.
fn hinted(target: &Target, report: &Report, path: &str) {
    let mut client = target.client();
    let mut waiting = target.client();
    for _ in 0..4 {
        let (msn, part) = crate::reload::next(&parsed(&get(&mut client, path)));
        let media = parsed(&get(&mut client, &format!("{path}?_HLS_msn={msn}&_HLS_part={part}")));
        let Some(hint) = media.hinted_part().map(|uri| resolve(path, uri)) else {
            return report.expect(49, false, "no hint");
        };
        let sent = waiting.send("GET", &hint, &[], &[]);
        sent.unwrap_or_else(|error| panic!("{hint}: {error}"));
        let is_held = is_held(&mut waiting, Duration::from_millis(40));
        let response = match waiting.receive(media.part_target.unwrap_or_default() * 3) {
            Ok(response) => response,
            Err(error) => return report.expect(49, false, format!("{hint}: {error}")),
        };
        let transfer = response.complete_at - response.first_byte_at;
        let whole = response.header("content-length") == Some(response.body.len().to_string().as_str());
        let evidence =
            format!("held {is_held}, {} bytes in {transfer:?}, length stated {whole}", response.body.len());
        let quick = transfer <= Duration::from_millis(50) + NOISE;
        report.expect(
            49,
            response.status == 200 && is_held && whole && quick && !response.body.is_empty(),
            evidence,
        );
        let (msn, part) = crate::reload::next(&media);
        let later = parsed(&get(&mut client, &format!("{path}?_HLS_msn={msn}&_HLS_part={part}")));
        let listed = later.parts().any(|(_, _, part)| resolve(path, &part.uri) == hint);
        let again = get(&mut client, &hint);
        let same = again.body == response.body && again.header("etag") == response.header("etag");
        report.expect(52, listed && same, format!("{hint}: listed {listed}, the same bytes {same}"));
    }
}

fn unknown(client: &mut Client, report: &Report, path: &str) {
    let media = parsed(&get(client, path));
    let hint = media.hinted_part().map(|uri| resolve(path, uri)).unwrap_or_default();
    let beyond = raised(&hint, 3);
    for target in [
        beyond,
        resolve(path, "nothing.m4s"),
        resolve(path, "nothing.m3u8"),
        "/live/nobody/index.m3u8".to_owned(),
        "/..%2f..%2fetc/passwd".to_owned(),
    ] {
        let response = get(client, &target);
        let evidence = format!("{target}: {} after {:?}", response.status, response.waited());
        let at_once = response.waited() <= Duration::from_millis(50) + NOISE;
        report.expect(50, matches!(response.status, 400 | 404) && at_once, evidence);
    }
}

/// The path with the number before its extension raised.
pub fn raised(path: &str, by: u64) -> String {
    let (stem, extension) = path.rsplit_once('.').unwrap_or((path, ""));
    let name = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: u64 = stem[name.len()..].parse().unwrap_or(0);
    format!("{name}{}.{extension}", number + by)
}

fn cors(client: &mut Client, report: &Report, path: &str) {
    let media = parsed(&get(client, path));
    let part = media.parts().last().map(|(_, _, part)| resolve(path, &part.uri)).unwrap_or_default();
    let missing = resolve(path, "nothing.m4s");
    let refused = format!("{path}?_HLS_part=0");
    let origin = ("Origin", "https://example.org");
    for (method, target, headers, status) in [
        ("GET", path, vec![origin], 200),
        ("GET", part.as_str(), vec![origin], 200),
        ("GET", part.as_str(), vec![origin, ("Range", "bytes=0-9")], 206),
        ("GET", part.as_str(), vec![origin, ("Range", "bytes=99999999-")], 416),
        ("GET", refused.as_str(), vec![origin], 400),
        ("GET", missing.as_str(), vec![origin], 404),
        ("OPTIONS", path, vec![origin, ("Access-Control-Request-Method", "GET")], 204),
        ("OPTIONS", part.as_str(), vec![origin, ("Access-Control-Request-Headers", "range")], 204),
    ] {
        let response = client.request(method, target, &headers, &[]);
        let response = response.unwrap_or_else(|error| panic!("{method} {target}: {error}"));
        let allowed = response.header("access-control-allow-origin");
        let evidence = format!("{method} {}: {allowed:?}", response.status);
        let expected = response.status == status || (status == 204 && response.status == 200);
        report.expect(60, expected && matches!(allowed, Some("*" | "https://example.org")), evidence);
        if status == 204 {
            let methods = response.header("access-control-allow-methods").unwrap_or_default();
            report.expect(60, methods.contains("GET"), format!("preflight allows {methods}"));
        }
    }
}

fn ranges(client: &mut Client, report: &Report, path: &str) {
    let media = parsed(&get(client, path));
    let part = media.parts().last().map(|(_, _, part)| resolve(path, &part.uri)).unwrap_or_default();
    let whole = get(client, &part).body;
    let length = whole.len();
    for (range, expected) in [
        ("bytes=0-99".to_owned(), Some(0..100)),
        ("bytes=100-".to_owned(), Some(100..length)),
        ("bytes=-50".to_owned(), Some(length - 50..length)),
        (format!("bytes=0-{}", length + 1000), Some(0..length)),
        (format!("bytes={length}-"), None),
    ] {
        let response = client.request("GET", &part, &[("Range", &range)], &[]);
        let response = response.unwrap_or_else(|error| panic!("{part}: {error}"));
        let stated = response.header("content-range").unwrap_or_default().to_owned();
        let evidence = format!("{range}: {} {stated}", response.status);
        let holds = match expected {
            Some(range) => {
                let expected = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                response.status == 206 && stated == expected && response.body == whole[range]
            }
            None => response.status == 416 && stated == format!("bytes */{length}"),
        };
        report.expect(61, holds, evidence);
    }
    for target in [part.as_str(), path] {
        let head = client.request("HEAD", target, &[], &[]);
        let head = head.unwrap_or_else(|error| panic!("HEAD {target}: {error}"));
        let kind = get(client, target).header("content-type").map(str::to_owned);
        let same = head.status == 200 && head.header("content-type").map(str::to_owned) == kind;
        let sized = head.header("content-length").is_some_and(|length| length != "0");
        report.expect(61, same && sized, format!("HEAD {target}: {}", head.status));
    }
}
