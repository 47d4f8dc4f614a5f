//! FLV tag bodies as RTMP carries them: codec headers and frames.
