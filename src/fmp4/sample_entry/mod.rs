//! Sample entries: what an init segment says about a track's codec (ISO/IEC 14496-12, section 8.5.2).

mod audio;
mod video;

use crate::codec::CodecConfig;

/// Appends the sample entry of this configuration.
pub(super) fn write(out: &mut Vec<u8>, config: &CodecConfig) {
    match (config.picture(), config.sound()) {
        (Some(picture), _) => video::write(out, config, &picture),
        (None, Some(sound)) => audio::write(out, config, &sound),
        (None, None) => debug_assert!(false, "a configuration is of pictures or of sound"),
    }
}

#[cfg(test)]
mod tests;
