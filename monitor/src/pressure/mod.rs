//! How short memory is: a level, the vote that decided it, and its numbers.
//!
//! Several votes are taken, each from figures of its own that may be missing; the highest wins. A level is raised at once
//! and falls one step at a time, after 60 s in which every figure was a fifth better than what raised it.
//!
//! Source of the thresholds: they act before earlyoom's 10 % and agree with Chromium's 1,000 and 400 MB; the dead band of
//! 1.2 is that of XNU.

mod thresholds;
mod votes;

use serde::{Deserialize, Serialize};

use crate::sample::Sample;

pub use thresholds::{Thresholds, ThresholdsError};
use votes::Events;
pub use votes::{Vote, Voter};

/// How short memory is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[non_exhaustive]
pub enum Level {
    /// Enough.
    #[default]
    Low,
    /// Free what costs nothing to free.
    Medium,
    /// Reduce: unload what is idle, refuse large loads.
    High,
    /// The next allocation may fail: free at once.
    Critical,
}

impl Level {
    /// Every level, the lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Returns the name that reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }

    fn below(self) -> Self {
        match self {
            Self::Low | Self::Medium => Self::Low,
            Self::High => Self::Medium,
            Self::Critical => Self::High,
        }
    }
}

/// How long all figures must have been better before the level falls a step.
pub const FALL_AFTER_MS: u64 = 60_000;

/// How much better.
pub const DEAD_BAND: f64 = 1.2;

const MIB: u64 = 1 << 20;

/// Follows the pressure.
#[derive(Clone, Debug, Default)]
pub struct Pressure {
    /// Set by the user; `None`: by the size of the machine.
    thresholds: Option<Thresholds>,
    budget_bytes: Option<u64>,
    level: Level,
    /// Since when every figure is better by the dead band.
    better_since_ms: Option<u64>,
    reason: Option<Vote>,
    events: Events,
}

impl Pressure {
    /// Starts at [`Level::Low`] with thresholds by the size of the machine and no budget.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the thresholds of available memory, or lets the size of the machine decide.
    pub fn set_thresholds(&mut self, thresholds: Option<Thresholds>) {
        self.thresholds = thresholds;
    }

    /// Sets what the app may use in all.
    pub fn set_budget_bytes(&mut self, budget_bytes: Option<u64>) {
        self.budget_bytes = budget_bytes;
    }

    /// Returns what the app may use in all.
    #[must_use]
    pub fn budget_bytes(&self) -> Option<u64> {
        self.budget_bytes
    }

    /// Returns the level.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Returns the vote that decided last; `None`: the level is Low.
    #[must_use]
    pub fn reason(&self) -> Option<&Vote> {
        self.reason.as_ref()
    }

    /// Returns the thresholds that apply to a sample; `None`: its machine is unknown.
    #[must_use]
    pub fn thresholds(&self, sample: &Sample) -> Option<Thresholds> {
        self.thresholds.or_else(|| {
            let swap = sample.machine.is_some_and(|m| {
                m.swap_total_bytes > 0 && m.swap_free_bytes > m.swap_total_bytes / 10
            });
            sample
                .limit_bytes()
                .map(|total| Thresholds::for_machine(total, swap))
        })
    }

    /// Takes a sample and returns the level.
    pub fn update(&mut self, sample: &Sample) -> Level {
        let events = Events::of(sample);
        let votes = self.votes(sample, 1.0, events);
        let vote = votes.into_iter().max_by_key(|vote| vote.level);
        let eased = self
            .votes(sample, DEAD_BAND, events)
            .iter()
            .map(|v| v.level)
            .max();
        self.events = events;
        let (raw, eased) = (
            vote.as_ref().map_or(Level::Low, |v| v.level),
            eased.unwrap_or_default(),
        );
        let now_ms = sample.at.steady_ms;
        if raw >= self.level {
            self.better_since_ms = None;
            self.level = raw;
            self.reason = vote;
        } else if eased >= self.level {
            self.better_since_ms = None;
        } else {
            let since_ms = *self.better_since_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) >= FALL_AFTER_MS {
                self.level = self.level.below().max(raw);
                self.better_since_ms = Some(now_ms);
                self.reason = match self.level {
                    Level::Low => None,
                    level => vote.or_else(|| Some(votes::recovery(level, FALL_AFTER_MS))),
                };
            }
        }
        self.level
    }

    /// The votes above Low if every threshold were `band` times as careful.
    fn votes(&self, sample: &Sample, band: f64, events: Events) -> Vec<Vote> {
        let votes = [
            votes::available(sample, self.thresholds(sample), band),
            votes::stalls(sample, band),
            votes::budget(sample, self.budget_bytes, band),
            votes::group_events(self.events, events),
        ];
        votes
            .into_iter()
            .flatten()
            .filter(|vote| vote.level > Level::Low)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reader::{Cgroup, Machine, Psi};
    use crate::sample::Moment;

    const GIB: u64 = 1 << 30;

    fn sample(at_s: u64, available_bytes: u64) -> Sample {
        Sample {
            at: Moment::new(at_s * 1_000, 0),
            machine: Some(Machine::new(8 * GIB, available_bytes, 2 * GIB, 2 * GIB)),
            ..Sample::default()
        }
    }

    #[test]
    fn level_is_raised_at_once_and_falls_in_steps() {
        let mut pressure = Pressure::new();
        assert_eq!(pressure.update(&sample(0, 4 * GIB)), Level::Low);
        assert_eq!(pressure.update(&sample(1, 300 * MIB)), Level::Critical);
        assert_eq!(
            pressure.reason().unwrap().reason,
            "300 MiB available, below 491 MiB"
        );
        let seen: Vec<_> = (2..=190)
            .map(|s| pressure.update(&sample(s, 4 * GIB)))
            .collect();
        let changes: Vec<_> = seen
            .windows(2)
            .filter(|w| w[0] != w[1])
            .map(|w| w[1])
            .collect();
        assert_eq!(changes, [Level::High, Level::Medium, Level::Low]);
        assert_eq!(seen[59], Level::Critical);
        assert_eq!(seen[60], Level::High);
        assert_eq!(pressure.reason(), None);
        pressure.update(&sample(200, 300 * MIB));
        for s in 201..=261 {
            pressure.update(&sample(s, 4 * GIB));
        }
        let reason = pressure.reason().unwrap();
        assert_eq!((reason.level, reason.voter), (Level::High, Voter::Recovery));
    }

    #[test]
    fn level_stays_inside_the_dead_band() {
        let mut pressure = Pressure::new();
        pressure.update(&sample(0, 900 * MIB));
        // High began below 1,024 MiB; 1,100 is not yet a fifth better.
        for s in 1..600 {
            assert_eq!(pressure.update(&sample(s, 1_100 * MIB)), Level::High);
        }
    }

    #[test]
    fn budget_stalls_and_events_vote() {
        let mut pressure = Pressure::new();
        pressure.set_budget_bytes(Some(1_000 * MIB));
        let over = Sample {
            total_bytes: 950 * MIB,
            ..sample(0, 6 * GIB)
        };
        assert_eq!(pressure.update(&over), Level::High);
        assert_eq!(pressure.reason().unwrap().voter, Voter::Budget);
        let stalled = Sample {
            psi: Some(Psi::new(60.0, 20.0)),
            ..sample(1, 6 * GIB)
        };
        assert_eq!(Pressure::new().update(&stalled), Level::Critical);
        let some = Sample {
            psi: Some(Psi::new(99.0, 0.0)),
            ..sample(1, 6 * GIB)
        };
        assert_eq!(Pressure::new().update(&some), Level::High);
        let group = |max| {
            let group = Cgroup {
                events_max: Some(max),
                ..Cgroup::default()
            };
            Sample {
                cgroup: Some(group),
                ..sample(2, 6 * GIB)
            }
        };
        let mut pressure = Pressure::new();
        assert_eq!(
            pressure.update(&group(7)),
            Level::Low,
            "what was before is no news"
        );
        assert_eq!(pressure.update(&group(8)), Level::Critical);
    }

    #[test]
    fn nothing_known_is_low() {
        assert_eq!(Pressure::new().update(&Sample::default()), Level::Low);
    }

    proptest! {
        /// Less available memory never gives a lower level.
        ///
        /// Feature: meetily-memory-optimization, Property 1: Memory Monitoring Completeness
        #[test]
        fn level_is_monotone_in_available_memory(
            total in 1..64_u64, less in 0..1_u64 << 36, more in 0..1_u64 << 36, swap: bool,
            some in 0.0..100.0, full in 0.0..100.0,
        ) {
            let level = |available| {
                let swap = u64::from(swap) * GIB;
                let mut sample = sample(0, 0);
                sample.machine = Some(Machine::new(total * GIB, available, swap, swap));
                sample.psi = Some(Psi::new(some, full));
                Pressure::new().update(&sample)
            };
            prop_assert!(level(less.min(more)) >= level(less.max(more)));
        }

        /// Constant input after any history leads to one level and stays there.
        ///
        /// Feature: meetily-memory-optimization, Property 1: Memory Monitoring Completeness
        #[test]
        fn constant_input_never_oscillates(
            history in prop::collection::vec(0..8 * GIB, 0..50), constant in 0..8 * GIB,
        ) {
            let mut pressure = Pressure::new();
            let n = history.len() as u64;
            for (s, available) in (0..).zip(history) {
                pressure.update(&sample(s, available));
            }
            let seen: Vec<_> =
                (n..n + 400).map(|s| pressure.update(&sample(s, constant))).collect();
            let falls = seen.windows(2).filter(|w| w[1] < w[0]).count();
            let rises = seen.windows(2).filter(|w| w[1] > w[0]).count();
            prop_assert!(falls <= 3 && rises == 0, "{} falls, {} rises", falls, rises);
        }
    }
}
