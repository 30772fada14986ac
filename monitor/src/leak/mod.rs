//! Leak verdicts: memory that is acquired and never given back, hour after hour.
//!
//! # Method
//!
//! The **retained floor** of a component at a minute is the least that it held from that minute on, over the window
//! without its last hour: what was acquired by then and not given back since. Saw-teeth of garbage collectors, meetings
//! and caches that empty within the hour leave no trace in it, whatever their period. A leak is a floor that grows in
//! most parts of the window, without slowing down (warm-up, a cache that fills) and not in one jump (a model loaded).
//!
//! # Error rates
//!
//! With one verdict after 24 h, on 1,000 labelled traces for each class, target 10 MB/h (`tests/it/leaks.rs` asserts them):
//! stationary behaviour raises `suspected` at most 5 in 1,000 times in any class; 10 MB/h is found at least 90 in 100
//! times. A load that is never undone (about 3 %) and a cache that fills all day (1.3 % of 8,000 traces) look like leaks:
//! declare them with [`Watch::event`] and by subtracting what a cache says it holds.
//!
//! # What else is judged
//!
//! [`Meetings`] looks at what a component holds between meetings: "each meeting leaves 40 MB behind" is known after a few of
//! them and says more than a rate. [`cause`] tells growth of what the program holds from growth of what its allocator keeps.

mod meetings;
mod watch;

use serde::Serialize;

pub use meetings::{Meetings, WINDOWS_MAX};
pub use watch::Watch;

/// Minutes in the window that is judged.
pub const WINDOW_MINUTES: usize = 1_440;

/// Minutes that are left out after a start: warm-up.
pub const SKIP_MINUTES: usize = 60;

/// Minutes at the end in which something may still be given back.
pub const GUARD_MINUTES: usize = 60;

/// Fewest minutes between them for a verdict.
pub const JUDGED_MINUTES_MIN: usize = 240;

/// Idle windows between meetings that a per-meeting verdict needs.
pub const IDLE_WINDOWS_MIN: usize = 6;

/// How sure the verdict is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Verdict {
    /// No sign of a leak, or too little to judge by.
    #[default]
    None,
    /// The floor grew in 3 of 4 parts of the window.
    Suspected,
    /// The floor grew in 5 of 6 parts, the last included.
    Confirmed,
}

/// What the growth consists of, where the allocator's own figures tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Cause {
    /// The program holds more: a leak.
    Held,
    /// The program holds no more, its allocator keeps more: fragmentation. Trimming or another allocator helps.
    Fragmentation,
}

/// A verdict with its numbers. MB are 1,000,000 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Finding {
    /// How sure.
    pub verdict: Verdict,
    /// Growth of the floor per hour. `None`: too little to judge by.
    pub rate_mb_per_hour: Option<f64>,
    /// Between which rates the truth lies in 95 of 100 cases.
    pub rate_interval_mb_per_hour: Option<(f64, f64)>,
    /// Growth of the floor over the judged hours.
    pub grown_mb: f64,
    /// Hours that were judged.
    pub hours: f64,
    /// What the growth consists of. `None`: nothing leaks, or the component does not say what it has allocated.
    pub cause: Option<Cause>,
    /// The deciding numbers in words.
    pub evidence: String,
}

impl Finding {
    /// Returns the hours until the growth has used `free_bytes`, or `None` where nothing leaks.
    #[must_use]
    pub fn hours_left(&self, free_bytes: u64) -> Option<f64> {
        let rate = self.rate_mb_per_hour.filter(|r| *r > 0.0)?;
        (self.verdict > Verdict::None).then(|| free_bytes as f64 / 1e6 / rate)
    }
}

/// The two strictnesses. Source: chosen on the labelled corpus (see the module's error rates).
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
const TARGET_PART: f64 = 0.5;

/// The largest rise within 15 minutes may not be more than this part of the growth.
const JUMP_PART_MAX: f64 = 0.6;

/// Minutes over which a jump is looked for, and of a block of the interval's bootstrap.
const JUMP_MINUTES: usize = 15;

/// Judges a component by the least it held in each minute since its start, in MB, oldest first. What is not finite is
/// taken as unchanged.
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
            "the floor grew by {grown_mb:.0} MB in {hours:.1} h, by at least {:.1} MB in {} of {} parts",
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

/// Judges by what was held between meetings: one least value for each idle window, in MB, oldest first.
///
/// `target_mb` is what a meeting must leave behind to be worth finding.
#[must_use]
pub fn judge_meetings(idle_mb: &[f64], target_mb: f64) -> Finding {
    if idle_mb.len() < IDLE_WINDOWS_MIN {
        return Finding {
            evidence: "too few meetings to judge".to_owned(),
            ..Finding::default()
        };
    }
    let floor = retained(idle_mb.iter().copied());
    let steps: Vec<f64> = floor.windows(2).map(|w| w[1] - w[0]).collect();
    // The last window may still give something back.
    let judged = &steps[..steps.len() - 1];
    let grown_mb: f64 = judged.iter().sum();
    let whole: f64 = steps.iter().sum();
    let grew = judged
        .iter()
        .filter(|step| **step >= 0.25 * target_mb)
        .count();
    let largest = steps.iter().copied().fold(0.0, f64::max);
    let steady = grew as f64 >= 0.6 * judged.len() as f64 && largest <= JUMP_PART_MAX * whole;
    let leaks = steady && grown_mb >= TARGET_PART * target_mb * judged.len() as f64;
    let each = grown_mb / judged.len() as f64;
    Finding {
        verdict: if leaks {
            Verdict::Confirmed
        } else {
            Verdict::None
        },
        grown_mb,
        evidence: format!("each of {} meetings left {each:.0} MB behind", judged.len()),
        ..Finding::default()
    }
}

/// Tells a leak from fragmentation by the growth of the private bytes and of what the program itself has allocated.
#[must_use]
pub fn cause(private_grown_mb: f64, allocated_grown_mb: f64) -> Cause {
    // An allocator's own rounding keeps a few percent; what explains less than a quarter does not explain it.
    if allocated_grown_mb < 0.25 * private_grown_mb {
        Cause::Fragmentation
    } else {
        Cause::Held
    }
}

/// The retained floor of the judged minutes; `None`: too few.
fn floor(minutes_mb: &[f64]) -> Option<Vec<f64>> {
    let minutes = minutes_mb.get(SKIP_MINUTES..)?;
    let judged = minutes.len().checked_sub(GUARD_MINUTES)?;
    if judged < JUDGED_MINUTES_MIN {
        return None;
    }
    let mut last = minutes.iter().copied().find(|mb| mb.is_finite())?;
    let whole = minutes.iter().map(|mb| {
        if mb.is_finite() {
            last = *mb;
        }
        last
    });
    let mut floor = retained(whole);
    floor.truncate(judged);
    Some(floor)
}

/// The least value from each place on.
fn retained(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut floor: Vec<f64> = values.collect();
    for at in (1..floor.len()).rev() {
        floor[at - 1] = floor[at - 1].min(floor[at]);
    }
    floor
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

/// Interval of the rate by drawing the floor's increments again in blocks of an hour, which keep what belongs together.
fn interval(floor: &[f64]) -> (f64, f64) {
    const BLOCK: usize = 60;
    let blocks: Vec<f64> = floor[..floor.len() - 1]
        .chunks(BLOCK)
        .zip(floor[1..].chunks(BLOCK))
        .map(|(from, to)| (to[to.len() - 1] - from[0]) / to.len() as f64 * 60.0)
        .collect();
    // A fixed seed: the same trace has the same interval.
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
