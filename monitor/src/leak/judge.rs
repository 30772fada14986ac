//! The verdict on a trace of minutes.

use super::finding::{Finding, Verdict};
use super::floor::floor;

/// The conditions of a verdict. Source: chosen on the labelled corpus (see the module's error
/// rates).
struct Rule {
    verdict: Verdict,
    parts: usize,
    parts_needed: usize,
    last_needed: bool,
    /// Least growth of the second half, as a part of the growth of the first.
    second_half_min: f64,
}

const RULES: [Rule; 2] = [
    Rule {
        verdict: Verdict::Confirmed,
        parts: 6,
        parts_needed: 5,
        last_needed: true,
        second_half_min: 0.6,
    },
    Rule {
        verdict: Verdict::Suspected,
        parts: 4,
        parts_needed: 3,
        last_needed: false,
        second_half_min: 0.5,
    },
];

/// A part counts if it grew by this part of the target.
pub(super) const TARGET_PART: f64 = 0.5;

/// The largest rise within 15 minutes may not be more than this part of the growth.
pub(super) const JUMP_PART_MAX: f64 = 0.6;

/// Minutes within which a rise counts as one jump.
const JUMP_MINUTES: usize = 15;

/// Judges a component by the least value of each minute since its start, in MB, oldest first. A
/// value that is not finite counts as unchanged.
///
/// `target_mb_per_hour` is the rate worth finding: half of it must show in most parts.
///
/// # Memory
///
/// Two buffers as long as the input, freed on return.
#[must_use]
pub fn judge(minutes_mb: &[f64], target_mb_per_hour: f64) -> Finding {
    let Some(floor) = floor(minutes_mb) else {
        return Finding {
            evidence: "too early to judge".to_owned(),
            ..Finding::default()
        };
    };
    let rule = RULES
        .iter()
        .find(|rule| rule.holds(&floor, target_mb_per_hour));
    let hours = (floor.len() - 1) as f64 / 60.0;
    let grown_mb = floor[floor.len() - 1] - floor[0];
    let rate = grown_mb / hours;
    let (low, high) = interval(&floor);
    let evidence = match rule {
        Some(rule) => format!(
            "the floor grew by {grown_mb:.0} MB in {hours:.1} h, \
             by at least {:.1} MB in {} of {} parts",
            rule.part_target_mb(&floor, target_mb_per_hour),
            rule.parts_grown(&floor, target_mb_per_hour),
            rule.parts
        ),
        None => format!("the floor changed by {grown_mb:.0} MB in {hours:.1} h, not steadily"),
    };
    Finding {
        verdict: rule.map_or(Verdict::None, |rule| rule.verdict),
        rate_mb_per_hour: Some(rate),
        rate_interval_mb_per_hour: Some((low, high)),
        grown_mb,
        hours,
        cause: None,
        evidence,
    }
}

impl Rule {
    fn holds(&self, floor: &[f64], target: f64) -> bool {
        let last = floor.len() - 1;
        let total = floor[last] - floor[0];
        let halves = (floor[last / 2] - floor[0], floor[last] - floor[last / 2]);
        let jump = (JUMP_MINUTES..floor.len())
            .step_by(JUMP_MINUTES)
            .map(|at| floor[at] - floor[at - JUMP_MINUTES])
            .fold(0.0, f64::max);
        let part_target = self.part_target_mb(floor, target);
        let last_part = floor[last] - floor[self.edge(self.parts - 1, floor)];
        self.parts_grown(floor, target) >= self.parts_needed
            && (!self.last_needed || last_part >= part_target)
            && total >= part_target * self.parts as f64
            && halves.1 >= self.second_half_min * halves.0
            && jump <= JUMP_PART_MAX * total
    }

    fn parts_grown(&self, floor: &[f64], target: f64) -> usize {
        let part_target = self.part_target_mb(floor, target);
        let grew = |part| floor[self.edge(part + 1, floor)] - floor[self.edge(part, floor)];
        (0..self.parts)
            .filter(|part| grew(*part) >= part_target)
            .count()
    }

    fn part_target_mb(&self, floor: &[f64], target: f64) -> f64 {
        TARGET_PART * target * self.edge(1, floor) as f64 / 60.0
    }

    fn edge(&self, part: usize, floor: &[f64]) -> usize {
        part * (floor.len() - 1) / self.parts
    }
}

/// Draws of the bootstrap: the 2.5th percentile of 400 is the tenth.
const DRAWS: usize = 400;

/// Interval of the rate by a block bootstrap: increments of the floor are drawn in blocks of an
/// hour, within which they depend on each other.
fn interval(floor: &[f64]) -> (f64, f64) {
    const BLOCK: usize = 60;
    let blocks: Vec<f64> = floor[..floor.len() - 1]
        .chunks(BLOCK)
        .zip(floor[1..].chunks(BLOCK))
        .map(|(from, to)| (to[to.len() - 1] - from[0]) / to.len() as f64 * 60.0)
        .collect();
    // The seed is fixed so that the same trace has the same interval.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % blocks.len() as u64).unwrap_or(0)
    };
    let mut rates: Vec<f64> = (0..DRAWS)
        .map(|_| (0..blocks.len()).map(|_| blocks[draw()]).sum::<f64>() / blocks.len() as f64)
        .collect();
    rates.sort_unstable_by(f64::total_cmp);
    (rates[DRAWS / 40], rates[DRAWS - 1 - DRAWS / 40])
}
