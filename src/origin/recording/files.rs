//! What viewers could fetch of a stream, as files: each change of a playlist, and media once it is complete.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::hls::reload::Directives;
use crate::hls::{EventBody, Part, SegmentHead, SessionStart, StreamEvent};
use crate::http::Body;
use crate::origin::home::Home;
use crate::origin::resource::{RenditionName, Resource};
use crate::origin::view::{Answer, View};

/// A path and what it has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// As in a URL, from its slash.
    pub path: String,
    /// `None` for a playlist that is answered 404 from here on.
    pub body: Option<Bytes>,
}

/// Follows a home from its beginning.
#[derive(Debug, Default)]
pub struct Files {
    start: Option<Box<SessionStart>>,
    /// By rendition of the session.
    open: Vec<Open>,
    /// As they were answered last, by path.
    playlists: BTreeMap<String, Bytes>,
}

/// The segment that a rendition is at.
#[derive(Debug, Default)]
struct Open {
    media_sequence: u64,
    bytes: Vec<u8>,
}

impl Files {
    /// What changed by these events, which the home has made in one call: media first, then playlists.
    pub fn changes(&mut self, home: &mut Home, events: &[StreamEvent]) -> Vec<Change> {
        let mut changes = Vec::new();
        if events.is_empty() {
            return changes;
        }
        let stream = home.name().as_str().to_owned();
        for event in events {
            match &event.body {
                EventBody::Start(start) => {
                    self.open = start.renditions.iter().map(|_| Open::default()).collect();
                    self.start = Some(start.clone());
                }
                EventBody::Init(init) => {
                    let file = format!("i{}.mp4", init.number);
                    changes.extend(self.media(&stream, init.rendition.0, &file, init.bytes.clone()));
                }
                EventBody::Part(part) => changes.extend(self.part(&stream, part)),
                EventBody::Close(close) => changes.extend(self.segment(&stream, close.rendition.0)),
                EventBody::PartAndClose(part, close) => {
                    changes.extend(self.part(&stream, part));
                    changes.extend(self.segment(&stream, close.rendition.0));
                }
                // Names and ids of the renditions stay.
                EventBody::Announce
                | EventBody::Formats(_)
                | EventBody::Playable { .. }
                | EventBody::End
                | EventBody::Retire(_) => {}
            }
        }
        self.look(&stream, home.view_mut(), &mut changes);
        changes
    }

    fn media(&self, stream: &str, rendition: u8, file: &str, bytes: Bytes) -> Option<Change> {
        let start = self.start.as_ref()?;
        let name = &start.renditions.get(usize::from(rendition))?.name;
        let path = format!("/{stream}/{}/{name}-{file}", start.epoch);
        Some(Change { path, body: Some(bytes) })
    }

    fn part(&mut self, stream: &str, part: &Part) -> Option<Change> {
        let open = self.open.get_mut(usize::from(part.rendition.0))?;
        if let Some(SegmentHead { media_sequence, .. }) = part.opens {
            *open = Open { media_sequence, bytes: Vec::new() };
        }
        // A gap has no file.
        let bytes = part.media.as_ref()?.bytes();
        open.bytes.extend_from_slice(bytes);
        self.media(stream, part.rendition.0, &format!("{}.m4s", part.number), bytes.clone())
    }

    fn segment(&mut self, stream: &str, rendition: u8) -> Option<Change> {
        let open = self.open.get_mut(usize::from(rendition))?;
        let bytes = Bytes::from(std::mem::take(&mut open.bytes));
        let file = format!("s{}.m4s", open.media_sequence);
        (!bytes.is_empty()).then(|| self.media(stream, rendition, &file, bytes))?
    }

    /// Asks for each playlist that there is, and tells what is new.
    fn look(&mut self, stream: &str, view: &mut View, changes: &mut Vec<Change>) {
        let multivariant = (format!("/{stream}/index.m3u8"), Resource::Multivariant);
        let mut asked = vec![multivariant];
        for session in view.window().sessions() {
            let renditions = view.window().start(session).into_iter().flat_map(|start| &start.renditions);
            for name in renditions.filter_map(|rendition| RenditionName::new(&rendition.name)) {
                let path = format!("/{stream}/{session}/{}.m3u8", name.as_str());
                let directives = Directives::parse("");
                asked.push((path, Resource::Playlist { session, rendition: name, directives }));
            }
        }
        for (path, resource) in asked {
            let body = body(view.answer(&resource, false, None));
            if body.as_ref() == self.playlists.get(&path) {
                continue;
            }
            match &body {
                Some(body) => self.playlists.insert(path.clone(), body.clone()),
                None => self.playlists.remove(&path),
            };
            changes.push(Change { path, body });
        }
    }
}

/// Of a response that is no error; playlists are in one piece.
fn body(answer: Answer) -> Option<Bytes> {
    match answer {
        Answer::Now(response) if response.status.code() == 200 => match response.body {
            Body::One(bytes) => Some(bytes),
            Body::Empty | Body::Chain(_) => None,
        },
        Answer::Now(_) | Answer::Wait(_) => None,
    }
}
