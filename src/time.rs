//! Time, counted in samples of 16 kHz: no rounding, no drift.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::audio::SAMPLE_RATE_HZ;

/// A position on the input's time line, or a length, in samples of 16 kHz.
///
/// `Time` holds 36 million years; arithmetic saturates, so that no timestamp of a damaged file can
/// overflow it.
///
/// # Examples
///
/// ```
/// use steadyscribe::Time;
///
/// let start = Time::from_seconds(1.5);
/// assert_eq!(start.samples(), 24_000);
/// assert_eq!((start + Time::from_samples(8_000)).seconds(), 2.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start of the input.
    pub const ZERO: Self = Self(0);

    /// Makes a time of a count of 16 kHz samples.
    #[must_use]
    pub const fn from_samples(samples: u64) -> Self {
        Self(samples)
    }

    /// Makes a time of seconds, rounded to the nearest sample. Negative values and NaN become zero,
    /// larger values than a time can hold the largest time.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is what is wanted"
    )]
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds * f64::from(SAMPLE_RATE_HZ)).round() as u64)
    }

    /// Returns the count of 16 kHz samples.
    #[must_use]
    pub const fn samples(self) -> u64 {
        self.0
    }

    /// Returns the time in seconds.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53 samples: 17,000 years"
    )]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / f64::from(SAMPLE_RATE_HZ)
    }

    /// Returns the time in whole milliseconds, rounded down.
    #[must_use]
    pub const fn milliseconds(self) -> u64 {
        // Not `samples * 1000 / rate`, which would overflow.
        self.0 / 16
    }

    /// Returns the number of samples from `earlier` to `self`; zero if `earlier` is not earlier.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates on 32-bit machines through `min`"
    )]
    pub fn samples_since(self, earlier: Self) -> usize {
        (self.0.saturating_sub(earlier.0)).min(usize::MAX as u64) as usize
    }
}

impl Add for Time {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Time {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Time {
    type Output = Self;
    /// Saturates at zero.
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Writes `h:mm:ss.mmm`, for people.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.milliseconds();
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(f, "{hours}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000)
    }
}

/// Writes a time in seconds.
pub(crate) fn seconds<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.seconds())
}

/// Writes and reads a time as its count of samples, which is exact. For `#[serde(with =
/// "samples")]`.
pub(crate) mod samples {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Time;

    pub(crate) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.samples())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Time, D::Error> {
        u64::deserialize(deserializer).map(Time::from_samples)
    }
}

/// Reads a time in seconds.
pub(crate) fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    f64::deserialize(deserializer).map(Time::from_seconds)
}

/// A part of the time line, with `start` inside and `end` outside. In JSON both are in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a plain pair that callers build")]
pub struct Span {
    /// First sample.
    #[serde(
        rename = "start_s",
        serialize_with = "seconds",
        deserialize_with = "from_seconds"
    )]
    pub start: Time,
    /// First sample after the span.
    #[serde(
        rename = "end_s",
        serialize_with = "seconds",
        deserialize_with = "from_seconds"
    )]
    pub end: Time,
}

impl Span {
    /// Makes a span. An `end` before `start` makes an empty one.
    #[must_use]
    pub fn new(start: Time, end: Time) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// Returns the length.
    #[must_use]
    pub fn length(self) -> Time {
        self.end - self.start
    }

    /// Returns whether the span contains no sample.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Returns the part that is in both spans; empty if there is none.
    #[must_use]
    pub fn overlap(self, other: Self) -> Self {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_to_the_nearest_sample() {
        assert_eq!(Time::from_seconds(1.0 / 16_000.0).samples(), 1);
        assert_eq!(Time::from_seconds(-3.0), Time::ZERO);
        assert_eq!(Time::from_seconds(f64::NAN), Time::ZERO);
        assert_eq!(Time::from_seconds(f64::INFINITY).samples(), u64::MAX);
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Time::from_samples(u64::MAX);
        assert_eq!(end + Time::from_samples(1), end);
        assert_eq!(Time::ZERO - end, Time::ZERO);
        assert!(Span::new(end, Time::ZERO).is_empty());
    }

    #[test]
    fn is_shown_with_hours() {
        assert_eq!(Time::from_seconds(36_061.25).to_string(), "10:01:01.250");
    }
}
