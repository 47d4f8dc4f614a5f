//! Real encoders publish for a few seconds, and ffprobe reads what came out: every frame, at a constant
//! rate, without a complaint.

mod support;

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use support::publisher::{Publisher, Source, wait_until_playable};
use support::server::{Options, Server};
use support::tls::Identity;

/// What each encoder publishes. Shorter than the window, so that all of it can be read once it has ended.
const SECONDS: u32 = 8;
const PLAYABLE_WITHIN: Duration = Duration::from_secs(20);
/// Starting, publishing and flushing.
const DONE_WITHIN: Duration = Duration::from_secs(40);

/// An encoder and what must come out.
struct Case {
    name: &'static str,
    publish: Box<dyn Fn(&str) -> Publisher>,
    /// It publishes to `rtmps://`.
    tls: bool,
    /// Of media.
    seconds: u32,
    /// Frames, and the rate as ffprobe prints it.
    video: Option<(u64, &'static str)>,
    /// Samples a second.
    audio_rate_hz: Option<u64>,
    /// Its timestamps keep to a grid. Those of a live source do not where the machine is busy.
    regular: bool,
}

#[test]
fn every_encoder_is_played_frame_by_frame_from_one_shard() {
    all_encoders(1);
}

#[test]
fn every_encoder_is_played_frame_by_frame_from_two_shards() {
    all_encoders(2);
}

fn all_encoders(shards: usize) {
    // A stream ends with its publisher, and nothing of it has left the window by then.
    let config = "[ingest]\nunpublish_grace_s = 0\nreconnect_grace_s = 0\n\
                  [https]\ncert_file = \"DIR/own.pem\"\nkey_file = \"DIR/own.key\"\n";
    let identity = Identity::new(&["localhost"]);
    let files = vec![("own.pem".into(), identity.chain), ("own.key".into(), identity.key)];
    let server = Server::start(&Options { shards, config: Some(config.into()), files, ..Options::default() });
    let cases = cases();
    let url = |case: &Case| match case.tls {
        true => server.publish_url_tls(case.name),
        false => server.publish_url(case.name),
    };
    let mut publishers: Vec<Publisher> = cases.iter().map(|case| (case.publish)(&url(case))).collect();
    let mut faults = Vec::new();
    for (case, publisher) in cases.iter().zip(&mut publishers) {
        let path = format!("/live/{}/index.m3u8", case.name);
        wait_until_playable(&server.http().to_string(), &path, PLAYABLE_WITHIN);
        if publisher.wait(DONE_WITHIN).is_none() {
            faults.push(format!("{}: did not end; {}", case.name, publisher.log()));
        }
        let url = format!("http://{}{path}", server.http());
        faults.extend(probe(case, &url).into_iter().map(|fault| format!("{}: {fault}", case.name)));
    }
    let over_tls = cases.iter().filter(|case| case.tls).count() as f64;
    if server.metric("rapidrtmp_rtmps_connections_total", "") != Some(over_tls) {
        faults.push(format!("{over_tls} encoders publish over TLS"));
    }
    assert!(faults.is_empty(), "{shards} shards:\n{}\n{}", faults.join("\n"), server.log());
}

fn cases() -> Vec<Case> {
    let seconds = Some(f64::from(SECONDS));
    let ffmpeg = |name, source: Source, video, audio_rate_hz| Case {
        name,
        publish: Box::new(move |url| source.publish(url)),
        tls: false,
        seconds: SECONDS,
        video,
        audio_rate_hz,
        regular: true,
    };
    let unverified = vec!["-tls_verify".to_owned(), "0".to_owned()];
    let frames = u64::from(SECONDS) * 30;
    let source = Source { seconds, ..Source::default() };
    let mut cases = vec![
        ffmpeg("plain", source.clone(), Some((frames, "30/1")), Some(48_000)),
        ffmpeg("bframes", Source { b_frames: 2, ..source.clone() }, Some((frames, "30/1")), Some(48_000)),
        ffmpeg(
            "ntsc",
            Source { fps: "30000/1001", b_frames: 3, audio_rate_hz: 44_100, ..source.clone() },
            Some((frames, "30000/1001")),
            Some(44_100),
        ),
        ffmpeg(
            "film",
            Source { fps: "24", gop_frames: 24, ..source.clone() },
            Some((u64::from(SECONDS) * 24, "24/1")),
            Some(48_000),
        ),
        ffmpeg("videoonly", Source { audio: false, ..source.clone() }, Some((frames, "30/1")), None),
        ffmpeg("audioonly", Source { video: false, ..source.clone() }, None, Some(48_000)),
        Case {
            tls: true,
            ..ffmpeg(
                "tls",
                Source { extra: unverified.clone(), ..source.clone() },
                Some((frames, "30/1")),
                Some(48_000),
            )
        },
        Case { tls: true, ..gstreamer("rtmp2sinktls", "rtmp2sink tls-validation-flags=0 location=URL") },
        // A file as fast as it can be sent.
        Case {
            seconds: 10,
            ..ffmpeg(
                "unpaced",
                Source { real_time: false, seconds: Some(10.0), ..source.clone() },
                Some((300, "30/1")),
                Some(48_000),
            )
        },
        gstreamer("rtmp2sink", "rtmp2sink location=URL"),
        gstreamer("rtmpsink", "rtmpsink location=URL"),
    ];
    match newer_ffmpeg() {
        Some(program) => {
            let source = Source { program, ..source };
            let over_tls = Source { extra: unverified, ..source.clone() };
            cases.push(ffmpeg("newffmpeg", source, Some((frames, "30/1")), Some(48_000)));
            let case = ffmpeg("newffmpegtls", over_tls, Some((frames, "30/1")), Some(48_000));
            cases.push(Case { tls: true, ..case });
        }
        None if std::env::var_os("CI").is_some() => panic!("the newer ffmpeg is missing: tests/run install"),
        None => eprintln!("NOT TESTED: the newer ffmpeg is missing: tests/run install"),
    }
    cases
}

/// gst-launch with a test picture and a tone; `sink` ends the pipeline.
fn gstreamer(name: &'static str, sink: &'static str) -> Case {
    let frames = u64::from(SECONDS) * 30;
    let publish = move |url: &str| {
        let pipeline = format!(
            "-q -e videotestsrc is-live=true num-buffers={frames} ! video/x-raw,width=320,height=180,framerate=30/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=400 key-int-max=30 ! h264parse ! mux. \
             audiotestsrc is-live=true samplesperbuffer=1024 num-buffers={} ! audio/x-raw,rate=44100,channels=2 \
             ! avenc_aac ! aacparse ! mux. flvmux name=mux streamable=true ! {sink}",
            SECONDS * 44_100 / 1024,
        );
        let mut command = Command::new("gst-launch-1.0");
        command.args(pipeline.split_whitespace().map(|word| word.replace("URL", url)));
        Publisher::start(command)
    };
    let video = Some((frames, "30/1"));
    Case {
        name,
        publish: Box::new(publish),
        tls: false,
        seconds: SECONDS,
        video,
        audio_rate_hz: Some(44_100),
        regular: false,
    }
}

/// The static ffmpeg of the wheel that `tests/run install` puts beside the tests.
fn newer_ffmpeg() -> Option<String> {
    let libraries = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/.venv/lib");
    let python = std::fs::read_dir(libraries).ok()?.next()?.ok()?.path();
    let binaries = python.join("site-packages/imageio_ffmpeg/binaries");
    let mut files = std::fs::read_dir(binaries).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let program = files
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ffmpeg")))?;
    Some(program.to_string_lossy().into_owned())
}

/// All that is wrong with what ffprobe reads.
fn probe(case: &Case, url: &str) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args(["-v", "warning", "-count_frames", "-show_streams", "-show_packets", "-of", "json", url])
        .output()
        .expect("runs ffprobe");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut faults = Vec::new();
    if !complaints.is_empty() || !output.status.success() {
        faults.push(format!("ffprobe: {}; {complaints}", output.status));
    }
    let Ok(probed) = serde_json::from_slice::<Value>(&output.stdout) else {
        faults.push("ffprobe printed no JSON".to_owned());
        return faults;
    };
    let stream = |kind: &str| {
        let streams = probed["streams"].as_array().into_iter().flatten();
        streams.clone().find(|stream| stream["codec_type"] == kind).cloned()
    };
    match (stream("video"), case.video) {
        (Some(video), Some((frames, rate))) => {
            faults.extend(video_faults(&video, &probed, frames, rate, case.regular))
        }
        (found, expected) if found.is_some() != expected.is_some() => {
            faults.push(format!("video {found:?}, expected {expected:?}"));
        }
        _ => {}
    }
    match (stream("audio"), case.audio_rate_hz) {
        (Some(audio), Some(rate)) => faults.extend(audio_faults(&audio, &probed, rate, case)),
        (found, expected) if found.is_some() != expected.is_some() => {
            faults.push(format!("audio {found:?}, expected {expected:?}"));
        }
        _ => {}
    }
    faults
}

fn video_faults(stream: &Value, probed: &Value, frames: u64, rate: &str, regular: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let count = number(&stream["nb_read_frames"]);
    if count != Some(frames) {
        faults.push(format!("{count:?} video frames of {frames}"));
    }
    if stream["codec_name"] != "h264" || regular && stream["r_frame_rate"] != rate {
        faults.push(format!(
            "{} at {} (average {}), not h264 at {rate}",
            stream["codec_name"], stream["r_frame_rate"], stream["avg_frame_rate"]
        ));
    }
    faults.extend(steps_faults(stream, probed, "video", regular));
    faults
}

fn audio_faults(stream: &Value, probed: &Value, rate: u64, case: &Case) -> Vec<String> {
    let mut faults = Vec::new();
    if stream["codec_name"] != "aac" || number(&stream["sample_rate"]) != Some(rate) {
        faults.push(format!("{} at {}, not aac at {rate}", stream["codec_name"], stream["sample_rate"]));
    }
    // Encoders differ by a few frames of priming and flushing.
    let expected = u64::from(case.seconds) * rate / 1024;
    let count = number(&stream["nb_read_frames"]).unwrap_or(0);
    if count.abs_diff(expected) > 4 {
        faults.push(format!("{count} audio frames, about {expected} expected"));
    }
    faults.extend(steps_faults(stream, probed, "audio", case.regular));
    faults
}

/// Time goes on; of a regular source every packet lasts as long as the first, and the next starts where it ends.
fn steps_faults(stream: &Value, probed: &Value, kind: &str, regular: bool) -> Option<String> {
    let packets: Vec<&Value> = probed["packets"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|packet| packet["stream_index"] == stream["index"])
        .collect();
    let times: Vec<i64> = packets.iter().filter_map(|packet| packet["dts"].as_i64()).collect();
    let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let durations: Vec<i64> = packets.iter().filter_map(|packet| packet["duration"].as_i64()).collect();
    let first = *durations.first()?;
    let odd = |list: &[i64]| -> Vec<(usize, i64)> {
        list.iter().copied().enumerate().filter(|(_, step)| *step != first).collect()
    };
    let (steps, durations_odd) = (odd(&steps), odd(&durations));
    // ffprobe does not know how long the first packet of sound alone lasts: it has yet to decode one.
    let complete = times.len() == packets.len() && durations.len() + 1 >= packets.len();
    let forward = steps.iter().all(|(_, step)| *step > 0);
    if complete && forward && (!regular || steps.is_empty() && durations_odd.is_empty()) {
        return None;
    }
    Some(format!(
        "{kind}: of {} packets of {first} ticks, odd steps {steps:?}, odd durations {durations_odd:?}",
        packets.len()
    ))
}

/// ffprobe prints counts as text.
fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}
