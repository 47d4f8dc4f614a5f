//! Enhanced RTMP: metadata, several tracks, and codecs that frames configure.

use super::*;
use crate::codec::Hdr;
use crate::limits::{FLV_EXTRA_TRACKS_MAX, FLV_MESSAGE_TRACKS_MAX};

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
