use super::*;

/// ffmpeg 9 (captures ff9_vp9_ac3 and ff9_h264_eac3_51): 48 kHz, stereo at 96 kbit/s and 5.1 at 192 kbit/s.
const AC3: &[u8] = &[0x0b, 0x77, 0x38, 0x90, 0x0c, 0x40, 0x43, 0xe1, 0x06, 0xf0];
const EAC3: &[u8] = &[0x0b, 0x77, 0x01, 0x7f, 0x3f, 0x87, 0xc0, 0x00, 0x20, 0xf8];

/// A whole frame of zeros behind this header.
fn frame(head: &[u8]) -> Vec<u8> {
    let mut frame = head.to_vec();
    frame.resize(SyncFrame::parse(head).unwrap().bytes as usize, 0);
    frame
}

/// A dependent substream of 7.1: its own four channels are Ls, Rs and the pair Lrs/Rrs.
fn dependent() -> Vec<u8> {
    // strmtyp 1, substream 0, 96 words, 48 kHz, six blocks, acmod 6, bsid 16, dialnorm 31, no compr, chanmap
    let text = "0000101101110111 01 000 00001011111 00 11 110 0 10000 11111 0 1 0001101000000000";
    let mut bits: Vec<u8> = text.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
    bits.resize(192 * 8, 0);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |v, b| v << 1 | b)).collect()
}

fn samples(packet: &[u8]) -> Result<Option<u32>, SyncError> {
    let mut walker = PacketWalker::default();
    walker.walk(packet)?;
    Ok(walker.samples())
}

#[test]
fn reads_the_frames_of_a_real_encoder() {
    let config = AudioConfig::from_packet(AC3).unwrap();
    assert_eq!((config.sample_rate(), config.channels(), config.packet_samples()), (48_000, 2, Some(1536)));
    // As ffmpeg 9 writes it in an mp4 of the same stream.
    assert_eq!((&config.record()[..], config.rfc6381().as_str()), (&[0x10, 0x10, 0xc0][..], "ac-3"));
    assert_eq!(SyncFrame::parse(AC3).unwrap().bytes, 384);
    let config = AudioConfig::from_packet(EAC3).unwrap();
    assert_eq!((config.sample_rate(), config.channels(), config.packet_samples()), (48_000, 6, None));
    assert_eq!(
        (&config.record()[..], config.rfc6381().as_str()),
        (&[0x06, 0x00, 0x20, 0x0f, 0x00][..], "ec-3")
    );
    assert_eq!(SyncFrame::parse(EAC3).unwrap().bytes, 768);
}

#[test]
fn sizes_follow_the_table() {
    // fscod and frmsizecod, bytes
    for (code, bytes) in
        [(0x00, 128), (0x40, 138), (0x41, 140), (0x80, 192), (0x25, 2560), (0x65, 2788), (0xa5, 3840)]
    {
        let mut head = AC3.to_vec();
        head[4] = code;
        assert_eq!(SyncFrame::parse(&head).unwrap().bytes, bytes, "{code:#x}");
    }
}

#[test]
fn the_channel_of_low_frequencies_stands_behind_what_acmod_announces() {
    // acmod in 3 bits, mixing levels in 2 each, lfeon
    for (mode, channels) in [
        (0b0011_0000, 2), // mono + LFE
        (0b0100_0100, 3),
        (0b0111_1100, 4),
        (0b1001_1100, 4),
        (0b1111_1111, 6),
        (0b1111_1110, 5),
        (0b0001_0000, 3), // dual mono + LFE
    ] {
        let mut head = AC3.to_vec();
        head[6] = mode;
        head[7] = 0;
        assert_eq!(AudioConfig::from_packet(&head).unwrap().channels(), channels, "{mode:08b}");
    }
}

#[test]
fn dependent_substreams_add_channels_and_no_time() {
    let packet = [frame(EAC3), dependent()].concat();
    let config = AudioConfig::from_packet(&packet).unwrap();
    assert_eq!(config.channels(), 8);
    // 192 + 48 kbit/s; one dependent substream, Lrs/Rrs.
    assert_eq!(&config.record()[..], &[0x07, 0x80, 0x20, 0x0f, 0x02, 0x02]);
    assert_eq!(samples(&packet), Ok(Some(1536)));
    // The dependent one is taken for absent where its header is.
    assert_eq!(AudioConfig::from_packet(&packet[..768 + 7]).unwrap().channels(), 6);
    assert_eq!(AudioConfig::from_packet(&dependent()), Err(SyncError::NoIndependent));
}

#[test]
fn a_packet_of_several_frames_lasts_as_long_as_all_of_them() {
    let mut short = EAC3.to_vec();
    short[4] = short[4] & 0xcf | 0x10; // two blocks
    let packet = frame(&short).repeat(3);
    assert_eq!(samples(&packet), Ok(Some(1536)));
    let config = AudioConfig::from_packet(&packet).unwrap();
    assert_eq!(config.record()[1] & 7, 0, "one programme, three times");
    for cut in 0..packet.len() {
        let mut walker = PacketWalker::default();
        walker.walk(&packet[..cut]).unwrap();
        walker.walk(&packet[cut..]).unwrap();
        assert_eq!(walker.samples(), Some(1536), "cut at {cut}");
    }
    // A second programme does not lengthen it.
    let mut second = EAC3.to_vec();
    second[2] |= 1 << 3;
    let packet = [frame(EAC3), frame(&second)].concat();
    assert_eq!(samples(&packet), Ok(Some(1536)));
    assert_eq!(AudioConfig::from_packet(&packet).unwrap().record()[1] & 7, 1);
}

#[test]
fn a_changing_bit_rate_is_no_change() {
    let mut larger = EAC3.to_vec();
    larger[3] = 0xff;
    assert_eq!(AudioConfig::from_packet(&larger), AudioConfig::from_packet(EAC3));
    larger[4] = 0x3e; // without LFE
    assert_ne!(AudioConfig::from_packet(&larger), AudioConfig::from_packet(EAC3));
}

#[test]
fn every_truncation_and_reserved_value_is_an_error() {
    for length in 0..HEAD_BYTES {
        assert_eq!(SyncFrame::parse(&AC3[..length]), Err(SyncError::Cut));
        assert_eq!(samples(&AC3[..length]), Ok(None));
    }
    assert_eq!(samples(b"something"), Err(SyncError::SyncWord { found: 0x736f }));
    for (head, at, value, name) in [
        (AC3, 4, 0xcc, "fscod"),
        (AC3, 4, 0x26, "frmsizecod"),
        (AC3, 5, 0x88, "bsid"),
        (EAC3, 2, 0xc1, "strmtyp"),
        (EAC3, 4, 0xff, "fscod2"),
    ] {
        let mut head = head.to_vec();
        head[at] = value;
        assert!(
            matches!(SyncFrame::parse(&head), Err(SyncError::Range { field, .. }) if field == name),
            "{name}"
        );
    }
}
