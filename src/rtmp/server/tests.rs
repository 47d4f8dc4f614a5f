use super::*;
use crate::limits::{
    RTMP_AUDIO_BYTES_MAX, RTMP_FIRST_MEDIA_TIMEOUT_MS, RTMP_MEDIA_TIMEOUT_MS, RTMP_MESSAGES_BURST_MAX,
};
use crate::rtmp::amf::{AmfError, AmfWriter, Value, read_values};
use crate::rtmp::chunk::{ChunkError, ChunkWriter};
use crate::rtmp::{ClientConfig, ClientError, ClientEvent, ClientSession, StreamMetadata, TargetError};

const RANDOM: [u8; HANDSHAKE_RANDOM_BYTES] = [7; HANDSHAKE_RANDOM_BYTES];

fn at(ms: u64) -> Now {
    Now { monotonic_us: ms * 1000, unix_us: 0 }
}

/// A client that writes what it is told to, and reads commands.
struct Client {
    session: ServerSession,
    writer: ChunkWriter,
    bytes: Vec<u8>,
    replies: ChunkReader,
    now: Now,
}

/// What the server sent: type, message stream and body.
type Reply = (u8, u32, Vec<u8>);

impl Client {
    fn after_handshake() -> Self {
        let mut session = ServerSession::new(ServerConfig::default(), RANDOM, at(0));
        let bytes = [&[3][..], &[0; 2 * 1536]].concat();
        assert!(session.poll(&mut &bytes[..], at(0)).unwrap().is_none());
        assert_eq!(session.output().len(), 1 + 2 * 1536);
        session.output_written(1 + 2 * 1536);
        Self {
            session,
            writer: ChunkWriter::new(),
            bytes: Vec::new(),
            replies: ChunkReader::new(),
            now: at(0),
        }
    }

    fn connected() -> Self {
        let mut client = Self::after_handshake();
        client.connect("live", "rtmp://h/live");
        client.run().unwrap();
        client.replies();
        client
    }

    fn publishing() -> Self {
        let mut client = Self::connected();
        client.command(0, "createStream", 2.0, |_| ());
        client.publish(1, "key?token=secret");
        assert_eq!(client.run().unwrap(), ["publish live/key Some(\"secret\")"]);
        client.session.accept_publish(client.now);
        client.replies();
        client
    }

    fn message(&mut self, chunk_stream: u32, type_id: u8, message_stream: u32, body: &[u8]) {
        let header = MessageHeader { type_id, message_stream, ..MessageHeader::default() };
        self.writer.write(&mut self.bytes, chunk_stream, header, &[body]);
    }

    fn command(&mut self, stream: u32, name: &str, transaction: f64, arguments: impl FnOnce(&mut AmfWriter)) {
        let mut body = Vec::new();
        arguments(AmfWriter::new(&mut body).string(name).number(transaction).null());
        self.message(3, message_type::COMMAND_AMF0, stream, &body);
    }

    fn connect(&mut self, app: &str, tc_url: &str) {
        let mut body = Vec::new();
        AmfWriter::new(&mut body).string("connect").number(1.0).object(|writer| {
            writer.key("app").string(app);
            writer.key("flashVer").string("FMLE/3.0\n");
            writer.key("tcUrl").string(tc_url);
            writer.key("capsEx").number(15.0);
            writer.key("videoFourCcInfoMap").object(|writer| {
                writer.key("*").number(7.0);
            });
        });
        self.message(3, message_type::COMMAND_AMF0, 0, &body);
    }

    fn publish(&mut self, message_stream: u32, stream_name: &str) {
        self.command(message_stream, "publish", 0.0, |writer| {
            writer.string(stream_name).string("live");
        });
    }

    /// Sends what was written and says what happened.
    fn run(&mut self) -> Result<Vec<String>, SessionError> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut input = bytes.as_slice();
        let mut events = Vec::new();
        loop {
            let Some(event) = self.session.poll(&mut input, self.now)? else {
                let Some(until_us) = self.session.rest_until_us() else { break };
                self.now.monotonic_us = until_us;
                continue;
            };
            events.push(match event {
                Event::PublishRequested(request) => {
                    format!(
                        "publish {} {:?}",
                        request.name,
                        request.token.as_ref().map(|token| token.expose())
                    )
                }
                Event::PublishRefused(error) => format!("refused {error:?}"),
                Event::Media(media) => {
                    let MediaFragment { kind, timestamp_ms, message_bytes, payload, first, last } = media;
                    let ends =
                        [("first", first), ("last", last)].map(|(name, is)| if is { name } else { "" });
                    format!(
                        "{kind:?} {timestamp_ms} {}/{message_bytes} {}{}",
                        payload.len(),
                        ends[0],
                        ends[1]
                    )
                }
                Event::MediaAborted(kind) => format!("aborted {kind:?}"),
                Event::Metadata(metadata) => format!("metadata {:?}", metadata.width),
                Event::Unpublished(cause) => format!("unpublished {cause:?}"),
            });
        }
        assert!(input.is_empty());
        Ok(events)
    }

    fn replies(&mut self) -> Vec<Reply> {
        let bytes = self.session.output().to_vec();
        self.session.output_written(bytes.len());
        let mut input = bytes.as_slice();
        let mut replies: Vec<Reply> = Vec::new();
        while let Some(event) = self.replies.poll(&mut input).unwrap() {
            let ChunkEvent::Fragment(Fragment { header, payload, first, .. }) = event else {
                panic!("{event:?}")
            };
            if first {
                replies.push((header.type_id, header.message_stream, Vec::new()));
            }
            replies.last_mut().unwrap().2.extend_from_slice(payload);
        }
        replies
    }

    /// Name, message stream, transaction and code (or number) of the commands among the replies.
    fn commands(&mut self) -> Vec<(String, u32, f64, String)> {
        let commands =
            self.replies().into_iter().filter(|(type_id, ..)| *type_id == message_type::COMMAND_AMF0);
        let describe = |(_, message_stream, body): Reply| {
            let values = read_values(&body).unwrap();
            let code = match &values[3] {
                Value::Number(number) => number.to_string(),
                value => value.property("code").and_then(Value::as_str).unwrap_or_default().into(),
            };
            (values[0].as_str().unwrap().into(), message_stream, values[1].as_f64().unwrap(), code)
        };
        commands.map(describe).collect()
    }
}

fn named(name: &str, message_stream: u32, transaction: f64, code: &str) -> (String, u32, f64, String) {
    (name.into(), message_stream, transaction, code.into())
}

#[test]
fn a_session_may_move_to_another_core() {
    fn movable<T: Send + 'static>() {}
    movable::<ServerSession>();
    movable::<ClientSession>();
}

#[test]
fn connect_is_answered_in_the_order_that_clients_need() {
    let mut client = Client::after_handshake();
    client.connect("live", "");
    assert!(client.run().unwrap().is_empty());
    let replies = client.replies();
    let types: Vec<u8> = replies.iter().map(|reply| reply.0).collect();
    assert_eq!(types, [5, 6, 1, 20]);
    assert_eq!(replies[1].2, [0, 0x26, 0x25, 0xa0, 2]);
    let values = read_values(&replies[3].2).unwrap();
    assert_eq!(values[..2], [Value::String("_result".into()), Value::Number(1.0)]);
    let code = values[3].property("code").and_then(Value::as_str);
    assert_eq!(code, Some("NetConnection.Connect.Success"));
}

#[test]
fn publish_is_answered_on_the_message_stream_that_was_created() {
    let mut client = Client::connected();
    client.command(0, "createStream", 2.0, |_| ());
    client.command(0, "createStream", 3.0, |_| ());
    client.publish(2, "key");
    assert_eq!(client.run().unwrap(), ["publish live/key None"]);
    assert_eq!(client.commands(), [named("_result", 0, 2.0, "1"), named("_result", 0, 3.0, "2")]);
    assert_eq!((client.session.phase(), client.session.deadline_us()), (Phase::Decision, None));

    client.session.accept_publish(at(100));
    client.session.accept_publish(at(100));
    let replies = client.replies();
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0], (message_type::USER_CONTROL, 0, vec![0, 0, 0, 0, 0, 2]));
    let values = read_values(&replies[1].2).unwrap();
    assert_eq!(replies[1].1, 2);
    assert_eq!(values[3].property("code").and_then(Value::as_str), Some("NetStream.Publish.Start"));
    assert_eq!(values[3].property("details").and_then(Value::as_str), Some("key"));
    let expected = deadline_us(100_000, RTMP_FIRST_MEDIA_TIMEOUT_MS);
    assert_eq!(client.session.deadline_us(), Some(expected));
}

#[test]
fn calls_with_a_transaction_get_a_result_and_the_others_none() {
    let mut client = Client::connected();
    for transaction in [0.0, 4.0] {
        for name in
            ["releaseStream", "FCPublish", "_checkbw", "getStreamLength", "whatever", "_result", "onStatus"]
        {
            client.command(0, name, transaction, |writer| {
                writer.string("key");
            });
        }
    }
    assert!(client.run().unwrap().is_empty());
    assert_eq!(client.commands(), vec![named("_result", 0, 4.0, ""); 5]);

    client.command(0, "createStream", 5.0, |_| ());
    client.publish(1, "key");
    client.run().unwrap();
    client.session.accept_publish(at(0));
    client.command(0, "FCUnpublish", 6.0, |_| ());
    client.run().unwrap();
    let expected = [
        named("_result", 0, 5.0, "1"),
        named("onFCPublish", 0, 0.0, "NetStream.Publish.Start"),
        named("onStatus", 1, 0.0, "NetStream.Publish.Start"),
        named("onFCUnpublish", 0, 0.0, "NetStream.Unpublish.Success"),
        named("_result", 0, 6.0, ""),
        named("onStatus", 1, 0.0, "NetStream.Unpublish.Success"),
    ];
    assert_eq!(client.commands(), expected);
}

#[test]
fn refusals_have_the_codes_that_encoders_know() {
    for (refusal, code) in
        [(Refusal::BadName, "NetStream.Publish.BadName"), (Refusal::Denied, "NetStream.Publish.Denied")]
    {
        let mut client = Client::connected();
        client.command(0, "createStream", 0.0, |_| ());
        client.publish(1, "key");
        client.run().unwrap();
        client.replies();
        client.session.reject_publish(refusal, "because");
        client.session.accept_publish(at(0));
        assert_eq!(client.commands(), [named("onStatus", 1, 0.0, code)]);
        assert_eq!(client.session.deadline_us(), Some(10_000_000));
        client.message(4, message_type::AUDIO, 1, &[1]);
        assert!(matches!(client.run(), Err(SessionError::MediaBeforePublish { kind: TrackKind::Audio })));
    }
}

#[test]
fn names_that_cannot_be_a_stream_are_refused_here() {
    let mut client = Client::connected();
    client.command(0, "createStream", 0.0, |_| ());
    client.publish(1, "../etc");
    client.publish(1, "");
    let events = client.run().unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1], format!("refused {:?}", TargetError::MissingKey));
    let refusal = named("onStatus", 1, 0.0, "NetStream.Publish.BadName");
    assert_eq!(client.commands()[1..], [refusal.clone(), refusal]);
}

#[test]
fn players_and_second_publishes_are_told_no() {
    let mut client = Client::publishing();
    client.command(1, "play", 0.0, |_| ());
    client.publish(1, "other");
    assert!(client.run().unwrap().is_empty());
    let expected = [
        named("onStatus", 1, 0.0, "NetStream.Play.Failed"),
        named("onStatus", 1, 0.0, "NetStream.Publish.BadName"),
    ];
    assert_eq!(client.commands(), expected);
    assert_eq!(client.session.phase(), Phase::FirstMedia);
}

#[test]
fn unpublish_is_said_once_however_often_it_is_sent() {
    type Write = fn(&mut AmfWriter);
    let orders: [(&[(&str, Write)], UnpublishCause); 4] = [
        (
            &[
                ("FCUnpublish", |_| ()),
                ("deleteStream", |writer| _ = writer.number(1.0)),
                ("closeStream", |_| ()),
            ],
            UnpublishCause::FcUnpublish,
        ),
        (
            &[("deleteStream", |writer| _ = writer.number(1.0)), ("FCUnpublish", |_| ())],
            UnpublishCause::DeleteStream,
        ),
        // As GStreamer writes it.
        (&[("deleteStream", |writer| _ = writer.string("key"))], UnpublishCause::DeleteStream),
        (&[("closeStream", |_| ())], UnpublishCause::CloseStream),
    ];
    for (commands, cause) in orders {
        let mut client = Client::publishing();
        for (name, write) in commands {
            client.command(0, name, 0.0, write);
        }
        // Late media is no error.
        client.message(4, message_type::AUDIO, 1, &[1]);
        client.now = at(60_000);
        assert_eq!(client.run().unwrap(), [format!("unpublished {cause:?}")]);
        assert_eq!(client.session.deadline_us(), Some(70_000_000));
        // The connection may publish again.
        client.command(0, "createStream", 9.0, |_| ());
        client.publish(1, "again");
        assert_eq!(client.run().unwrap(), ["publish live/again None"]);
    }
    let mut client = Client::publishing();
    client.command(0, "deleteStream", 0.0, |writer| _ = writer.number(5.0));
    assert!(client.run().unwrap().is_empty());
}

/// Predecessor's defect 1: a frame of more than 64 KiB was cut.
#[test]
fn defect_1_frames_of_any_allowed_size_arrive_whole() {
    for (type_id, size) in [(message_type::VIDEO, 8 << 20), (message_type::AUDIO, RTMP_AUDIO_BYTES_MAX)] {
        let mut client = Client::publishing();
        let body: Vec<u8> = (0..size).map(|i| (i / 251) as u8).collect();
        client.message(6, type_id, 1, &body);
        let bytes = std::mem::take(&mut client.bytes);
        let mut received = Vec::new();
        for piece in bytes.chunks(64 * 1024) {
            let mut input = piece;
            while let Some(event) = client.session.poll(&mut input, at(0)).unwrap() {
                let Event::Media(media) = event else { panic!("{event:?}") };
                assert_eq!((media.message_bytes, media.first), (size, received.is_empty()));
                received.extend_from_slice(media.payload);
                assert_eq!(media.last, received.len() == size as usize);
            }
        }
        assert!(received == body);
    }
}

#[test]
fn media_needs_an_accepted_publish() {
    let mut client = Client::connected();
    client.message(4, message_type::VIDEO, 1, &[1]);
    assert!(matches!(client.run(), Err(SessionError::MediaBeforePublish { kind: TrackKind::Video })));
}

#[test]
fn an_aborted_media_message_is_reported() {
    let mut client = Client::publishing();
    client.bytes.extend([6, 0, 0, 9, 0, 1, 0, 9, 1, 0, 0, 0]);
    client.bytes.extend([0; 128]);
    client.message(2, message_type::ABORT, 0, &[0, 0, 0, 6]);
    client.message(4, message_type::AUDIO, 1, &[1, 2]);
    let expected = ["Video 9 128/256 first", "aborted Video", "Audio 0 2/2 firstlast"];
    assert_eq!(client.run().unwrap(), expected);
}

#[test]
fn two_open_messages_of_a_kind_are_refused_and_of_two_kinds_are_not() {
    let begin = |chunk_stream: u8, type_id: u8| {
        [&[chunk_stream, 0, 0, 9, 0, 1, 0, type_id, 1, 0, 0, 0][..], &[0; 128]].concat()
    };
    let mut client = Client::publishing();
    client.bytes = [begin(6, 9), begin(4, 8)].concat();
    assert_eq!(client.run().unwrap().len(), 2);
    client.bytes = begin(7, 9);
    let error = client.run().unwrap_err();
    assert!(matches!(
        error,
        SessionError::ParallelMedia { kind: TrackKind::Video, open: 6, chunk_stream: 7 }
    ));
}

#[test]
fn an_aggregate_is_split_at_every_cut_of_the_input() {
    let tag = |type_id: u8, time: u32, body: &[u8]| {
        let mut tag = vec![type_id, 0, 0, body.len() as u8];
        tag.extend(&time.to_be_bytes()[1..]);
        tag.extend([(time >> 24) as u8, 0, 0, 0]);
        tag.extend(body);
        tag.extend((body.len() as u32 + 11).to_be_bytes());
        tag
    };
    // The times continue past 24 bits and are moved to that of the aggregate.
    let time = 0x00ff_fff0;
    let tags = [
        tag(8, time, &[1, 2, 3]),
        tag(18, time, &[5; 9]),
        tag(9, time + 33, &[4; 150]),
        tag(8, time + 40, &[]),
    ];
    let body = tags.concat();
    for cut in [body.len(), body.len() - 4] {
        for step in [1, 2, 3, 10, 100, 1000] {
            let mut client = Client::publishing();
            client.message(4, message_type::AGGREGATE, 1, &body[..cut]);
            let bytes = std::mem::take(&mut client.bytes);
            let mut messages = Vec::new();
            for piece in bytes.chunks(step) {
                let mut input = piece;
                while let Some(event) = client.session.poll(&mut input, at(0)).unwrap() {
                    let Event::Media(media) = event else { panic!("{event:?}") };
                    if media.first {
                        messages.push((media.kind, media.timestamp_ms, Vec::new()));
                    }
                    let payload = &mut messages.last_mut().unwrap().2;
                    payload.extend_from_slice(media.payload);
                    assert_eq!(media.last, payload.len() == media.message_bytes as usize);
                }
            }
            let expected = [
                (TrackKind::Audio, 0, vec![1, 2, 3]),
                (TrackKind::Video, 33, vec![4; 150]),
                (TrackKind::Audio, 40, vec![]),
            ];
            assert_eq!(messages, expected, "in pieces of {step}");
        }
    }
    for cut in [5, 12, 20] {
        let mut client = Client::publishing();
        client.message(4, message_type::AGGREGATE, 1, &body[..cut]);
        assert!(matches!(client.run(), Err(SessionError::Aggregate(_))), "{cut}");
    }
}

#[test]
fn metadata_is_read_in_both_envelopes_and_only_while_publishing() {
    let mut body = Vec::new();
    StreamMetadata { width: Some(320.0), ..StreamMetadata::default() }.write(&mut body);
    let enveloped = [&[0][..], &body].concat();
    let mut client = Client::connected();
    client.message(4, message_type::DATA_AMF0, 1, &body);
    assert!(client.run().unwrap().is_empty());
    let mut client = Client::publishing();
    client.message(4, message_type::DATA_AMF0, 1, &body);
    client.message(4, message_type::DATA_AMF3, 1, &enveloped);
    assert_eq!(client.run().unwrap(), vec!["metadata Some(320.0)"; 2]);
    client.message(4, message_type::DATA_AMF3, 1, &body);
    assert!(matches!(client.run(), Err(SessionError::Envelope { found: Some(2) })));
}

#[test]
fn commands_come_in_amf3_envelopes_too() {
    let mut client = Client::connected();
    let mut body = vec![0];
    AmfWriter::new(&mut body).string("createStream").number(2.0).null();
    client.message(3, message_type::COMMAND_AMF3, 0, &body);
    client.run().unwrap();
    assert_eq!(client.commands(), [named("_result", 0, 2.0, "1")]);
}

#[test]
fn acknowledgements_are_joined_and_never_pile_up() {
    let mut client = Client::publishing();
    client.message(2, message_type::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, &10_000u32.to_be_bytes());
    client.message(6, message_type::VIDEO, 1, &[0; 50_000]);
    client.run().unwrap();
    let replies = client.replies();
    let received = client.session.received_bytes() as u32;
    assert_eq!(replies, [(message_type::ACKNOWLEDGEMENT, 0, received.to_be_bytes().to_vec())]);
    assert!(client.replies().is_empty());
    // Nobody reads: one acknowledgement waits, and stays the only one.
    for _ in 0..5 {
        client.message(6, message_type::VIDEO, 1, &[0; 50_000]);
        client.run().unwrap();
        assert!(client.session.output().len() < 20);
    }
}

#[test]
fn pings_and_bandwidth_are_answered() {
    let mut client = Client::publishing();
    client.message(2, message_type::USER_CONTROL, 0, &[0, 6, 1, 2, 3, 4]);
    client.message(2, message_type::USER_CONTROL, 0, &[0, 3, 0, 0, 0, 1, 0, 0, 1, 0]);
    for _ in 0..2 {
        client.message(2, message_type::SET_PEER_BANDWIDTH, 0, &[0, 0, 16, 0, 2]);
    }
    client.run().unwrap();
    client.session.ping(at(1234));
    let expected = [
        (message_type::USER_CONTROL, 0, vec![0, 7, 1, 2, 3, 4]),
        (message_type::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, vec![0, 0, 16, 0]),
        (message_type::USER_CONTROL, 0, vec![0, 6, 0, 0, 4, 210]),
    ];
    assert_eq!(client.replies(), expected);
    client.message(2, message_type::USER_CONTROL, 0, &[0]);
    assert!(matches!(client.run(), Err(SessionError::Control(_))));
}

#[test]
fn deadlines_are_absolute() {
    let mut session = ServerSession::new(ServerConfig::default(), RANDOM, at(1000));
    assert_eq!(session.deadline_us(), Some(6_000_000));
    assert_eq!(session.handle_time(at(5999)), Ok(()));
    // A byte now and then buys nothing.
    session.poll(&mut &[3, 0, 0][..], at(5000)).unwrap();
    let waiting_for = Phase::Handshake;
    assert_eq!(session.handle_time(at(6000)), Err(SessionError::TimedOut { waiting_for }));

    session.poll(&mut &[0; 3070][..], at(5500)).unwrap();
    assert_eq!((session.phase(), session.deadline_us()), (Phase::Connect, Some(10_500_000)));

    let client = Client::connected();
    assert_eq!((client.session.phase(), client.session.deadline_us()), (Phase::Publish, Some(10_000_000)));

    let mut client = Client::publishing();
    // Half a message, metadata and an empty message are no media.
    client.now = at(14_000);
    client.bytes.extend([6, 0, 0, 9, 0, 1, 0, 9, 1, 0, 0, 0]);
    client.bytes.extend([0; 128]);
    client.message(4, message_type::AUDIO, 1, &[]);
    client.run().unwrap();
    assert_eq!(client.session.deadline_us(), Some(15_000_000));
    client.message(4, message_type::AUDIO, 1, &[1]);
    client.run().unwrap();
    let expected = deadline_us(14_000_000, RTMP_MEDIA_TIMEOUT_MS);
    assert_eq!((client.session.phase(), client.session.deadline_us()), (Phase::Media, Some(expected)));
    assert!(client.session.handle_time(at(24_000)).is_err());
}

#[test]
fn floods_end_the_session() {
    let mut client = Client::connected();
    for _ in 0..40 {
        client.command(0, "_checkbw", 0.0, |_| ());
    }
    assert_eq!(client.run(), Err(SessionError::TooManyCommands));

    // Messages that are read no faster than allowed all the while, and still come.
    let mut client = Client::publishing();
    let error = loop {
        client.message(4, message_type::USER_CONTROL, 0, &[0, 3, 0, 0, 0, 1, 0, 0, 1, 0]);
        if let Err(error) = client.run() {
            break error;
        }
    };
    assert_eq!(error, SessionError::TooManyMessages);
    assert!(client.now.monotonic_us > 25_000_000, "after {}", client.now.monotonic_us);

    let mut client = Client::connected();
    for _ in 0..9 {
        client.command(0, "createStream", 2.0, |_| ());
    }
    assert_eq!(client.run(), Err(SessionError::TooManyMessageStreams));

    // Pings of a client that does not read the answers.
    let mut client = Client::publishing();
    let mut result = Ok(Vec::new());
    for second in 0..10 {
        client.now = at(second * 1000);
        for _ in 0..1900 {
            client.message(2, message_type::USER_CONTROL, 0, &[0, 6, 0, 0, 0, 0]);
        }
        result = result.and_then(|_| client.run());
        assert!(client.session.output().len() <= RTMP_OUTPUT_BYTES_MAX + 100);
    }
    assert!(matches!(result, Err(SessionError::OutputFull { .. })));
}

#[test]
fn a_session_rests_in_the_middle_of_its_input_and_goes_on_where_it_was() {
    let mut client = Client::publishing();
    let count = u64::from(RTMP_MESSAGES_BURST_MAX) + 1000;
    for _ in 0..count {
        client.message(4, message_type::AUDIO, 1, &[7]);
    }
    let bytes = std::mem::take(&mut client.bytes);
    let (mut input, mut now, mut media) = (bytes.as_slice(), at(0), 0);
    loop {
        while client.session.poll(&mut input, now).unwrap().is_some() {
            media += 1;
        }
        let Some(until_us) = client.session.rest_until_us() else { break };
        assert!(media <= u64::from(RTMP_MESSAGES_BURST_MAX) + now.monotonic_us * 2 / 1000, "{media}");
        let left = input.len();
        assert!(client.session.poll(&mut input, now).unwrap().is_none() && input.len() == left);
        now.monotonic_us = until_us;
    }
    assert!(input.is_empty() && media == count, "{media}");
    assert!((400_000..600_000).contains(&now.monotonic_us), "{}", now.monotonic_us);
}

#[test]
fn what_is_out_of_order_ends_the_session() {
    let mut client = Client::after_handshake();
    client.command(0, "createStream", 2.0, |_| ());
    let phase = Phase::Connect;
    assert_eq!(client.run(), Err(SessionError::CommandOrder { command: "a command", phase }));

    let mut client = Client::connected();
    client.connect("live", "");
    let phase = Phase::Publish;
    assert_eq!(client.run(), Err(SessionError::CommandOrder { command: "connect", phase }));

    let mut client = Client::connected();
    client.publish(1, "key");
    assert_eq!(client.run(), Err(SessionError::UnknownMessageStream { found: 1 }));

    let mut client = Client::connected();
    client.message(3, message_type::COMMAND_AMF0, 0, &[5]);
    assert_eq!(client.run(), Err(SessionError::NamelessCommand));

    let mut client = Client::connected();
    client.message(3, message_type::COMMAND_AMF0, 0, &b"\x03\x00\x01a".repeat(4000));
    assert!(matches!(client.run(), Err(SessionError::Amf(AmfError::TooDeep { .. }))));

    // Commands may be longer once the client is known.
    let mut long = Vec::new();
    AmfWriter::new(&mut long).string("x").number(0.0);
    for _ in 0..5 {
        AmfWriter::new(&mut long).string(&"a".repeat(4096));
    }
    let mut client = Client::connected();
    client.message(3, message_type::COMMAND_AMF0, 0, &long);
    assert!(matches!(client.run(), Err(SessionError::Chunk(ChunkError::MessageTooLarge { .. }))));
    let mut client = Client::publishing();
    client.message(3, message_type::COMMAND_AMF0, 0, &long);
    assert!(client.run().is_ok());
}

// Our two sides together ------------------------------------------------------------------------

/// Carries bytes both ways in pieces of `step` until nothing moves; `decide` answers a publish.
fn meet(
    client: &mut ClientSession,
    server: &mut ServerSession,
    step: usize,
    decide: impl Fn(&mut ServerSession),
    mut seen: impl FnMut(Event),
) -> Result<Vec<ClientEvent>, ClientError> {
    let mut events = Vec::new();
    loop {
        let to_server: Vec<u8> = client.output().iter().copied().take(step).collect();
        client.output_written(to_server.len());
        let mut input = to_server.as_slice();
        while let Some(event) = server.poll(&mut input, at(0)).unwrap() {
            match event {
                Event::PublishRequested(_) => decide(server),
                event => seen(event),
            }
        }
        let to_client: Vec<u8> = server.output().iter().copied().take(step).collect();
        server.output_written(to_client.len());
        let mut input = to_client.as_slice();
        while let Some(event) = client.poll(&mut input)? {
            events.push(event);
        }
        if to_server.is_empty() && to_client.is_empty() {
            return Ok(events);
        }
    }
}

#[test]
fn our_publisher_and_our_server_agree() {
    for step in [1, 17, 100_000] {
        let config = ClientConfig::new("h:1935", "live", "key", Some("secret"));
        let mut client = ClientSession::new(config, RANDOM);
        let mut server = ServerSession::new(ServerConfig::default(), RANDOM, at(0));
        assert_eq!(client.write_media(TrackKind::Audio, 0, &[]), Err(ClientError::NotPublishing));
        let accept = |server: &mut ServerSession| server.accept_publish(at(0));
        let events = meet(&mut client, &mut server, step, accept, |event| panic!("{event:?}"));
        assert_eq!(events, Ok(vec![ClientEvent::Publishing]));

        client.write_metadata(&StreamMetadata { width: Some(64.0), ..StreamMetadata::default() }).unwrap();
        client.write_media(TrackKind::Video, 40, &[&[0x17, 1], &[0; 9000]]).unwrap();
        client.write_media(TrackKind::Audio, 43, &[&[0xaf]]).unwrap();
        let too_large = vec![0; (8 << 20) + 1];
        let error = client.write_media(TrackKind::Video, 0, &[&too_large]);
        assert!(matches!(error, Err(ClientError::MessageTooLarge { .. })));
        client.unpublish().unwrap();
        let mut seen = Vec::new();
        meet(&mut client, &mut server, step, accept, |event| match event {
            Event::Media(media) if media.last => {
                seen.push(format!("{:?} {}", media.kind, media.timestamp_ms))
            }
            Event::Media(_) => {}
            Event::Metadata(metadata) => seen.push(format!("{:?}", metadata.width)),
            event => seen.push(format!("{event:?}")),
        })
        .unwrap();
        assert_eq!(seen, ["Some(64.0)", "Video 40", "Audio 43", "Unpublished(FcUnpublish)"]);
    }
}

#[test]
fn our_publisher_hears_refusals_and_stops() {
    let config = ClientConfig::new("h", "live", "key", None);
    let mut client = ClientSession::new(config.clone(), RANDOM);
    let mut server = ServerSession::new(ServerConfig::default(), RANDOM, at(0));
    let deny = |server: &mut ServerSession| server.reject_publish(Refusal::Denied, "no such token");
    let result = meet(&mut client, &mut server, 100, deny, |_| ());
    let (code, description) = ("NetStream.Publish.Denied".into(), "no such token".into());
    assert_eq!(result, Err(ClientError::Refused { code, description }));

    let mut client = ClientSession::new(config, RANDOM);
    let mut server = ServerSession::new(ServerConfig::default(), RANDOM, at(0));
    let accept = |server: &mut ServerSession| server.accept_publish(at(0));
    meet(&mut client, &mut server, 100, accept, |_| ()).unwrap();
    server.stop("stopped by the operator");
    let events = meet(&mut client, &mut server, 100, accept, |_| ()).unwrap();
    let (code, description) = ("NetStream.Unpublish.Success".into(), "stopped by the operator".into());
    assert_eq!(events, [ClientEvent::Stopped { code, description }]);
    assert!(!client.is_publishing());
}
