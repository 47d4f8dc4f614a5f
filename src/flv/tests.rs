use super::*;
use crate::codec::avc::NalError;
use crate::codec::{self, FrameError, Hdr};
use crate::limits::{CODEC_CONFIG_BYTES_MAX, FLV_EXTRA_TRACKS_MAX, FLV_MESSAGE_TRACKS_MAX};

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
    begin(&mut demuxer, b"\x17\x01\0\0\0\0\0\0\x15", false);
    assert!(matches!(demuxer.abort(TrackKind::Video), Some(Event::FrameEnd { fault: Some(_), .. })));
    assert_eq!(demuxer.abort(TrackKind::Video), None);
    begin(&mut demuxer, b"\x17\x01\0\0\0\0\0\0\x15", false);
    assert_eq!(video(&mut demuxer, b"\x17\x01\0\0\0", IDR)[0], cut(21));
    assert_eq!(begin(&mut demuxer, b"\x17\x01\0\0\0\0\0\0\x15", true).last(), Some(&cut(21)));
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

/// Metadata is Metadata before it is Command: ffmpeg's has both in its first byte.
#[test]
fn metadata_of_the_pictures_is_handed_on_however_it_is_cut() {
    let message = b"\xd4avc1\x02\x00\x09colorInfo\x03\x00\x00\x09";
    let amf = Event::VideoMetadata { amf: message[5..].to_vec().into() };
    for cut in 1..message.len() {
        let mut demuxer = configured(AVCC);
        let seen = feed(&mut demuxer, TrackKind::Video, message, &[cut]);
        assert_eq!(seen, [Seen::Other(amf.clone())], "cut at {cut}");
        assert_eq!(demuxer.findings().metadata, 1);
    }
    let huge = vec![0; crate::limits::VIDEO_METADATA_BYTES_MAX + 1];
    assert_eq!(video(&mut configured(AVCC), b"\xd4avc1", &huge), []);
}

#[test]
fn what_is_said_of_the_light_changes_the_configuration_once() {
    let mut demuxer = configured(AVCC);
    assert_eq!(demuxer.set_hdr(Hdr::default()), None);
    let hdr = Hdr { light: codec::ContentLight::from_nits(1000.0, 400.0), ..Hdr::default() };
    let changed = demuxer.set_hdr(hdr).expect("another configuration");
    assert_eq!(demuxer.config(TrackKind::Video), Some(&changed));
    assert_eq!(demuxer.set_hdr(hdr), None);
    assert_eq!(video(&mut demuxer, b"\x17\0\0\0\0", AVCC), [], "the record alone says no other");
    assert_eq!(demuxer.set_hdr(Hdr::default()).map(|config| config.hdr().light), Some(None));
    // Said before the configuration, it is of that.
    let mut early = Demuxer::new();
    assert_eq!(early.set_hdr(hdr), None);
    video(&mut early, b"\x17\0\0\0\0", AVCC);
    assert_eq!(early.config(TrackKind::Video), Some(&changed));
}

/// Its bitstream says BT.601: another word beside it changes nothing, and costs no new init segment.
#[test]
fn what_is_said_of_colours_that_the_bitstream_says_is_no_change() {
    let record = b"\x90vp09\x01\0\0\0\0\x0a\x82\x06\x06\x06\0\0";
    let key = b"\x91vp09\x82\x49\x83\x42\x00\x09\xf0\x05\x96\x06\x38\x24\x1c\x18\x42\x00\x07\x50\x50\x62\xfd";
    let mut demuxer = Demuxer::new();
    assert_eq!(video(&mut demuxer, record, &[]), []);
    assert_eq!(video(&mut demuxer, key, &[])[0], Seen::Config(TrackKind::Video));
    let bt709 = codec::Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
    let said = Hdr { colour: Some(bt709), ..Hdr::default() };
    assert_eq!(demuxer.set_hdr(said), None);
    let light = codec::ContentLight::from_nits(1000.0, 400.0);
    assert!(demuxer.set_hdr(Hdr { light, ..said }).is_some());
    assert_eq!(demuxer.set_hdr(Hdr { light, ..Hdr::default() }), None);
}

fn track(id: u8, body: &[u8]) -> Vec<u8> {
    let size = (body.len() as u32).to_be_bytes();
    [&[id], &size[1..], body].concat()
}

#[test]
fn track_0_is_played_and_the_others_are_counted_however_they_come() {
    let slice = b"\0\0\0\x02\x61\x9a";
    let expected = |demuxer: &Demuxer| {
        let [extra] = demuxer.extra_tracks() else { panic!("{:?}", demuxer.extra_tracks()) };
        assert_eq!((extra.kind, extra.id, &extra.four_cc), (TrackKind::Video, 1, b"avc1"));
        assert_eq!((extra.codec.as_deref(), extra.resolution), (Some("avc1.64000B"), Some((160, 90))));
        assert_eq!((extra.frames, extra.bytes), (1, slice.len() as u64));
    };
    // OneTrack: as ffmpeg sends the second track, while the first has no number.
    let mut demuxer = configured(AVCC);
    assert_eq!(video(&mut demuxer, b"\x96\x00avc1\x01", AVCC), []);
    assert_eq!(video(&mut demuxer, b"\xa6\x03avc1\x01", slice), []);
    assert_eq!(video(&mut demuxer, b"\x96\x01avc1\x00\0\0\x42", IDR), frame(true, 66, IDR));
    expected(&demuxer);

    // ManyTracks, track 0 last, cut anywhere.
    let configs = [&b"\x96\x10avc1"[..], &track(1, AVCC), &track(0, AVCC)].concat();
    let frames = [
        &b"\xa6\x11avc1"[..],
        &track(1, &[b"\0\0\0", &slice[..]].concat()),
        &track(0, &[b"\0\0\x42", IDR].concat()),
    ]
    .concat();
    for cut in 1..configs.len() {
        let mut demuxer = Demuxer::new();
        let seen = feed(&mut demuxer, TrackKind::Video, &configs, &[cut]);
        assert_eq!(seen, [Seen::Config(TrackKind::Video)], "cut at {cut}");
    }
    for cut in 1..frames.len() {
        let mut demuxer = Demuxer::new();
        feed(&mut demuxer, TrackKind::Video, &configs, &[]);
        let seen = feed(&mut demuxer, TrackKind::Video, &frames, &[cut]);
        assert_eq!(seen, frame(false, 66, IDR), "cut at {cut}");
        expected(&demuxer);
    }

    // ManyTracksManyCodecs: one that is not known here does not hide the next.
    let mut demuxer = configured(AVCC);
    let many = [&b"\xa6\x23vp08"[..], &track(1, b"xyz"), b"avc1", &track(0, IDR)].concat();
    assert_eq!(feed(&mut demuxer, TrackKind::Video, &many, &[]), frame(false, 0, IDR));
    let extra = &demuxer.extra_tracks()[0];
    assert_eq!((&extra.four_cc, extra.codec.clone(), extra.frames), (b"vp08", None, 0));
}

#[test]
fn tracks_that_cannot_be_true_end_their_message_only() {
    let mut demuxer = configured(AVCC);
    let refused = |fault| [Seen::Other(Event::Refused { kind: TrackKind::Video, fault })];
    let mut long = [&b"\xa6\x13avc1"[..], &track(0, IDR)].concat();
    long[9] += 1;
    let size = IDR.len() as u32;
    let fault = Fault::TrackSize { found: size + 1, left: size };
    assert_eq!(feed(&mut demuxer, TrackKind::Video, &long, &[]), refused(fault));
    let short = b"\xa6\x11avc1\x00\0\0\x02\0\0\x42rest";
    let fault = Fault::TrackSize { found: 2, left: short.len() as u32 };
    assert_eq!(feed(&mut demuxer, TrackKind::Video, short, &[]), refused(fault));
    // Any number of empty tracks costs no more than so many.
    let crowd = [&b"\xa6\x13avc1"[..], &track(7, b"").repeat(1000)].concat();
    assert_eq!(feed(&mut demuxer, TrackKind::Video, &crowd, &[]), refused(Fault::TooManyTracks));
    for id in 1..=255 {
        video(&mut demuxer, &[&b"\xa6\x03avc1"[..], &[id]].concat(), b"x");
    }
    assert_eq!(demuxer.extra_tracks().len(), FLV_EXTRA_TRACKS_MAX);
    assert_eq!(demuxer.findings().extra_frames, 255);
    assert!(usize::from(FLV_MESSAGE_TRACKS_MAX) < 1000);
    assert_eq!(video(&mut demuxer, b"\x17\x01\0\0\0", IDR), frame(true, 0, IDR), "the next is whole");
}

#[test]
fn frames_of_another_codec_than_the_configured_one_are_refused() {
    let mut demuxer = configured(AVCC);
    let refused = Seen::Other(Event::Refused { kind: TrackKind::Video, fault: Fault::NoConfig });
    assert_eq!(video(&mut demuxer, b"\x93hvc1", IDR), [refused]);
    assert_eq!(video(&mut demuxer, b"\x93avc1", IDR), frame(true, 0, IDR));
}

#[test]
fn the_layout_of_channels_is_kept() {
    let mut demuxer = configured(AVCC);
    assert_eq!(demuxer.channel_layout(), None);
    for message in
        [&b"\x94mp4a\x01\x06\0\0\0\x3f"[..], b"\x94mp4a\x01", b"\x95\x04mp4a\x01\x01\x01\0\0\0\x04"]
    {
        assert_eq!(feed(&mut demuxer, TrackKind::Audio, message, &[3]), []);
        assert_eq!(demuxer.channel_layout().map(|layout| layout.channels), Some(6));
    }
    assert_eq!(demuxer.findings().channel_layouts, 2);
}

/// First bytes of a packet of AC-3 (ffmpeg, stereo at 96 kbit/s) in 384 bytes.
fn ac3() -> Vec<u8> {
    let mut packet = b"\x0b\x77\x38\x90\x0c\x40\x43\xe1\x06\xf0\x01\x0c\x0c\x0c\x21".to_vec();
    packet.resize(384, 0x55);
    packet
}

fn begins(seen: &[Seen]) -> Vec<FrameBegin> {
    let begin = |seen: &Seen| if let Seen::Begin(begin) = seen { Some(*begin) } else { None };
    seen.iter().filter_map(begin).collect()
}

/// Research 7.6: the record of AC-3 is empty, its first frame says all.
#[test]
fn ac3_is_configured_by_its_first_frame_however_it_is_cut() {
    let message = [b"\x91ac-3", &ac3()[..]].concat();
    for cut in 1..message.len() {
        let mut demuxer = Demuxer::new();
        assert_eq!(feed(&mut demuxer, TrackKind::Audio, b"\x90ac-3", &[2]), []);
        assert_eq!(feed(&mut demuxer, TrackKind::Audio, b"\x94ac-3\x01\x02\0\0\0\x03", &[]), []);
        let seen = feed(&mut demuxer, TrackKind::Audio, &message, &[cut]);
        assert_eq!(seen[0], Seen::Config(TrackKind::Audio), "cut at {cut}");
        assert!(
            matches!(&seen[1], Seen::Begin(begin) if begin.coded_bytes == 384 && begin.samples.is_none())
        );
        assert_eq!(seen[2], Seen::Bytes(TrackKind::Audio, ac3()), "cut at {cut}");
        assert_eq!(seen[3..], [Seen::End { idr: true, fault: None }], "cut at {cut}");
        // The next one is no other configuration, nor is the same empty record.
        assert_eq!(feed(&mut demuxer, TrackKind::Audio, b"\x90ac-3", &[]), []);
        assert_eq!(feed(&mut demuxer, TrackKind::Audio, &message, &[]), seen[1..]);
        assert_eq!(demuxer.config(TrackKind::Audio).unwrap().rfc6381(), "ac-3");
    }
    // What is no AC-3 does not become a configuration, and the next frame is looked at again.
    let mut demuxer = Demuxer::new();
    feed(&mut demuxer, TrackKind::Audio, b"\x90ac-3", &[]);
    let seen = feed(&mut demuxer, TrackKind::Audio, b"\x91ac-3nothing of the kind", &[9]);
    assert!(matches!(seen[..], [Seen::Other(Event::Refused { fault: Fault::Codec(_), .. })]), "{seen:?}");
    assert_eq!(begins(&feed(&mut demuxer, TrackKind::Audio, &message, &[])).len(), 1);
}

/// The record of VP9 has no size: key frames do.
#[test]
fn vp9_is_configured_by_a_key_frame() {
    let record = b"\x90vp09\x01\0\0\0\0\x0a\x82\x02\x02\x02\0\0";
    let key = b"\x91vp09\x82\x49\x83\x42\x00\x09\xf0\x05\x96\x06\x38\x24\x1c\x18\x42\x00\x07\x50\x50\x62\xfd";
    let inter = b"\xa1vp09\x86\x00\x40\x92\xf0\xa1";
    for cut in 1..key.len() {
        let mut demuxer = Demuxer::new();
        assert_eq!(feed(&mut demuxer, TrackKind::Video, record, &[7]), []);
        let refused = Event::Refused { kind: TrackKind::Video, fault: Fault::NoConfig };
        assert_eq!(feed(&mut demuxer, TrackKind::Video, inter, &[]), [Seen::Other(refused)]);
        let seen = feed(&mut demuxer, TrackKind::Video, key, &[cut]);
        assert_eq!(seen[0], Seen::Config(TrackKind::Video), "cut at {cut}");
        assert_eq!(seen[2], Seen::Bytes(TrackKind::Video, key[5..].to_vec()), "cut at {cut}");
        assert_eq!(seen[3], Seen::End { idr: true, fault: None });
        let picture = demuxer.config(TrackKind::Video).unwrap().picture().unwrap();
        assert_eq!((picture.width, picture.height), (160, 90));
        assert_eq!(begins(&feed(&mut demuxer, TrackKind::Video, inter, &[6])).len(), 1);
    }
}

/// An encoder that begins anew sends the same record, which does not hold the configuration.
#[test]
fn the_same_record_again_lets_frames_say_another_configuration() {
    let audio = |demuxer: &mut Demuxer, message: &[u8]| feed(demuxer, TrackKind::Audio, message, &[]);
    let stereo = [b"\x91ac-3", &ac3()[..]].concat();
    let mut mono = stereo.clone();
    mono[5 + 6] = 0x20; // acmod 1
    for cut in 1..mono.len() {
        let mut demuxer = Demuxer::new();
        assert_eq!(audio(&mut demuxer, b"\x90ac-3"), []);
        assert_eq!(audio(&mut demuxer, &stereo)[0], Seen::Config(TrackKind::Audio));
        assert_eq!(audio(&mut demuxer, b"\x90ac-3"), []);
        let seen = feed(&mut demuxer, TrackKind::Audio, &mono, &[cut]);
        assert_eq!(seen[0], Seen::Config(TrackKind::Audio), "cut at {cut}");
        assert_eq!(seen[2], Seen::Bytes(TrackKind::Audio, mono[5..].to_vec()), "cut at {cut}");
        assert_eq!(demuxer.config(TrackKind::Audio).unwrap().sound().unwrap().channels, Some(1));
        // And the same is none.
        assert_eq!(audio(&mut demuxer, b"\x90ac-3"), []);
        assert_eq!(audio(&mut demuxer, &mono), seen[1..]);
    }
    let record = b"\x90vp09\x01\0\0\0\0\x0a\x82\x02\x02\x02\0\0";
    let key = b"\x91vp09\x82\x49\x83\x42\x00\x09\xf0\x05\x96\x06\x38\x24\x1c\x18\x42\x00\x07\x50\x50\x62\xfd";
    let inter = b"\xa1vp09\x86\x00\x40\x92\xf0\xa1";
    let mut narrow = key.to_vec();
    narrow[5 + 5] = 0x08; // a sixteenth of the width is in these bits
    let mut demuxer = Demuxer::new();
    assert_eq!(video(&mut demuxer, record, &[]), []);
    assert_eq!(video(&mut demuxer, key, &[])[0], Seen::Config(TrackKind::Video));
    assert_eq!(video(&mut demuxer, record, &[]), []);
    assert_eq!(begins(&video(&mut demuxer, inter, &[])).len(), 1, "of the configuration in force");
    assert_eq!(video(&mut demuxer, &narrow, &[])[0], Seen::Config(TrackKind::Video));
    assert!(demuxer.config(TrackKind::Video).unwrap().picture().unwrap().width < 160);
    assert_eq!(video(&mut demuxer, record, &[]), []);
    assert_eq!(begins(&video(&mut demuxer, &narrow, &[])).len(), 1);
    // A frame that is called key and says nothing is of the configuration in force.
    assert_eq!(video(&mut demuxer, record, &[]), []);
    let called_key = [b"\x91vp09", &inter[5..]].concat();
    assert_eq!(begins(&video(&mut demuxer, &called_key, &[])).len(), 1);
}

/// Packets of Opus say themselves how long they last, before they begin.
#[test]
fn opus_says_the_samples_of_each_packet_however_it_is_cut() {
    let head = b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
    for (packet, samples) in
        [(&b"\xfc\x7e\x02\x99"[..], 960), (b"\xe3\x02\x7e\x02", 240), (b"\x1b\x03ab", 8640)]
    {
        let message = [b"\x91Opus", packet].concat();
        for cut in 1..message.len() {
            let mut demuxer = Demuxer::new();
            let config = feed(&mut demuxer, TrackKind::Audio, head, &[cut]);
            assert_eq!(config, [Seen::Config(TrackKind::Audio)]);
            let seen = feed(&mut demuxer, TrackKind::Audio, &message, &[cut]);
            if samples > 5760 {
                // More than 120 ms cannot be.
                assert!(
                    matches!(seen.last(), Some(Seen::End { fault: Some(FrameFault::Codec(_)), .. })),
                    "{seen:?}"
                );
                continue;
            }
            assert!(
                matches!(&seen[0], Seen::Begin(begin) if begin.samples == Some(samples)),
                "cut at {cut}: {seen:?}"
            );
            assert_eq!(seen[1], Seen::Bytes(TrackKind::Audio, packet.to_vec()), "cut at {cut}");
            assert_eq!(seen[2..], [Seen::End { idr: true, fault: None }]);
        }
    }
}

/// Research 7.4: ffmpeg ends FLAC with its configuration as it turned out, and an empty frame.
#[test]
fn the_last_words_of_flac_change_nothing() {
    let first =
        b"\x90fLaC\x04\x00\x04\x00\0\0\0\0\0\0\x0b\xb8\x00\xf0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let last = b"\x90fLaC\x04\x00\x04\x00\0\0\xab\0\x01\x33\x0b\xb8\x00\xf0\0\x02\xee\0\xa6\xe6\x67\x11\xd0\x0f\xd9\x2b\x58\x6c\x97\xc9\x51\x9f\x7b\xbe";
    let mut demuxer = Demuxer::new();
    assert_eq!(feed(&mut demuxer, TrackKind::Audio, first, &[]), [Seen::Config(TrackKind::Audio)]);
    let frame = b"\x91fLaC\xff\xf8\xaa\x08\x00\xed\x4e\x00";
    assert_eq!(begins(&feed(&mut demuxer, TrackKind::Audio, frame, &[8])).len(), 1);
    assert_eq!(feed(&mut demuxer, TrackKind::Audio, last, &[]), []);
    assert_eq!(feed(&mut demuxer, TrackKind::Audio, b"\x91fLaC", &[]), []);
    assert_eq!(begins(&feed(&mut demuxer, TrackKind::Audio, frame, &[])).len(), 1);
    let findings = demuxer.findings();
    assert_eq!((findings.configs_repeated, findings.messages_empty, findings.frames_faulty), (1, 1, 0));
}

/// Temporal delimiters are no part of a sample (AV1 in ISOBMFF, section 2.4).
#[test]
fn av1_comes_without_its_temporal_delimiters() {
    let record = b"\x90av01\x81\x00\x0c\x00\x0a\x0b\x02\x00\x00\x05\x1d\xa7\xec\x80\x5f\x00\x08";
    let shown = b"\xa1av01\x12\x00\x1a\x01\x88";
    for cut in 1..shown.len() {
        let mut demuxer = Demuxer::new();
        assert_eq!(feed(&mut demuxer, TrackKind::Video, record, &[]), [Seen::Config(TrackKind::Video)]);
        let seen = feed(&mut demuxer, TrackKind::Video, shown, &[cut]);
        assert_eq!(seen[1], Seen::Bytes(TrackKind::Video, b"\x1a\x01\x88".to_vec()), "cut at {cut}");
        assert_eq!(seen[2], Seen::End { idr: false, fault: None });
        // A unit of nothing else makes no sample.
        let empty = feed(&mut demuxer, TrackKind::Video, b"\xa1av01\x12\x00", &[6]);
        assert_eq!(empty[1..], [Seen::End { idr: false, fault: Some(FrameFault::Empty) }]);
    }
}
