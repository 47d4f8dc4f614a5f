//! What ffmpeg makes of a file or stream, frame by frame: the judge of whether what came out is what went in.

use super::replay::Tag;
use std::path::PathBuf;
use std::process::Command;

/// The static ffmpeg of the wheel that `tests/run install` puts beside the tests: it reads Enhanced RTMP.
pub fn newer_ffmpeg() -> Option<String> {
    let libraries = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/.venv/lib");
    let python = std::fs::read_dir(libraries).ok()?.next()?.ok()?.path();
    let binaries = python.join("site-packages/imageio_ffmpeg/binaries");
    let mut files = std::fs::read_dir(binaries).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let program = files
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ffmpeg")))?;
    Some(program.to_string_lossy().into_owned())
}

/// The same, or a word to whoever reads that something is not tested; under CI it must be there.
pub fn newer_ffmpeg_or_say() -> Option<String> {
    let program = newer_ffmpeg();
    match program {
        None if std::env::var_os("CI").is_some() => panic!("the newer ffmpeg is missing: tests/run install"),
        None => eprintln!("NOT TESTED: the newer ffmpeg is missing: tests/run install"),
        Some(_) => {}
    }
    program
}

/// An FLV file of these tags.
pub fn flv_file(tags: &[Tag]) -> Vec<u8> {
    let mut file = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00".to_vec();
    for tag in tags {
        let size = u32::try_from(tag.body.len()).expect("a tag of less than 4 GiB").to_be_bytes();
        let [high, time @ ..] = tag.timestamp_ms.to_be_bytes();
        file.push(tag.kind);
        file.extend(&size[1..]);
        file.extend(time);
        file.extend([high, 0, 0, 0]);
        file.extend(&tag.body);
        file.extend(u32::try_from(tag.body.len() + 11).expect("small").to_be_bytes());
    }
    file
}

/// One frame: when it is shown, in ticks of its stream, and the hash of what is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hashed {
    pub presentation: i64,
    /// The same in seconds.
    pub presentation_s: f64,
    pub hash: String,
}

/// What is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Every decoded picture of the first video stream.
    Pictures,
    /// Every packet of the first audio stream as it is: decoders of sound remember what came before.
    SoundPackets,
}

/// The frames of a file or URL. Anything that ffmpeg complains about is an error.
pub fn hashes(program: &str, input: &str, of: Of) -> Result<Vec<Hashed>, String> {
    let mut command = Command::new(program);
    command.args(["-v", "warning", "-nostdin", "-i", input]);
    match of {
        Of::Pictures => command.args(["-map", "0:v:0", "-fps_mode", "passthrough"]),
        Of::SoundPackets => command.args(["-map", "0:a:0", "-c", "copy"]),
    };
    let output =
        command.args(["-f", "framehash", "-hash", "md5", "-"]).output().map_err(|error| error.to_string())?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !complaints.trim().is_empty() {
        return Err(format!("{input}: {}; {complaints}", output.status));
    }
    // stream, dts, pts, duration, size, hash; side data follows.
    let text = String::from_utf8_lossy(&output.stdout);
    let tick_s = tick_s(&text).ok_or_else(|| format!("{input}: no time base in `{text}`"))?;
    let frames = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [_, _, presentation, _, _, hash, ..] = fields[..] else { return Err(format!("`{line}`")) };
        let presentation: i64 = presentation.parse().map_err(|_| format!("`{line}`"))?;
        Ok(Hashed { presentation, presentation_s: presentation as f64 * tick_s, hash: hash.to_owned() })
    });
    frames.collect()
}

/// `#tb 0: 1/90000`
fn tick_s(text: &str) -> Option<f64> {
    let (ticks, of) = text.lines().find_map(|line| line.strip_prefix("#tb 0: "))?.split_once('/')?;
    Some(ticks.trim().parse::<f64>().ok()? / of.trim().parse::<f64>().ok()?)
}

/// What is missing of `whole` before and after `part`; `None` when it is no part of it, in one piece.
pub fn missing_around(whole: &[Hashed], part: &[Hashed]) -> Option<(usize, usize)> {
    let hashes =
        |frames: &[Hashed]| -> Vec<String> { frames.iter().map(|frame| frame.hash.clone()).collect() };
    let (whole, part) = (hashes(whole), hashes(part));
    let before = whole.windows(part.len().max(1)).position(|window| window == part)?;
    Some((before, whole.len() - before - part.len()))
}
