//! Enhanced RTMP by the newer ffmpeg: each codec over a real connection, and beside it the same packets into a
//! file. What a player gets decodes to the very pictures of the file, in their order and at their times, and has
//! its packets of sound.

use super::support::decode::{Hashed, Of, hashes, missing_around, newer_ffmpeg_or_say};
use super::support::playlist::Variant;
use super::support::publisher::{Publisher, wait_until_playable};
use super::support::server::{Options, Server};
use super::{DONE_WITHIN, PLAYABLE_WITHIN, SECONDS};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What is published, and what the playlist and ffprobe must call it.
struct Case {
    name: &'static str,
    video: &'static [&'static str],
    audio: &'static [&'static str],
    /// Of the input of sound.
    layout: &'static str,
    /// Renditions of the second input, for tracks that are not played.
    further: &'static [&'static str],
    /// What CODECS begin with.
    codecs: [&'static str; 2],
    /// As ffprobe names them.
    names: [&'static str; 2],
}

const X264: &[&str] = &["libx264", "-preset", "ultrafast", "-tune", "zerolatency"];
const AAC: &[&str] = &["aac", "-b:a", "64k"];

/// Sound is left out of before the first picture, and frames of it may be cut off at the end.
const SOUND_LOST_MAX: usize = 12;
/// Pictures and sound are apart by what the file says, to within a frame of sound.
const SYNC_S_MAX: f64 = 0.033;

const CASES: [Case; 6] = [
    Case {
        name: "hevc-aac",
        video: &["libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"],
        audio: AAC,
        layout: "mono",
        further: &[],
        codecs: ["hvc1.", "mp4a.40.2"],
        names: ["hevc", "aac"],
    },
    Case {
        name: "av1-opus",
        video: &["libsvtav1", "-preset", "12", "-svtav1-params", "lp=1"],
        audio: &["libopus", "-b:a", "64k"],
        layout: "stereo",
        further: &[],
        codecs: ["av01.0.", "opus"],
        names: ["av1", "opus"],
    },
    Case {
        name: "vp9-ac3",
        video: &["libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"],
        audio: &["ac3", "-b:a", "96k"],
        layout: "stereo",
        further: &[],
        codecs: ["vp09.00.", "ac-3"],
        names: ["vp9", "ac3"],
    },
    Case {
        name: "h264-eac3",
        video: X264,
        audio: &["eac3", "-b:a", "192k"],
        layout: "5.1",
        further: &[],
        codecs: ["avc1.", "ec-3"],
        names: ["h264", "eac3"],
    },
    Case {
        name: "h264-flac",
        video: X264,
        audio: &["flac"],
        layout: "mono",
        further: &[],
        codecs: ["avc1.", "fLaC"],
        names: ["h264", "flac"],
    },
    Case {
        name: "multitrack",
        video: X264,
        audio: AAC,
        layout: "mono",
        further: &["-map", "[small]", "-map", "1:a"],
        codecs: ["avc1.", "mp4a.40.2"],
        names: ["h264", "aac"],
    },
];

impl Case {
    /// Publishes, and writes the same packets into a file.
    fn publish(&self, program: &str, url: &str, file: &Path) -> Publisher {
        let mut command = Command::new(program);
        command.args(["-hide_banner", "-nostats", "-loglevel", "error"]);
        command.args(["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"]);
        let sound = format!("sine=frequency=440:sample_rate=48000,aformat=channel_layouts={}", self.layout);
        command.args(["-re", "-f", "lavfi", "-i", &sound]);
        if self.further.is_empty() {
            command.args(["-map", "0:v"]);
        } else {
            command.args([
                "-filter_complex",
                "[0:v]split=2[main][b];[b]scale=96:54[small]",
                "-map",
                "[main]",
            ]);
        }
        command.args(["-map", "1:a"]).args(self.further);
        command.args(["-pix_fmt", "yuv420p", "-b:v", "300k", "-g", "30", "-c:v"]).args(self.video);
        command.arg("-c:a").args(self.audio).args(["-flags", "+global_header"]);
        command.args(["-t", &SECONDS.to_string(), "-f", "tee"]);
        command.arg(format!("[f=flv]{url}|[f=matroska]{}", file.to_string_lossy()));
        Publisher::start(command)
    }

    /// All that is wrong with what came out.
    fn faults(&self, program: &str, url: &str, file: &Path, variant: &Variant) -> Vec<String> {
        let mut faults = Vec::new();
        for (found, expected) in variant.codecs.iter().zip(self.codecs) {
            if !found.starts_with(expected) {
                faults.push(format!("CODECS {:?}, expected {:?}", variant.codecs, self.codecs));
            }
        }
        let said = (variant.resolution, variant.frame_rate.as_deref(), variant.video_range.as_deref());
        if variant.codecs.len() != 2 || said != (Some((320, 180)), Some("30.000"), Some("SDR")) {
            faults.push(format!("{variant:?}"));
        }
        faults.extend(self.probe(url).err());
        faults.extend(compare(program, url, &file.to_string_lossy()).err());
        faults
    }

    /// Debian's ffprobe reads it without a word, as the codecs that they are.
    fn probe(&self, url: &str) -> Result<(), String> {
        let output = Command::new("ffprobe")
            .args(["-v", "warning", "-count_frames", "-show_streams", "-of", "json", url])
            .output()
            .map_err(|error| error.to_string())?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        let probed: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let of_kind = |kind: &str| -> Vec<[Value; 2]> {
            let streams = probed["streams"].as_array().into_iter().flatten();
            let streams = streams.filter(|stream| stream["codec_type"] == kind);
            streams.map(|stream| [stream["codec_name"].clone(), stream["nb_read_frames"].clone()]).collect()
        };
        let (video, audio) = (of_kind("video"), of_kind("audio"));
        let pictures = (SECONDS * 30).to_string();
        let is_right = video.len() == 1
            && video[0][0] == self.names[0]
            && video[0][1] == pictures.as_str()
            && audio.len() == 1
            && audio[0][0] == self.names[1];
        if is_right && complaints.trim().is_empty() && output.status.success() {
            return Ok(());
        }
        Err(format!("ffprobe: {video:?} {audio:?}, expected {:?}; {complaints}", self.names))
    }
}

/// Reads the stream: the newer one cuts a packet short now and then where it joins its own HLS reads (n9.0.2,
/// files of the same bytes it reads without a word).
const READER: &str = "ffmpeg";

/// The stream against the encoder's own packets.
fn compare(program: &str, url: &str, file: &str) -> Result<(), String> {
    let (sent, shown) = (hashes(program, file, Of::Pictures)?, hashes(READER, url, Of::Pictures)?);
    if sent.len() != SECONDS as usize * 30 || missing_around(&sent, &shown) != Some((0, 0)) {
        return Err(format!("{} pictures sent, {} shown, or others", sent.len(), shown.len()));
    }
    even(&shown)?;
    let (spoken, heard) = (hashes(program, file, Of::SoundPackets)?, hashes(READER, url, Of::SoundPackets)?);
    let missing = missing_around(&spoken, &heard);
    let Some((before, after)) = missing.filter(|(before, after)| before + after <= SOUND_LOST_MAX) else {
        return Err(format!(
            "{} packets of sound sent, {} heard, missing {missing:?}",
            spoken.len(),
            heard.len()
        ));
    };
    // What is cut off at the end of FLAC is its last packet's duration only.
    even(&heard[..heard.len() - usize::from(after == 0)])?;
    let apart = |sound: &Hashed, picture: &Hashed| sound.presentation_s - picture.presentation_s;
    let moved = apart(&heard[0], &shown[0]) - apart(&spoken[before], &sent[0]);
    if moved.abs() > SYNC_S_MAX {
        return Err(format!("sound has moved by {moved:.3} s against the pictures"));
    }
    Ok(())
}

fn even(frames: &[Hashed]) -> Result<(), String> {
    let steps: Vec<i64> = frames.windows(2).map(|pair| pair[1].presentation - pair[0].presentation).collect();
    let is_even = steps.iter().all(|step| *step == steps[0] && *step > 0);
    if is_even { Ok(()) } else { Err(format!("steps of {steps:?}")) }
}

#[test]
fn every_enhanced_codec_comes_out_as_it_went_in() {
    let Some(program) = newer_ffmpeg_or_say() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let config = "[ingest]\nunpublish_grace_s = 0\nreconnect_grace_s = 0\n".to_owned();
    let server = Server::start(&Options { shards: 2, config: Some(config), ..Options::default() });
    let mut faults = Vec::new();
    // Three encoders at a time: more would not keep up.
    for cases in CASES.chunks(3) {
        let file = |case: &Case| directory.path().join(format!("{}.mkv", case.name));
        let publish = |case: &Case| case.publish(&program, &server.publish_url(case.name), &file(case));
        let mut publishers: Vec<Publisher> = cases.iter().map(publish).collect();
        for (case, publisher) in cases.iter().zip(&mut publishers) {
            let path = format!("/live/{}/index.m3u8", case.name);
            let playable = wait_until_playable(&server.http().to_string(), &path, PLAYABLE_WITHIN);
            if publisher.wait(DONE_WITHIN).is_none_or(|status| !status.success()) {
                faults.push(format!("{}: did not end well; {}", case.name, publisher.log()));
                continue;
            }
            let url = format!("http://{}{path}", server.http());
            let found = case.faults(&program, &url, &file(case), &playable.multivariant.variants[0]);
            faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", case.name)));
        }
    }
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), server.log());
}
