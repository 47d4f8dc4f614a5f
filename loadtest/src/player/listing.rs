//! Playlists as they were received: each distinct one is read and judged once for all viewers of a worker.
//!
//! A thousand viewers get the same bytes at the same moment. They are compared, not parsed again.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io::Read as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::address::{AddressError, Resource};
use crate::fault::{Fault, FaultKind};
use crate::playlist::{
    MediaPlaylist, PLAYLIST_BYTES_MAX, Position, check_form, check_succession, merge_delta,
};

/// Bodies of one address that are remembered: full and delta, of the last few parts.
const RECENT_MAX: usize = 8;
/// Predecessors of a playlist that are remembered as checked against it.
const PREDECESSORS_MAX: usize = 16;
/// A part may be listed this much later than PART-TARGET after the one before it, or a PART-TARGET later if
/// that is more: beyond it viewers that hold back by three begin to run dry.
const LATE_MIN: Duration = Duration::from_millis(250);

/// Something to load.
#[derive(Debug)]
pub struct Address {
    /// The whole address: what a part is known by.
    pub url: Arc<str>,
    /// How to ask for it.
    pub resource: Resource,
}

/// One distinct playlist.
#[derive(Debug)]
pub struct Listing {
    id: u64,
    /// What it says; whole, also when it came as a delta update.
    pub playlist: MediaPlaylist,
    resource: Resource,
    addresses: RefCell<HashMap<Arc<str>, Rc<Address>>>,
    reloads: [OnceCell<Rc<Resource>>; 2],
    /// Numbers of listings that it was checked against.
    predecessors: RefCell<Vec<u64>>,
    /// For a delta update: what it is when it follows the listing of that number.
    merged: RefCell<Vec<(u64, Rc<Listing>)>>,
}

impl Listing {
    fn new(id: u64, playlist: MediaPlaylist, resource: &Resource) -> Rc<Self> {
        Rc::new(Self {
            id,
            playlist,
            resource: resource.clone(),
            addresses: RefCell::default(),
            reloads: [OnceCell::new(), OnceCell::new()],
            predecessors: RefCell::default(),
            merged: RefCell::default(),
        })
    }

    /// The address that a reference in it stands for.
    ///
    /// # Errors
    /// [`AddressError`] when it is none.
    pub fn address(&self, uri: &Arc<str>) -> Result<Rc<Address>, AddressError> {
        if let Some(known) = self.addresses.borrow().get(uri) {
            return Ok(Rc::clone(known));
        }
        let resource = self.resource.join(uri)?;
        let address = Rc::new(Address { url: resource.url.as_str().into(), resource });
        self.addresses.borrow_mut().insert(Arc::clone(uri), Rc::clone(&address));
        Ok(address)
    }

    /// The blocking reload that follows it, with or without asking for a delta update (8216bis, 6.2.5).
    pub fn reload(&self, delta: bool) -> Rc<Resource> {
        let make = || {
            let (media_sequence, part_index) = self.playlist.next_reload();
            let mut resource = self.resource.clone();
            let mut query = resource.url.query_pairs_mut();
            query.append_pair("_HLS_msn", &media_sequence.to_string());
            if let Some(part_index) = part_index {
                query.append_pair("_HLS_part", &part_index.to_string());
            }
            if delta {
                query.append_pair("_HLS_skip", "YES");
            }
            drop(query);
            Rc::new(resource)
        };
        Rc::clone(self.reloads[usize::from(delta)].get_or_init(make))
    }

    /// Faults between the listing that a viewer had and this one; empty when another viewer had the same two.
    fn check_after(&self, previous: &Self) -> Vec<Fault> {
        let mut predecessors = self.predecessors.borrow_mut();
        if previous.id == self.id || predecessors.contains(&previous.id) {
            return Vec::new();
        }
        if predecessors.len() == PREDECESSORS_MAX {
            predecessors.remove(0);
        }
        predecessors.push(previous.id);
        check_succession(&previous.playlist, &self.playlist)
    }
}

/// One media playlist's address, and what came from it.
#[derive(Debug)]
pub struct Channel {
    /// Where it is.
    pub resource: Resource,
    /// Bodies as they were received, and what they say; the newest last.
    recent: VecDeque<(Bytes, Result<Rc<Listing>, Fault>)>,
    ids: u64,
    /// The newest place that was listed, and when that was first seen.
    newest: Option<(Position, u64)>,
}

/// What an answer says.
#[derive(Debug)]
pub struct Read {
    /// The playlist; the fault when it cannot be used.
    pub listing: Result<Rc<Listing>, Fault>,
    /// What is wrong with it besides, if nobody here had it before.
    pub faults: Vec<Fault>,
}

impl Channel {
    fn new(resource: Resource) -> Self {
        Self { resource, recent: VecDeque::new(), ids: 0, newest: None }
    }

    /// Reads an answer. `previous` is what the viewer had, `asked_us` when it asked.
    pub fn read(
        &mut self,
        body: &Bytes,
        gzip: bool,
        previous: Option<&Rc<Listing>>,
        asked_us: u64,
        now_us: u64,
    ) -> Read {
        let mut faults = Vec::new();
        let known = self.recent.iter().rev().find(|(known, _)| known == body).map(|(_, found)| found.clone());
        let found = known.unwrap_or_else(|| {
            let found = self.parse(body, gzip, &mut faults);
            if self.recent.len() == RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back((body.clone(), found.clone()));
            found
        });
        let whole = found.and_then(|listing| self.complete(listing, previous));
        if let Ok(listing) = &whole {
            faults.extend(self.note_newest(listing, asked_us, now_us));
            if let Some(previous) = previous {
                faults.extend(listing.check_after(previous));
            }
        }
        Read { listing: whole, faults }
    }

    fn parse(&mut self, body: &[u8], gzip: bool, faults: &mut Vec<Fault>) -> Result<Rc<Listing>, Fault> {
        let syntax = |reason: String| Fault::new(FaultKind::PlaylistSyntax, reason);
        let unpacked;
        let bytes = if gzip {
            unpacked = unpack(body).map_err(syntax)?;
            &unpacked[..]
        } else {
            body
        };
        let text = std::str::from_utf8(bytes).map_err(|error| syntax(format!("not UTF-8: {error}")))?;
        let playlist = MediaPlaylist::parse(text)?;
        // As it came: that too much was skipped shows only here.
        faults.extend(check_form(&playlist));
        self.ids += 1;
        Ok(Listing::new(self.ids, playlist, &self.resource))
    }

    /// The whole playlist that a delta update stands for.
    fn complete(
        &mut self,
        listing: Rc<Listing>,
        previous: Option<&Rc<Listing>>,
    ) -> Result<Rc<Listing>, Fault> {
        if listing.playlist.skipped_segments_count == 0 {
            return Ok(listing);
        }
        let Some(previous) = previous else {
            return Err(Fault::new(FaultKind::DeltaWrong, "a delta update that nobody asked for"));
        };
        let merged = listing.merged.borrow().iter().find(|(id, _)| *id == previous.id).cloned();
        if let Some((_, merged)) = merged {
            return Ok(merged);
        }
        let playlist = merge_delta(&previous.playlist, listing.playlist.clone())?;
        self.ids += 1;
        let merged = Listing::new(self.ids, playlist, &self.resource);
        listing.merged.borrow_mut().push((previous.id, Rc::clone(&merged)));
        Ok(merged)
    }

    /// Sees when the newest part was listed, and whether that was late.
    fn note_newest(&mut self, listing: &Listing, asked_us: u64, now_us: u64) -> Option<Fault> {
        let newest = listing.playlist.newest()?;
        let before = self.newest;
        if before.is_some_and(|(before, _)| before >= newest) {
            return None;
        }
        self.newest = Some((newest, now_us));
        let (_, before_us) = before?;
        let part_target = listing.playlist.part_target?;
        let part_us = part_target.as_micros() as u64;
        // Nobody here may have asked in between.
        if asked_us > before_us + part_us || listing.playlist.ended {
            return None;
        }
        let allowed_us = part_us + part_us.max(LATE_MIN.as_micros() as u64);
        let took_us = now_us - before_us;
        (took_us > allowed_us).then(|| {
            let detail = format!(
                "{newest} was listed {} ms after the one before it, {} ms are allowed",
                took_us / 1000,
                allowed_us / 1000
            );
            Fault::new(FaultKind::PartLate, detail)
        })
    }
}

/// A body out of its gzip.
///
/// # Errors
/// What is wrong with it, or that it is larger than a playlist may be.
pub fn unpack(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(body).take(PLAYLIST_BYTES_MAX as u64 + 1);
    reader.read_to_end(&mut unpacked).map_err(|error| format!("not gzip: {error}"))?;
    if unpacked.len() > PLAYLIST_BYTES_MAX {
        return Err(format!("a playlist of more than {PLAYLIST_BYTES_MAX} bytes"));
    }
    Ok(unpacked)
}

/// The channels of a worker.
#[derive(Debug, Default)]
pub struct Listings {
    channels: HashMap<String, Rc<RefCell<Channel>>>,
}

impl Listings {
    /// The channel of a media playlist.
    pub fn channel(&mut self, resource: &Resource) -> Rc<RefCell<Channel>> {
        let known = self.channels.get(resource.url.as_str());
        known.cloned().unwrap_or_else(|| {
            // Sessions that ended leave their channels behind; those that nobody reads go.
            self.channels.retain(|_, channel| Rc::strong_count(channel) > 1);
            let channel = Rc::new(RefCell::new(Channel::new(resource.clone())));
            self.channels.insert(resource.url.as_str().to_owned(), Rc::clone(&channel));
            channel
        })
    }
}
