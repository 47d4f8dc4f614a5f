//! Recordings of real publishers through chunk reader and session: every message as recorded, whole and in
//! pieces of any size.

use std::fs;
use std::path::{Path, PathBuf};

use rapidrtmp::media::{Now, TrackKind};
use rapidrtmp::rtmp::chunk::{ChunkEvent, ChunkReader};
use rapidrtmp::rtmp::{
    Event, HANDSHAKE_RANDOM_BYTES, MessageHeader, ServerConfig, ServerSession, UnpublishCause,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// C0, C1 and C2.
const HANDSHAKE_BYTES: usize = 1 + 2 * 1536;

struct Capture {
    name: String,
    bytes: Vec<u8>,
    facts: Value,
}

fn captures() -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rtmp-captures");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut facts: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    facts.sort();
    assert_eq!(facts.len(), 26);
    facts
        .into_iter()
        .map(|path| Capture {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            bytes: fs::read(path.with_extension("c2s.bin")).unwrap(),
            facts: serde_json::from_slice(&fs::read(&path).unwrap()).unwrap(),
        })
        .collect()
}

/// A seeded cut of `bytes` into pieces of 1 to `most` bytes.
fn pieces(bytes: &[u8], most: u64, seed: u64) -> Vec<&[u8]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let (mut rest, mut pieces) = (bytes, Vec::new());
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (piece, left) = rest.split_at(rest.len().min(1 + (state % most) as usize));
        pieces.push(piece);
        rest = left;
    }
    pieces
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A message that is not complete: chunk stream, header, bytes so far.
type Partial = (u32, MessageHeader, Vec<u8>);

/// The digest of all complete messages as the recordings define it, and what is left incomplete.
fn digest(pieces: &[&[u8]]) -> (String, Vec<Partial>) {
    let mut reader = ChunkReader::new();
    let (mut open, mut sha) = (Vec::<Partial>::new(), Sha256::new());
    for piece in pieces {
        let mut input = *piece;
        while let Some(event) = reader.poll(&mut input).unwrap() {
            let ChunkEvent::Fragment(fragment) = event else { panic!("{event:?}") };
            if fragment.first {
                open.push((fragment.chunk_stream, fragment.header, Vec::new()));
            }
            let index = open.iter().position(|partial| partial.0 == fragment.chunk_stream).unwrap();
            open[index].2.extend_from_slice(fragment.payload);
            if fragment.last {
                let (_, header, body) = open.remove(index);
                sha.update([header.type_id]);
                for field in [header.message_stream, header.timestamp_ms, header.message_bytes] {
                    sha.update(field.to_be_bytes());
                }
                sha.update(body);
            }
        }
    }
    (hex(&sha.finalize()), open)
}

#[test]
fn every_message_is_read_as_recorded_however_the_bytes_are_cut() {
    for Capture { name, bytes, facts } in captures() {
        let expected = facts["messages_sha256"].as_str().unwrap();
        let bytes = &bytes[HANDSHAKE_BYTES..];
        let cuts = [vec![bytes], bytes.chunks(1).collect(), pieces(bytes, 9, 1), pieces(bytes, 3000, 2)];
        for (index, cut) in cuts.iter().enumerate() {
            let (found, partial) = digest(cut);
            assert_eq!(found, expected, "{name}, cut {index}");
            let expected = facts["partial_at_end"].as_array().unwrap();
            assert_eq!(partial.len(), expected.len(), "{name}");
            for ((chunk_stream, header, body), expected) in partial.iter().zip(expected) {
                assert_eq!(u64::from(*chunk_stream), expected["csid"].as_u64().unwrap());
                assert_eq!(u64::from(header.timestamp_ms), expected["timestamp"].as_u64().unwrap());
                assert_eq!(body.len() as u64, expected["have"].as_u64().unwrap());
                assert_eq!(u64::from(header.message_bytes), expected["of"].as_u64().unwrap());
            }
        }
    }
}

/// What a session says of a connection.
#[derive(Debug, Default, PartialEq)]
struct Told {
    publishes: Vec<(String, Option<String>)>,
    encoder: String,
    audio: u64,
    video: u64,
    metadata: Vec<(Option<f64>, Option<f64>)>,
    unpublished: Vec<UnpublishCause>,
    first_timestamp: Option<u32>,
    last_timestamp: Option<u32>,
    /// Over audio and video bodies in their order, with type, time and length.
    media_sha256: String,
    unfinished: bool,
    replies_sha256: String,
}

/// Replays a connection; each publish is accepted at once.
fn replay(pieces: &[&[u8]]) -> Told {
    let now = Now::default();
    let mut session = ServerSession::new(ServerConfig::default(), [5; HANDSHAKE_RANDOM_BYTES], now);
    let mut told = Told::default();
    let (mut media_sha, mut replies) = (Sha256::new(), Vec::new());
    let mut open: [Option<(u32, Vec<u8>)>; 2] = [None, None];
    for piece in pieces {
        let mut input = *piece;
        while let Some(event) = session.poll(&mut input, now).unwrap() {
            match event {
                Event::PublishRequested(request) => {
                    let token = request.token.map(|token| token.expose().into());
                    told.publishes.push((request.name.as_str().into(), token));
                    told.encoder = request.encoder;
                    session.accept_publish(now);
                }
                Event::Media(media) => {
                    let audio = media.kind == TrackKind::Audio;
                    let open = &mut open[usize::from(audio)];
                    if media.first {
                        assert!(open.replace((media.timestamp_ms, Vec::new())).is_none());
                    }
                    let (time, body) = open.as_mut().unwrap();
                    assert_eq!(*time, media.timestamp_ms);
                    body.extend_from_slice(media.payload);
                    if media.last {
                        assert_eq!(body.len(), media.message_bytes as usize);
                        *(if audio { &mut told.audio } else { &mut told.video }) += 1;
                        told.first_timestamp.get_or_insert(media.timestamp_ms);
                        told.last_timestamp = Some(media.timestamp_ms);
                        media_sha.update([u8::from(audio)]);
                        media_sha.update(time.to_be_bytes());
                        media_sha.update(media.message_bytes.to_be_bytes());
                        media_sha.update(&*body);
                        *open = None;
                    }
                }
                Event::Metadata(metadata) => told.metadata.push((metadata.width, metadata.framerate)),
                Event::Unpublished(cause) => told.unpublished.push(cause),
                event => panic!("{event:?}"),
            }
        }
        assert!(input.is_empty());
        let output = session.output().to_vec();
        session.output_written(output.len());
        replies.extend(output);
    }
    told.unfinished = open.iter().any(Option::is_some);
    told.media_sha256 = hex(&media_sha.finalize());
    told.replies_sha256 = hex(&Sha256::digest(replies));
    told
}

fn count(facts: &Value, name: &str) -> u64 {
    facts["counts"][name].as_u64().unwrap()
}

#[test]
fn a_session_tells_of_each_recording_what_was_recorded() {
    for Capture { name, bytes, facts } in captures() {
        let told = replay(&[&bytes]);
        assert_eq!((told.video, told.audio), (count(&facts, "video"), count(&facts, "audio")), "{name}");
        assert_eq!(told.metadata.len() as u64, count(&facts, "data"), "{name}");
        let times = [told.first_timestamp, told.last_timestamp].map(|time| time.map(u64::from));
        let expected = ["first_media_timestamp", "last_media_timestamp"].map(|field| facts[field].as_u64());
        assert_eq!(times, expected, "{name}");
        assert_eq!(told.unfinished, !facts["partial_at_end"].as_array().unwrap().is_empty(), "{name}");

        let commands = facts["commands"].as_array().unwrap();
        let command = |wanted: &str| commands.iter().find(|command| command[1] == wanted);
        let connect = &command("connect").unwrap()[3][0];
        let asked = command("publish").unwrap()[3][1].as_str().unwrap();
        let (key, token) = match asked.split_once("?token=") {
            Some((key, query)) => (key, query.split('&').next().map(String::from)),
            None => (asked, None),
        };
        let stream = format!("{}/{key}", connect["app"].as_str().unwrap());
        assert_eq!(told.publishes, [(stream, token)], "{name}");
        assert_eq!(told.encoder, connect["flashVer"].as_str().unwrap_or_default(), "{name}");
        let ended = command("FCUnpublish").map(|_| UnpublishCause::FcUnpublish);
        assert_eq!(told.unpublished, Vec::from_iter(ended), "{name}");

        let metadata = &facts["first_data_message"][2];
        let expected = (metadata["width"].as_f64(), metadata["framerate"].as_f64());
        assert_eq!(told.metadata[0], expected, "{name}");
    }
}

#[test]
fn a_session_tells_the_same_however_the_bytes_are_cut() {
    for Capture { name, bytes, .. } in captures() {
        let whole = replay(&[&bytes]);
        for seed in 1..=3 {
            assert_eq!(replay(&pieces(&bytes, 5000, seed)), whole, "{name}, seed {seed}");
            assert_eq!(replay(&pieces(&bytes, 13, seed)), whole, "{name}, seed {seed}");
        }
        assert_eq!(replay(&bytes.chunks(1).collect::<Vec<_>>()), whole, "{name}");
    }
}

/// Predecessor's defect 18, with real senders: ffmpeg and librtmp past 16,777,215 ms. (That every byte of
/// them is read as sent is shown above.)
#[test]
fn defect_18_recordings_past_16777215_ms_are_read() {
    let far: Vec<Capture> = captures().into_iter().filter(|capture| capture.name.contains("_ext_")).collect();
    assert_eq!(far.len(), 3);
    for Capture { name, bytes, facts } in far {
        let told = replay(&pieces(&bytes, 100, 4));
        assert!(told.last_timestamp > Some(16_777_215), "{name}");
        assert_eq!(told.last_timestamp.map(u64::from), facts["last_media_timestamp"].as_u64(), "{name}");
    }
}
