//! The ways in which the origin can be told to misbehave, and what a correct viewer must say of each.

use std::time::Duration;

/// One way to misbehave. Each says when it happens, what is then wrong, and that nothing else is.
///
/// "A middle part" is neither the first nor the last of its segment. What a name does not cover stays conforming: a
/// viewer must report [`Misbehaviour::fault_name`], may report [`Misbehaviour::may_also`], and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehaviour {
    /// A part that is not the last of its segment is listed this much later than it should be, and those due meanwhile
    /// right after it. Keep it below 3 s, after which blocked requests get 503. A viewer must see `part_late`, once:
    /// PART-TARGET and this much after the part before; and the latency of those parts' frames.
    PartLate(Duration),
    /// A middle part is never listed: the next one takes its index and its address, while EXTINF and the segment's
    /// media are whole. A viewer must see `part_missing` when the segment is complete: its parts fall short of EXTINF
    /// by one part. What follows from it is true as well: a part interval twice as long, a hole in what was listed.
    PartMissing,
    /// The next blocking reload that has to wait is answered at once with the playlist as it was. Counted in
    /// requests, not in parts. A viewer must see `reload_unchanged` and not `reload_early`.
    ReloadUnchanged,
    /// The next blocking reload that has to wait is answered at once with a newer playlist that still lacks what was
    /// asked for: the oldest segment has left it, and MEDIA-SEQUENCE is one higher. It stays away. Counted in
    /// requests. A viewer must see `reload_early` and not `reload_unchanged`: the playlist did change.
    ReloadEarly,
    /// The first part of a segment is listed 50 ms shorter than its media, and so is its segment in EXTINF, so that
    /// sums hold; being independent, the part may be shorter than 85% of PART-TARGET. A viewer must see
    /// `duration_wrong`: for the part, and for the segment too if it loads it.
    DurationWrong,
    /// The last part but one of a segment has one frame more than PART-TARGET allows, and the last one fewer (in audio
    /// it may have none left for a last one). All is listed truthfully. A viewer must see `part_long`; the part is also
    /// one frame later after the one before it.
    PartLong,
    /// A middle part has two thirds of its frames, and the segment one more part, short as its last may be. All is
    /// listed truthfully. A viewer must see `part_short`, once. Not for audio, where each part is independent.
    PartShort,
    /// A segment lasts 2 s where TARGETDURATION is 1: it is cut one IDR later, and EXTINF tells the truth. A viewer
    /// must see `segment_long`.
    SegmentLong,
    /// Decode times jump 100 ms forward at the first part of a segment, and stay there. A viewer must see `tfdt_gap`,
    /// once.
    TfdtGap,
    /// Decode times step 100 ms back at the first part of a segment, and stay there. A viewer must see `tfdt_repeat`,
    /// once.
    TfdtRepeat,
    /// The next part is listed and answers 404 for ever. A viewer must see `status_4xx`; the frames are missing only
    /// because it could not have them.
    NotFound,
    /// The next part is listed and answers 503 for ever. A viewer must see `status_5xx`.
    ServerError,
    /// The next part is listed, and requests for it are never answered; their connections stay open. A viewer must
    /// see `timeout`.
    Hang,
    /// The next part is listed, and the connection closes after half of its body. A viewer must see `cut`.
    Cut,
    /// The next part is listed, and requests for it are answered with bytes that are no HTTP, and a close. A viewer
    /// must see `http`.
    NotHttp,
    /// PART-TARGET rises by 10 ms with the next part and PART-HOLD-BACK to three times that, and both stay; the next
    /// time they fall back. A viewer must see `playlist_changed`, once a time.
    TargetChanges,
    /// In the playlist of the next part, and in no other, the EXTINF of a complete segment is one frame shorter than
    /// it was (its parts are no longer listed, and a delta update does not skip it). A viewer must see
    /// `playlist_changed`.
    SegmentChanges,
    /// In the playlist of the next part, and in no other, a segment that had left is back in front, and MEDIA-SEQUENCE
    /// is one lower. Each segment keeps its number and address. A viewer must see `sequence_back`; a delta update of
    /// that playlist skips a segment that the viewer may have forgotten.
    SequenceBack,
    /// The first sample of a part is not marked as a sync sample although it is one (video: an IDR), and the part is
    /// listed as INDEPENDENT. A viewer must see `sync_flag`.
    SyncFlag,
    /// A middle part without an IDR is listed as INDEPENDENT; its sync flags tell the truth. A viewer must see
    /// `sync_flag`. Not for audio, where each part is independent.
    IndependentUntrue,
    /// The data offset in the next part's `trun` points behind its `mdat`. A viewer must see `box_structure`; it
    /// cannot read that part's frames.
    BoxStructure,
    /// Every second request for the next part gets other bytes, as many and as well-formed. Viewers must see
    /// `content_differs`, if two of them load the part.
    ContentDiffers,
    /// A middle part lacks one of its frames, and the frame before lasts twice as long: times and durations stay
    /// right. A viewer must see `frame_missing`, one frame.
    FrameMissing,
    /// A middle part has one of its frames twice, each half as long: times and durations stay right. A viewer must
    /// see `frame_repeated`, one frame.
    FrameRepeated,
    /// In the playlist of the next part, and in no other, that part's DURATION is no number. A viewer must see
    /// `playlist_syntax`; it may learn of the part a reload later.
    PlaylistSyntax,
    /// The playlist of the next part, and no other, has no TARGETDURATION. A viewer must see `playlist_syntax`; it may
    /// learn of the part a reload later.
    PlaylistLacksTarget,
    /// Delta updates of the next part's playlist, and of no other, skip more segments than there are. A viewer that
    /// asks for delta updates must see `delta_wrong`.
    DeltaWrong,
}

impl Misbehaviour {
    /// Each of them, for tables.
    pub const ALL: [Self; 27] = [
        Self::PartLate(Duration::from_millis(500)),
        Self::PartMissing,
        Self::ReloadUnchanged,
        Self::ReloadEarly,
        Self::DurationWrong,
        Self::PartLong,
        Self::PartShort,
        Self::SegmentLong,
        Self::TfdtGap,
        Self::TfdtRepeat,
        Self::NotFound,
        Self::ServerError,
        Self::Hang,
        Self::Cut,
        Self::NotHttp,
        Self::TargetChanges,
        Self::SegmentChanges,
        Self::SequenceBack,
        Self::SyncFlag,
        Self::IndependentUntrue,
        Self::BoxStructure,
        Self::ContentDiffers,
        Self::FrameMissing,
        Self::FrameRepeated,
        Self::PlaylistSyntax,
        Self::PlaylistLacksTarget,
        Self::DeltaWrong,
    ];

    /// The name of the fault that a viewer must report.
    pub fn fault_name(&self) -> &'static str {
        match self {
            Self::PartLate(_) => "part_late",
            Self::PartMissing => "part_missing",
            Self::ReloadUnchanged => "reload_unchanged",
            Self::ReloadEarly => "reload_early",
            Self::DurationWrong => "duration_wrong",
            Self::PartLong => "part_long",
            Self::PartShort => "part_short",
            Self::SegmentLong => "segment_long",
            Self::TfdtGap => "tfdt_gap",
            Self::TfdtRepeat => "tfdt_repeat",
            Self::NotFound => "status_4xx",
            Self::ServerError => "status_5xx",
            Self::Hang => "timeout",
            Self::Cut => "cut",
            Self::NotHttp => "http",
            Self::TargetChanges | Self::SegmentChanges => "playlist_changed",
            Self::SequenceBack => "sequence_back",
            Self::SyncFlag | Self::IndependentUntrue => "sync_flag",
            Self::BoxStructure => "box_structure",
            Self::ContentDiffers => "content_differs",
            Self::FrameMissing => "frame_missing",
            Self::FrameRepeated => "frame_repeated",
            Self::PlaylistSyntax | Self::PlaylistLacksTarget => "playlist_syntax",
            Self::DeltaWrong => "delta_wrong",
        }
    }

    /// Names of other faults that a viewer may report, because they follow from this one and are true.
    pub fn may_also(&self) -> &'static [&'static str] {
        match self {
            Self::PartMissing => &["part_late", "tfdt_gap", "frame_missing"],
            Self::PartLong | Self::PlaylistSyntax | Self::PlaylistLacksTarget => &["part_late"],
            Self::NotFound
            | Self::ServerError
            | Self::Hang
            | Self::Cut
            | Self::NotHttp
            | Self::BoxStructure => &["frame_missing"],
            Self::SequenceBack => &["delta_wrong"],
            _ => &[],
        }
    }

    /// Whether it is a fault in an audio rendition.
    pub fn is_for_audio(&self) -> bool {
        !matches!(self, Self::PartShort | Self::IndependentUntrue)
    }
}
