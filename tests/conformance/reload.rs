//! Blocking reloads, directives and deltas (assertions 21 to 31, 34 to 37, 40, 44 to 47).

use crate::report::Report;
use crate::support::http::{Client, Response};
use crate::support::playlist::{Media, Stage, advance_part_limit, check_media, parse_media};
use crate::{NOISE, Target};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// An answer that did not wait for anything.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Viewers that ask for the same part.
const CROWD: usize = 1000;

/// One media playlist and the connections that ask for it.
pub struct Reloads<'a> {
    target: &'a Target,
    report: &'a Report,
    path: &'a str,
    client: Client,
}

pub fn run(target: &Target, report: &Report, path: &str) {
    let mut reloads = Reloads { target, report, path, client: target.client() };
    reloads.listed_is_answered_at_once();
    reloads.next_part_blocks();
    reloads.message_alone_waits_for_the_segment();
    reloads.parts_past_the_end_roll_over();
    reloads.far_future_is_refused();
    reloads.malformed_is_refused();
    reloads.parameters_in_any_order();
    reloads.same_snapshot_same_bytes();
    reloads.deltas();
    reloads.crowd();
    reloads.leaving_frees_the_place();
}

impl Reloads<'_> {
    fn get(&mut self, query: &str) -> Response {
        let target = format!("{}{query}", self.path);
        self.client.get(&target).unwrap_or_else(|error| panic!("{target}: {error}"))
    }

    fn current(&mut self) -> Media {
        parsed(&self.get(""))
    }

    /// Right after a part was listed, so that its numbers hold for most of a part.
    fn fresh(&mut self) -> Media {
        let media = self.current();
        let (msn, part) = next(&media);
        parsed(&self.get(&format!("?_HLS_msn={msn}&_HLS_part={part}")))
    }

    /// Right after a segment was closed.
    fn fresh_segment(&mut self) -> Media {
        let media = self.current();
        let msn = media.last_complete().unwrap_or(0) + 1;
        parsed(&self.get(&format!("?_HLS_msn={msn}")))
    }

    fn listed_is_answered_at_once(&mut self) {
        for age in [0, 1, 2, 100_000] {
            let media = self.fresh();
            let msn = media.last_complete().unwrap_or(0).saturating_sub(age);
            let response = self.get(&format!("?_HLS_msn={msn}"));
            let is_current = response.status == 200 && parsed(&response).last_part() >= media.last_part();
            let evidence = format!("L-{age}: {} after {:?}", response.status, response.waited());
            self.report.expect(21, is_current && response.waited() <= AT_ONCE + NOISE, evidence);
        }
        let media = self.fresh();
        let (msn, part) = media.last_part().unwrap_or_default();
        let response = self.get(&format!("?_HLS_msn={msn}&_HLS_part={part}"));
        let evidence = format!("{} after {:?}", response.status, response.waited());
        self.report.expect(22, response.status == 200 && response.waited() <= AT_ONCE + NOISE, evidence);
    }

    /// 23, 24: over more than a segment, so that its end is among them.
    fn next_part_blocks(&mut self) {
        let media = self.fresh();
        let part_target = media.part_target.unwrap_or_default();
        let parts = (u64_of(media.target_duration_s as f64 / part_target.as_secs_f64()) + 2).min(12);
        let mut hinted = self.target.client();
        for _ in 0..parts {
            let media = self.fresh();
            let (msn, part) = next(&media);
            let hint = media.hinted_part().map(|uri| crate::support::http::resolve(self.path, uri));
            let hint = hint.unwrap_or_default();
            let sent = hinted.send("GET", &hint, &[], &[]);
            sent.unwrap_or_else(|error| panic!("{hint}: {error}"));
            let response = self.get(&format!("?_HLS_msn={msn}&_HLS_part={part}"));
            let lists = response.status == 200 && parsed(&response).last_part() >= Some((msn, part));
            // A closing part waits one frame and a half for its successor.
            let allowed = part_target + Duration::from_millis(100) + NOISE;
            let evidence = format!("{} after {:?}, {allowed:?} allowed", response.status, response.waited());
            self.report.expect(23, lists && response.waited() <= allowed, evidence);
            match hinted.receive(part_target * 3) {
                Ok(fetched) => {
                    let apart = response.first_byte_at.saturating_duration_since(fetched.first_byte_at);
                    let evidence = format!("playlist {apart:?} after the part");
                    let allowed = Duration::from_millis(50) + NOISE;
                    self.report.expect(24, fetched.status == 200 && apart <= allowed, evidence);
                }
                Err(error) => self.report.expect(24, false, format!("{hint}: {error}")),
            }
        }
    }

    fn message_alone_waits_for_the_segment(&mut self) {
        let media = self.fresh_segment();
        let msn = media.last_complete().unwrap_or(0) + 1;
        let mut waiting = self.target.client();
        let target = format!("{}?_HLS_msn={msn}", self.path);
        waiting.send("GET", &target, &[], &[]).unwrap_or_else(|error| panic!("{target}: {error}"));
        // The first part of that segment is not enough.
        let listed = parsed(&self.get(&format!("?_HLS_msn={msn}&_HLS_part=0")));
        let is_open = listed.last_complete() < Some(msn);
        let early = waiting.receive(Duration::from_millis(30)).is_ok();
        self.report.expect(25, !(is_open && early), "not answered by the segment's first part");
        if early {
            return;
        }
        let response = waiting.receive(Duration::from_secs(media.target_duration_s * 3));
        let complete = response.map(|response| parsed(&response).last_complete());
        let holds = matches!(complete, Ok(Some(last)) if last >= msn);
        self.report.expect(25, holds, format!("asked for {msn}, answered with {complete:?} complete"));
    }

    fn parts_past_the_end_roll_over(&mut self) {
        let media = self.fresh_segment();
        let last = media.segments.last().cloned().unwrap_or_default();
        let (msn, count) = (last.media_sequence, last.parts.len() as u64);
        for past in [0, 1] {
            let response = self.get(&format!("?_HLS_msn={msn}&_HLS_part={}", count + past));
            let newest = (response.status == 200).then(|| parsed(&response).last_part()).flatten();
            let evidence =
                format!("{msn}.{} of {count} parts: {}, {newest:?}", count + past, response.status);
            self.report.expect(26, newest >= Some((msn + 1, 0)), evidence);
        }
        // While it is open: the index after its last part, known from the segment before.
        let media = self.fresh_segment();
        let msn = media.last_complete().unwrap_or(0) + 1;
        let limit = advance_part_limit(media.part_target.unwrap_or_default());
        let index = count.min(media.last_part().map_or(0, |(_, part)| part) + limit);
        let response = self.get(&format!("?_HLS_msn={msn}&_HLS_part={index}"));
        let newest = (response.status == 200).then(|| parsed(&response).last_part()).flatten();
        let evidence = format!("{msn}.{index} while open: {}, {newest:?}", response.status);
        self.report.expect(27, newest >= Some((msn, index)), evidence);
    }

    fn far_future_is_refused(&mut self) {
        let media = self.fresh_segment();
        let last = media.last_complete().unwrap_or(0);
        let response = self.get(&format!("?_HLS_msn={}", last + 3));
        let evidence = format!("L+3: {} after {:?}", response.status, response.waited());
        self.report.expect(28, response.status == 400 && response.waited() <= AT_ONCE + NOISE, evidence);
        self.report.expect(
            55,
            response.is_no_store() || response.max_age_s() <= Some(1),
            "400 is not stored",
        );
        let response = self.get(&format!("?_HLS_msn={}", last + 2));
        let reached = response.status == 200 && parsed(&response).last_complete() >= Some(last + 2);
        let evidence = format!("L+2: {} after {:?}", response.status, response.waited());
        self.report.expect(28, reached && response.waited() > AT_ONCE, evidence);

        let media = self.fresh_segment();
        let limit = advance_part_limit(media.part_target.unwrap_or_default());
        let msn = media.last_complete().unwrap_or(0) + 1;
        // The first part may have been listed since.
        let response = self.get(&format!("?_HLS_msn={msn}&_HLS_part={}", limit + 3));
        let evidence = format!("limit {limit}, {msn}.{} of a new segment: {}", limit + 3, response.status);
        self.report.expect(29, response.status == 400 && response.waited() <= AT_ONCE + NOISE, evidence);
        let media = self.fresh();
        let (msn, part) = next(&media);
        let response = self.get(&format!("?_HLS_msn={msn}&_HLS_part={}", part + limit - 1));
        let evidence = format!("limit {limit}, within it: {}", response.status);
        self.report.expect(29, response.status == 200, evidence);
        let response = self.get("?_HLS_part=0");
        self.report.expect(30, response.status == 400, format!("{}", response.status));
    }

    fn malformed_is_refused(&mut self) {
        let values = ["abc", "", "-1", "1.5", "1180591620717411303424", "0x10", "+1", "%31x", "1 "];
        for value in values {
            let value = value.replace(' ', "%20");
            for query in [format!("?_HLS_msn={value}"), format!("?_HLS_msn=1&_HLS_part={value}")] {
                let response = self.get(&query);
                let evidence = format!("{query}: {} after {:?}", response.status, response.waited());
                let holds = response.status == 400 && response.waited() <= AT_ONCE + NOISE;
                self.report.expect(31, holds, evidence);
            }
        }
    }

    fn parameters_in_any_order(&mut self) {
        for (assertion, query) in [
            (36, "?_HLS_part=PART&_HLS_msn=MSN"),
            (36, "?token=x&_HLS_msn=MSN&CMCD=bl%3D100&_HLS_part=PART"),
            (36, "?_HLS_part=PART&a=_HLS_msn%3D9&_HLS_msn=MSN&b"),
            (37, "?_HLS_foo=1&_HLS_msn=MSN&_HLS_part=PART"),
            (37, "?_HLS_push=0&_HLS_msn=MSN&_HLS_part=PART&_HLS_report=/x"),
        ] {
            let media = self.fresh();
            let (msn, part) = next(&media);
            let response =
                self.get(&query.replace("MSN", &msn.to_string()).replace("PART", &part.to_string()));
            let newest = (response.status == 200).then(|| parsed(&response).last_part()).flatten();
            let waited = response.waited();
            let evidence = format!("{query}: {} after {waited:?}, {newest:?}", response.status);
            self.report.expect(assertion, newest > media.last_part(), evidence);
        }
    }

    /// 40: plain, blocked, zipped and by another connection.
    fn same_snapshot_same_bytes(&mut self) {
        let mut other = self.target.client();
        let mut compared = 0;
        for _ in 0..6 {
            let fresh = self.fresh();
            let (msn, part) = fresh.last_part().unwrap_or_default();
            let blocked = self.get(&format!("?_HLS_msn={msn}&_HLS_part={part}"));
            let zipped = other.request("GET", self.path, &[("Accept-Encoding", "gzip")], &[]);
            let zipped = zipped.unwrap_or_else(|error| panic!("{}: {error}", self.path));
            if parsed(&blocked).last_part() == parsed(&zipped).last_part() {
                compared += 1;
                let same = blocked.text() == zipped.text();
                self.report.expect(40, same, format!("{} bytes compared", blocked.text().len()));
            }
        }
        self.report.expect(40, compared > 0, format!("{compared} pairs of the same snapshot"));
    }

    fn deltas(&mut self) {
        let media = self.fresh();
        let control = media.server_control.as_ref();
        if control.is_none_or(|control| control.can_skip_until.is_none()) {
            let response = self.get("?_HLS_skip=YES");
            self.report.expect(44, parsed(&response).skip.is_none(), "no CAN-SKIP-UNTIL, full playlist");
            for assertion in [41, 42, 43, 45, 46, 48] {
                self.report.skip(assertion, "the server offers no delta updates");
            }
            return;
        }
        self.report.expect(47, media.skip.is_none(), "a reload without _HLS_skip");
        let (msn, part) = next(&media);
        let response = self.get(&format!("?_HLS_msn={msn}&_HLS_part={part}&_HLS_skip=YES"));
        let blocked = parsed(&response);
        let evidence = format!("{} after {:?}, {:?}", response.status, response.waited(), blocked.skip);
        let advanced = blocked.last_part() > media.last_part();
        self.report.expect(45, advanced && (blocked.skip.is_some() || media.segments.len() < 8), evidence);
        // No date range is published, so none was removed: an empty list, or the form that has none.
        let v2 = parsed(&self.get("?_HLS_skip=v2"));
        let removed = v2.skip.as_ref().and_then(|skip| skip.recently_removed_dateranges.clone());
        let evidence = format!("removed {removed:?}, version {:?}", v2.version);
        self.report.expect(46, removed.is_none_or(|removed| removed.is_empty()), evidence.as_str());
        self.report.checked(&[3], &check_media(&v2, Stage::WarmUp), &evidence);
        let skip = parsed(&self.get("?_HLS_skip=NO")).skip;
        self.report.expect(47, skip.is_none(), "_HLS_skip=NO is no wish for a delta");
    }

    /// 34: each connection sends the same request; the first answer is awaited, then all are read.
    fn crowd(&mut self) {
        crate::support::allow_open_files(CROWD + 1000);
        let mut crowd: Vec<Client> = (0..CROWD).map(|_| self.target.client()).collect();
        let media = self.fresh();
        let (msn, part) = next(&media);
        // The part after the next one, so that all requests are in before it is there.
        let target = format!("{}?_HLS_msn={msn}&_HLS_part={}", self.path, part + 1);
        for client in &mut crowd {
            client.send("GET", &target, &[], &[]).unwrap_or_else(|error| panic!("{target}: {error}"));
        }
        let patience = Duration::from_secs(media.target_duration_s * 3);
        let mut bodies = Vec::new();
        let mut times: Vec<Instant> = Vec::new();
        for client in &mut crowd {
            match client.receive(patience) {
                Ok(response) => {
                    times.push(response.complete_at);
                    bodies.push((response.status, response.body));
                }
                Err(error) => return self.report.expect(34, false, format!("no answer: {error}")),
            }
        }
        bodies.sort();
        bodies.dedup();
        let spread = times.iter().max().zip(times.iter().min()).map(|(last, first)| *last - *first);
        let spread = spread.unwrap_or_default();
        let evidence = format!("{CROWD} answers within {spread:?}, {} distinct", bodies.len());
        // Always the newest snapshot: what is listed while they are answered is in the later answers.
        let part_target = media.part_target.unwrap_or(Duration::from_secs(1));
        let updates = 2 * spread.as_micros().div_ceil(part_target.as_micros());
        let alike = bodies.len() as u128 <= 1 + updates && bodies.iter().all(|(status, _)| *status == 200);
        self.report.expect(34, alike && spread <= Duration::from_millis(50) + NOISE, evidence);
    }

    /// 35: by the server's own gauge of parked requests.
    fn leaving_frees_the_place(&mut self) {
        let Some(server) = &self.target.server else {
            return self.report.skip(35, "needs the gauge of our own server");
        };
        let parked = || server.metric("rapidrtmp_blocked_requests", "").unwrap_or(f64::NAN);
        let media = self.fresh_segment();
        if media.target_duration_s < 2 {
            return self.report.skip(35, "requests do not wait long enough to be counted: see the other run");
        }
        let msn = media.last_complete().unwrap_or(0) + 2;
        let before = parked();
        let mut leaving: Vec<Client> = (0..50).map(|_| self.target.client()).collect();
        for client in &mut leaving {
            let target = format!("{}?_HLS_msn={msn}", self.path);
            client.send("GET", &target, &[], &[]).unwrap_or_else(|error| panic!("{target}: {error}"));
        }
        // The gauge is set about once a second; the requests would be answered after more than three.
        let within = Duration::from_millis(1500);
        let during = crate::support::poll_until(within, || Some(parked()).filter(|now| *now >= 50.0));
        drop(leaving);
        let after = crate::support::poll_until(within, || Some(parked()).filter(|now| *now < 50.0));
        let evidence = format!("{before} parked, {during:?} with 50 more, {after:?} once they left");
        self.report.expect(35, during.is_some() && after.is_some(), evidence);
    }
}

/// What to ask for after this snapshot.
pub fn next(media: &Media) -> (u64, u64) {
    match (media.last_complete(), media.last_part()) {
        (complete, Some((msn, part))) if Some(msn) > complete => (msn, part + 1),
        (complete, _) => (complete.map_or(media.media_sequence, |complete| complete + 1), 0),
    }
}

/// The playlist in a response that must hold one.
pub fn parsed(response: &Response) -> Media {
    let text = response.text();
    parse_media(&text).unwrap_or_else(|violations| panic!("{} {violations:?}\n{text}", response.status))
}

/// True when the request is still open after that time.
pub fn is_held(client: &mut Client, within: Duration) -> bool {
    matches!(client.receive(within), Err(error) if error.kind() == ErrorKind::TimedOut)
}

fn u64_of(value: f64) -> u64 {
    value.ceil() as u64
}
