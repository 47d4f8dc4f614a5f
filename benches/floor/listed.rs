//! What a server lists, as far as a bench wants it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// For how long a stream may not be playable after its publisher began.
const PLAYABLE_WITHIN: Duration = Duration::from_secs(20);

/// The path of a relative reference, which may climb.
pub fn resolve(base: &str, reference: &str) -> String {
    let (mut folder, mut rest) = (base.rsplit_once('/').map_or("", |(folder, _)| folder), reference);
    while let Some(climbed) = rest.strip_prefix("../") {
        folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        rest = climbed;
    }
    format!("{folder}/{rest}")
}

/// Asks until the answer contains this text.
pub fn poll(http: SocketAddr, path: &str, contained: &str) -> String {
    let end = Instant::now() + PLAYABLE_WITHIN;
    loop {
        let mut stream = TcpStream::connect(http).expect("the server listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        if answer.contains(contained) {
            return answer;
        }
        assert!(Instant::now() < end, "{path} is not playable: {answer}");
        thread::sleep(Duration::from_millis(50));
    }
}
