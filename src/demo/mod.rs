//! The demo encoder: a picture with a running clock and sound, published over loopback RTMP.
