use super::*;
use crate::auth::TokenDigest;
use crate::hls::{Epoch, Wishes};
use crate::limits::{RECORDING_ENTRY_BYTES_MAX, RECORDING_TIME_BACK_US_MAX, RECORDING_TIME_US_MAX};
use crate::origin::live::SessionSettings;

const NOW: Now = Now { monotonic_us: 1_000_000, unix_us: 1_795_348_800_000_000 };
const ID: PublisherId = PublisherId(7);

fn settings() -> HomeSettings {
    HomeSettings {
        wishes: Wishes { part_ms: 334, segment_ms: 2000 },
        session: SessionSettings {
            muxed: true,
            window_segments_min: 6,
            prefill_gap_segments: 0,
            retained_bytes_max: 256 << 20,
        },
        gop_ms: Some(2000),
        unpublish_grace_us: 10_000_000,
        reconnect_grace_us: 15_000_000,
        takeover_silence_us: 2_000_000,
        failback_us: 10_000_000,
    }
}

fn beginning() -> Box<Beginning> {
    let name = StreamName::new("live", "a").unwrap();
    let record = StreamRecord {
        epoch: Epoch { started_unix_ms: 1_795_348_000_000, random: 3 },
        session: None,
        media_sequence_last: 5,
        discontinuity_sequence_last: 6,
        token: Some(TokenDigest::of("a token")),
    };
    Box::new(Beginning::new(&name, settings(), 9, Some(&record)))
}

fn fragment(payload: &[u8]) -> MediaFragment<'_> {
    MediaFragment {
        kind: TrackKind::Video,
        timestamp_ms: 0xfeed_beef,
        message_bytes: 1000,
        payload,
        first: true,
        last: false,
    }
}

fn every_entry() -> Vec<Entry<'static>> {
    let metadata = StreamMetadata {
        framerate: Some(29.97),
        video_codec: Some(7.0),
        stereo: Some(false),
        encoder: Some("an encoder".into()),
        ..StreamMetadata::default()
    };
    let endings = [Ending::Complete, Ending::Behind, Ending::Full, Ending::SwitchedOff, Ending::Panicked];
    let audio = MediaFragment { kind: TrackKind::Audio, first: false, last: true, ..fragment(&[]) };
    [
        Entry::Time(NOW),
        Entry::Begin(beginning()),
        Entry::Settings(settings()),
        Entry::Attach(ID, Role::Primary),
        Entry::Metadata(ID, Cow::Owned(metadata)),
        Entry::Media(ID, fragment(&[1, 2, 3])),
        Entry::Media(ID, audio),
        Entry::Aborted(ID, TrackKind::Video),
        Entry::Aborted(ID, TrackKind::Audio),
        Entry::Detach(ID, Departure::Unpublished),
        Entry::Detach(ID, Departure::Lost),
        Entry::Stop,
        Entry::Tick,
    ]
    .into_iter()
    .chain(endings.map(Entry::End))
    .collect()
}

#[test]
fn every_entry_reads_as_it_was_written_and_a_piece_of_it_is_no_entry() {
    for entry in every_entry() {
        let mut bytes = Vec::new();
        entry.write(&mut bytes);
        for count in 0..bytes.len() {
            assert!(Entry::read(&bytes[..count]).unwrap().is_none(), "{count} bytes of {entry:?}");
        }
        let length = bytes.len();
        bytes.extend([1, 2, 3]);
        assert_eq!(Entry::read(&bytes).unwrap().unwrap(), (entry, length));
    }
}

#[test]
fn no_token_is_recorded_and_no_digest_of_one() {
    let recorded = Recorder::new(*beginning(), NOW).take();
    let digest = serde_json::to_string(&TokenDigest::of("a token")).unwrap();
    let holds = |text: &str| recorded.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("media_sequence_last") && !holds("token") && !holds(digest.trim_matches('"')));
}

#[test]
fn a_time_is_written_once_for_all_calls_that_have_it() {
    let mut recorder = Recorder::new(*beginning(), NOW);
    let mut begun = recorder.take();
    recorder.note(Some(NOW), &Entry::Attach(ID, Role::Primary));
    recorder.note(None, &Entry::Settings(settings()));
    let later = Now { monotonic_us: NOW.monotonic_us + 1, ..NOW };
    recorder.note(Some(later), &Entry::Tick);
    recorder.note(Some(later), &Entry::Stop);
    begun.extend(recorder.take());
    let mut rest = &begun[read_magic(&begun).unwrap().unwrap()..];
    let mut read = Vec::new();
    while let Some((entry, count)) = Entry::read(rest).unwrap() {
        rest = &rest[count..];
        read.push(entry);
    }
    let expected = [
        Entry::Time(NOW),
        Entry::Begin(beginning()),
        Entry::Attach(ID, Role::Primary),
        Entry::Settings(settings()),
        Entry::Time(later),
        Entry::Tick,
        Entry::Stop,
    ];
    assert_eq!((read.as_slice(), rest), (&expected[..], &[][..]));
}

#[test]
fn what_is_no_recording_is_refused() {
    assert!(matches!(read_magic(b"RapidRTMP ingest recording 2\n"), Err(RecordingError::Magic)));
    assert!(matches!(read_magic(b"FLV"), Err(RecordingError::Magic)));
    assert!(matches!(read_magic(&MAGIC[..28]), Ok(None)));
    let length = |bytes: u32| [&[5][..], &bytes.to_be_bytes()].concat();
    let body = |kind: u8, body: &[u8]| [&[kind][..], &(body.len() as u32).to_be_bytes(), body].concat();
    for bytes in [
        length(RECORDING_ENTRY_BYTES_MAX + 1),
        body(11, &[]),
        body(0, &[0; 15]),
        body(0, &[0; 17]),
        body(1, b"{}"),
        body(2, b"[[[[[["),
        body(4, &[0; 8]),
        body(5, &[0; 8]),
        body(5, &[8; 17]),
        body(7, &[2; 9]),
        body(8, &[0]),
        body(10, &[5]),
    ] {
        assert!(Entry::read(&bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_call_that_no_home_is_told_is_refused() {
    let time = |monotonic_us, unix_us| Entry::Time(Now { monotonic_us, unix_us });
    let with = |settings: HomeSettings| Entry::Begin(Box::new(Beginning { settings, ..*beginning() }));
    let insane = HomeSettings { wishes: Wishes { part_ms: 0, segment_ms: 0 }, ..settings() };
    let nameless = Entry::Begin(Box::new(Beginning { stream: "../etc".into(), ..*beginning() }));
    let long = MediaFragment { message_bytes: u32::MAX, ..fragment(&[]) };
    let begun = [Entry::Time(NOW), Entry::Begin(beginning())];
    for (before, refused) in [
        (&[][..], Entry::Begin(beginning())),
        (&begun[..1], Entry::Tick),
        (&begun[..1], with(insane)),
        (&begun[..1], nameless),
        (&[time(9_000_000, 0)], time(9_000_000 - RECORDING_TIME_BACK_US_MAX - 1, 0)),
        (&begun[..1], time(RECORDING_TIME_US_MAX, 0)),
        (&begun, Entry::Begin(beginning())),
        (&begun, Entry::Settings(insane)),
        (&begun, Entry::Media(ID, long)),
        (
            &[&begun[..], &[Entry::Attach(ID, Role::Primary)]].concat(),
            Entry::Attach(PublisherId(8), Role::Primary),
        ),
        (&[&begun[..], &[Entry::End(Ending::Full)]].concat(), Entry::Tick),
    ] {
        let mut replay = Replay::default();
        for entry in before {
            replay.apply(entry.clone()).unwrap();
        }
        let told = format!("{refused:?}");
        assert!(matches!(replay.apply(refused), Err(RecordingError::OutOfPlace(_))), "{told}");
    }
}
