//! Joining: the multivariant playlist, the media playlists, and where to begin.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Conduct, Followed, Viewer, WatchPlan};
use crate::address::{AddressError, Resource};
use crate::clock;
use crate::fault::{Fault, FaultKind};
use crate::measure::{Counter, Meter};
use crate::net::{Answer, Client, Connection, HttpVersion, Pace, Request, RequestError, http2};
use crate::player::{Listings, Playback, Rendition};
use crate::playlist::{Choice, Playlist, PlaylistError};
use crate::scenario::Mode;
use crate::worker::{Screen, Worker};

/// A viewer that has not begun by then has failed to join.
const JOIN_WITHIN: Duration = Duration::from_secs(20);
/// Between two attempts: a page polls.
const POLL: Duration = Duration::from_millis(500);
/// For one playlist.
const PLAYLIST_WITHIN: Duration = Duration::from_secs(10);

/// Why a viewer could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The address is of no use.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Not a good one.
    #[error("status {0}")]
    Status(u16),
    /// No playlist.
    #[error("not a playlist: {0}")]
    Playlist(#[from] PlaylistError),
    /// A playlist of no use.
    #[error("{}", .0.detail)]
    Fault(Fault),
    /// A stream that is over.
    #[error("the stream has ended")]
    Ended,
    /// Nothing to begin with.
    #[error("nothing is listed to begin with")]
    Empty,
    /// Segments only.
    #[error("not Low-Latency HLS: {0} lists no parts (EXT-X-PART-INF); `--mode segments` would play it")]
    NoParts(String),
}

impl JoinError {
    /// The fault that it is.
    pub fn fault(&self, path: &str) -> Fault {
        let kind = match self {
            Self::Request(error) => return error.fault(path),
            Self::Fault(fault) => fault.kind,
            Self::Status(400..=499) => FaultKind::Status4xx,
            Self::Status(500..) => FaultKind::Status5xx,
            Self::Address(_) | Self::Status(_) => FaultKind::Http,
            Self::Playlist(_) | Self::Empty | Self::Ended | Self::NoParts(_) => FaultKind::PlaylistSyntax,
        };
        Fault::new(kind, format!("{path}: {self}"))
    }

    /// True when it may be otherwise in a moment: the stream begins, the server starts.
    fn may_pass(&self) -> bool {
        match self {
            Self::Address(_) | Self::NoParts(_) => false,
            Self::Request(error) => !matches!(error, RequestError::Http(_)),
            _ => true,
        }
    }
}

/// A viewer that is about to join.
#[derive(Clone, Copy)]
pub(super) struct Joining<'a> {
    pub worker: &'a Rc<Worker>,
    pub plan: &'a Arc<WatchPlan>,
    pub index: &'a Resource,
    pub mode: Mode,
    pub conduct: &'a Rc<Conduct>,
    pub screen: &'a Rc<Screen>,
}

/// Connections of one rendition.
pub(super) struct Connections {
    pub playlist: Connection,
    pub media: Connection,
}

/// A viewer that knows where to begin.
pub(super) struct Joined {
    pub viewer: Viewer,
    pub connections: Vec<Connections>,
}

impl Joining<'_> {
    /// Joins, trying again while a stream may still begin.
    ///
    /// # Errors
    /// What the last attempt failed by.
    pub(super) async fn join_in_time(&self) -> Result<Joined, JoinError> {
        let give_up_us = self.screen.due_us + JOIN_WITHIN.as_micros() as u64;
        loop {
            match self.join().await {
                Err(error) if error.may_pass() && clock::monotonic_us() < give_up_us => {
                    tokio::time::sleep(POLL).await;
                }
                other => return other,
            }
        }
    }

    /// Whether there is a stream to join: not one that has ended, and is kept for a while.
    pub(super) async fn is_live(&self) -> bool {
        probe_once(&self.plan.client, self.index, false).await.is_ok()
    }

    async fn join(&self) -> Result<Joined, JoinError> {
        let client = &self.plan.client;
        let pace = Pace::new(self.plan.line_bytes_s);
        let mut connector = Connector::new(client.version);
        let mut connection = connector.connection();
        let playlists =
            media_playlists(client, self.index, &mut connection, &pace, Some(self.worker)).await?;
        let mut connection = Some(connection);
        let mut connections = Vec::new();
        let mut renditions = Vec::new();
        for resource in &playlists {
            // The first goes on with the connection that there is.
            let mut playlist = connection.take().unwrap_or_else(|| connector.connection());
            let channel = self.worker.listings.borrow_mut().channel(resource);
            let mut rendition = Rendition::new(channel, self.mode);
            let reload = rendition.next_reload();
            let asked_us = clock::monotonic_us();
            let answer = get(client, resource, &mut playlist, &pace, Some(self.worker)).await?;
            let now_us = clock::monotonic_us();
            let (_, faults) = rendition.reloaded(&reload, &answer.body, answer.gzip, asked_us, now_us);
            self.worker.shared_faults(resource.path(), faults);
            self.worker.measure(|measure| {
                measure.add(Counter::Reloads, 1);
                measure.record_us(Meter::Reload, now_us - asked_us);
            });
            if rendition.has_ended() {
                return Err(JoinError::Ended);
            }
            connections.push(Connections { playlist, media: connector.connection() });
            let path = rendition.path();
            renditions.push(Followed { rendition: RefCell::new(rendition), path, changed: Notify::new() });
        }
        let leads_us = begin(&renditions).ok_or(JoinError::Empty)?;
        *self.screen.playback.borrow_mut() = Some(Playback::new(&leads_us));
        let viewer = Viewer {
            worker: Rc::clone(self.worker),
            plan: Arc::clone(self.plan),
            conduct: Rc::clone(self.conduct),
            pace,
            screen: Rc::clone(self.screen),
            renditions,
        };
        Ok(Joined { viewer, connections })
    }
}

/// Chooses the point of playback and each rendition's first piece; `None` when one has nothing to begin with.
fn begin(renditions: &[Followed]) -> Option<Vec<u64>> {
    let first = renditions.first()?.rendition.borrow();
    let (hold_back, edge) = (first.hold_back()?, first.edge_unix_us());
    drop(first);
    let leads = renditions.iter().map(|followed| {
        let mut rendition = followed.rendition.borrow_mut();
        // All renditions begin at one moment, where their playlists have dates.
        let ahead_us = rendition.edge_unix_us().zip(edge).map_or(0, |(own, edge)| own - edge);
        let hold_back_us = i64::try_from(hold_back.as_micros()).ok()?.saturating_add(ahead_us).max(0);
        let lead = rendition.start(Duration::from_micros(hold_back_us as u64))?;
        rendition.began();
        Some(lead.as_micros() as u64)
    });
    leads.collect()
}

/// Makes the connections of a viewer: one for each request that is open at once, or one for all.
struct Connector {
    http2: Option<Rc<http2::Connection>>,
}

impl Connector {
    fn new(version: HttpVersion) -> Self {
        Self { http2: (version == HttpVersion::Http2).then(Rc::default) }
    }

    fn connection(&mut self) -> Connection {
        Connection::new(self.http2.as_ref())
    }
}

/// The media playlists that a simple player plays together: picture, and sound if that is apart.
async fn media_playlists(
    client: &Arc<Client>,
    index: &Resource,
    connection: &mut Connection,
    pace: &Pace,
    worker: Option<&Rc<Worker>>,
) -> Result<Vec<Resource>, JoinError> {
    let answer = get(client, index, connection, pace, worker).await?;
    let text = text_of(&answer)?;
    let multivariant = match Playlist::parse(&text)? {
        Playlist::Media(_) => return Ok(vec![index.clone()]),
        Playlist::Multivariant(multivariant) => multivariant,
    };
    if let Some(worker) = worker {
        worker.shared_faults(index.path(), multivariant.breaches.clone());
    }
    let selection = multivariant.select(Choice::First).ok_or(JoinError::Empty)?;
    let mut playlists = vec![index.join(&selection.variant.uri)?];
    if let Some(uri) = selection.audio.and_then(|audio| audio.uri.as_deref()) {
        playlists.push(index.join(uri)?);
    }
    Ok(playlists)
}

async fn get(
    client: &Arc<Client>,
    resource: &Resource,
    connection: &mut Connection,
    pace: &Pace,
    worker: Option<&Rc<Worker>>,
) -> Result<Answer, JoinError> {
    let request = Request::playlist(resource);
    let answer = connection.get(client, request, PLAYLIST_WITHIN, pace).await?;
    if let Some(worker) = worker {
        worker.measure(|measure| {
            measure.add(Counter::Requests, 1);
            measure.add(Counter::ReceivedBytes, answer.received_bytes);
        });
    }
    if answer.status != 200 {
        return Err(JoinError::Status(answer.status));
    }
    Ok(answer)
}

fn text_of(answer: &Answer) -> Result<String, JoinError> {
    let bytes = if answer.gzip {
        crate::player::unpack(&answer.body)
            .map_err(|reason| JoinError::Fault(Fault::new(FaultKind::PlaylistSyntax, reason)))?
    } else {
        answer.body.to_vec()
    };
    String::from_utf8(bytes).map_err(|error| {
        JoinError::Fault(Fault::new(FaultKind::PlaylistSyntax, format!("not UTF-8: {error}")))
    })
}

/// Sees whether a stream can be watched, waiting a while for one that begins.
///
/// # Errors
/// [`JoinError`]: what a user must know before a thousand viewers find it out.
pub async fn probe(
    client: &Arc<Client>,
    url: &str,
    wants_parts: bool,
    wait: Duration,
) -> Result<(), JoinError> {
    let index = Resource::parse(url)?;
    let give_up_us = clock::monotonic_us() + wait.as_micros() as u64;
    loop {
        match probe_once(client, &index, wants_parts).await {
            Err(error) if error.may_pass() && clock::monotonic_us() < give_up_us => {
                tokio::time::sleep(POLL).await;
            }
            other => return other,
        }
    }
}

async fn probe_once(client: &Arc<Client>, index: &Resource, wants_parts: bool) -> Result<(), JoinError> {
    let pace = Pace::default();
    let mut connection = Connector::new(client.version).connection();
    let mut listings = Listings::default();
    for resource in media_playlists(client, index, &mut connection, &pace, None).await? {
        let mut rendition = Rendition::new(listings.channel(&resource), Mode::Parts);
        let reload = rendition.next_reload();
        let answer = get(client, &resource, &mut connection, &pace, None).await?;
        let (_, faults) = rendition.reloaded(&reload, &answer.body, answer.gzip, 0, 0);
        let Some(listing) = rendition.listing() else {
            return Err(faults.into_iter().next().map_or(JoinError::Empty, JoinError::Fault));
        };
        if wants_parts && listing.playlist.part_target.is_none() {
            return Err(JoinError::NoParts(resource.path().to_owned()));
        }
        if listing.playlist.segments.is_empty() {
            return Err(JoinError::Empty);
        }
        if listing.playlist.ended {
            return Err(JoinError::Ended);
        }
    }
    Ok(())
}
