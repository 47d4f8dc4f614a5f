//! Runs the codec and FLV fuzz bodies over seeded random bytes and over damaged valid inputs.

#[path = "fuzz_bodies/codec.rs"]
mod codec;

const SPS: &[u8] = b"gd\x00\x0d\xac\xd9AA\x9f\x9f\x01\x6a\x02\x02\x02\x80\0\0\x03\0\x80\0\0\x1eG\x8a\x14\xcb";
const PPS: &[u8] = b"h\xef\xbc\xb0";
const RUNS: u32 = 20_000;

fn avcc() -> Vec<u8> {
    [b"\x01\x64\x00\x0d\xff\xe1\x00\x1c", SPS, b"\x01\x00\x04", PPS, b"\xfd\xf8\xf8\x00"].concat()
}

/// In the form of the `flv` body: control, length, bytes.
fn flv_session() -> Vec<u8> {
    let config = [b"\x17\0\0\0\0", &avcc()[..]].concat();
    let mut session = vec![0, config.len() as u8];
    session.extend(config);
    session.extend(b"\x01\x07\xaf\x00\x11\x90\x56\xe5\x00");
    session.extend(b"\x00\x13\x17\x01\x00\x00\x42\x00\x00\x00\x02\x09\xf0\x00\x00\x00\x04\x65\x88\x84\x00");
    session
        .extend(b"\x0c\x08\x27\x01\x00\x00\x00\x00\x00\x00\x01\x03\xaf\x01\x21\x02\x05\x04\x41\x9a\x00\x01");
    session.extend(b"\x00\x05\xd4hvc1\xf0\x00\x00\x0d\x91avc1\x00\x00\x21\x00\x00\x00\x01\x65");
    session
}

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Calls `body` with random bytes, and with `valid` after a few changed, removed or added bytes.
fn run(body: fn(&[u8]), valid: &[u8]) {
    body(valid);
    let state = &mut 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..RUNS {
        let random: Vec<u8> = (0..xorshift(state) % 80).map(|_| xorshift(state) as u8).collect();
        body(&random);
        let mut damaged = valid.to_vec();
        for _ in 0..1 + xorshift(state) % 4 {
            let at = xorshift(state) as usize % damaged.len().max(1);
            match xorshift(state) % 4 {
                0 => damaged.truncate(at),
                1 => damaged.insert(at.min(damaged.len()), xorshift(state) as u8),
                _ => {
                    if let Some(byte) = damaged.get_mut(at) {
                        *byte ^= 1 << (xorshift(state) % 8);
                    }
                }
            }
        }
        body(&damaged);
    }
}

#[test]
fn flv_messages_of_any_bytes_in_any_cut() {
    run(codec::flv, &flv_session());
}

#[test]
fn decoder_configurations_of_any_bytes() {
    run(codec::avcc, &avcc());
    run(codec::sps, SPS);
    run(codec::asc, &[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80]);
    run(codec::asc, &[0x11, 0x80, 0x04, 0xc4, 0x04, 0x00, 0x21, 0x04, 0x40, 0x00, 0x00]);
}

/// In the form of `record_and_frame`: a length in 16 bytes, a record of as many, a frame.
fn session(record: &[u8], frame: &[u8]) -> Vec<u8> {
    assert_eq!(record.len() % 16, 0);
    [&[(record.len() / 16) as u8], record, frame].concat()
}

/// Of ffmpeg 9 with x265 (capture ff9_hevc_aac).
fn hevc_access_unit() -> Vec<u8> {
    let units: [&[u8]; 4] = [
        b"\x40\x01\x0c\x01\xff\xff\x01\x60\0\0\x03\0\x90\0\0\x03\0\0\x03\0\x3c\x95\x94\x09",
        b"\x42\x01\x01\x01\x60\0\0\x03\0\x90\0\0\x03\0\0\x03\0\x3c\xa0\x14\x20\x61\xf2\x65\x95\x95\x29\x30\
          \xbc\x05\xa0\x20\0\0\x03\0\x20\0\0\x03\x03\xc1",
        b"\x44\x01\xc0\x73\xc1\x89",
        b"\x28\x01\xac\x25\x62\xe4",
    ];
    units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes(), *unit].concat()).collect()
}

#[test]
fn hevc_of_any_bytes() {
    let frame = hevc_access_unit();
    run(codec::hevc, &session(&[], &frame));
    let record = rapidrtmp::codec::hevc::DecoderConfig::from_access_unit(&frame).unwrap().record().to_vec();
    let room = record.len().next_multiple_of(16) - record.len();
    run(codec::hevc, &session(&[record, vec![0; room]].concat(), &frame));
    run(codec::hevc, &frame[32..74]);
}

#[test]
fn av1_of_any_bytes() {
    // OBS 30 with SVT-AV1 (capture obs30_av1_aac), twelve bytes of padding behind its OBU.
    let record =
        b"\x81\0\x0d\0\x0a\x0e\0\0\0\x04\x3c\xfe\xcc\x02\xf8\x10\x10\x10\x12\x40\x7a\x0a\0\0\0\0\0\0\0\0\0\0";
    let frame = b"\x12\0\x0a\x0e\0\0\0\x04\x3c\xfe\xcc\x4a\xf9\x10\x10\x10\x12\x40\x32\x03\x10\0\x83";
    run(codec::av1, &session(record, frame));
    run(codec::av1, &session(&[], frame));
    run(codec::av1, &frame[4..18]);
}

#[test]
fn other_codecs_of_any_bytes() {
    // ffmpeg 9 (captures ff9_vp9_ac3, ff9_av1_opus, ff9_h264_eac3_51, ff9_h264_flac).
    let vp9 =
        session(b"\x01\0\0\0\0\x0a\x82\x02\x02\x02\0\0\0\0\0\0", b"\x82\x49\x83\x42\0\x09\xf0\x05\x96\x05");
    let opus = session(
        b"OpusHead\x01\x06\x38\x01\x80\xbb\0\0\0\0\x01\x04\x02\0\x04\x01\x02\x03\x05\0\0\0\0\0",
        b"\xfc\x7e",
    );
    let ac3 = [&b"\0\x0b\x77\x38\x90\0\x40\x43\xe1"[..], &[7; 120]].concat();
    let eac3 =
        [&b"\0\x0b\x77\0\x1f\x3f\x87\xc0\0"[..], &[7; 56], b"\x0b\x77\x40\x0f\x34\x87\xd0\xd0\0", &[7; 23]]
            .concat();
    let streaminfo = b"fLaC\0\0\0\x22\x04\0\x04\0\0\0\0\0\x08\x15\x0b\xb8\0\xf0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let flac = session(streaminfo, b"\xff\xf8\xaa\x08\0\xed\x4e");
    for (chosen, session) in [vp9, opus, ac3, eac3, flac].iter().enumerate() {
        run(codec::others, &[&[chosen as u8], &session[..]].concat());
    }
}

#[test]
fn access_units_of_any_bytes() {
    let mut sei = b"\x06\x05\x28\xdc\x45\xe9\xbd\xe6\xd9\x48\xb7\x96\x2c\xd8\x20\xd9\x23\xee\xef".to_vec();
    sei.extend(b"x264 - core 164 keyint=9\x80");
    let access_unit = [&(sei.len() as u32).to_be_bytes(), &sei[..], b"\x00\x00\x00\x02\x65\x88"].concat();
    run(codec::access_unit, &access_unit);
}
