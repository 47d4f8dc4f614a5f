//! Builds small files by hand, for the tests.

/// A box.
pub(super) fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len() + 8).unwrap();
    [&size.to_be_bytes(), &kind[..], payload].concat()
}

/// A full box.
pub(super) fn full(kind: &[u8; 4], version: u8, flags: u32, payload: &[u8]) -> Vec<u8> {
    let word = u32::from(version) << 24 | flags;
    boxed(kind, &[&word.to_be_bytes()[..], payload].concat())
}

/// 32-bit numbers, one after the other.
pub(super) fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Where the content of the first box of a type begins.
fn payload_at(file: &[u8], kind: &[u8; 4]) -> usize {
    file.windows(4).position(|window| window == kind).expect("the box is there") + 4
}

/// The file with other bytes somewhere in the first box of a type.
pub(super) fn patch(file: &[u8], kind: &[u8; 4], at: usize, bytes: &[u8]) -> Vec<u8> {
    let start = payload_at(file, kind) + at;
    let mut file = file.to_vec();
    file.splice(start..start + bytes.len(), bytes.iter().copied());
    file
}

/// The file with the first box of a type turned into another.
pub(super) fn replace(file: &[u8], kind: &[u8; 4], by: &[u8; 4]) -> Vec<u8> {
    let start = payload_at(file, kind) - 4;
    let mut file = file.to_vec();
    file.splice(start..start + 4, by.iter().copied());
    file
}

/// What differs from track to track in an init segment.
#[derive(Clone, Copy)]
pub(super) struct TrackParts {
    pub id: u32,
    pub timescale: u32,
    pub is_video: bool,
    pub default_duration: u32,
    pub default_flags: u32,
}

pub(super) fn video_track() -> TrackParts {
    TrackParts { id: 1, timescale: 90_000, is_video: true, default_duration: 3_000, default_flags: NON_SYNC }
}

pub(super) fn audio_track() -> TrackParts {
    TrackParts { id: 2, timescale: 48_000, is_video: false, default_duration: 1_024, default_flags: SYNC }
}

pub(super) const SYNC: u32 = 0x0200_0000;
pub(super) const NON_SYNC: u32 = 0x0101_0000;

/// The pieces of an init segment, to be put together otherwise.
pub(super) struct InitParts {
    pub ftyp: Vec<u8>,
    pub mvhd: Vec<u8>,
    pub traks: Vec<Vec<u8>>,
    pub mvex: Vec<u8>,
}

impl InitParts {
    pub fn new(tracks: &[TrackParts]) -> Self {
        let extends: Vec<_> =
            tracks.iter().map(|it| trex(it.id, it.default_duration, it.default_flags)).collect();
        Self {
            ftyp: boxed(b"ftyp", b"iso6\0\0\0\0iso6cmfcmp41"),
            mvhd: full(b"mvhd", 0, 0, &[&words(&[0, 0, 1_000, 0])[..], &[0; 80]].concat()),
            traks: tracks.iter().map(trak).collect(),
            mvex: boxed(b"mvex", &extends.concat()),
        }
    }

    pub fn join(&self) -> Vec<u8> {
        let moov = boxed(b"moov", &[&self.mvhd[..], &self.traks.concat(), &self.mvex].concat());
        [&self.ftyp[..], &moov].concat()
    }
}

/// A healthy init segment.
pub(super) fn init(tracks: &[TrackParts]) -> Vec<u8> {
    InitParts::new(tracks).join()
}

pub(super) fn trex(id: u32, duration: u32, flags: u32) -> Vec<u8> {
    full(b"trex", 0, 0, &words(&[id, 1, duration, 0, flags]))
}

fn trak(track: &TrackParts) -> Vec<u8> {
    let tkhd = full(b"tkhd", 0, 7, &[&words(&[0, 0, track.id, 0, 0])[..], &[0; 60]].concat());
    let mdhd = full(b"mdhd", 0, 0, &words(&[0, 0, track.timescale, 0, 0x55c4_0000]));
    let handler = if track.is_video { b"vide" } else { b"soun" };
    let hdlr = full(b"hdlr", 0, 0, &[&[0; 4], &handler[..], &[0; 13]].concat());
    let entry = if track.is_video { visual_entry() } else { boxed(b"mp4a", &[0; 28]) };
    let stsd = full(b"stsd", 0, 0, &[&words(&[1])[..], &entry].concat());
    let tables = [
        stsd,
        full(b"stts", 0, 0, &words(&[0])),
        full(b"stsc", 0, 0, &words(&[0])),
        full(b"stsz", 0, 0, &words(&[0, 0])),
        full(b"stco", 0, 0, &words(&[0])),
    ];
    let minf = boxed(b"minf", &boxed(b"stbl", &tables.concat()));
    boxed(b"trak", &[tkhd, boxed(b"mdia", &[mdhd, hdlr, minf].concat())].concat())
}

fn visual_entry() -> Vec<u8> {
    let mut fields = [0; 78];
    fields[24..28].copy_from_slice(&[0x05, 0x00, 0x02, 0xd0]);
    let avcc = boxed(b"avcC", &[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]);
    boxed(b"avc1", &[&fields[..], &avcc].concat())
}

/// One sample of a fragment.
#[derive(Clone)]
pub(super) struct SampleParts {
    pub duration: u32,
    pub flags: u32,
    pub composition: i32,
    pub bytes: Vec<u8>,
}

/// A video frame of 1/30 s: one NAL unit, with what stands before it.
pub(super) fn frame(is_idr: bool, before: &[u8]) -> SampleParts {
    let nal = if is_idr { [0, 0, 0, 2, 0x65, 0x88] } else { [0, 0, 0, 2, 0x41, 0x9a] };
    let flags = if is_idr { SYNC } else { NON_SYNC };
    SampleParts { duration: 3_000, flags, composition: 0, bytes: [before, &nal].concat() }
}

/// An audio frame of 1024 samples.
pub(super) fn audio_frame(bytes: &[u8]) -> SampleParts {
    SampleParts { duration: 1_024, flags: SYNC, composition: 0, bytes: bytes.to_vec() }
}

/// One track of a fragment.
pub(super) struct RunParts {
    pub id: u32,
    pub tfdt: u64,
    pub samples: Vec<SampleParts>,
}

/// `count` frames of track 1, the first of them IDR, from a decode time on.
pub(super) fn video_run(tfdt: u64, count: usize) -> RunParts {
    let samples = (0..count).map(|number| frame(number == 0, &[])).collect();
    RunParts { id: 1, tfdt, samples }
}

/// `moof` and `mdat`, every field of every sample stated.
pub(super) fn fragment(sequence: u32, runs: &[RunParts]) -> Vec<u8> {
    let build = |data_offset: u32| {
        let mut offset = data_offset;
        let trafs: Vec<_> = runs
            .iter()
            .map(|run| {
                let traf = traf(run, offset);
                offset += run.samples.iter().map(|it| u32::try_from(it.bytes.len()).unwrap()).sum::<u32>();
                traf
            })
            .collect();
        let mfhd = full(b"mfhd", 0, 0, &words(&[sequence]));
        boxed(b"moof", &[mfhd, trafs.concat()].concat())
    };
    let moof_bytes = u32::try_from(build(0).len()).unwrap();
    let media: Vec<u8> = runs.iter().flat_map(|run| &run.samples).flat_map(|it| it.bytes.clone()).collect();
    [build(moof_bytes + 8), boxed(b"mdat", &media)].concat()
}

fn traf(run: &RunParts, data_offset: u32) -> Vec<u8> {
    let mut fields = words(&[u32::try_from(run.samples.len()).unwrap(), data_offset]);
    for sample in &run.samples {
        let size = u32::try_from(sample.bytes.len()).unwrap();
        fields.extend(words(&[sample.duration, size, sample.flags, sample.composition.cast_unsigned()]));
    }
    let boxes = [
        full(b"tfhd", 0, 0x02_0000, &words(&[run.id])),
        full(b"tfdt", 1, 0, &run.tfdt.to_be_bytes()),
        full(b"trun", 1, 0xf01, &fields),
    ];
    boxed(b"traf", &boxes.concat())
}
