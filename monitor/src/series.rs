//! The memory of a component over time, kept in a fixed number of bytes.
//!
//! Three rings of different resolution are filled side by side: 1 s for 10 minutes, 10 s for 2
//! hours, 1 min for 7 days. Each slot keeps the least, the greatest and the mean, since means alone
//! hide peaks. A time in which nothing was measured has no point.

use serde::Serialize;

/// Bytes of one unit in the rings: with u32 they reach 4 TiB at a resolution of 1 KiB.
const UNIT_BYTES: u64 = 1 << 10;

/// A length of time that ends now, and its resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Span {
    /// 10 minutes in steps of 1 s.
    TenMinutes,
    /// 2 hours in steps of 10 s.
    TwoHours,
    /// 7 days in steps of 1 min.
    SevenDays,
}

impl Span {
    /// Every span, the shortest first.
    pub const ALL: [Self; 3] = [Self::TenMinutes, Self::TwoHours, Self::SevenDays];

    /// Returns the length of a step in milliseconds.
    #[must_use]
    pub(crate) fn step_ms(self) -> u64 {
        match self {
            Self::TenMinutes => 1_000,
            Self::TwoHours => 10_000,
            Self::SevenDays => 60_000,
        }
    }

    /// Returns the number of steps.
    #[must_use]
    pub(crate) fn steps(self) -> usize {
        match self {
            Self::TenMinutes => 600,
            Self::TwoHours => 720,
            Self::SevenDays => 10_080,
        }
    }
}

/// One step of a series, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Point {
    /// Start of the step, in milliseconds of the steady clock.
    pub steady_ms: u64,
    /// Least value in the step.
    pub min_bytes: u64,
    /// Greatest value in the step.
    pub max_bytes: u64,
    /// Mean of the values in the step.
    pub mean_bytes: u64,
}

/// Values of one component over time.
///
/// # Memory
///
/// 182 KB, allocated at the start.
#[derive(Clone, Debug)]
pub struct Series {
    rings: [Ring; 3],
    current_bytes: u64,
    peak_bytes: Option<u64>,
}

#[derive(Clone, Debug)]
struct Ring {
    span: Span,
    slots: Box<[Slot]>,
    /// Of the step that is being filled.
    sum: u64,
    count: u64,
    /// Newest step, plus one; 0 before the first value.
    newest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Low bits of the step's number plus one, by which a value of this round differs from an old
    /// one.
    round: u32,
    min: u32,
    max: u32,
    mean: u32,
}

impl Series {
    /// Makes an empty series.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rings: Span::ALL.map(Ring::new),
            current_bytes: 0,
            peak_bytes: None,
        }
    }

    /// Takes a value. Values may come at any interval; one that is older than the newest step is
    /// left out.
    pub fn push(&mut self, steady_ms: u64, bytes: u64) {
        self.current_bytes = bytes;
        self.peak_bytes = self.peak_bytes.max(Some(bytes));
        for ring in &mut self.rings {
            ring.push(steady_ms, bytes);
        }
    }

    /// Returns the last value.
    #[must_use]
    pub(crate) fn current_bytes(&self) -> u64 {
        self.current_bytes
    }

    /// Returns the greatest value ever. `None`: there was no value.
    #[must_use]
    pub fn peak_bytes(&self) -> Option<u64> {
        self.peak_bytes
    }

    /// Returns the mean over a span; `None` where it has no value. Every step that has a value
    /// counts the same, so that a faster interval under pressure does not weigh more.
    #[must_use]
    pub(crate) fn average_bytes(&self, span: Span, now_ms: u64) -> Option<u64> {
        let (sum, count) = self
            .points(span, now_ms)
            .fold((0_u128, 0_u128), |(sum, count), p| {
                (sum + u128::from(p.mean_bytes), count + 1)
            });
        let mean = sum.checked_div(count)?;
        Some(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// Returns the steps that have a value in the span that ends at `now_ms`, oldest first.
    pub fn points(&self, span: Span, now_ms: u64) -> impl Iterator<Item = Point> + '_ {
        let ring = &self.rings[span as usize];
        let now = now_ms / span.step_ms();
        let first = now.saturating_sub(span.steps() as u64 - 1);
        (first..=now).filter_map(|step| ring.at(step))
    }
}

impl Slot {
    /// Not all zeros: zeroed pages would be taken one by one over a week, not at the start.
    const EMPTY: Self = Self {
        round: 0,
        min: u32::MAX,
        max: 0,
        mean: 0,
    };
}

impl Default for Series {
    fn default() -> Self {
        Self::new()
    }
}

impl Ring {
    fn new(span: Span) -> Self {
        let slots = vec![Slot::EMPTY; span.steps()].into_boxed_slice();
        Self {
            span,
            slots,
            sum: 0,
            count: 0,
            newest: 0,
        }
    }

    fn push(&mut self, steady_ms: u64, bytes: u64) {
        let step = steady_ms / self.span.step_ms();
        if step + 1 < self.newest {
            return;
        }
        let value = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        let at = self.place(step);
        if step + 1 > self.newest {
            self.newest = step + 1;
            (self.sum, self.count) = (0, 0);
            self.slots[at] = Slot {
                round: round(step),
                min: value,
                max: value,
                mean: value,
            };
        }
        self.sum = self.sum.saturating_add(u64::from(value));
        self.count += 1;
        let slot = &mut self.slots[at];
        slot.min = slot.min.min(value);
        slot.max = slot.max.max(value);
        slot.mean = u32::try_from(self.sum / self.count).unwrap_or(u32::MAX);
    }

    fn at(&self, step: u64) -> Option<Point> {
        let slot = self.slots[self.place(step)];
        (slot.round == round(step)).then(|| Point {
            steady_ms: step * self.span.step_ms(),
            min_bytes: u64::from(slot.min) * UNIT_BYTES,
            max_bytes: u64::from(slot.max) * UNIT_BYTES,
            mean_bytes: u64::from(slot.mean) * UNIT_BYTES,
        })
    }

    fn place(&self, step: u64) -> usize {
        // The remainder is below the length, which is a usize.
        usize::try_from(step % self.slots.len() as u64).unwrap_or(0)
    }
}

/// Never 0, which stands for an empty slot. Steps of 1 s repeat it after 136 years.
fn round(step: u64) -> u32 {
    u32::try_from(step % u64::from(u32::MAX)).unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Milliseconds to the next sample: fast, slow, while the machine slept, and a clock that jumps
    /// back.
    fn step() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => 50..1_500_i64,
            4 => 4_000..70_000_i64,
            1 => 600_000..900_000_000_i64,
            1 => -200_000..0_i64,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever the interval, through sleeps of the machine and jumps of its clock, each step
        /// holds exactly what was measured in it, and a step in which nothing was measured has no
        /// point.
        ///
        /// Feature: meetily-memory-optimization, Property 1: Memory Monitoring Completeness
        #[test]
        fn steps_hold_what_was_measured_in_them(
            samples in prop::collection::vec((step(), 0..1_u64 << 24), 1..300),
        ) {
            let mut series = Series::new();
            let mut measured: [BTreeMap<u64, Vec<u64>>; 3] = Default::default();
            let (mut now_ms, mut latest_ms) = (1_000_000_u64, 0);
            for (step, kib) in samples {
                now_ms = now_ms.saturating_add_signed(step);
                latest_ms = latest_ms.max(now_ms);
                series.push(now_ms, kib << 10);
                for (span, steps) in Span::ALL.into_iter().zip(&mut measured) {
                    let at = now_ms / span.step_ms();
                    let newest = steps.last_key_value().map_or(0, |(at, _)| *at);
                    if at >= newest {
                        steps.entry(at).or_default().push(kib);
                    }
                }
            }
            for (span, steps) in Span::ALL.into_iter().zip(&measured) {
                let first = (latest_ms / span.step_ms() + 1).saturating_sub(span.steps() as u64);
                let expected: Vec<Point> = steps.range(first..).map(|(at, kib)| Point {
                    steady_ms: at * span.step_ms(),
                    min_bytes: kib.iter().min().unwrap() << 10,
                    max_bytes: kib.iter().max().unwrap() << 10,
                    mean_bytes: (kib.iter().sum::<u64>() / kib.len() as u64) << 10,
                }).collect();
                prop_assert_eq!(series.points(span, latest_ms).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn interval_does_not_weigh() {
        let mut series = Series::new();
        // 10 s apart at 10 MiB, then 20 times as often at 30 MiB, for as long.
        (0..10).for_each(|n| series.push(n * 10_000, 10 * MIB));
        (200..400).for_each(|n| series.push(n * 500, 30 * MIB));
        let mean = series.average_bytes(Span::TwoHours, 200_000);
        assert_eq!(mean, Some(20 * MIB));
        assert_eq!(Series::new().average_bytes(Span::TwoHours, 0), None);
        assert_eq!(series.current_bytes(), 30 * MIB);
    }

    #[test]
    fn short_peak_is_kept() {
        let mut series = Series::new();
        for (ms, mib) in [(0, 10), (20_000, 90), (40_000, 20)] {
            series.push(ms, mib * MIB);
        }
        let points: Vec<_> = series.points(Span::SevenDays, 59_999).collect();
        assert_eq!(points.len(), 1);
        assert_eq!(
            (points[0].min_bytes, points[0].max_bytes),
            (10 * MIB, 90 * MIB)
        );
        assert_eq!(points[0].mean_bytes, 40 * MIB);
        assert_eq!(series.peak_bytes(), Some(90 * MIB));
    }

    #[test]
    fn gap_holds_no_old_round() {
        let mut series = Series::new();
        (0..600).for_each(|s| series.push(s * 1_000, MIB));
        // The machine slept for 20 minutes: two rounds of the finest ring.
        series.push(1_800_000, 2 * MIB);
        let points: Vec<_> = series.points(Span::TenMinutes, 1_800_000).collect();
        assert_eq!(points.len(), 1);
        assert_eq!(points[0].mean_bytes, 2 * MIB);
        assert_eq!(series.points(Span::TwoHours, 1_800_000).count(), 61);
    }

    #[test]
    fn clock_that_goes_back_falsifies_nothing() {
        let mut series = Series::new();
        series.push(100_000, 5 * MIB);
        series.push(40_000, 50 * MIB);
        let points: Vec<_> = series.points(Span::TenMinutes, 100_000).collect();
        assert_eq!(points.len(), 1);
        assert_eq!(points[0].max_bytes, 5 * MIB);
    }

    #[test]
    fn span_is_bounded() {
        let mut series = Series::new();
        (0..20_000).for_each(|s| series.push(s * 1_000, MIB));
        assert_eq!(series.points(Span::TenMinutes, 19_999_000).count(), 600);
        assert_eq!(series.points(Span::TwoHours, 19_999_000).count(), 720);
    }

    #[test]
    fn extremes_do_not_wrap() {
        let mut series = Series::new();
        series.push(u64::MAX, u64::MAX);
        assert_eq!(series.peak_bytes(), Some(u64::MAX));
        assert_eq!(series.points(Span::TenMinutes, u64::MAX).count(), 1);
    }
}
