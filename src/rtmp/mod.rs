//! RTMP (Adobe RTMP 1.0): handshake, chunk streams, AMF0, the publishing session.
