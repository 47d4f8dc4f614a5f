//! Between a histogram that counts and a distribution that is written down.
//!
//! Histograms count microseconds; what people see is milliseconds. The percentiles are there to be drawn and read;
//! the whole histogram stands beside them, so that runs can be merged.

use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2DeflateSerializer},
};

use super::model::Distribution;

/// Percentiles that every distribution has; between them are as many as the curve needs.
const PERCENTILES: [f64; 17] = [
    0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999, 100.0,
];
/// Steps from 0 to 50 %, from there to 75 %, to 87.5 % and so on.
const STEPS_PER_HALF: u32 = 5;
const US_PER_MS: f64 = 1000.0;

/// A text that is no histogram.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DistributionError {
    /// A character that is not of base64.
    #[error(
        "{found:?} at byte {offset} of a histogram; allowed are the characters of base64, = only at the end"
    )]
    Character {
        /// The character.
        found: char,
        /// Its place.
        offset: usize,
    },
    /// A length that no base64 has.
    #[error("a histogram of {found} base64 characters; allowed are multiples of 4")]
    Length {
        /// Characters.
        found: usize,
    },
    /// Bytes that are no histogram.
    #[error("not an HdrHistogram (V2, deflate, base64): {reason}")]
    Histogram {
        /// What the decoder says.
        reason: String,
    },
    /// A histogram of other values than the distribution says.
    #[error("a histogram of {found} values in a distribution of {allowed}")]
    Count {
        /// Values in the histogram.
        found: u64,
        /// Values that the distribution tells.
        allowed: u64,
    },
}

impl Distribution {
    /// A histogram of microseconds, in milliseconds.
    pub fn from_histogram(histogram: &Histogram<u64>) -> Self {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .expect("a Vec takes all bytes, and no count reaches 2^63");
        Self {
            unit: "ms".into(),
            count: histogram.len(),
            min: ms(histogram.min()),
            max: ms(histogram.max()),
            mean: mean_ms(histogram),
            percentiles: percentiles(histogram),
            hdr: base64(&bytes),
        }
    }

    /// The histogram of microseconds that it was made of.
    pub fn to_histogram(&self) -> Result<Histogram<u64>, DistributionError> {
        let bytes = from_base64(&self.hdr)?;
        let histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| DistributionError::Histogram { reason: error.to_string() })?;
        if histogram.len() != self.count {
            return Err(DistributionError::Count { found: histogram.len(), allowed: self.count });
        }
        Ok(histogram)
    }

    /// The value that so many per cent do not exceed, from the percentiles that are written down: the exact one where
    /// it is among them, else the next above.
    pub fn at(&self, percentile: f64) -> Option<f64> {
        self.percentiles.iter().find(|(known, _)| *known >= percentile).map(|(_, value)| *value)
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    // Seven decimals tell a billion values apart and keep the JSON short.
    let rounded = |percentile: f64| (percentile * 1e7).round() / 1e7;
    let mut percentiles = PERCENTILES.to_vec();
    percentiles.extend(
        histogram.iter_quantiles(STEPS_PER_HALF).map(|step| rounded(step.quantile_iterated_to() * 100.0)),
    );
    percentiles.sort_by(f64::total_cmp);
    percentiles.dedup();
    let value = |percentile: f64| match percentile {
        0.0 => histogram.min(),
        _ => histogram.value_at_percentile(percentile),
    };
    percentiles.into_iter().map(|percentile| (percentile, ms(value(percentile)))).collect()
}

/// A value in milliseconds.
pub(super) fn ms(us: u64) -> f64 {
    us as f64 / US_PER_MS
}

/// The mean in milliseconds, to a tenth of a microsecond: more digits would only look exact.
pub(super) fn mean_ms(histogram: &Histogram<u64>) -> f64 {
    (histogram.mean() * 10.0).round() / 10.0 / US_PER_MS
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            text.push(if place <= group.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}

fn from_base64(text: &str) -> Result<Vec<u8>, DistributionError> {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    if !text.len().is_multiple_of(4) {
        return Err(DistributionError::Length { found: text.chars().count() });
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0u32;
    for (offset, character) in digits.char_indices() {
        let sextet = ALPHABET
            .iter()
            .position(|&letter| char::from(letter) == character)
            .ok_or(DistributionError::Character { found: character, offset })?;
        bits = bits << 6 | sextet as u32;
        // After the second, third and fourth digit of a group another byte is whole.
        if offset % 4 > 0 {
            bytes.push((bits >> (6 - 2 * (offset % 4))) as u8);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        for value in values {
            histogram.record(value).unwrap();
        }
        histogram
    }

    #[test]
    fn a_histogram_comes_back_as_it_was() {
        let full = histogram((0..50_000).map(|step| 20_000 + step * step % 90_001));
        for histogram in [full, histogram([]), histogram([1]), histogram([0, 60_000_000])] {
            let distribution = Distribution::from_histogram(&histogram);
            assert_eq!(distribution.to_histogram().unwrap(), histogram);
        }
    }

    #[test]
    fn percentiles_rise_and_lie_within_the_histograms_precision() {
        let distribution = Distribution::from_histogram(&histogram(1..=100_000));
        assert!(distribution.percentiles.is_sorted_by(|left, right| left.0 < right.0 && left.1 <= right.1));
        assert!(distribution.percentiles.len() > 60);
        for percentile in PERCENTILES {
            let (found, exact) = (distribution.at(percentile).unwrap(), percentile.max(0.001));
            assert!((found - exact).abs() <= 0.001 * exact + 0.002, "{percentile}: {found}");
        }
        assert!((distribution.mean - 50.0).abs() < 0.05);
        assert_eq!(
            (distribution.count, distribution.min, distribution.unit.as_str()),
            (100_000, 0.001, "ms")
        );
    }

    #[test]
    fn an_empty_histogram_has_no_percentiles() {
        let distribution = Distribution::from_histogram(&histogram([]));
        assert_eq!((distribution.count, distribution.at(50.0)), (0, None));
        assert!(distribution.percentiles.is_empty());
    }

    #[test]
    fn broken_text_is_refused() {
        let good = Distribution::from_histogram(&histogram([5]));
        let read = |hdr: &str| Distribution { hdr: hdr.into(), ..good.clone() }.to_histogram();
        assert_eq!(read("AAA").unwrap_err(), DistributionError::Length { found: 3 });
        assert_eq!(read("AA<A").unwrap_err(), DistributionError::Character { found: '<', offset: 2 });
        assert_eq!(read("=AAA").unwrap_err(), DistributionError::Character { found: '=', offset: 0 });
        for hdr in ["", "AAAA", &good.hdr[..good.hdr.len() / 8 * 4]] {
            assert!(matches!(read(hdr), Err(DistributionError::Histogram { .. })), "{hdr}");
        }
        let other = Distribution { count: 2, ..good.clone() }.to_histogram();
        assert_eq!(other.unwrap_err(), DistributionError::Count { found: 1, allowed: 2 });
    }

    #[test]
    fn base64_is_the_rfcs() {
        // RFC 4648, section 10.
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, text) in vectors.into_iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..length]), text);
            assert_eq!(from_base64(text).unwrap(), &b"foobar"[..length]);
        }
    }
}
