//! That files of ffmpeg are read as ffprobe reads them.

use std::path::Path;
use std::process::Command;

use super::boxes::Boxes;
use super::{Init, Media, TrackKind, check_continuity, check_listed, read_media, summarise};
use crate::fault::FaultKind;

/// Dts, size and whether it is a key frame, of each packet of one stream. Durations show in the dts after them;
/// ffprobe's own are those of the codec, not those of the boxes.
type Packets = Vec<(i64, usize, bool)>;

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("these tests need {program} on the PATH: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Two seconds of video with two B-frames in a row, and of audio.
fn record(file: &Path, options: &[&str]) -> Vec<u8> {
    let path = file.to_str().expect("a path that is text");
    let sources = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=160x90:rate=30",
        "-f",
        "lavfi",
        "-i",
        "sine=sample_rate=48000",
        "-t",
        "2",
    ];
    let codecs =
        "-c:v libx264 -preset ultrafast -g 15 -keyint_min 15 -sc_threshold 0 -bf 2 -pix_fmt yuv420p -c:a aac";
    let mut arguments = vec!["-v", "error", "-y"];
    arguments.extend(sources);
    arguments.extend(codecs.split(' '));
    arguments.extend(options);
    arguments.extend(["-f", "mp4", path]);
    run("ffmpeg", &arguments);
    std::fs::read(file).unwrap()
}

fn packets(file: &Path, stream: &str) -> Packets {
    let fields = "packet=dts,size,flags";
    let path = file.to_str().expect("a path that is text");
    let text = run(
        "ffprobe",
        &["-v", "error", "-select_streams", stream, "-show_entries", fields, "-of", "csv=p=0", path],
    );
    let text = String::from_utf8(text).unwrap();
    let packet = |line: &str| -> Option<(i64, usize, bool)> {
        let mut fields = line.split(',');
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?, fields.next()?.starts_with('K')))
    };
    text.lines().map(|line| packet(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

fn read_packets(media: &Media<'_>, track_id: u32) -> Packets {
    let run = media.runs.iter().find(|run| run.track_id == track_id).unwrap();
    run.samples
        .iter()
        .map(|it| (i64::try_from(it.decode_time).unwrap(), it.bytes.len(), it.flags.is_sync()))
        .collect()
}

/// Splits a file before its first `moof`, and what follows into pieces that begin with one.
fn split(file: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let starts: Vec<_> =
        Boxes::of_file(file).map(Result::unwrap).filter(|it| it.is(b"moof")).map(|it| it.at.offset).collect();
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    let parts = starts.iter().zip(ends).map(|(&start, end)| &file[start..end]).collect();
    (&file[..starts[0]], parts)
}

/// Of two lists of packets, the second may have decode times that are all later by the same.
fn assert_same_packets(found: &Packets, expected: &Packets) {
    let shift = found.first().unwrap().0 - expected.first().unwrap().0;
    let moved: Packets = expected.iter().map(|it| (it.0 + shift, it.1, it.2)).collect();
    assert_eq!(*found, moved);
}

#[test]
fn fragments_are_read_as_ffprobe_reads_them() {
    let directory = own_directory();
    for (name, options, fragments_count_min) in [
        ("cmaf.mp4", &["-movflags", "+frag_keyframe+empty_moov+default_base_moof+cmaf+skip_trailer"][..], 4),
        ("plain.mp4", &["-movflags", "+frag_keyframe+empty_moov+default_base_moof+skip_trailer"], 4),
        (
            "short.mp4",
            &["-movflags", "+empty_moov+default_base_moof+cmaf+skip_trailer", "-frag_duration", "100000"],
            15,
        ),
    ] {
        let path = directory.join(name);
        let file = record(&path, options);
        let (init_bytes, parts) = split(&file);
        let init = Init::parse(init_bytes).unwrap();
        let kinds: Vec<_> = init
            .tracks
            .iter()
            .map(|it| (it.kind, it.codec.to_string(), it.nal_length_size, it.width, it.height))
            .collect();
        let expected = [
            (TrackKind::Video, "avc1".to_owned(), Some(4), 160, 90),
            (TrackKind::Audio, "mp4a".to_owned(), None, 0, 0),
        ];
        assert_eq!(kinds, expected, "{name}");
        assert_eq!(init.faults, [], "{name}");

        let media_bytes = &file[init_bytes.len()..];
        let media = read_media(&init, media_bytes).unwrap();
        assert_eq!(media.faults, [], "{name}");
        assert!(media.fragments_count >= fragments_count_min, "{name}: {} fragments", media.fragments_count);
        assert_same_packets(&read_packets(&media, 1), &packets(&path, "v"));
        assert_same_packets(&read_packets(&media, 2), &packets(&path, "a"));

        let mut previous = None;
        let mut samples_count = 0;
        for part in &parts {
            let (summary, faults) = summarise(&init, part).unwrap();
            assert_eq!(faults, [], "{name}");
            assert_eq!(summary.stamps(), None, "{name}");
            samples_count += summary.tracks.iter().map(|track| track.samples_count).sum::<u32>();
            if let Some(main) = summary.main_track().filter(|track| track.kind == TrackKind::Video) {
                let listed = std::time::Duration::from_micros(
                    (main.end - main.start) * 1_000_000 / u64::from(main.timescale.get()),
                );
                assert_eq!(check_listed(&summary, listed, main.has_sync), [], "{name}");
            }
            if let Some(previous) = previous.replace(summary.clone()) {
                assert_eq!(check_continuity(&previous, &summary), [], "{name}");
            }
        }
        let all: usize = media.runs.iter().map(|run| run.samples.len()).sum();
        assert_eq!(samples_count as usize, all, "{name}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn offsets_of_the_file_are_faults_but_lead_to_the_same_samples() {
    let directory = own_directory();
    let path = directory.join("old.mp4");
    let file = record(&path, &["-movflags", "+frag_keyframe+empty_moov+skip_trailer"]);
    let (init_bytes, parts) = split(&file);
    let init = Init::parse(init_bytes).unwrap();
    // base-data-offset counts from the start of the file, so that only the whole file can be read.
    let media = read_media(&init, &file).unwrap();
    assert!(media.faults.iter().all(|fault| fault.kind == FaultKind::BoxStructure));
    assert!(media.faults.iter().any(|fault| fault.detail.contains("base-data-offset")));
    assert_same_packets(&read_packets(&media, 1), &packets(&path, "v"));
    assert_same_packets(&read_packets(&media, 2), &packets(&path, "a"));
    assert!(parts.iter().any(|part| read_media(&init, part).is_err()));
    std::fs::remove_dir_all(directory).unwrap();
}

/// A directory of this test process alone, and of this call.
fn own_directory() -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("loadtest-fmp4-{}-{call}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}
