//! Legacy tags, and what holds for all of them.

use super::*;
use crate::codec::avc::NalError;
use crate::codec::{self, FrameError};
use crate::limits::CODEC_CONFIG_BYTES_MAX;

mod enhanced;

/// GStreamer, x264 High, 160x90.
const AVCC: &[u8] = b"\x01\x64\x00\x0b\xff\xe1\x00\x1dgd\x00\x0b\xac\xb4\x14o\xc9\x80\xb5\x06\x06\x06\xa5\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x8f\x14\x2a\xa0\x01\x00\x04h\xef<\xb0";
const ASC: &[u8] = b"\x11\x90\x56\xe5\x00";
const IDR: &[u8] = b"\x00\x00\x00\x02\x09\xf0\x00\x00\x00\x04\x65\x88\x84\x00";

/// An event without borrows; the bytes of a frame joined into one.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Config(TrackKind),
    Begin(FrameBegin),
    Bytes(TrackKind, Vec<u8>),
    End { idr: bool, fault: Option<FrameFault> },
    Other(Event<'static>),
}

fn see(seen: &mut Vec<Seen>, event: Event<'_>) {
    let next = match event {
        Event::Config { kind, .. } => Seen::Config(kind),
        Event::FrameBegin(begin) => Seen::Begin(begin),
        Event::FrameBytes { kind, bytes } => {
            assert!(!bytes.is_empty());
            if let Some(Seen::Bytes(last, joined)) = seen.last_mut()
                && *last == kind
            {
                joined.extend_from_slice(&bytes);
                return;
            }
            Seen::Bytes(kind, bytes.to_vec())
        }
        Event::FrameEnd { frame, fault, .. } => Seen::End { idr: frame.role.is_sync(), fault },
        Event::EndOfSequence { kind } => Seen::Other(Event::EndOfSequence { kind }),
        Event::Unsupported { kind, what } => Seen::Other(Event::Unsupported { kind, what }),
        Event::Refused { kind, fault } => Seen::Other(Event::Refused { kind, fault }),
        Event::VideoMetadata { amf } => Seen::Other(Event::VideoMetadata { amf }),
    };
    seen.push(next);
}

/// Feeds a message in pieces that end at `cuts`.
fn feed(demuxer: &mut Demuxer, kind: TrackKind, message: &[u8], cuts: &[usize]) -> Vec<Seen> {
    let mut seen = vec![];
    let ends: Vec<usize> = cuts.iter().copied().chain([message.len()]).collect();
    let mut start = 0;
    for (index, &end) in ends.iter().enumerate() {
        let fragment = Fragment {
            kind,
            timestamp_ms: 40,
            message_bytes: message.len() as u32,
            first: index == 0,
            last: index + 1 == ends.len(),
            bytes: &message[start..end],
        };
        start = end;
        for event in demuxer.feed(fragment) {
            see(&mut seen, event);
        }
    }
    seen
}

fn video(demuxer: &mut Demuxer, header: &[u8], body: &[u8]) -> Vec<Seen> {
    feed(demuxer, TrackKind::Video, &[header, body].concat(), &[])
}

fn configured(avcc: &[u8]) -> Demuxer {
    let mut demuxer = Demuxer::new();
    assert_eq!(video(&mut demuxer, b"\x17\0\0\0\0", avcc), [Seen::Config(TrackKind::Video)]);
    let asc = [b"\xaf\x00", ASC].concat();
    assert_eq!(feed(&mut demuxer, TrackKind::Audio, &asc, &[]), [Seen::Config(TrackKind::Audio)]);
    demuxer
}

fn frame(key: bool, composition_ms: i32, coded: &[u8]) -> Vec<Seen> {
    let coded_bytes = coded.len() as u32;
    let begin = FrameBegin {
        kind: TrackKind::Video,
        timestamp_ms: 40,
        composition_ms,
        offset_ns: 0,
        key,
        samples: None,
        coded_bytes,
    };
    vec![
        Seen::Begin(begin),
        Seen::Bytes(TrackKind::Video, coded.to_vec()),
        Seen::End { idr: true, fault: None },
    ]
}

#[test]
fn a_message_means_the_same_however_it_is_cut() {
    for header in [&b"\x17\x01\x00\x00\x42"[..], b"\x91avc1\x00\x00\x42"] {
        let message = [header, IDR].concat();
        for a in 1..message.len() {
            for b in a..message.len() {
                let seen = feed(&mut configured(AVCC), TrackKind::Video, &message, &[a, b]);
                assert_eq!(seen, frame(true, 66, IDR), "cut at {a} and {b}");
            }
        }
        let every: Vec<usize> = (1..message.len()).collect();
        assert_eq!(feed(&mut configured(AVCC), TrackKind::Video, &message, &every), frame(true, 66, IDR));
    }
    let config = [b"\x17\0\0\0\0", AVCC].concat();
    for cut in 1..config.len() {
        let seen = feed(&mut Demuxer::new(), TrackKind::Video, &config, &[cut]);
        assert_eq!(seen, [Seen::Config(TrackKind::Video)], "cut at {cut}");
    }
}

/// Predecessor's defect 3: composition time was dropped.
#[test]
fn defect_3_composition_time_is_kept_with_its_sign() {
    for (header, composition_ms) in [
        (&b"\x27\x01\x00\x00\xa6"[..], 166),
        (b"\x27\x01\xff\xff\xdf", -33),
        (b"\xa1avc1\x7f\xff\xff", 0x7f_ffff),
        (b"\xa3avc1", 0),
    ] {
        assert_eq!(video(&mut configured(AVCC), header, IDR), frame(false, composition_ms, IDR));
    }
}

/// Predecessor's defect 1: frames above 64 KiB were cut off.
#[test]
fn defect_1_a_frame_of_a_megabyte_arrives_whole_and_uncopied() {
    let mut coded = (1u32 << 20).to_be_bytes().to_vec();
    coded.extend(vec![0x65; 1 << 20]);
    let message = [b"\x17\x01\0\0\0", &coded[..]].concat();
    let mut demuxer = configured(AVCC);
    let (mut bytes, mut start) = (0, 0);
    for piece in message.chunks(4096) {
        let end = start + piece.len();
        let fragment = Fragment {
            kind: TrackKind::Video,
            timestamp_ms: 0,
            message_bytes: message.len() as u32,
            first: start == 0,
            last: end == message.len(),
            bytes: piece,
        };
        for event in demuxer.feed(fragment) {
            if let Event::FrameBytes { bytes: Piece::Received(codec::Piece::Borrowed(slice)), .. } = event {
                assert!(piece.as_ptr_range().contains(&slice.as_ptr()), "a slice of the input");
                bytes += slice.len();
            }
        }
        start = end;
    }
    assert_eq!(bytes, coded.len());
    assert_eq!(demuxer.findings(), Findings::default());
}

#[test]
fn shorter_nal_lengths_grow_to_4_bytes() {
    for length_bytes in 1..=3usize {
        let mut avcc = AVCC.to_vec();
        avcc[4] = 0xfc | (length_bytes as u8 - 1);
        let mut coded = vec![];
        for unit in [&[0x09, 0xf0][..], &[0x65, 0x88, 0x84, 0x00]] {
            coded.extend(&(unit.len() as u32).to_be_bytes()[4 - length_bytes..]);
            coded.extend(unit);
        }
        let message = [b"\x17\x01\0\0\0", &coded[..]].concat();
        for cut in 1..message.len() {
            let seen = feed(&mut configured(&avcc), TrackKind::Video, &message, &[cut]);
            assert_eq!(seen[1], Seen::Bytes(TrackKind::Video, IDR.to_vec()), "cut at {cut}");
            assert_eq!(seen[2], Seen::End { idr: true, fault: None });
        }
    }
}

#[test]
fn a_key_flag_without_an_idr_is_told_at_the_end() {
    let slice = b"\x00\x00\x00\x02\x61\x9a";
    let seen = video(&mut configured(AVCC), b"\x17\x01\0\0\0", slice);
    assert!(matches!(seen[0], Seen::Begin(FrameBegin { key: true, .. })));
    assert_eq!(seen[2], Seen::End { idr: false, fault: None });
}

#[test]
fn access_units_with_false_lengths_end_with_a_fault() {
    for (coded, error) in [
        (&b"\x00\x00\x00\x09\x65\x00"[..], NalError::TooLong { found: 9, left: 2 }),
        (b"\x00\x00\x00\x00\x65", NalError::Empty),
        (b"\x00\x00\x00\x01\x65\x00\x00", NalError::LengthCut),
    ] {
        let mut demuxer = configured(AVCC);
        let seen = video(&mut demuxer, b"\x17\x01\0\0\0", coded);
        assert_eq!(
            seen.last(),
            Some(&Seen::End {
                idr: error == NalError::LengthCut,
                fault: Some(FrameFault::Codec(FrameError::Nal(error)))
            })
        );
        assert_eq!(demuxer.findings().frames_faulty, 1);
        assert_eq!(video(&mut demuxer, b"\x17\x01\0\0\0", IDR), frame(true, 0, IDR), "the next is whole");
    }
}

#[test]
fn messages_that_never_end_are_cut() {
    let mut demuxer = configured(AVCC);
    let begin = |demuxer: &mut Demuxer, bytes: &'static [u8], last| {
        let fragment =
            Fragment { kind: TrackKind::Video, timestamp_ms: 0, message_bytes: 30, first: true, last, bytes };
        let mut seen = vec![];
        demuxer.feed(fragment).for_each(|event| see(&mut seen, event));
        seen
    };
    let cut = |left| Seen::End { idr: false, fault: Some(FrameFault::Cut { left }) };
    // Aborted, replaced by another message, and shorter than declared.
    begin(&mut demuxer, b"\x27\x01\0\0\0\0\0\0\x15", false);
    assert!(matches!(demuxer.abort(TrackKind::Video), Some(Event::FrameEnd { fault: Some(_), .. })));
    assert_eq!(demuxer.abort(TrackKind::Video), None);
    begin(&mut demuxer, b"\x27\x01\0\0\0\0\0\0\x15", false);
    assert_eq!(video(&mut demuxer, b"\x17\x01\0\0\0", IDR)[0], cut(21));
    assert_eq!(begin(&mut demuxer, b"\x27\x01\0\0\0\0\0\0\x15", true).last(), Some(&cut(21)));
    assert_eq!(begin(&mut demuxer, b"\x17\x01", true), []);
    assert_eq!((demuxer.findings().messages_cut, demuxer.findings().frames_faulty), (4, 3));
    // A middle without its beginning says nothing.
    let middle = Fragment {
        kind: TrackKind::Video,
        timestamp_ms: 0,
        message_bytes: 9,
        first: false,
        last: true,
        bytes: IDR,
    };
    assert_eq!(demuxer.feed(middle).count(), 0);
}

#[test]
fn audio_stands_between_video_fragments_and_reaches_the_output() {
    let mut demuxer = configured(AVCC);
    let message = [b"\x17\x01\0\0\0", IDR].concat();
    let part = |bytes, first, last| Fragment {
        kind: TrackKind::Video,
        timestamp_ms: 40,
        message_bytes: message.len() as u32,
        first,
        last,
        bytes,
    };
    let mut seen = vec![];
    demuxer.feed(part(&message[..9], true, false)).for_each(|event| see(&mut seen, event));
    let audio = feed(&mut demuxer, TrackKind::Audio, b"\xaf\x01\x21\x10\x04\x60\x8c\x1c", &[1, 4]);
    demuxer.feed(part(&message[9..], false, true)).for_each(|event| see(&mut seen, event));
    assert_eq!(seen, frame(true, 0, IDR));
    assert_eq!(audio[1], Seen::Bytes(TrackKind::Audio, b"\x21\x10\x04\x60\x8c\x1c".to_vec()));
    assert_eq!(audio[2], Seen::End { idr: true, fault: None });
}

#[test]
fn a_configuration_counts_only_when_it_changes() {
    let mut demuxer = configured(AVCC);
    assert_eq!(video(&mut demuxer, b"\x17\0\0\0\0", AVCC), []);
    assert_eq!(video(&mut demuxer, b"\x90avc1", AVCC), [], "the same in an enhanced tag");
    assert_eq!(demuxer.findings().configs_repeated, 2);
    let changed = [AVCC, b"\xfd\xf8\xf8\x00"].concat();
    assert_eq!(video(&mut demuxer, b"\x17\0\0\0\0", &changed), [Seen::Config(TrackKind::Video)]);
    // A bad one ends what was in force; frames are refused until a good one comes.
    assert!(matches!(
        video(&mut demuxer, b"\x17\0\0\0\0", b"\x02\0\0\0\0")[..],
        [Seen::Other(Event::Refused { .. })]
    ));
    let refused = Seen::Other(Event::Refused { kind: TrackKind::Video, fault: Fault::NoConfig });
    assert_eq!(video(&mut demuxer, b"\x17\x01\0\0\0", IDR), [refused]);
    assert_eq!(video(&mut demuxer, b"\x17\0\0\0\0", AVCC), [Seen::Config(TrackKind::Video)]);
    let huge = vec![1; CODEC_CONFIG_BYTES_MAX + 1];
    assert!(matches!(
        video(&mut demuxer, b"\x17\0\0\0\0", &huge)[..],
        [Seen::Other(Event::Refused { fault: Fault::ConfigTooLarge { .. }, .. })]
    ));
}

#[test]
fn what_is_not_carried_is_named_once_and_touches_nothing_else() {
    let mut demuxer = configured(AVCC);
    let vp8 = Event::Unsupported { kind: TrackKind::Video, what: Unsupported::FourCc(*b"vp08") };
    assert_eq!(video(&mut demuxer, b"\x90vp08", b"\x01\x01\x60"), [Seen::Other(vp8)]);
    assert_eq!(video(&mut demuxer, b"\xa1vp08", b"\0\0\0\0\0\0\x01\x26"), []);
    let third = Event::Unsupported { kind: TrackKind::Video, what: Unsupported::MultitrackType(3) };
    assert_eq!(video(&mut demuxer, b"\x96\x30avc1\x01", AVCC), [Seen::Other(third)]);
    for (header, body) in [
        (&b"\x57"[..], &b"\x00"[..]), // command
        (b"\x17\x01\0\0\0", b""),     // empty frame
        (b"\x17\0\0\0\0", b""),       // empty configuration
        (b"", b""),                   // empty message
    ] {
        assert_eq!(video(&mut demuxer, header, body), [], "{header:x?}");
    }
    let findings = demuxer.findings();
    assert_eq!((findings.unsupported, findings.metadata, findings.commands), (3, 0, 1));
    assert_eq!(findings.messages_empty, 3);
    let end = Event::EndOfSequence { kind: TrackKind::Video };
    assert_eq!(video(&mut demuxer, b"\x17\x02\0\0\0", b""), [Seen::Other(end)]);
    assert_eq!(video(&mut demuxer, b"\x17\x01\0\0\0", IDR), frame(true, 0, IDR));
}

#[test]
fn events_that_nobody_takes_still_move_the_state() {
    let mut demuxer = configured(AVCC);
    let message = [b"\x17\x01\0\0\0", IDR].concat();
    let whole = Fragment {
        kind: TrackKind::Video,
        timestamp_ms: 0,
        message_bytes: message.len() as u32,
        first: true,
        last: true,
        bytes: &message,
    };
    drop(demuxer.feed(whole));
    assert_eq!(demuxer.abort(TrackKind::Video), None, "the frame has ended");
}

/// Some hardware encoders change their parameter sets in a key frame and send no other record.
#[test]
fn other_parameter_sets_in_a_key_frame_are_a_configuration_before_it_however_it_is_cut() {
    // A PPS, in the place of the one with its id.
    let changed = [b"\x00\x00\x00\x04h\xee\x3c\xb0", IDR].concat();
    let message = [b"\x17\x01\0\0\0", &changed[..]].concat();
    for cut in 0..message.len() {
        let mut demuxer = configured(AVCC);
        let expected: Vec<Seen> = [vec![Seen::Config(TrackKind::Video)], frame(true, 0, &changed)].concat();
        assert_eq!(feed(&mut demuxer, TrackKind::Video, &message, &[cut]), expected, "cut at {cut}");
        let config = demuxer.config(TrackKind::Video).cloned();
        assert_eq!(video(&mut demuxer, b"\x17\x01\0\0\0", &changed), frame(true, 0, &changed), "once");
        assert_eq!(video(&mut demuxer, b"\x17\x00\0\0\0", AVCC), [], "the record of before, repeated");
        assert_eq!(demuxer.config(TrackKind::Video).cloned(), config);
    }
}
