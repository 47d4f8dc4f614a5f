//! One stream as one shard sees it: a window fed by the home's events, and what was rendered from it.
//! Requests come in, answers go out; who waits is kept elsewhere.

use std::hash::Hasher;
use std::io::Write;
use std::rc::Rc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::published::Published;
use super::resource::{MediaNumber, RenditionName, Resource};
use crate::hls::reload::{self, Reload, Resolved};
use crate::hls::window::{Change, EventError, Lookup, Window, WindowState};
use crate::hls::{Epoch, RenditionId, SessionId, StreamEvent, media_playlist, multivariant};
use crate::http::{Body, Cache, ETag, Encoding, Response, Status, content_type};
use crate::limits::{MEDIA_MAX_AGE_S, MULTIVARIANT_MAX_AGE_S, SEGMENT_CHAINS_KEPT_MAX};
use crate::media::{MediaRef, TrackKind};

/// Urgency of RFC 9218 for playlists and media (llhls: playlists 1, audio before video).
const URGENCY_PLAYLIST: u8 = 1;
const URGENCY_AUDIO: u8 = 2;
const URGENCY_VIDEO: u8 = 3;

/// A stream's window on one shard, with what was rendered from it for every viewer there.
#[derive(Debug, Default)]
pub struct View {
    window: Window,
    rendered: Vec<Rendered>,
    segment_chains: Vec<SegmentChain>,
}

/// A playlist as it is sent, kept until its session changes.
#[derive(Debug)]
struct Rendered {
    key: RenderedKey,
    body: Bytes,
    etag: ETag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RenderedKey {
    session: SessionId,
    /// `None` for the multivariant playlist.
    playlist: Option<(RenditionId, media_playlist::Form)>,
    encoding: Encoding,
}

#[derive(Debug)]
struct SegmentChain {
    epoch: Epoch,
    rendition: RenditionName,
    media_sequence: u64,
    parts: Rc<[Bytes]>,
}

/// What a request gets.
#[derive(Debug)]
pub enum Answer {
    /// This response, now.
    Now(Response),
    /// Nothing yet: ask again when the list that `Wait` names was woken.
    Wait(Wait),
}

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Whose updates may satisfy it.
    pub rendition: RenditionId,
    /// Which updates may.
    pub updates: Updates,
    /// How long it may wait, milliseconds from its first wait.
    pub wait_ms_max: u64,
    /// What it gets after that.
    pub expired: Expired,
}

/// The two lists of those who wait for a rendition, so that a part does not wake who waits for a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updates {
    /// Every update.
    Parts,
    /// Updates that close a segment.
    Segments,
}

/// The end of a wait that was not satisfied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// 503 `no-store`: the stream may come back (llhls 2.1 step 9).
    Unavailable,
    /// 404: it was never here.
    NotFound,
}

impl Expired {
    /// The response.
    pub fn response(self) -> Response {
        match self {
            Self::Unavailable => {
                Response::error(Status::Unavailable, "the stream has not moved for three target durations\n")
            }
            Self::NotFound => not_found(),
        }
    }
}

/// Who must be woken after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Nobody.
    None,
    /// Those who wait for this rendition's parts; for its segments too when `closed`.
    Rendition {
        /// Whose list.
        rendition: RenditionId,
        /// A segment was closed.
        closed: bool,
    },
    /// Everybody.
    All,
}

impl View {
    /// An empty view, of a stream about which nothing was heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A view from the home's snapshot.
    pub fn from_snapshot(state: WindowState) -> Self {
        Self { window: Window::from_snapshot(state), ..Self::default() }
    }

    /// The window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// The window's snapshot, for another shard.
    pub fn snapshot(&self) -> WindowState {
        self.window.snapshot()
    }

    /// Media whose retention ended with the last event.
    pub fn take_retired(&mut self) -> Vec<MediaRef> {
        self.window.take_retired()
    }

    /// Applies one event of the home and says who is to be woken.
    ///
    /// # Errors
    /// [`EventError`]: the event contradicts the window, which is unchanged.
    pub fn apply(&mut self, event: &StreamEvent) -> Result<Wake, EventError> {
        let change = self.window.apply(event)?;
        // A rendition's report stands in every other playlist of its session, so one update outdates all.
        self.rendered.clear();
        if matches!(change, Change::Updated { closed: Some(_), .. }) {
            // What has left retention is not kept for the next one who asks.
            let Self { window, segment_chains, .. } = self;
            segment_chains.retain(|chain| {
                let found = window.segment(chain.epoch, chain.rendition.as_str(), chain.media_sequence);
                matches!(found, Lookup::Found(_))
            });
        }
        Ok(match change {
            Change::Started(_) | Change::Announced | Change::Formats(_) | Change::Init { .. } => Wake::None,
            Change::Updated { rendition, closed, .. } => {
                Wake::Rendition { rendition, closed: closed.is_some() }
            }
            Change::Playable(_) | Change::Ended(_) => Wake::All,
            Change::Retired(_) => {
                self.segment_chains.clear();
                Wake::All
            }
        })
    }

    /// Answers a request. `published` holds the home's newest numbers when this shard is a replica,
    /// which may be a moment behind them.
    pub fn answer(&mut self, resource: &Resource, gzip: bool, published: Option<&Published>) -> Answer {
        let encoding = if gzip { Encoding::Gzip } else { Encoding::Identity };
        match resource {
            Resource::Multivariant => Answer::Now(self.multivariant(encoding)),
            Resource::Playlist { session, rendition, directives } => {
                let Some(resolved) = reload::resolve(&self.window, *session, rendition.as_str()) else {
                    return Answer::Now(not_found());
                };
                match reload::decide(&self.window, &resolved, directives) {
                    Reload::Ready(form) => {
                        Answer::Now(self.playlist(&resolved, form, encoding, !directives.is_empty()))
                    }
                    Reload::Wait(until) => Answer::Wait(Wait {
                        rendition: resolved.rendition,
                        updates: match until {
                            reload::Until::Part(_) => Updates::Parts,
                            reload::Until::Segment { .. } => Updates::Segments,
                        },
                        wait_ms_max: self.reload_wait_ms_max(resolved.session),
                        expired: Expired::Unavailable,
                    }),
                    Reload::Reject(reject) if reject.status() == 400 => {
                        Answer::Now(Response::error(Status::BadRequest, format!("{reject}\n")))
                    }
                    Reload::Reject(_) => Answer::Now(not_found()),
                }
            }
            Resource::Media { epoch, rendition, number } => {
                self.media(*epoch, *rendition, *number, published)
            }
        }
    }

    /// 3 target durations (6.2.5.2: "SHOULD be 503").
    fn reload_wait_ms_max(&self, session: SessionId) -> u64 {
        3 * 1000 * u64::from(session.target_duration_s)
    }

    fn multivariant(&mut self, encoding: Encoding) -> Response {
        let Some(session) = self.window.current() else { return not_found() };
        let key = RenderedKey { session, playlist: None, encoding };
        let Some((body, etag)) = self.rendered(key) else { return not_found() };
        playlist_response(body, etag, encoding, Cache::MaxAge(MULTIVARIANT_MAX_AGE_S))
    }

    fn playlist(
        &mut self,
        resolved: &Resolved,
        form: media_playlist::Form,
        encoding: Encoding,
        has_directives: bool,
    ) -> Response {
        let key =
            RenderedKey { session: resolved.session, playlist: Some((resolved.rendition, form)), encoding };
        let Some((body, etag)) = self.rendered(key) else { return not_found() };
        let target_duration_s = resolved.session.target_duration_s;
        // B.1: six target durations for what names a moment, half of one for what does not.
        let cache = if has_directives {
            Cache::MaxAge(6 * target_duration_s)
        } else if target_duration_s >= 2 {
            Cache::MaxAge(target_duration_s / 2)
        } else {
            Cache::NoCache
        };
        playlist_response(body, etag, encoding, cache)
    }

    /// Rendered and compressed at most once between two events, whoever asks.
    fn rendered(&mut self, key: RenderedKey) -> Option<(Bytes, ETag)> {
        if let Some(found) = self.rendered.iter().find(|rendered| rendered.key == key) {
            return Some((found.body.clone(), found.etag));
        }
        let text = match key.playlist {
            None => multivariant::render(&self.window, key.session)?,
            Some((rendition, form)) => media_playlist::render(&self.window, key.session, rendition, form)?,
        };
        let etag = etag_of(&text);
        let body = match key.encoding {
            Encoding::Identity => Bytes::from(text),
            Encoding::Gzip => Bytes::from(gzip(text.as_bytes())),
        };
        self.rendered.push(Rendered { key, body: body.clone(), etag });
        Some((body, etag))
    }

    fn media(
        &mut self,
        epoch: Epoch,
        rendition: RenditionName,
        number: MediaNumber,
        published: Option<&Published>,
    ) -> Answer {
        let name = rendition.as_str();
        let found = match number {
            MediaNumber::Init(number) => {
                self.window.init(epoch, name, number).map(|bytes| Body::One(bytes.clone()))
            }
            MediaNumber::Part(number) => {
                self.window.part(epoch, name, number).map(|media| Body::One(media.bytes().clone()))
            }
            MediaNumber::Segment(media_sequence) => {
                let kept = self.segment_chains.iter().find(|chain| {
                    chain.epoch == epoch
                        && chain.rendition == rendition
                        && chain.media_sequence == media_sequence
                });
                match kept {
                    Some(chain) => Lookup::Found(Body::Chain(chain.parts.clone())),
                    None => self.window.segment(epoch, name, media_sequence).map(|segment| {
                        let parts: Rc<[Bytes]> = segment.parts().map(|part| part.bytes().clone()).collect();
                        if self.segment_chains.len() == SEGMENT_CHAINS_KEPT_MAX {
                            self.segment_chains.remove(0);
                        }
                        self.segment_chains.push(SegmentChain {
                            epoch,
                            rendition,
                            media_sequence,
                            parts: parts.clone(),
                        });
                        Body::Chain(parts)
                    }),
                }
            }
        };
        match found {
            Lookup::Found(body) => {
                let kind = self.kind_of(name);
                Answer::Now(Response {
                    etag: Some(media_etag(epoch, name, number)),
                    urgency: Some(if kind == TrackKind::Video { URGENCY_VIDEO } else { URGENCY_AUDIO }),
                    ..Response::ok(
                        if kind == TrackKind::Video {
                            content_type::VIDEO_MP4
                        } else {
                            content_type::AUDIO_MP4
                        },
                        Cache::Immutable(MEDIA_MAX_AGE_S),
                        body,
                    )
                })
            }
            Lookup::Hinted => self.wait_for_media(name, Updates::Parts, None),
            Lookup::NotYet => {
                let is_published = published.is_some_and(|published| published.covers(name, number));
                if !is_published {
                    return Answer::Now(not_found());
                }
                let updates = match number {
                    MediaNumber::Segment(_) => Updates::Segments,
                    MediaNumber::Init(_) | MediaNumber::Part(_) => Updates::Parts,
                };
                self.wait_for_media(name, updates, Some(Expired::NotFound))
            }
            Lookup::Gone => Answer::Now(not_found()),
        }
    }

    /// A hint may take as long as a reload; what the home has published already is here within a part.
    fn wait_for_media(&self, name: &str, updates: Updates, behind_home: Option<Expired>) -> Answer {
        let live = self.window.live();
        let Some((session, rendition)) =
            live.and_then(|session| Some((session, self.window.rendition_id(session, name)?)))
        else {
            return Answer::Now(not_found());
        };
        Answer::Wait(match behind_home {
            Some(expired) => {
                Wait { rendition, updates, wait_ms_max: u64::from(session.part_target_ms), expired }
            }
            None => Wait {
                rendition,
                updates,
                wait_ms_max: self.reload_wait_ms_max(session),
                expired: Expired::Unavailable,
            },
        })
    }

    fn kind_of(&self, name: &str) -> TrackKind {
        let of_session = |session: SessionId| {
            let rendition = self.window.rendition_id(session, name)?;
            Some(self.window.start(session)?.renditions.get(usize::from(rendition.0))?.kind)
        };
        self.window.current().and_then(of_session).unwrap_or(TrackKind::Video)
    }
}

fn playlist_response(body: Bytes, etag: ETag, encoding: Encoding, cache: Cache) -> Response {
    Response {
        etag: Some(etag),
        encoding,
        varies: true,
        urgency: Some(URGENCY_PLAYLIST),
        ..Response::ok(content_type::PLAYLIST, cache, Body::One(body))
    }
}

/// Unknown, not yet, or withdrawn: nothing may be kept, since the stream may begin a moment later.
pub fn not_found() -> Response {
    Response::error(Status::NotFound, "not found\n")
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::new(5));
    // Writing to memory does not fail; what would is seen by the reader of a truncated stream.
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// Equal on every shard: a hash of the text itself, by a hasher with fixed keys.
fn etag_of(text: &str) -> ETag {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(text.as_bytes());
    ETag(hasher.finish())
}

/// The URL names immutable bytes, so the names that make it up are the tag.
fn media_etag(epoch: Epoch, rendition: &str, number: MediaNumber) -> ETag {
    use std::hash::Hash;
    let mut hasher = std::hash::DefaultHasher::new();
    (epoch, rendition, number).hash(&mut hasher);
    ETag(hasher.finish())
}
