//! The trivial responder that all servers share: parses a request's head, answers with fixed bytes.

use crate::epoll::process_cpu_ns;

/// Bytes of a playlist, of a video part (2 Mbit/s for 0.2 s) and of an audio part (128 kbit/s).
const BODIES_BYTES: [(&str, usize); 3] = [("/playlist", 1_500), ("/video", 53_000), ("/audio", 3_300)];
/// Answers with the processor time that the server has used, in ns, as 20 digits.
pub const CPU_PATH: &str = "/cpu";

pub struct Responder {
    /// Head and body in one, as one write takes them.
    replies: Vec<(&'static str, &'static [u8])>,
}

impl Responder {
    pub fn new() -> Self {
        let reply_of =
            |(path, bytes): (&'static str, usize)| (path, reply(&vec![b'x'; bytes]).leak() as &[u8]);
        Self { replies: BODIES_BYTES.map(reply_of).into() }
    }

    /// Bytes that the request takes of `received`, and its reply; `None` while its head is incomplete.
    pub fn respond(&self, received: &[u8]) -> Option<(usize, &'static [u8])> {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(taken) = request.parse(received).expect("a viewer of this bench")
        else {
            return None;
        };
        let path = request.path.expect("complete");
        if path == CPU_PATH {
            return Some((taken, reply(format!("{:020}", process_cpu_ns()).as_bytes()).leak()));
        }
        let known = self.replies.iter().find(|(known, _)| *known == path);
        Some((taken, known.expect("a path of this bench").1))
    }
}

fn reply(body: &[u8]) -> Vec<u8> {
    let mut reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    reply.extend_from_slice(body);
    reply
}
