//! What a publisher does in its time: scenes of media, and what goes wrong with them.

use super::super::support::encoder::{Gop, Message, Random, Rounding};
use super::media::{Audio, Video, VideoCodec};
use rapidrtmp::rtmp::StreamMetadata;
use std::fmt;
use std::ops::Range;

/// What happens at one moment.
#[derive(Debug)]
pub enum Deed {
    Send(Message),
    /// The first pieces of a message; then it is aborted, or the next one begins.
    Abandon {
        message: Message,
        pieces: usize,
        aborts: bool,
    },
    Metadata(Box<StreamMetadata>),
    /// The host's clock is set, microseconds.
    SetClock(i64),
}

/// What goes wrong in a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Arrivals are late by up to 300 ms.
    Jitter,
    /// The network stops and then delivers all at once.
    Burst,
    /// The publisher is away and its time goes on.
    Gap,
    SilentAudio,
    SilentVideo,
    /// Single frames are missing.
    LostFrames,
    /// Pictures come when something moves.
    VariableRate,
    /// The publisher's time jumps.
    Leap,
    /// All frames of a while have one timestamp.
    StandsStill,
    /// Frames are counted by another clock than timestamps.
    Drift,
    /// Timestamps are rounded to a clock of 66 ms, as GStreamer's were.
    Clamped,
    Garbage,
    Abandoned,
    /// Configurations come again and again.
    Repeated,
    /// They come after the first frames.
    Late,
    /// Sound is sent before the pictures of its time, or behind them.
    Interleaved,
    HostClock,
}

pub const FAULTS: [Fault; 17] = [
    Fault::Jitter,
    Fault::Burst,
    Fault::Gap,
    Fault::SilentAudio,
    Fault::SilentVideo,
    Fault::LostFrames,
    Fault::VariableRate,
    Fault::Leap,
    Fault::StandsStill,
    Fault::Drift,
    Fault::Clamped,
    Fault::Garbage,
    Fault::Abandoned,
    Fault::Repeated,
    Fault::Late,
    Fault::Interleaved,
    Fault::HostClock,
];

/// How a scene follows the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The encoder goes on as it was.
    Same,
    /// Other parameters in another record, or in the key frames alone.
    Size {
        in_band: bool,
    },
    /// Frame rate, GOP, B-frames: all that no record says.
    Rate,
    Codec,
}

/// One publisher.
pub struct Script {
    /// By the time from its beginning, microseconds.
    pub deeds: Vec<(u64, Deed)>,
    pub faults: Vec<Fault>,
    /// Arrivals were delayed, frames came faster than before, or the host's clock was set: dates may be ahead of it.
    pub is_late: bool,
    /// Pictures of HEVC lead the key picture that they follow.
    pub has_open_gops: bool,
    notes: String,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.notes)
    }
}

fn one_of<T: Copy>(random: &mut Random, choices: &[T]) -> T {
    choices[random.below(choices.len() as u64) as usize]
}

fn chance(random: &mut Random, one_in: u64) -> bool {
    random.below(one_in) == 0
}

fn video(random: &mut Random) -> Video {
    let fps: (u32, u32) = one_of(
        random,
        &[
            (30, 1),
            (30, 1),
            (25, 1),
            (24, 1),
            (15, 1),
            (10, 1),
            (5, 1),
            (60, 1),
            (30_000, 1001),
            (24_000, 1001),
            (1, 2),
        ],
    );
    let per_second: u32 = (fps.0 / fps.1).max(1);
    let gop = match random.below(8) {
        0 => Gop::Fixed(per_second.div_ceil(2)),
        1 => Gop::Fixed(per_second * 5),
        2 => Gop::Fixed(per_second * 30),
        3 => Gop::SceneCuts(per_second.div_ceil(2), per_second * 4),
        4 => Gop::Fixed(per_second * 2 + 1),
        _ => Gop::Fixed(per_second),
    };
    let hevc = chance(random, 4) && fps == (30, 1);
    let open_gops = chance(random, 2);
    let codec = if hevc {
        VideoCodec::Hevc { open_gops, begins_open: open_gops && chance(random, 2) }
    } else {
        VideoCodec::Avc
    };
    let b_frames = one_of(random, &[0, 0, 1, 2, 3]);
    Video {
        codec,
        fps,
        gop,
        // Composition times of seconds are not believed.
        b_frames: if fps == (1, 2) { 0 } else { b_frames },
        width_mbs: 20,
        sps_timing: !chance(random, 3),
        rounding: one_of(random, &[Rounding::Down, Rounding::Nearest]),
        says_keyint: chance(random, 3),
    }
}

fn audio(random: &mut Random) -> Audio {
    let rates = [48_000, 44_100, 48_000, 16_000];
    match random.below(6) {
        0 => Audio::Opus,
        1 => Audio::Flac,
        _ => Audio::Aac { hz: one_of(random, &rates) },
    }
}

impl Script {
    pub fn new(random: &mut Random) -> Self {
        let mut script = Self {
            deeds: Vec::new(),
            faults: Vec::new(),
            is_late: false,
            has_open_gops: false,
            notes: String::new(),
        };
        let kinds = random.below(8);
        let mut pictures = (kinds != 0).then(|| video(random));
        let mut sound = (kinds != 1).then(|| audio(random));
        let base_ms: u64 =
            one_of(random, &[0, 0, (1 << 31) - 5_000, (1 << 32) - 5_000, 0xff_ffff - 4_000, 123_456_789]);
        // Encoders of FLV files know 31 bits.
        let mask = if chance(random, 2) { 0x7fff_ffff } else { u32::MAX };
        if chance(random, 3) {
            let said = |is: bool, codec: f64| is.then_some(codec);
            let metadata = StreamMetadata {
                framerate: Some(one_of(random, &[30.0, 25.0, 1000.0, 0.0])),
                video_codec: said(pictures.is_some() || chance(random, 5), 7.0),
                audio_codec: said(sound.is_some() || chance(random, 5), 10.0),
                ..StreamMetadata::default()
            };
            script.deeds.push((0, Deed::Metadata(Box::new(metadata))));
        }
        let (mut began_us, mut scene_ms) = (0, base_ms);
        let scenes = 1 + random.below(3);
        for scene in 0..scenes {
            let turn = match (scene, random.below(8)) {
                (0, _) => Turn::Codec,
                (_, 0 | 1) => Turn::Size { in_band: false },
                (_, 2) => Turn::Size { in_band: true },
                (_, 3) => Turn::Rate,
                (_, 4) => Turn::Codec,
                _ => Turn::Same,
            };
            match (turn, &mut pictures) {
                (Turn::Size { .. }, Some(pictures)) => {
                    pictures.width_mbs = one_of(random, &[20, 22, 40]);
                }
                (Turn::Rate, Some(pictures)) => {
                    script.is_late = true;
                    let other = video(random);
                    let (codec, width_mbs) = (pictures.codec, pictures.width_mbs);
                    *pictures = Video { codec, width_mbs, sps_timing: pictures.sps_timing, ..other };
                    if codec != VideoCodec::Avc {
                        pictures.fps = (30, 1);
                    }
                }
                (Turn::Codec, Some(pictures)) if scene > 0 => {
                    *pictures = video(random);
                    sound = sound.map(|_| audio(random));
                }
                _ => {}
            }
            let has_open_gops =
                |video: &Video| matches!(video.codec, VideoCodec::Hevc { open_gops: true, .. });
            script.has_open_gops |= pictures.as_ref().is_some_and(has_open_gops);
            let seconds = 2 + random.below(5) as u32;
            let length_us = script.scene(random, &pictures, sound, turn, seconds, (began_us, scene_ms, mask));
            began_us += length_us;
            scene_ms += length_us / 1000;
        }
        script.deeds.sort_by_key(|(at_us, _)| *at_us);
        script
    }

    /// Plans a scene and says how long it lasts, microseconds.
    fn scene(
        &mut self,
        random: &mut Random,
        pictures: &Option<Video>,
        sound: Option<Audio>,
        turn: Turn,
        seconds: u32,
        (began_us, base_ms, mask): (u64, u64, u32),
    ) -> u64 {
        let count = [0, 1, 1, 2, 3][random.below(5) as usize];
        let mut faults: Vec<Fault> = (0..count).map(|_| one_of(random, &FAULTS)).collect();
        faults.sort_unstable();
        faults.dedup();
        self.notes +=
            &format!("  {began_us} us: {seconds} s, {turn:?}, {pictures:?}, {sound:?}, {faults:?}\n");
        let is_config = |message: &Message| {
            let first = message.body[0];
            if first & 0x80 != 0 && (message.video || first >> 4 == 9) {
                first & 0xf == 0
            } else {
                message.body[1] == 0
            }
        };
        let seed = random.below(1 << 30);
        let mut messages: Vec<Message> =
            pictures.iter().flat_map(|pictures| pictures.messages(seconds, seed)).collect();
        messages.extend(sound.iter().flat_map(|sound| sound.messages(seconds, seed)));
        let (mut configs, mut messages): (Vec<Message>, Vec<Message>) =
            messages.into_iter().partition(|message| is_config(message));
        let in_band = turn == Turn::Size { in_band: true };
        if in_band && let Some(pictures) = pictures.as_ref().filter(|video| video.codec == VideoCodec::Avc) {
            let sets = pictures.parameter_sets();
            for key in messages.iter_mut().filter(|message| message.video && message.body[0] == 0x17) {
                key.body.splice(5..5, sets.iter().copied());
            }
        }
        let length_us = u64::from(seconds) * 1_000_000;
        messages.sort_by_key(|message| message.at_us);
        for fault in &faults {
            self.apply(*fault, random, &mut messages, length_us);
        }
        // The encoder that goes on says nothing, or everything once more.
        if in_band || (turn == Turn::Same && chance(random, 2)) {
            configs.clear();
        }
        let repeats_us = if faults.contains(&Fault::Repeated) { 700_000 } else { u64::MAX };
        let late_us = if faults.contains(&Fault::Late) { random.below(1_500_000) } else { 0 };
        let repeated = (0..length_us / 700_000).map(|index| late_us + index * 700_000);
        let times = repeated.take(if repeats_us == u64::MAX { 1 } else { usize::MAX });
        let mut said: Vec<Message> = times
            .flat_map(|at_us| {
                let timestamp_ms = if at_us == 0 { 0 } else { (at_us / 1000) as u32 };
                configs.iter().map(move |config| Message { at_us, timestamp_ms, ..config.clone() })
            })
            .collect();
        // Configurations stand before the frames of their time.
        said.append(&mut messages);
        said.sort_by_key(|message| message.at_us);
        // One connection delivers in order.
        let mut newest_us = 0;
        for mut message in said {
            newest_us = newest_us.max(message.at_us);
            message.timestamp_ms = (base_ms as u32).wrapping_add(message.timestamp_ms) & mask;
            let deed = if faults.contains(&Fault::Abandoned) && chance(random, 40) {
                Deed::Abandon { message, pieces: random.below(3) as usize, aborts: chance(random, 2) }
            } else {
                Deed::Send(message)
            };
            self.deeds.push((began_us + newest_us, deed));
        }
        if faults.contains(&Fault::HostClock) {
            let by_us = one_of(random, &[3_600_000_000, -3_600_000_000, 700_000, -700_000]);
            self.deeds.push((began_us + random.below(length_us), Deed::SetClock(by_us)));
        }
        self.faults.extend(faults);
        length_us.max(newest_us)
    }

    fn apply(&mut self, fault: Fault, random: &mut Random, messages: &mut Vec<Message>, length_us: u64) {
        let from_us = random.below(length_us);
        let until = |random: &mut Random, most_us: u64| from_us..from_us + 50_000 + random.below(most_us);
        let kind = chance(random, 2);
        let within = |message: &Message, range: &Range<u64>| range.contains(&message.at_us);
        match fault {
            Fault::Jitter => {
                self.is_late = true;
                messages.iter_mut().for_each(|message| message.at_us += random.below(300_000));
            }
            Fault::Burst => {
                self.is_late = true;
                let range = until(random, 4_000_000);
                for message in messages.iter_mut().filter(|message| within(message, &range)) {
                    message.at_us = range.end;
                }
            }
            Fault::Gap => {
                let range = until(random, 5_000_000);
                messages.retain(|message| !within(message, &range));
            }
            Fault::SilentAudio | Fault::SilentVideo => {
                let range = until(random, 5_000_000);
                let silent = fault == Fault::SilentVideo;
                messages.retain(|message| message.video != silent || !within(message, &range));
            }
            Fault::LostFrames => {
                messages.retain(|message| {
                    let is_key = message.video && matches!(message.body[0], 0x17 | 0x91);
                    is_key || !chance(random, 20)
                });
            }
            Fault::VariableRate => {
                messages.retain(|message| {
                    let is_key = message.video && matches!(message.body[0], 0x17 | 0x91);
                    !message.video || is_key || chance(random, 2)
                });
            }
            Fault::Leap => {
                self.is_late = true;
                let by_ms: i32 = one_of(
                    random,
                    &[
                        3_600_000,
                        -3_600_000,
                        5_000,
                        -5_000,
                        1_200,
                        -300,
                        -120,
                        400,
                        86_400_000,
                        2_000_000_000,
                    ],
                );
                let both = chance(random, 2);
                for message in messages.iter_mut().filter(|message| message.at_us >= from_us) {
                    if both || message.video == kind {
                        message.timestamp_ms = message.timestamp_ms.wrapping_add_signed(by_ms);
                    }
                }
            }
            Fault::StandsStill => {
                self.is_late = true;
                let range = until(random, 3_000_000);
                let mut still = [None; 2];
                for message in messages.iter_mut().filter(|message| within(message, &range)) {
                    let first = still[usize::from(message.video)].get_or_insert(message.timestamp_ms);
                    message.timestamp_ms = *first;
                }
            }
            Fault::Drift => {
                self.is_late = true;
                let ppm: i64 = one_of(random, &[500, -500, 100, -100, 5_000, -5_000]);
                let both = chance(random, 3);
                for message in messages.iter_mut().filter(|message| both || message.video == kind) {
                    let drifted = i64::from(message.timestamp_ms) * ppm / 1_000_000;
                    message.timestamp_ms = message.timestamp_ms.wrapping_add_signed(drifted as i32);
                }
            }
            Fault::Clamped => {
                for message in messages.iter_mut().filter(|message| !message.video) {
                    message.timestamp_ms = message.timestamp_ms / 66 * 66;
                }
            }
            Fault::Garbage => {
                for _ in 0..1 + random.below(20) {
                    let at_us = random.below(length_us);
                    let count = random.below(40);
                    let mut body: Vec<u8> = (0..count).map(|_| random.below(256) as u8).collect();
                    if let Some(first) = body.first_mut().filter(|_| chance(random, 2)) {
                        *first = one_of(random, &[0x17, 0x27, 0xaf, 0x90, 0x91, 0xa1]);
                    }
                    let video = chance(random, 2);
                    let timestamp_ms = (at_us / 1000) as u32;
                    messages.push(Message { at_us, video, timestamp_ms, body });
                }
                messages.sort_by_key(|message| message.at_us);
            }
            Fault::Interleaved => {
                self.is_late = true;
                let late_us = 20_000 + random.below(480_000);
                for message in messages.iter_mut().filter(|message| message.video == kind) {
                    message.at_us += late_us;
                }
                messages.sort_by_key(|message| message.at_us);
            }
            Fault::HostClock => self.is_late = true,
            Fault::Abandoned | Fault::Repeated | Fault::Late => {}
        }
    }
}
