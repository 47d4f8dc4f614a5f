//! Reads off a TCP socket that tell when the kernel had the bytes.
//!
//! A worker with hundreds of sockets reads late what came in time. That is not the server's doing, and belongs
//! into no latency of its.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd as _;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Of one read that drops what it reads.
pub const DROP_BYTES_MAX: usize = 1 << 20;

thread_local! {
    /// Never written to, and so never in memory: the kernel wants an address and a length.
    static DROPPED: RefCell<Vec<u8>> = RefCell::new(vec![0; DROP_BYTES_MAX]);
    static CONTROL: RefCell<Vec<u8>> = RefCell::new(nix::cmsg_space!(TimeSpec));
}

/// What one read brought.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// How many bytes; 0 is the end.
    pub bytes: usize,
    /// When the last of them was here, in Unix microseconds; `None` when the kernel does not say.
    pub unix_us: Option<u64>,
}

/// Asks the kernel for times (socket(7): SO_TIMESTAMPNS). Without them a read counts from when it is made.
pub fn ask_for_times(stream: &TcpStream) {
    // Not to be had on some sandboxes' sockets; `Received::unix_us` says so then.
    let _ = setsockopt(stream, sockopt::ReceiveTimestampns, &true);
}

/// Reads once.
pub fn poll_read(
    stream: &TcpStream,
    context: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<Received>> {
    poll_receive(stream, context, buffer, MsgFlags::empty())
}

/// Takes at most `wanted` bytes off a socket without copying them (tcp(7): MSG_TRUNC).
pub fn poll_drop(stream: &TcpStream, context: &mut Context<'_>, wanted: usize) -> Poll<io::Result<Received>> {
    DROPPED.with_borrow_mut(|buffer| {
        poll_receive(stream, context, &mut buffer[..wanted.min(DROP_BYTES_MAX)], MsgFlags::MSG_TRUNC)
    })
}

/// An answer was taken to its last byte: what comes next comes with news of it, and reading before that is in
/// vain.
pub fn forget_readiness(stream: &TcpStream) {
    let nothing: io::Result<()> = stream.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    debug_assert!(nothing.is_err());
}

fn poll_receive(
    stream: &TcpStream,
    context: &mut Context<'_>,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> Poll<io::Result<Received>> {
    loop {
        ready!(stream.poll_read_ready(context))?;
        let received = stream.try_io(Interest::READABLE, || receive(stream, buffer, flags));
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return Poll::Ready(other),
        }
    }
}

fn receive(stream: &TcpStream, buffer: &mut [u8], flags: MsgFlags) -> io::Result<Received> {
    CONTROL.with_borrow_mut(|control| {
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(control), flags)?;
        let unix_us = message.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time).as_micros() as u64),
            _ => None,
        });
        Ok(Received { bytes: message.bytes, unix_us })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::future::poll_fn;
    use std::ops::Range;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    /// What is read late was here in time.
    #[test]
    fn a_read_tells_when_its_bytes_came() {
        const LATE: Duration = Duration::from_millis(20);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            ask_for_times(&stream);
            let (mut peer, _) = listener.accept().await.unwrap();
            // The kernel begins to write times a moment after it is asked to.
            let mut rounds = 0..100;
            let is_in_time = |came: &Range<u64>, received: Received| {
                let Some(unix_us) = received.unix_us else { return false };
                assert!(unix_us >= came.start && unix_us <= clock::unix_us(), "{came:?} {unix_us}");
                unix_us <= came.end
            };
            loop {
                assert!(rounds.next().is_some(), "times of arrival never came");
                let before_us = clock::unix_us();
                peer.write_all(&[7; 3000]).await.unwrap();
                let came = before_us..clock::unix_us();
                std::thread::sleep(LATE);
                let mut buffer = [0; 1000];
                let read = poll_fn(|context| poll_read(&stream, context, &mut buffer)).await.unwrap();
                assert_eq!((read.bytes, buffer), (1000, [7; 1000]));
                let dropped = poll_fn(|context| poll_drop(&stream, context, 2000)).await.unwrap();
                assert_eq!(dropped.bytes, 2000);
                forget_readiness(&stream);
                let nothing =
                    poll_fn(|context| Poll::Ready(poll_drop(&stream, context, 1).is_pending())).await;
                assert!(nothing);
                if [read, dropped].into_iter().all(|received| is_in_time(&came, received)) {
                    break;
                }
            }
            drop(peer);
            let end = poll_fn(|context| poll_drop(&stream, context, 1)).await.unwrap();
            assert_eq!(end.bytes, 0);
        });
    }
}
