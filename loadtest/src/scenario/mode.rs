//! What a viewer does, and who does what in a group.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};

/// One way to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// One blocking reload open, and each part when it is listed: hls.js.
    Parts,
    /// The hinted part asked for ahead: AVPlayer.
    Hint,
    /// As `parts`, with delta updates.
    Delta,
    /// Whole segments and plain reloads: a player without low latency.
    Segments,
}

impl Mode {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Parts, "parts"), (Self::Hint, "hint"), (Self::Delta, "delta"), (Self::Segments, "segments")];

    /// What `mix` stands for: an audience of web players, some of Apple's, a few old ones.
    const MIX: [(Self, u32); 4] =
        [(Self::Parts, 50), (Self::Hint, 25), (Self::Delta, 15), (Self::Segments, 10)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Modes and their shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modes {
    /// Not empty; no share is 0.
    shares: Vec<(Mode, u32)>,
}

/// What is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no mode: parts, hint, delta, segments, mix, or shares such as parts=70,hint=30")]
pub struct ModesError {
    found: String,
}

impl Default for Modes {
    fn default() -> Self {
        Self { shares: vec![(Mode::Parts, 1)] }
    }
}

impl Modes {
    /// The mode of one viewer: shares are kept in every stretch of viewers, whatever their number.
    pub fn of(&self, viewer: u32) -> Mode {
        let sum: u64 = self.shares.iter().map(|(_, share)| u64::from(*share)).sum();
        // A golden-ratio sequence fills the shares evenly.
        let place = (u64::from(viewer.wrapping_mul(0x9E37_79B9)) * sum) >> 32;
        let mut passed = 0;
        let found = self.shares.iter().find(|(_, share)| {
            passed += u64::from(*share);
            place < passed
        });
        found.unwrap_or(&self.shares[0]).0
    }

    /// True when any viewer loads parts.
    pub fn has_low_latency(&self) -> bool {
        self.shares.iter().any(|(mode, _)| *mode != Mode::Segments)
    }

    fn from_shares(shares: Vec<(Mode, u32)>) -> Option<Self> {
        let shares: Vec<_> = shares.into_iter().filter(|(_, share)| *share > 0).collect();
        (!shares.is_empty()).then_some(Self { shares })
    }
}

impl fmt::Display for Modes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(mode, _)] = self.shares[..] {
            return formatter.write_str(mode.name());
        }
        for (index, (mode, share)) in self.shares.iter().enumerate() {
            write!(formatter, "{}{}={share}", if index > 0 { "," } else { "" }, mode.name())?;
        }
        Ok(())
    }
}

fn mode_of(name: &str) -> Option<Mode> {
    Mode::ALL.iter().find(|(_, known)| *known == name).map(|(mode, _)| *mode)
}

impl FromStr for Modes {
    type Err = ModesError;

    fn from_str(text: &str) -> Result<Self, ModesError> {
        let error = || ModesError { found: text.to_owned() };
        if text == "mix" {
            return Ok(Self { shares: Mode::MIX.to_vec() });
        }
        let shares = text.split(',').map(|part| {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            Some((mode_of(name.trim())?, share.trim().parse().ok()?))
        });
        Self::from_shares(shares.collect::<Option<_>>().ok_or_else(error)?).ok_or_else(error)
    }
}

impl<'de> Deserialize<'de> for Modes {
    /// `"parts"`, `"parts=70,hint=30"` or `{ parts = 70, hint = 30 }`.
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ModesVisitor;
        impl<'de> Visitor<'de> for ModesVisitor {
            type Value = Modes;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a mode or shares of modes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Modes, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Modes, A::Error> {
                let mut shares = Vec::new();
                while let Some((name, share)) = map.next_entry::<String, u32>()? {
                    let mode = mode_of(&name).ok_or_else(|| de::Error::custom(ModesError { found: name }))?;
                    shares.push((mode, share));
                }
                Modes::from_shares(shares).ok_or_else(|| de::Error::custom("all shares are 0"))
            }
        }
        deserializer.deserialize_any(ModesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_among_few_and_many() {
        let modes: Modes = "parts=70,hint=20,segments=10".parse().unwrap();
        for (viewers, tolerance) in [(10, 1), (100, 2), (10_000, 20)] {
            let of = |mode| (0..viewers).filter(|viewer| modes.of(*viewer) == mode).count() as i64;
            for (mode, share) in [(Mode::Parts, 70), (Mode::Hint, 20), (Mode::Segments, 10)] {
                let wanted = i64::from(viewers) * share / 100;
                assert!((of(mode) - wanted).abs() <= tolerance, "{viewers} {mode:?}: {}", of(mode));
            }
        }
        assert_eq!(modes.to_string(), "parts=70,hint=20,segments=10");
    }

    #[test]
    fn one_mode_a_mix_and_nonsense() {
        assert_eq!("delta".parse::<Modes>().unwrap().of(7), Mode::Delta);
        assert!("mix".parse::<Modes>().unwrap().has_low_latency());
        assert!(!"segments".parse::<Modes>().unwrap().has_low_latency());
        for text in ["", "part", "parts=x", "parts=0", "parts=1,,hint=1"] {
            assert!(text.parse::<Modes>().is_err(), "{text}");
        }
    }
}
