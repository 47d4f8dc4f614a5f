//! The streams of other shards that this one follows for its viewers.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::{Message, Service};
use crate::hls::StreamEvent;
use crate::hls::window::WindowState;
use crate::media::MediaRef;
use crate::origin::view::View;
use crate::shard::fault::FaultAt;
use crate::shard::streams::{Follower, Shared, Stream, home_of};

/// Why a stream is not to be seen on a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwatched {
    /// No stream of that name is up anywhere: nothing is kept of it.
    Unknown,
    /// It is up, and its home has too much to do to be asked for it now.
    Busy,
}

impl Service {
    /// The stream as this shard sees it, for a viewer: its home, or a replica that begins to follow.
    ///
    /// # Errors
    /// [`Unwatched`]
    pub fn watched(&self, name: &str) -> Result<Rc<Stream>, Unwatched> {
        let stream = match self.streams.find(name) {
            Some(stream) => stream,
            None => {
                let shared = self.streams.known(name).ok_or(Unwatched::Unknown)?;
                let home = home_of(&shared.name, self.shard.shards_count());
                if home == self.shard.index() {
                    return Err(Unwatched::Unknown);
                }
                if self.mesh.try_send(home, Message::Follow(shared.name.clone())).is_err() {
                    // The home's inbox is full; the next request tries again.
                    return Err(Unwatched::Busy);
                }
                let stream = Rc::new(Stream::replica(&self.shard, shared));
                self.streams.insert(Rc::clone(&stream));
                stream
            }
        };
        stream.used_us.set(self.shard.monotonic_us());
        Ok(stream)
    }

    pub(super) fn add_follower(&self, stream: &Rc<Stream>, shard: usize) {
        let Some(here) = stream.home() else { return };
        self.guarded(stream, || {
            let mut here = here.borrow_mut();
            here.followers.retain(|follower| follower.shard != shard);
            // Snapshot and what follows go through one queue, so nothing is missed between them.
            here.followers.push(Follower { shard, is_stale: true });
            self.refresh_followers(&stream.shared, &mut here);
        });
    }

    /// The replica of this very stream: one of the same name may have begun since.
    pub(super) fn replica(&self, shared: &Arc<Shared>) -> Option<Rc<Stream>> {
        self.streams.find(shared.name.as_str()).filter(|stream| Arc::ptr_eq(&stream.shared, shared))
    }

    pub(super) fn snapshot(&self, shared: &Arc<Shared>, mut state: WindowState, events_count: u64) {
        let Some(stream) = self.replica(shared) else { return };
        let Some(view) = stream.followed() else { return };
        self.guarded(&stream, || {
            state.for_each_bytes_mut(wrap);
            *view.borrow_mut() = Some(View::from_snapshot(state));
            stream.note_snapshot(events_count);
            stream.land_all();
        });
    }

    pub(super) fn followed_event(&self, shared: &Arc<Shared>, mut event: StreamEvent, published_us: u64) {
        let Some(stream) = self.replica(shared) else { return };
        let Some(view) = stream.followed() else { return };
        event.for_each_bytes_mut(wrap);
        let applied = self.guarded(&stream, || {
            self.fault(FaultAt::Event, shared.name.as_str());
            view.borrow_mut().as_mut().map(|view| view.apply(&event))
        });
        match applied.flatten() {
            Some(Ok(wake)) => {
                stream.note_event();
                let now_us = self.shard.monotonic_us();
                self.note_delivery(now_us.saturating_sub(published_us));
                self.land(&stream, wake, now_us);
            }
            Some(Err(error)) => {
                tracing::error!(stream = %shared.name, "a followed stream went wrong, following anew: {error}");
                self.unfollow(&stream);
            }
            // Events of before the snapshot are in it.
            None => {}
        }
    }

    pub(super) fn unfollow(&self, stream: &Rc<Stream>) {
        let name = &stream.shared.name;
        self.streams.remove(name.as_str());
        let home = home_of(name, self.shard.shards_count());
        // A home that does not hear it goes on sending, and what it sends is passed over.
        let _ = self.mesh.try_send(home, Message::Unfollow(name.clone()));
        stream.land_all();
    }

    pub(super) fn forget_followed(&self, shared: &Arc<Shared>) {
        let name = shared.name.as_str();
        // The message may be older than a stream of the same name that is up again.
        if self.streams.known(name).is_some_and(|known| Arc::ptr_eq(&known, shared)) {
            self.streams.down(name);
        }
        if let Some(stream) = self.replica(shared) {
            self.streams.remove(name);
            stream.land_all();
        }
    }
}

/// Bytes that came from another shard, behind a reference count of this one's: cores do not fight over it.
fn wrap(bytes: &mut Bytes) {
    *bytes = Bytes::from_owner(std::mem::take(bytes));
}

/// Media of an event, for [`wrap`].
impl StreamEvent {
    fn for_each_bytes_mut(&mut self, mut visit: impl FnMut(&mut Bytes)) {
        use crate::hls::EventBody;
        match &mut self.body {
            EventBody::Init(init) => visit(&mut init.bytes),
            EventBody::Part(part) | EventBody::PartAndClose(part, _) => {
                if let Some(MediaRef::Memory(bytes)) = &mut part.media {
                    visit(bytes);
                }
            }
            _ => {}
        }
    }
}
