//! Playlists that the tests begin with.

use super::MediaPlaylist;

/// A playlist without a fault: three segments whose parts are gone, one that has them, one that is open.
pub(super) const HEALTHY: &str = r#"#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12.0
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:10
#EXT-X-DISCONTINUITY-SEQUENCE:4
#EXT-X-MAP:URI="i0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:00.000Z
#EXTINF:2.00000,
s10.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:02.000Z
#EXTINF:2.00000,
s11.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="i1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:04.000Z
#EXTINF:2.00000,
s12.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:06.000Z
#EXT-X-PART:DURATION=0.50000,URI="p0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI="p1.m4s"
#EXT-X-PART:DURATION=0.50000,URI="p2.m4s"
#EXT-X-PART:DURATION=0.50000,URI="p3.m4s"
#EXTINF:2.00000,
s13.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:08.000Z
#EXT-X-PART:DURATION=0.50000,URI="p4.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI="p5.m4s"
#EXT-X-PART:DURATION=0.50000,URI="p6.m4s"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p7.m4s"
#EXT-X-RENDITION-REPORT:URI="audio.m3u8",LAST-MSN=14,LAST-PART=2
"#;

/// The hint of [`HEALTHY`].
pub(super) const HINT: &str = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p7.m4s\"\n";

/// The playlist after [`HEALTHY`]: one part more.
pub(super) fn with_next_part() -> String {
    edited(&[(
        HINT,
        "#EXT-X-PART:DURATION=0.50000,URI=\"p7.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p8.m4s\"\n",
    )])
}

/// The playlist after [`with_next_part`]: the segment closed, another one begun, and the oldest one removed.
pub(super) fn with_next_segment() -> String {
    let added = "#EXT-X-PART:DURATION=0.50000,URI=\"p7.m4s\"\n#EXTINF:2.00000,\ns14.m4s\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:10.000Z\n\
        #EXT-X-PART:DURATION=0.50000,URI=\"p8.m4s\",INDEPENDENT=YES\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p9.m4s\"\n";
    edited(&[
        (HINT, added),
        ("MEDIA-SEQUENCE:10", "MEDIA-SEQUENCE:11"),
        ("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:00.000Z\n#EXTINF:2.00000,\ns10.m4s\n", ""),
    ])
}

/// [`HEALTHY`] with texts replaced; each has to be there.
pub(super) fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = HEALTHY.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from:?} is not in the sample");
        text = text.replace(from, to);
    }
    text
}

/// A text that has to be readable.
pub(super) fn read(text: &str) -> MediaPlaylist {
    MediaPlaylist::parse(text).unwrap()
}
