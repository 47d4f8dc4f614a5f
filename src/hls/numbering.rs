//! A stream's numbers that never go back: over sessions in memory, over a crash by a small record that
//! others write to disk.
//!
//! Players remember media sequence and discontinuity sequence numbers, caches remember URLs. A new epoch
//! continues behind the recorded numbers; without a record, it takes numbers from the clock, in units that
//! are fixed for ever.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Epoch, EventBody, RenditionId, SessionId, StreamEvent};
use crate::auth::TokenDigest;
use crate::limits::RENDITION_NAMES_KEPT_MAX;

/// 2025-01-01T00:00:00Z, from where numbers without a record are counted.
const CLOCK_ZERO_UNIX_MS: u64 = 1_735_689_600_000;
/// No stream makes segments faster for long, so the clock stays ahead of the numbers.
const MEDIA_SEQUENCE_UNIT_MS: u64 = 500;
/// An hour: hls.js walks an array as long as this number at every reload.
const DISCONTINUITY_SEQUENCE_UNIT_MS: u64 = 3_600_000;

/// The next numbers of one stream.
#[derive(Debug, Clone)]
pub struct Numbering {
    epoch: Epoch,
    session: Option<FrozenSession>,
    /// What the session was started with; `None` once it has ended.
    token: Option<TokenDigest>,
    /// The least that a new segment may have; at least 1, since hls.js takes 0 for none.
    media_sequence_next: u64,
    /// The least that a new session's first segment may have.
    discontinuity_sequence_next: u64,
    counters: Vec<Counters>,
    /// The live session's renditions: index in `counters`, and the newest segment's discontinuity sequence.
    live: Vec<(Option<usize>, u64)>,
}

/// Numbers in the URLs of one rendition name, within the epoch.
#[derive(Debug, Clone)]
struct Counters {
    name: Box<str>,
    part_next: u64,
    init_next: u32,
}

/// The numbers of a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionNumbers {
    /// Its identifier, later than any before it.
    pub session: SessionId,
    /// The epoch of its media.
    pub epoch: Epoch,
    /// Number of its first real segment; the GAP segments stand below.
    pub media_sequence_first: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE of its first playlist.
    pub discontinuity_sequence_first: u64,
}

/// What outlives a crash, written once a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRecord {
    /// The epoch that wrote it.
    #[serde(with = "as_text")]
    pub epoch: Epoch,
    /// The newest session and its frozen values. The next one is later; its own values come from its publisher.
    pub session: Option<FrozenSession>,
    /// The newest media sequence number.
    pub media_sequence_last: u64,
    /// The newest discontinuity sequence number.
    pub discontinuity_sequence_last: u64,
    /// The token that the session was started with, until ENDLIST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenDigest>,
}

/// What was frozen with a session's first playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenSession {
    /// Holds TARGETDURATION and PART-TARGET.
    #[serde(with = "as_text")]
    pub id: SessionId,
    /// PART-HOLD-BACK.
    pub part_hold_back_ms: u32,
    /// CAN-SKIP-UNTIL.
    pub can_skip_until_s: u32,
    /// The group of pictures that it expected.
    pub gop_ms: u32,
    /// BANDWIDTH, once it is declared.
    pub bandwidth_bits: Option<u64>,
    /// AVERAGE-BANDWIDTH, once it is declared.
    pub average_bandwidth_bits: Option<u64>,
}

impl Numbering {
    /// The numbers of a new epoch. `random` keeps two servers apart that start in one millisecond; the epoch
    /// is later than what is recorded, even if the clock has stepped back.
    pub fn new(unix_ms: u64, random: u16, record: Option<&StreamRecord>) -> Self {
        let since_zero_ms = unix_ms.saturating_sub(CLOCK_ZERO_UNIX_MS);
        let recorded_ms = record.map_or(0, |record| {
            let session_ms = record.session.map_or(0, |session| session.id.started_unix_ms);
            record.epoch.started_unix_ms.max(session_ms).saturating_add(1)
        });
        // One number may have been used after the last write; one more marks the break.
        let (media_sequence_next, discontinuity_sequence_next) = match record {
            Some(record) => (
                record.media_sequence_last.saturating_add(2),
                record.discontinuity_sequence_last.saturating_add(2),
            ),
            None => (
                (since_zero_ms / MEDIA_SEQUENCE_UNIT_MS).max(1),
                since_zero_ms / DISCONTINUITY_SEQUENCE_UNIT_MS,
            ),
        };
        Self {
            epoch: Epoch { started_unix_ms: unix_ms.max(recorded_ms), random },
            session: record.and_then(|record| record.session),
            token: None,
            media_sequence_next,
            discontinuity_sequence_next,
            counters: Vec::new(),
            live: Vec::new(),
        }
    }

    /// The epoch of everything numbered here.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number of a rendition's next part.
    pub fn next_part(&self, rendition: &str) -> u64 {
        self.counters.iter().find(|each| &*each.name == rendition).map_or(0, |each| each.part_next)
    }

    /// The number of a rendition's next init segment.
    pub fn next_init(&self, rendition: &str) -> u32 {
        self.counters.iter().find(|each| &*each.name == rendition).map_or(0, |each| each.init_next)
    }

    /// The numbers of the next session, with room for GAP segments before its first.
    pub fn start_session(
        &mut self,
        unix_ms: u64,
        target_duration_s: u32,
        part_target_ms: u32,
        prefill_gap_segments: u32,
    ) -> SessionNumbers {
        let after_last_ms = self.session.map_or(0, |last| last.id.started_unix_ms.saturating_add(1));
        let started_unix_ms = unix_ms.max(after_last_ms).max(self.epoch.started_unix_ms);
        self.media_sequence_next = self.media_sequence_next.saturating_add(prefill_gap_segments.into());
        SessionNumbers {
            session: SessionId { started_unix_ms, target_duration_s, part_target_ms },
            epoch: self.epoch,
            media_sequence_first: self.media_sequence_next,
            discontinuity_sequence_first: self.discontinuity_sequence_next,
        }
    }

    /// What the session that starts was allowed by.
    pub fn set_token(&mut self, token: Option<TokenDigest>) {
        self.token = token;
    }

    /// What the session was started with; `None` once it has ended.
    pub fn token(&self) -> Option<TokenDigest> {
        self.token
    }

    /// Follows an event that the home's window has applied.
    pub fn observe(&mut self, event: &StreamEvent) {
        match &event.body {
            EventBody::Start(start) => {
                self.session = Some(FrozenSession {
                    id: start.session,
                    part_hold_back_ms: start.part_hold_back_ms,
                    can_skip_until_s: start.can_skip_until_s,
                    gop_ms: start.gop_ms,
                    bandwidth_bits: None,
                    average_bandwidth_bits: None,
                });
                self.live.clear();
                for rendition in &start.renditions {
                    let counters = self.counters_of(&rendition.name);
                    self.live.push((counters, start.discontinuity_sequence_first));
                }
            }
            EventBody::Init(init) => {
                if let Some((counters, _)) = self.live_counters(init.rendition) {
                    counters.init_next = init.number.saturating_add(1);
                }
            }
            EventBody::Part(part) | EventBody::PartAndClose(part, _) => {
                let Some((counters, discontinuity_sequence)) = self.live_counters(part.rendition) else {
                    return;
                };
                counters.part_next = part.number.saturating_add(1);
                if let Some(head) = part.opens {
                    *discontinuity_sequence += u64::from(head.discontinuity);
                    let following = discontinuity_sequence.saturating_add(1);
                    self.discontinuity_sequence_next = self.discontinuity_sequence_next.max(following);
                    let following = head.media_sequence.saturating_add(1);
                    self.media_sequence_next = self.media_sequence_next.max(following);
                }
            }
            &EventBody::Playable { bandwidth_bits, average_bandwidth_bits } => {
                if let Some(session) = &mut self.session {
                    session.bandwidth_bits = Some(bandwidth_bits);
                    session.average_bandwidth_bits = Some(average_bandwidth_bits);
                }
            }
            EventBody::End => self.token = None,
            EventBody::Announce | EventBody::Formats(_) | EventBody::Close(_) | EventBody::Retire(_) => {}
        }
    }

    /// What is to be written now.
    pub fn record(&self) -> StreamRecord {
        StreamRecord {
            epoch: self.epoch,
            session: self.session,
            media_sequence_last: self.media_sequence_next.saturating_sub(1),
            discontinuity_sequence_last: self.discontinuity_sequence_next.saturating_sub(1),
            token: self.token,
        }
    }

    /// Index of a name's counters, made when the name is new; `None` when there are too many names.
    fn counters_of(&mut self, name: &str) -> Option<usize> {
        let known = self.counters.iter().position(|each| &*each.name == name);
        if known.is_some() || self.counters.len() >= RENDITION_NAMES_KEPT_MAX {
            return known;
        }
        self.counters.push(Counters { name: name.into(), part_next: 0, init_next: 0 });
        Some(self.counters.len() - 1)
    }

    fn live_counters(&mut self, rendition: RenditionId) -> Option<(&mut Counters, &mut u64)> {
        let (index, discontinuity_sequence) = self.live.get_mut(usize::from(rendition.0))?;
        Some((self.counters.get_mut((*index)?)?, discontinuity_sequence))
    }
}

/// Identifiers in a record look as they do in URLs.
mod as_text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};
    use serde::de::Error;

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_UNIX_MS: u64 = CLOCK_ZERO_UNIX_MS + 60_000_000_000;

    #[test]
    fn without_a_record_numbers_come_from_the_clock() {
        let mut numbering = Numbering::new(NOW_UNIX_MS, 7, None);
        let numbers = numbering.start_session(NOW_UNIX_MS + 5, 2, 334, 0);
        assert_eq!(numbers.epoch, Epoch { started_unix_ms: NOW_UNIX_MS, random: 7 });
        assert_eq!(numbers.session.started_unix_ms, NOW_UNIX_MS + 5);
        assert_eq!(numbers.media_sequence_first, 120_000_000);
        assert_eq!(numbers.discontinuity_sequence_first, 16_666);
        let before_zero = Numbering::new(0, 0, None).start_session(0, 2, 334, 0);
        assert_eq!((before_zero.media_sequence_first, before_zero.discontinuity_sequence_first), (1, 0));
    }

    #[test]
    fn t74_a_new_epoch_continues_two_past_the_record_even_if_the_clock_has_stepped_back() {
        let mut first = Numbering::new(NOW_UNIX_MS, 7, None);
        let numbers = first.start_session(NOW_UNIX_MS + 9, 2, 334, 3);
        assert_eq!(numbers.media_sequence_first, 120_000_003);
        let record = first.record();
        let mut second = Numbering::new(NOW_UNIX_MS - 1_000_000, 8, Some(&record));
        let numbers = second.start_session(0, 2, 334, 0);
        assert!(numbers.epoch > first.epoch());
        assert_eq!(numbers.media_sequence_first, record.media_sequence_last + 2);
        assert_eq!(numbers.discontinuity_sequence_first, record.discontinuity_sequence_last + 2);
        assert!(numbers.session.started_unix_ms >= numbers.epoch.started_unix_ms);
    }

    #[test]
    fn a_record_reads_back_as_it_was_written_and_nothing_else_reads() {
        let id = SessionId { started_unix_ms: NOW_UNIX_MS, target_duration_s: 2, part_target_ms: 334 };
        let session = FrozenSession {
            id,
            part_hold_back_ms: 1002,
            can_skip_until_s: 12,
            gop_ms: 2000,
            bandwidth_bits: Some(3_000_000),
            average_bandwidth_bits: None,
        };
        let mut numbering = Numbering::new(NOW_UNIX_MS, 7, None);
        numbering.session = Some(session);
        // As it was before tokens were kept.
        let text = serde_json::to_string(&numbering.record()).unwrap();
        assert_eq!(serde_json::from_str::<StreamRecord>(&text).unwrap(), numbering.record());
        numbering.set_token(Some(TokenDigest::of("a token")));
        let record = numbering.record();
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains(&format!("\"{id}\"")), "{text}");
        assert_eq!(serde_json::from_str::<StreamRecord>(&text).unwrap(), record);
        for cut in 0..text.len() {
            assert!(serde_json::from_str::<StreamRecord>(&text[..cut]).is_err());
        }
        let foreign = text.replacen('{', "{\"unknown\":1,", 1);
        assert!(serde_json::from_str::<StreamRecord>(&foreign).is_err());
        // The next session is later than the recorded one, whatever the clock says.
        let mut next = Numbering::new(1, 8, Some(&record));
        assert!(next.start_session(1, 2, 334, 0).session > id);
    }
}
