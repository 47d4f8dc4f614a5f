//! The trivial responder that the floor's servers share: parses a request's head, answers with fixed bytes.

/// Bytes of a whole response, head and body, by rendition: the playlist's and the part's.
pub type ResponseBytes = [[usize; 2]; 2];

/// By rendition: the playlist, which is answered when the next part lands, and the part.
pub const PATHS: [[&str; 2]; 2] = [["/video.m3u8", "/video.m4s"], ["/audio.m3u8", "/audio.m4s"]];

pub struct Responder {
    replies: Vec<(&'static str, Reply)>,
}

#[derive(Clone, Copy)]
pub struct Reply {
    /// Head and body in one, as one write takes them.
    pub bytes: &'static [u8],
    /// Not to be sent before the next part lands.
    pub waits: bool,
}

impl Responder {
    pub fn new(bytes: ResponseBytes) -> Self {
        let replies = PATHS.iter().zip(bytes).flat_map(|(paths, bytes)| {
            [0, 1].map(|which| {
                (paths[which], Reply { bytes: reply_of(bytes[which]).leak(), waits: which == 0 })
            })
        });
        Self { replies: replies.collect() }
    }

    /// The reply to a request; `None` while its head is incomplete.
    pub fn respond(&self, received: &[u8]) -> Option<Reply> {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(received).expect("a viewer of this bench").is_partial() {
            return None;
        }
        let path = request.path.expect("complete");
        let known = self.replies.iter().find(|(known, _)| *known == path);
        Some(known.expect("a path of this bench").1)
    }
}

/// A response of this many bytes.
fn reply_of(bytes: usize) -> Vec<u8> {
    let head_of = |body_bytes: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {body_bytes:08}\r\n\r\n");
    let body_bytes = bytes - head_of(0).len();
    let mut reply = head_of(body_bytes).into_bytes();
    reply.resize(bytes, b'x');
    reply
}
