//! The direction of a component over the last hour. It is a label for display: a leak verdict takes
//! a longer look ([`leak`](crate::leak)).

use serde::Serialize;

use crate::series::{Series, Span};

/// Direction of the last hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Trend {
    /// Less than an hour was measured, or a part of it is missing.
    #[default]
    Unknown,
    /// Neither grew nor shrank by much.
    Stable,
    /// Grew, in both halves of the hour.
    Growing,
    /// Shrank, in both halves of the hour.
    Shrinking,
}

impl Trend {
    /// Returns the name that reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Stable => "Stable",
            Self::Growing => "Growing",
            Self::Shrinking => "Shrinking",
        }
    }

    /// Returns the trend in the light of a leak verdict: a component that leaks grows, even where
    /// an hour is too short to show it.
    #[must_use]
    pub fn with_leak(self, leaks: bool) -> Self {
        match self {
            Self::Unknown | Self::Stable if leaks => Self::Growing,
            _ => self,
        }
    }
}

/// Steps of the hour. Their minima ignore work of less than 5 minutes.
const STEPS: usize = 12;

/// Length of a step in milliseconds.
const STEP_MS: u64 = 300_000;

/// Least change over the hour that counts as growth, in bytes.
const CHANGE_BYTES_MIN: f64 = 10e6;

/// Least change over the hour as a part of the usage.
const CHANGE_PART_MIN: f64 = 0.02;

/// Judges the hour before `now_ms` by the median of the slopes between all pairs of 5-minute minima
/// (Theil-Sen), which must be large enough and have the same sign in both halves.
#[must_use]
pub fn of(series: &Series, now_ms: u64) -> Trend {
    let mut lows = [f64::NAN; STEPS];
    let start_ms = now_ms.saturating_sub(STEP_MS * STEPS as u64);
    for point in series
        .points(Span::TwoHours, now_ms)
        .filter(|p| p.steady_ms >= start_ms)
    {
        let step = (point.steady_ms - start_ms) / STEP_MS;
        let low = &mut lows[usize::try_from(step).unwrap_or(0).min(STEPS - 1)];
        // The minimum of a number and NaN is the number.
        *low = low.min(bytes(point.min_bytes));
    }
    // The slopes of an hour with a gap have another scale.
    if lows.iter().any(|low| low.is_nan()) {
        return Trend::Unknown;
    }
    let change = slope(&lows) * STEPS as f64;
    let least = CHANGE_BYTES_MIN.max(CHANGE_PART_MIN * bytes(series.current_bytes()));
    let halves = [slope(&lows[..STEPS / 2]), slope(&lows[STEPS / 2..])];
    if change > least && halves.iter().all(|h| *h > 0.0) {
        Trend::Growing
    } else if change < -least && halves.iter().all(|h| *h < 0.0) {
        Trend::Shrinking
    } else {
        Trend::Stable
    }
}

/// Median slope between pairs, per step.
fn slope(values: &[f64]) -> f64 {
    let mut slopes = Vec::with_capacity(STEPS * (STEPS - 1) / 2);
    for (i, a) in values.iter().enumerate() {
        for (j, b) in values.iter().enumerate().skip(i + 1) {
            slopes.push((b - a) / (j - i) as f64);
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

/// Bytes up to 2^53 are exact, which is 8 PiB.
fn bytes(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `value_mb` is given the minute.
    fn check(value_mb: impl Fn(u64) -> u64, expected: Trend) {
        let mut series = Series::new();
        for second in (0..3_600).step_by(5) {
            series.push(second * 1_000, value_mb(second / 60) * 1_000_000);
        }
        assert_eq!(of(&series, 3_599_000), expected);
    }

    #[test]
    fn flat_is_stable() {
        check(|_| 300, Trend::Stable);
    }

    #[test]
    fn ramp_grows_and_shrinks() {
        check(|minute| 300 + minute / 3, Trend::Growing);
        check(|minute| 300 - minute / 3, Trend::Shrinking);
    }

    #[test]
    fn little_growth_of_much_is_stable() {
        check(|minute| 3_000 + minute / 3, Trend::Stable);
    }

    #[test]
    fn saw_tooth_is_stable() {
        check(|minute| 300 + 80 * (minute % 4), Trend::Stable);
    }

    #[test]
    fn step_is_stable() {
        check(|minute| if minute < 20 { 300 } else { 900 }, Trend::Stable);
    }

    #[test]
    fn leak_is_growth() {
        for (trend, leaks, expected) in [
            (Trend::Stable, false, Trend::Stable),
            (Trend::Stable, true, Trend::Growing),
            (Trend::Unknown, true, Trend::Growing),
            (Trend::Shrinking, true, Trend::Shrinking),
        ] {
            assert_eq!(trend.with_leak(leaks), expected);
        }
    }

    #[test]
    fn half_an_hour_is_too_short() {
        let mut series = Series::new();
        (0..1_800).for_each(|s| series.push(s * 1_000, s << 20));
        assert_eq!(of(&series, 1_799_000), Trend::Unknown);
    }
}
