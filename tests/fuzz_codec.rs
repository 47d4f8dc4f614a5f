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

#[test]
fn access_units_of_any_bytes() {
    let mut sei = b"\x06\x05\x28\xdc\x45\xe9\xbd\xe6\xd9\x48\xb7\x96\x2c\xd8\x20\xd9\x23\xee\xef".to_vec();
    sei.extend(b"x264 - core 164 keyint=9\x80");
    let access_unit = [&(sei.len() as u32).to_be_bytes(), &sei[..], b"\x00\x00\x00\x02\x65\x88"].concat();
    run(codec::access_unit, &access_unit);
}
