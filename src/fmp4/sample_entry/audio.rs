//! Sample entries of sound (ISO/IEC 14496-12, section 12.2.3; 14496-14, section 5.6; the bindings of Opus, FLAC, and
//! of AC-3 and E-AC-3 in ETSI TS 102 366, annex F).

use crate::codec::{CodecConfig, Sound, aac};
use crate::fmp4::boxes::{boxed, full_boxed};
use bytes::BufMut;

/// objectTypeIndication of AAC, and the streamType of audio with its reserved bit (14496-1, 7.2.6.6).
const ESDS_AAC: u8 = 0x40;
const ESDS_AUDIO_STREAM: u8 = 0x15;
/// samplesize where the codec does not have one.
const SAMPLE_BITS: u8 = 16;

pub(super) fn write(out: &mut Vec<u8>, config: &CodecConfig, sound: &Sound) {
    match config {
        CodecConfig::Aac(config) => {
            write_entry(out, b"mp4a", sound, SAMPLE_BITS, |out| write_esds(out, config));
        }
        CodecConfig::Opus(config) => write_entry(out, b"Opus", sound, SAMPLE_BITS, |out| {
            boxed(out, b"dOps", |out| out.put_slice(&config.sample_entry_record()));
        }),
        CodecConfig::Ac3(config) => {
            let (entry, record) = if config.is_enhanced() { (b"ec-3", b"dec3") } else { (b"ac-3", b"dac3") };
            write_entry(out, entry, sound, SAMPLE_BITS, |out| {
                boxed(out, record, |out| out.put_slice(config.record()));
            });
        }
        CodecConfig::Flac(config) => write_entry(out, b"fLaC", sound, config.bits_per_sample(), |out| {
            full_boxed(out, b"dfLa", 0, 0, |out| out.put_slice(&config.sample_entry_record()));
        }),
        CodecConfig::Avc(_) | CodecConfig::Hevc(_) | CodecConfig::Av1(_) | CodecConfig::Vp9(_) => {}
    }
}

fn write_entry(
    out: &mut Vec<u8>,
    entry: &[u8; 4],
    sound: &Sound,
    sample_bits: u8,
    record: impl FnOnce(&mut Vec<u8>),
) {
    boxed(out, entry, |out| {
        out.put_bytes(0, 6);
        out.put_u16(1); // data_reference_index
        out.put_bytes(0, 8);
        out.put_u16(u16::from(sound.channels.unwrap_or(2)));
        out.put_u16(u16::from(sample_bits));
        out.put_u32(0);
        // 16.16 fixed point: rates that do not fit are left to the record, but FLAC has a rule for them.
        let rate = if entry == b"fLaC" { flac_rate(sound.sample_rate) } else { 0 };
        out.put_u16(u16::try_from(sound.sample_rate).unwrap_or(rate));
        out.put_u16(0);
        record(out);
    });
}

/// samplerate of FLAC: the greatest regular division of the rate that fits, 48,000 for 96 and 192 kHz; the greatest
/// value where there is none (its binding to ISOBMFF).
fn flac_rate(sample_rate: u32) -> u16 {
    let mut halves =
        std::iter::successors(Some(sample_rate), |rate| rate.is_multiple_of(2).then_some(rate / 2));
    halves.find_map(|rate| u16::try_from(rate).ok()).unwrap_or(u16::MAX)
}

fn write_esds(out: &mut Vec<u8>, config: &aac::AudioConfig) {
    full_boxed(out, b"esds", 0, 0, |out| {
        descriptor(out, 3, |out| {
            out.put_u16(1); // ES_ID
            out.put_u8(0);
            descriptor(out, 4, |out| {
                out.put_u8(ESDS_AAC);
                out.put_u8(ESDS_AUDIO_STREAM);
                out.put_bytes(0, 3); // bufferSizeDB
                out.put_u64(0); // maxBitrate, avgBitrate: not known of a live stream
                descriptor(out, 5, |out| out.put_slice(config.record()));
            });
            descriptor(out, 6, |out| out.put_u8(2)); // SLConfig: as in mp4
        });
    });
}

/// Appends a descriptor of ISO/IEC 14496-1, section 8.3.3: its size has 7 bits a byte.
fn descriptor(out: &mut Vec<u8>, tag: u8, content: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    content(&mut inner);
    out.put_u8(tag);
    let size = inner.len();
    debug_assert!(size < 1 << 28);
    for shift in [21, 14, 7] {
        if size >> shift > 0 {
            out.put_u8((size >> shift) as u8 & 0x7f | 0x80);
        }
    }
    out.put_u8(size as u8 & 0x7f);
    out.extend(inner);
}
