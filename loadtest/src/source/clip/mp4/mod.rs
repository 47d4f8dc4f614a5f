//! MP4 files (ISO/IEC 14496-12): progressive ones, fragmented ones, and those that are both.
//!
//! Of an edit list only the beginning counts: empty edits delay the track, and the first real edit's media
//! time is taken off, so that sound and picture stay together. What an edit cuts away is played
//! nevertheless, since decoders need it, and later edits are not looked at.

mod boxes;
mod fragments;
mod sample_entry;
mod tables;

use super::{ClipError, RawSample, RawTrack, Tracks};
use crate::source::Kind;
use boxes::{Boxes, MediaBox};
use fragments::Fragments;
use mp4_atom::{Elst, Mdhd, Mvhd, Tkhd, Trex};

/// Whether a file begins with a box that MP4 files begin with.
pub(super) fn is_mp4(file: &[u8]) -> bool {
    let kind = file.get(4..8).unwrap_or_default();
    [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot"]
        .iter()
        .any(|known| *known == kind)
}

/// Samples of a track so far.
#[derive(Debug)]
struct Samples {
    kind: Kind,
    samples: Vec<RawSample>,
    /// Decode time of the sample that comes next.
    next_ticks: i64,
}

/// Reads the first video track and the first audio track.
pub(super) fn read(file: &[u8]) -> Result<Tracks, ClipError> {
    let mut movie = None;
    let mut fragments = Vec::new();
    for top in Boxes::new(file, 0) {
        let top = top?;
        match &top.kind {
            b"moov" => movie = movie.or(Some(top)),
            b"moof" => fragments.push(top),
            _ => {}
        }
    }
    let no_movie = || ClipError::Malformed { what: "MP4".into(), offset: 0, why: "no box moov in it".into() };
    let movie = movie.ok_or_else(no_movie)?;
    let movie_ticks_per_s = movie.must_child(b"mvhd")?.decode::<Mvhd>()?.timescale;

    // One of a kind at most.
    let mut tracks: Vec<Track> = Vec::new();
    for child in movie.children() {
        let child = child?;
        if child.kind == *b"trak"
            && let Some(kind) = handler(&child)?
            && tracks.iter().all(|track| track.samples.kind != kind)
        {
            tracks.push(Track::read(&child, kind, movie_ticks_per_s, file)?);
        }
    }
    let mut reader = Fragments::new(read_defaults(&movie)?, file.len());
    for fragment in fragments {
        reader.append(&fragment, &mut tracks)?;
    }
    let mut read = Tracks::default();
    for track in tracks {
        match track.samples.kind {
            Kind::Video => read.video = Some(track.finish()),
            Kind::Audio => read.audio = Some(track.finish()),
        }
    }
    Ok(read)
}

/// What a track is of, by its handler_type (8.4.3.3).
fn handler(track: &MediaBox<'_>) -> Result<Option<Kind>, ClipError> {
    let handler = track.must_child(b"mdia")?.must_child(b"hdlr")?;
    let handler_type = handler.body.get(8..12).ok_or_else(|| handler.malformed("it ends before its type"))?;
    Ok(match handler_type {
        b"vide" => Some(Kind::Video),
        b"soun" => Some(Kind::Audio),
        _ => None,
    })
}

/// The defaults that fragments have per track (8.8.3); none in a progressive file.
fn read_defaults(movie: &MediaBox<'_>) -> Result<Vec<Trex>, ClipError> {
    let Some(extends) = movie.child(b"mvex")? else { return Ok(Vec::new()) };
    let mut defaults = Vec::new();
    for child in extends.children() {
        let child = child?;
        if child.kind == *b"trex" {
            defaults.push(child.decode()?);
        }
    }
    Ok(defaults)
}

#[derive(Debug)]
struct Track {
    track_id: u32,
    config: Vec<u8>,
    ticks_per_s: u32,
    late_us: i64,
    samples: Samples,
}

impl Track {
    fn read(
        track: &MediaBox<'_>,
        kind: Kind,
        movie_ticks_per_s: u32,
        file: &[u8],
    ) -> Result<Self, ClipError> {
        let track_id = track.must_child(b"tkhd")?.decode::<Tkhd>()?.track_id;
        let media = track.must_child(b"mdia")?;
        let header = media.must_child(b"mdhd")?;
        let ticks_per_s = header.decode::<Mdhd>()?.timescale;
        if ticks_per_s == 0 {
            return Err(header.malformed("a timescale of 0"));
        }
        let table = media.must_child(b"minf")?.must_child(b"stbl")?;
        let descriptions = table.must_child(b"stsd")?;
        let config = match kind {
            Kind::Video => sample_entry::avc_config(&descriptions)?,
            Kind::Audio => sample_entry::audio_specific_config(&descriptions)?,
        };
        let late_us = late_us(track, movie_ticks_per_s, ticks_per_s)?;
        let samples = tables::read(&table, kind, file.len())?;
        Ok(Self { track_id, config, ticks_per_s, late_us, samples })
    }

    fn finish(self) -> RawTrack {
        RawTrack {
            config: self.config,
            ticks_per_s: self.ticks_per_s,
            late_us: self.late_us,
            samples: self.samples.samples,
            end_ticks: Some(self.samples.next_ticks),
        }
    }
}

/// Microseconds by which a track is late, by the beginning of its edit list (8.6.6).
fn late_us(track: &MediaBox<'_>, movie_ticks_per_s: u32, ticks_per_s: u32) -> Result<i64, ClipError> {
    let Some(edits) = track.child(b"edts")? else { return Ok(0) };
    let Some(list) = edits.child(b"elst")? else { return Ok(0) };
    let micros =
        |ticks: u64, ticks_per_s: u32| i128::from(ticks) * 1_000_000 / i128::from(ticks_per_s.max(1));
    let mut late_us = 0;
    for edit in list.decode::<Elst>()?.entries {
        let Some(media_time) = edit.media_time else {
            late_us += micros(edit.segment_duration, movie_ticks_per_s);
            continue;
        };
        late_us -= micros(media_time, ticks_per_s);
        break;
    }
    i64::try_from(late_us).map_err(|_| list.malformed(format!("an edit {late_us} µs away")))
}
