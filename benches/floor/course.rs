//! What a viewer asks for, request by request: a blocking reload, then the parts that it brought.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use crate::{
    listed::{poll, resolve},
    publisher::KEY,
    responder::PATHS,
    servers::PERIOD,
};

/// One rendition, as one connection follows it.
#[derive(Clone)]
pub enum Course {
    /// Of the trivial responder: always the same two.
    Fixed { rendition: usize },
    /// Of the real server, as its playlists have it.
    Stream(Stream),
}

#[derive(Clone, Default)]
pub struct Stream {
    path: String,
    /// What the next reload asks for.
    media_sequence: u64,
    part_index: u64,
    newest_uri: String,
    /// Parts that were listed and not yet asked for, and their durations.
    wanted: VecDeque<(String, Duration)>,
}

impl Course {
    pub fn fixed() -> [Self; 2] {
        [0, 1].map(|rendition| Self::Fixed { rendition })
    }

    /// Video and audio of the stream at a server, once it is playable.
    pub fn streams(http: SocketAddr) -> [Self; 2] {
        let index = format!("/live/{KEY}/index.m3u8");
        let multivariant = poll(http, &index, "#EXTM3U");
        let video = multivariant.lines().find(|line| line.contains("m3u8") && !line.starts_with('#'));
        let audio = multivariant.lines().find_map(|line| quoted(line, "URI"));
        [video, audio].map(|uri| {
            let path = resolve(&index, uri.expect("a video and an audio rendition"));
            let playlist = poll(http, &path, "#EXT-X-PART:");
            let mut stream = Stream { path, ..Stream::default() };
            stream.follow(&playlist);
            stream.wanted.clear();
            Self::Stream(stream)
        })
    }

    /// Path of the next reload.
    pub fn reload(&self) -> String {
        match self {
            Self::Fixed { rendition } => PATHS[*rendition][0].to_owned(),
            Self::Stream(stream) => {
                let Stream { path, media_sequence, part_index, .. } = stream;
                format!("{path}?_HLS_msn={media_sequence}&_HLS_part={part_index}")
            }
        }
    }

    /// Reads the answer to a reload.
    pub fn reloaded(&mut self, playlist: &[u8]) {
        if let Self::Stream(stream) = self {
            stream.follow(std::str::from_utf8(playlist).expect("a playlist"));
        }
    }

    /// Path and duration of the next part that was listed.
    pub fn next_part(&mut self, after_reload: bool) -> Option<(String, Duration)> {
        match self {
            Self::Fixed { rendition } => after_reload.then(|| (PATHS[*rendition][1].to_owned(), PERIOD)),
            Self::Stream(stream) => stream.wanted.pop_front(),
        }
    }
}

impl Stream {
    /// Wants the parts behind the newest one known, and then what comes after the playlist's end.
    fn follow(&mut self, playlist: &str) {
        let mut is_new = self.newest_uri.is_empty();
        for line in playlist.lines() {
            if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                self.media_sequence = first.parse().expect("a number");
                self.part_index = 0;
            } else if line.starts_with("#EXTINF:") {
                self.media_sequence += 1;
                self.part_index = 0;
            } else if line.starts_with("#EXT-X-PART:") {
                self.part_index += 1;
                let uri = quoted(line, "URI").expect("a part has a URI");
                if is_new {
                    let duration = line.split_once("DURATION=").and_then(|(_, rest)| rest.split(',').next());
                    let seconds = duration.and_then(|text| text.parse().ok()).expect("a part has a duration");
                    self.wanted.push_back((resolve(&self.path, uri), Duration::from_secs_f64(seconds)));
                    uri.clone_into(&mut self.newest_uri);
                }
                is_new |= uri == self.newest_uri;
            }
        }
        assert!(is_new, "{} is not listed any more", self.newest_uri);
    }
}

/// The value of `NAME="value"`.
fn quoted<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(&format!("{name}=\""))?.1.split('"').next()
}
