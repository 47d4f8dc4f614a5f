//! One publisher: an RTMP session, and frames sent at their decode times on absolute deadlines.
//!
//! Each frame carries when it was really sent, so that a publisher that is late makes the stream late and not
//! the server; its lateness is counted apart.

mod tags;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rapidrtmp::media::TrackKind;
use rapidrtmp::rtmp::{ClientConfig, ClientError, ClientEvent, ClientSession, HANDSHAKE_RANDOM_BYTES};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};

use crate::address::PublishAddress;
use crate::clock;
use crate::fault::{Fault, FaultKind};
use crate::measure::{Counter, Meter};
use crate::net::{Connect, ConnectError, Stream};
use crate::source::{Cursor, Frame, Kind, Reel};
use crate::stamp::{self, Stamp};
use crate::worker::Worker;

/// From TCP to an accepted publish. A server may hold a publisher back until its predecessor is gone.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(10);
/// Between two attempts.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Frames this much after their time are counted.
const LATE_US: u64 = 10_000;
/// RTMP's version of a media server's encoder, for its log.
const ENCODER: &str = concat!("loadtest/", env!("CARGO_PKG_VERSION"));

/// What all publishers of a group have in common.
pub struct PublishPlan {
    /// What they send.
    pub reel: Arc<Reel>,
    /// How to reach the server.
    pub connect: Connect,
    /// Mean time after which the connection is cut without a word; zero is never.
    pub drop_every: Duration,
    /// Time until it is back.
    pub away: Duration,
}

/// Why a publish ended.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection failed or was ended.
    #[error("the connection ended: {0}")]
    Socket(#[from] io::Error),
    /// The server refused, or does not speak RTMP.
    #[error(transparent)]
    Session(#[from] ClientError),
    /// Nothing came.
    #[error("not accepted within {} s", ACCEPTED_WITHIN.as_secs())]
    Timeout,
    /// The server ended the publish.
    #[error("the server ended the publish: {code} {description}")]
    Stopped {
        /// Its code.
        code: String,
        /// For people.
        description: String,
    },
}

impl PublishError {
    /// The fault that it is, of a stream.
    pub fn fault(&self, name: &str) -> Fault {
        let kind = match self {
            Self::Connect(_) | Self::Session(_) => FaultKind::Connect,
            Self::Timeout => FaultKind::Timeout,
            Self::Socket(_) | Self::Stopped { .. } => FaultKind::Cut,
        };
        Fault::new(kind, format!("{name}: {self}"))
    }
}

/// Publishes one stream until it is dropped; comes back when its connection ends.
pub async fn publish(
    worker: Rc<Worker>,
    plan: Arc<PublishPlan>,
    number: u32,
    address: PublishAddress,
    due_us: u64,
) {
    let mut random = worker.random_of(u64::from(number) << 32);
    tokio::time::sleep_until(clock::instant_at(due_us)).await;
    loop {
        let stay = random.time(plan.drop_every);
        let session = publish_once(&worker, &plan, &address);
        let ended = match stay {
            Some(stay) => tokio::time::timeout(stay, session).await.ok(),
            None => Some(session.await),
        };
        match ended {
            Some(error) => {
                worker.measure(|measure| {
                    measure.add(Counter::PublishersLost, 1);
                    measure.fault(error.fault(&address.name));
                });
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            None => tokio::time::sleep(plan.away).await,
        }
    }
}

async fn accepted(plan: &PublishPlan, address: &PublishAddress) -> Result<Publisher, PublishError> {
    match tokio::time::timeout(ACCEPTED_WITHIN, Publisher::open(plan, address)).await {
        Ok(opened) => opened,
        Err(_) => Err(PublishError::Timeout),
    }
}

/// One connection, to its end.
async fn publish_once(worker: &Rc<Worker>, plan: &PublishPlan, address: &PublishAddress) -> PublishError {
    let mut publisher = match accepted(plan, address).await {
        Ok(publisher) => publisher,
        Err(error) => return error,
    };
    worker.measure(|measure| measure.add(Counter::Publishes, 1));
    let _counted = worker.count_publisher();
    match publisher.send_frames(worker, &plan.reel).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// What has no value: sending ends by an error, or by being dropped.
enum Never {}

struct Publisher {
    stream: Stream,
    session: ClientSession,
    received: Vec<u8>,
}

impl Publisher {
    async fn open(plan: &PublishPlan, address: &PublishAddress) -> Result<Self, PublishError> {
        let stream = plan.connect.open(&address.peer).await?;
        let mut config = ClientConfig::new("", &address.app, "", None);
        config.tc_url = address.tc_url();
        config.stream_name.clone_from(&address.stream_name);
        config.encoder = ENCODER.to_owned();
        let mut random = [0; HANDSHAKE_RANDOM_BYTES];
        random.fill_with(|| fastrand::u8(..));
        let mut publisher =
            Self { stream, session: ClientSession::new(config, random), received: vec![0; 4096] };
        publisher.flush().await?;
        while !publisher.session.is_publishing() {
            let count = publisher.stream.read(&mut publisher.received).await?;
            publisher.handle(count)?;
            publisher.flush().await?;
        }
        Ok(publisher)
    }

    async fn send_frames(&mut self, worker: &Worker, reel: &Arc<Reel>) -> Result<Never, PublishError> {
        self.session.write_metadata(&tags::metadata(reel))?;
        if let Some(video) = reel.video() {
            self.session.write_media(TrackKind::Video, 0, &[&tags::AVC_CONFIG, &video.avc_config])?;
        }
        if let Some(audio) = reel.audio() {
            let config = &audio.audio_specific_config;
            self.session.write_media(TrackKind::Audio, 0, &[&tags::AAC_CONFIG, config])?;
        }
        self.flush().await?;
        let nal_length_size = reel.video().map_or(4, |video| video.nal_length_size);
        let mut cursor = Cursor::new(Arc::clone(reel), 0);
        let mut stamped = Vec::new();
        let start_us = clock::monotonic_us();
        let mut was_blocked = false;
        loop {
            let frame = cursor.next_frame();
            let due_us = start_us + frame.decode_us;
            self.wait_until(due_us).await?;
            let began_us = clock::monotonic_us();
            let late_us = began_us.saturating_sub(due_us);
            // A frame that had to wait for the server to read the ones before it counts from when it was due.
            let excused_us = if was_blocked { late_us } else { 0 };
            self.write_frame(&frame, nal_length_size, excused_us, &mut stamped)?;
            let sent = self.flush().await?;
            worker.measure(|measure| {
                measure.add(Counter::FramesSent, 1);
                measure.add(Counter::SentBytes, sent.bytes);
                measure.add(Counter::BlockedSends, u64::from(sent.was_blocked));
                if !was_blocked {
                    measure.record_us(Meter::PublisherLate, late_us);
                    measure.add(Counter::LateSends, u64::from(late_us > LATE_US));
                }
            });
            was_blocked = sent.was_blocked || (was_blocked && late_us > LATE_US);
        }
    }

    fn write_frame(
        &mut self,
        frame: &Frame<'_>,
        nal_length_size: u8,
        excused_us: u64,
        stamped: &mut Vec<u8>,
    ) -> Result<(), ClientError> {
        let at_ms = (frame.decode_us / 1000) as u32;
        stamped.clear();
        let stamp = Stamp { sent_unix_us: clock::unix_us() - excused_us, frame: frame.number };
        match frame.kind {
            Kind::Video => {
                let (before, after) =
                    frame.bytes.split_at(stamp::access_unit_insert_offset(frame.bytes, nal_length_size));
                stamp.write_sei(nal_length_size, stamped);
                let header = tags::avc_frame(frame.is_sync, frame.composition_ms);
                self.session.write_media(TrackKind::Video, at_ms, &[&header, before, stamped, after])
            }
            Kind::Audio => {
                stamp.write_data_stream_element(stamped);
                self.session.write_media(TrackKind::Audio, at_ms, &[&tags::AAC_FRAME, stamped, frame.bytes])
            }
        }
    }

    /// Reads what the server says until it is time.
    async fn wait_until(&mut self, due_us: u64) -> Result<(), PublishError> {
        while clock::monotonic_us() < due_us {
            let due = tokio::time::sleep_until(clock::instant_at(due_us));
            let count = tokio::select! {
                biased;
                () = due => return Ok(()),
                count = self.stream.read(&mut self.received) => count?,
            };
            self.handle(count)?;
            self.flush().await?;
        }
        Ok(())
    }

    fn handle(&mut self, count: usize) -> Result<(), PublishError> {
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let received = std::mem::take(&mut self.received);
        let mut input = &received[..count];
        let polled = loop {
            match self.session.poll(&mut input) {
                Ok(Some(ClientEvent::Stopped { code, description })) => {
                    break Err(PublishError::Stopped { code, description });
                }
                Ok(Some(ClientEvent::Publishing)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        self.received = received;
        polled
    }

    /// Sends what the session has written.
    async fn flush(&mut self) -> io::Result<Sent> {
        let mut sent = Sent::default();
        while !self.session.output().is_empty() {
            let (stream, session) = (&mut self.stream, &mut self.session);
            let count = poll_fn(|context| {
                let polled = Pin::new(&mut *stream).poll_write(context, session.output());
                sent.was_blocked |= polled.is_pending();
                polled
            })
            .await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.session.output_written(count);
            sent.bytes += count as u64;
        }
        // TLS may hold records back.
        self.stream.flush().await?;
        Ok(sent)
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    bytes: u64,
    /// The socket had no room at first: the server does not read as fast as it is sent to.
    was_blocked: bool,
}
