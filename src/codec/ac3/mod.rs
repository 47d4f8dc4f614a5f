//! AC-3 and E-AC-3 (ETSI TS 102 366): synchronisation frames, and the dac3 and dec3 boxes made of them (annex F).
//!
//! Enhanced RTMP carries no record for either: what decoding needs stands in every frame. A packet of E-AC-3 may hold
//! several frames: independent substreams, and dependent ones that add channels to the one before them.

use bytes::{BufMut, Bytes};

const SYNC_WORD: u16 = 0x0b77;
/// Bytes of a synchronisation frame's header that are always looked at.
const HEAD_BYTES: usize = 8;
/// bsid up to which a frame is AC-3, and from which to which it is E-AC-3.
const BSID_AC3_MAX: u8 = 10;
const BSID_EAC3_MAX: u8 = 16;
/// Samples of a block; an AC-3 frame has six.
const BLOCK_SAMPLES: u32 = 256;
/// Substreams of one kind that dec3 can name.
const SUBSTREAMS_MAX: usize = 8;
/// fscod to Hz; fscod2 is half of it.
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// frmsizecod / 2 to kbit/s (table 4.13).
const KILOBITS: [u16; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// acmod to full channels.
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
/// Bits of the second byte of dac3 that are no part of bit_rate_code.
const DAC3_SECOND_NEEDED: u8 = 0b1111_1100;
/// strmtyp of a dependent substream.
const DEPENDENT: u8 = 1;

/// The header of a synchronisation frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncFrame {
    /// E-AC-3.
    pub enhanced: bool,
    /// Belongs to the independent substream before it.
    pub dependent: bool,
    /// substreamid; 0 in AC-3.
    pub substream: u8,
    /// fscod as written, 3 for a reduced rate of E-AC-3.
    fscod: u8,
    /// Hz.
    pub sample_rate: u32,
    /// Samples of the frame.
    pub samples: u32,
    /// Bytes of the frame, header included.
    pub bytes: u32,
    bsid: u8,
    bsmod: u8,
    acmod: u8,
    /// A channel of low frequency effects.
    pub lfe: bool,
    /// bit_rate_code of dac3.
    bit_rate_code: u8,
    /// chan_loc of dec3: what a dependent substream adds; 0 when it does not say.
    chan_loc: u16,
}

/// Why a frame was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// It does not begin with the synchronisation word.
    #[error("AC-3: a frame that begins with {found:#06x}")]
    SyncWord {
        /// What it begins with.
        found: u16,
    },
    /// A field is outside its range.
    #[error("AC-3: {field} is {found}")]
    Range {
        /// The standard's name of the field.
        field: &'static str,
        /// Value found.
        found: u8,
    },
    /// The packet ends within a frame.
    #[error("AC-3: the packet ends within a frame")]
    Cut,
    /// A packet without a first, independent substream.
    #[error("AC-3: no independent substream")]
    NoIndependent,
}

impl SyncFrame {
    /// Parses the beginning of a synchronisation frame; [`HEAD_BYTES`] must be there, and more are looked at when
    /// they are.
    ///
    /// # Errors
    /// [`SyncError`].
    pub fn parse(frame: &[u8]) -> Result<Self, SyncError> {
        let Some(head) = frame.first_chunk::<HEAD_BYTES>() else { return Err(SyncError::Cut) };
        let found = u16::from_be_bytes([head[0], head[1]]);
        if found != SYNC_WORD {
            return Err(SyncError::SyncWord { found });
        }
        match head[5] >> 3 {
            bsid @ 0..=BSID_AC3_MAX => Self::ac3(head, bsid),
            bsid @ ..=BSID_EAC3_MAX => Self::eac3(head, bsid, frame),
            found => Err(SyncError::Range { field: "bsid", found }),
        }
    }

    /// 4.3.1 and 4.3.2.
    fn ac3(head: &[u8; HEAD_BYTES], bsid: u8) -> Result<Self, SyncError> {
        let (fscod, size_code) = (head[4] >> 6, head[4] & 0x3f);
        let Some(&rate) = RATES.get(usize::from(fscod)) else {
            return Err(SyncError::Range { field: "fscod", found: fscod });
        };
        let Some(&kilobits) = KILOBITS.get(usize::from(size_code / 2)) else {
            return Err(SyncError::Range { field: "frmsizecod", found: size_code });
        };
        // Table 4.13: whole words of 16 bits in 1536 samples; at 44.1 kHz every other code has one more.
        let words = u32::from(kilobits) * 96_000 / rate + u32::from(fscod == 1) * u32::from(size_code & 1);
        let acmod = head[6] >> 5;
        // Behind acmod: cmixlev, surmixlev, dsurmod, 2 bits each if there are such channels; then lfeon.
        let levels =
            u32::from(acmod & 1 == 1 && acmod != 1) + u32::from(acmod & 4 == 4) + u32::from(acmod == 2);
        let behind = u16::from_be_bytes([head[6], head[7]]);
        Ok(Self {
            enhanced: false,
            dependent: false,
            substream: 0,
            fscod,
            // Annex D: bsid 9 and 10 halve the rate once and twice.
            sample_rate: rate >> bsid.saturating_sub(8),
            samples: 6 * BLOCK_SAMPLES,
            bytes: 2 * words,
            bsid,
            bsmod: head[5] & 7,
            acmod,
            lfe: behind >> (12 - 2 * levels) & 1 == 1,
            bit_rate_code: size_code / 2,
            chan_loc: 0,
        })
    }

    /// E.1.2.2.
    fn eac3(head: &[u8; HEAD_BYTES], bsid: u8, frame: &[u8]) -> Result<Self, SyncError> {
        let stream_type = head[2] >> 6;
        if stream_type == 3 {
            return Err(SyncError::Range { field: "strmtyp", found: stream_type });
        }
        let (fscod, second) = (head[4] >> 6, head[4] >> 4 & 3);
        let (sample_rate, blocks) = match RATES.get(usize::from(fscod)) {
            Some(&rate) => (rate, [1, 2, 3, 6][usize::from(second)]),
            // A reduced rate has its code here, and six blocks.
            None => match RATES.get(usize::from(second)) {
                Some(rate) => (rate / 2, 6),
                None => return Err(SyncError::Range { field: "fscod2", found: second }),
            },
        };
        let dependent = stream_type == DEPENDENT;
        let acmod = head[4] >> 1 & 7;
        Ok(Self {
            enhanced: true,
            dependent,
            substream: head[2] >> 3 & 7,
            fscod,
            sample_rate,
            samples: blocks * BLOCK_SAMPLES,
            // frmsiz + 1 words of 16 bits.
            bytes: 2 * ((u32::from(head[2] & 7) << 8 | u32::from(head[3])) + 1),
            bsid,
            bsmod: 0,
            acmod,
            lfe: head[4] & 1 == 1,
            bit_rate_code: 0,
            chan_loc: if dependent { read_chan_loc(frame, acmod).unwrap_or(0) } else { 0 },
        })
    }

    fn channels(&self) -> u8 {
        CHANNELS[usize::from(self.acmod & 7)] + u8::from(self.lfe)
    }

    /// kbit/s, rounded up.
    fn kilobits(&self) -> u32 {
        // At most 4096 bytes and 48,000 Hz.
        (self.bytes * 8 * (self.sample_rate / 100)).div_ceil(self.samples * 10)
    }
}

/// chanmap of a dependent substream (E.1.2.2), as chan_loc (table F.6.1): Lc/Rc pair in the lowest bit to LFE2 in the
/// ninth.
fn read_chan_loc(frame: &[u8], acmod: u8) -> Option<u16> {
    let bits = &mut crate::codec::bits::BitReader::new(frame);
    bits.skip(45).ok()?; // up to bsid
    // dialnorm, compre, compr; of the second channel of a dual mono programme as well.
    for _ in 0..if acmod == 0 { 2 } else { 1 } {
        bits.skip(5).ok()?;
        if bits.flag().ok()? {
            bits.skip(8).ok()?;
        }
    }
    if !bits.flag().ok()? {
        return None;
    }
    // Table E.1.5: bit 0 is the highest; 5 to 12 are Lc/Rc to Cvh, 14 is LFE2.
    let chanmap = (bits.bits(16).ok()? as u16).reverse_bits();
    Some(chanmap >> 5 & 0xff | (chanmap >> 14 & 1) << 8)
}

/// What the frames of a packet say.
#[derive(Debug, Clone)]
pub struct AudioConfig {
    /// The content of dac3 or dec3.
    record: Bytes,
    enhanced: bool,
    sample_rate: u32,
    channels: u8,
    /// Of a frame; with E-AC-3 a packet may have several.
    samples: u32,
}

/// An independent substream of E-AC-3 and what its dependent ones add.
#[derive(Debug)]
struct Programme {
    frame: SyncFrame,
    dependents: u8,
    chan_loc: u16,
}

impl AudioConfig {
    /// By a packet, or as many of its first bytes as there are: further substreams count as far as their headers are
    /// among them.
    ///
    /// # Errors
    /// [`SyncError`] when it does not begin with an independent substream.
    pub fn from_packet(packet: &[u8]) -> Result<Self, SyncError> {
        let first = SyncFrame::parse(packet)?;
        if first.dependent {
            return Err(SyncError::NoIndependent);
        }
        let mut programmes = vec![Programme { frame: first, dependents: 0, chan_loc: 0 }];
        let mut kilobits = first.kilobits();
        let mut rest = packet.get(first.bytes as usize..).unwrap_or_default();
        // Each turn takes at least two bytes of the packet.
        while let Ok(frame) = SyncFrame::parse(rest) {
            let repeated = !frame.dependent && frame.substream == first.substream;
            if !first.enhanced || !frame.enhanced || repeated {
                break;
            }
            if frame.dependent {
                if let Some(last) = programmes.last_mut() {
                    last.dependents = (last.dependents + 1).min(SUBSTREAMS_MAX as u8);
                    last.chan_loc |= frame.chan_loc;
                }
            } else if programmes.len() < SUBSTREAMS_MAX {
                programmes.push(Programme { frame, dependents: 0, chan_loc: 0 });
            } else {
                break;
            }
            kilobits += frame.kilobits();
            rest = rest.get(frame.bytes as usize..).unwrap_or_default();
        }
        let record = if first.enhanced { dec3(&programmes, kilobits) } else { dac3(&first) };
        let channels = first.channels() + added_channels(programmes[0].chan_loc);
        Ok(Self {
            record,
            enhanced: first.enhanced,
            sample_rate: first.sample_rate,
            channels,
            samples: first.samples,
        })
    }

    /// The configuration of a packet: `None` when it is decoded as with this one, or cannot be read.
    pub(super) fn in_band(&self, packet: &[u8]) -> Option<Self> {
        let found = Self::from_packet(packet).ok()?;
        // The bit rate ends dac3 and begins dec3; it is one packet's.
        let needed = |config: &Self| match (config.enhanced, &config.record[..]) {
            (false, &[first, second, _]) => vec![first, second & DAC3_SECOND_NEEDED],
            (_, record) => record.get(2..).unwrap_or_default().to_vec(),
        };
        (found.enhanced == self.enhanced && needed(&found) != needed(self)).then_some(found)
    }

    /// The content of the dac3 or dec3 box.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// True for E-AC-3.
    pub fn is_enhanced(&self) -> bool {
        self.enhanced
    }

    /// Hz.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Channels of the first programme, low frequency effects included.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// Samples of every packet; `None` with E-AC-3, whose packets may hold fewer blocks or several frames.
    pub fn packet_samples(&self) -> Option<u32> {
        (!self.enhanced).then_some(self.samples)
    }

    /// `ac-3` or `ec-3`.
    pub fn rfc6381(&self) -> String {
        if self.enhanced { "ec-3" } else { "ac-3" }.to_owned()
    }
}

/// By the record's bytes, but for the bit rate of E-AC-3, which is one packet's and may change with each.
impl PartialEq for AudioConfig {
    fn eq(&self, other: &Self) -> bool {
        let needed =
            |config: &Self| if config.enhanced { config.record.slice(2..) } else { config.record.clone() };
        (self.enhanced, needed(self)) == (other.enhanced, needed(other))
    }
}

impl Eq for AudioConfig {}

/// F.4: AC3SpecificBox.
fn dac3(frame: &SyncFrame) -> Bytes {
    let mut bits = 0u32;
    for (value, count) in [
        (frame.fscod, 2),
        (frame.bsid, 5),
        (frame.bsmod, 3),
        (frame.acmod, 3),
        (frame.lfe.into(), 1),
        (frame.bit_rate_code, 5),
        (0, 5),
    ] {
        bits = bits << count | u32::from(value);
    }
    Bytes::copy_from_slice(&bits.to_be_bytes()[1..])
}

/// F.6: EC3SpecificBox.
fn dec3(programmes: &[Programme], kilobits: u32) -> Bytes {
    let mut out = Vec::with_capacity(2 + 4 * programmes.len());
    // num_ind_sub: one less; there are at most SUBSTREAMS_MAX.
    out.put_u16((kilobits.min(0x1fff) as u16) << 3 | (programmes.len() - 1) as u16);
    for Programme { frame, dependents, chan_loc } in programmes {
        out.put_u8(frame.fscod << 6 | frame.bsid << 1);
        out.put_u8(frame.bsmod << 4 | frame.acmod << 1 | u8::from(frame.lfe));
        if *dependents == 0 {
            out.put_u8(0);
        } else {
            out.put_u8(dependents << 1 | (chan_loc >> 8) as u8);
            out.put_u8(*chan_loc as u8);
        }
    }
    out.into()
}

/// Channels in chan_loc: the pairs Lc/Rc, Lrs/Rrs, Lsd/Rsd, Lw/Rw, Lvh/Rvh are two.
fn added_channels(chan_loc: u16) -> u8 {
    const PAIRS: u16 = 0b0_0111_0011;
    (chan_loc.count_ones() + (chan_loc & PAIRS).count_ones()) as u8
}

/// Counts the samples of a packet that arrives in fragments, cut anywhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct PacketWalker {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Bytes of the current frame to come, its header taken.
    skip: u32,
    samples: u32,
    /// substreamid of the first frame: only its frames count.
    first: Option<u8>,
}

impl PacketWalker {
    /// Takes all of `input`.
    ///
    /// # Errors
    /// [`SyncError`] when something else than a frame stands where one should begin.
    pub(crate) fn walk(&mut self, mut input: &[u8]) -> Result<(), SyncError> {
        while let Some(&byte) = input.first() {
            if self.skip > 0 {
                let skipped = input.len().min(self.skip as usize);
                self.skip -= skipped as u32;
                input = &input[skipped..];
                continue;
            }
            input = &input[1..];
            self.head[self.head_bytes] = byte;
            self.head_bytes += 1;
            if self.head_bytes == HEAD_BYTES {
                self.head_bytes = 0;
                let frame = SyncFrame::parse(&self.head)?;
                let counts =
                    !frame.dependent && *self.first.get_or_insert(frame.substream) == frame.substream;
                if counts {
                    self.samples += frame.samples;
                }
                // A frame is no shorter than its header in a stream that decodes.
                self.skip = frame.bytes.saturating_sub(HEAD_BYTES as u32);
            }
        }
        Ok(())
    }

    /// Samples so far; `None` before the first header was whole.
    pub(crate) fn samples(&self) -> Option<u32> {
        (self.samples > 0).then_some(self.samples)
    }
}

#[cfg(test)]
mod tests;
