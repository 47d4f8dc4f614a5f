//! What can be wrong with a server, each kind by one name.
//!
//! The names stand in the live line, the table, the JSON and in scenarios' expectations, so they do not change.

use std::fmt;

macro_rules! faults {
    ($($(#[$doc:meta])+ $fault:ident = $name:literal,)+) => {
        /// One kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind { $($(#[$doc])+ $fault,)+ }

        impl FaultKind {
            /// Every kind, in the order in which they are reported.
            pub const ALL: &'static [Self] = &[$(Self::$fault),+];

            /// Its name: lower case, words joined by underscores.
            pub fn name(self) -> &'static str {
                match self { $(Self::$fault => $name,)+ }
            }
        }
    };
}

faults! {
    /// No connection within the time allowed: refused, unreachable, or TLS that fails.
    Connect = "connect",
    /// No whole answer within the time allowed.
    Timeout = "timeout",
    /// The connection ended inside an answer, or instead of one.
    Cut = "cut",
    /// A status of 400 to 499.
    Status4xx = "status_4xx",
    /// A status of 500 to 599.
    Status5xx = "status_5xx",
    /// An answer that is no HTTP, a redirect, or a body larger than is allowed.
    Http = "http",
    /// A playlist that breaks the grammar or lacks what it must have.
    PlaylistSyntax = "playlist_syntax",
    /// What must not change did: TARGETDURATION, PART-TARGET, SERVER-CONTROL, or a segment or part once listed.
    PlaylistChanged = "playlist_changed",
    /// The media or discontinuity sequence number fell.
    SequenceBack = "sequence_back",
    /// A blocking reload was answered before what it asked for was listed.
    ReloadEarly = "reload_early",
    /// A reload brought the playlist that was already known when it had to bring a newer one.
    ReloadUnchanged = "reload_unchanged",
    /// A delta update that does not fit the playlist it updates.
    DeltaWrong = "delta_wrong",
    /// A part was listed too long after the one before it.
    PartLate = "part_late",
    /// A part longer than PART-TARGET.
    PartLong = "part_long",
    /// A part shorter than 85% of PART-TARGET where none may be.
    PartShort = "part_short",
    /// Parts that do not add up to their segment: one was never listed.
    PartMissing = "part_missing",
    /// A segment longer than TARGETDURATION when rounded.
    SegmentLong = "segment_long",
    /// A box that is missing, repeated, misplaced, of a wrong size or with wrong fields.
    BoxStructure = "box_structure",
    /// Media that lasts longer or shorter than the playlist says.
    DurationWrong = "duration_wrong",
    /// Decode times jump forward between a part and the next.
    TfdtGap = "tfdt_gap",
    /// Decode times step back or repeat between a part and the next.
    TfdtRepeat = "tfdt_repeat",
    /// Sync flags that contradict the samples, or INDEPENDENT that contradicts the sync flags.
    SyncFlag = "sync_flag",
    /// Two viewers got different bytes for one address.
    ContentDiffers = "content_differs",
    /// A frame of the publisher that never came, by the numbers inside the frames.
    FrameMissing = "frame_missing",
    /// A frame of the publisher that came twice or out of order, by the same numbers.
    FrameRepeated = "frame_repeated",
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// One fault, and where and how it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// What was found and what was allowed, for people; addresses without their queries' secrets.
    pub detail: String,
}

impl Fault {
    /// A fault of this kind.
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}
