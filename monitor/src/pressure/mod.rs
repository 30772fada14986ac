//! How short the machine's memory is: a level, the vote that decided it, and its numbers.
//!
//! Several votes are taken, each from figures of its own that may be missing; the highest wins. A
//! level rises at once and falls one step at a time, after 60 s in which every figure was a fifth
//! better than the threshold that raised it. A sample that cannot be read is [`Level::Unknown`],
//! and the 60 s start again after it. The app's own budget has no vote: exceeding it
//! is no shortage of the machine.
//!
//! Source of the thresholds: they act before earlyoom's 10 % and agree with Chromium's 1,000 and
//! 400 MB; the dead band of 1.2 is that of XNU.

mod level;
mod votes;

use crate::capacity::Capacity;
use crate::sample::Sample;

pub use level::Level;
use votes::Events;
pub use votes::{Vote, Voter};

/// How long all figures must have been better before the level falls a step.
const FALL_AFTER_MS: u64 = 60_000;

/// How much better.
pub(crate) const DEAD_BAND: f64 = 1.2;

/// The pressure on the machine, followed from sample to sample.
#[derive(Clone, Debug, Default)]
pub struct Pressure {
    level: Level,
    /// The last level that was known: where the descent goes on after a blind sample.
    held: Level,
    /// Since when every figure is better by the dead band.
    better_since_ms: Option<u64>,
    reason: Option<Vote>,
    events: Events,
}

impl Pressure {
    /// Starts at [`Level::Unknown`].
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Returns the level.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Returns the vote that decided last. `None`: the level is Low, or there is no sample yet.
    #[must_use]
    pub fn reason(&self) -> Option<&Vote> {
        self.reason.as_ref()
    }

    /// Takes a sample and returns the level.
    pub(crate) fn update(&mut self, sample: &Sample, capacity: &Capacity) -> Level {
        // Counters that cannot be read now are compared again when they can.
        let events = Events::of(sample).unwrap_or(self.events);
        let vote = highest(self.votes(sample, capacity, 1.0, events));
        let eased = highest(self.votes(sample, capacity, DEAD_BAND, events));
        self.events = events;
        let raw = vote.as_ref().map_or(Level::Low, |vote| vote.level);
        if let Some(why) = capacity.available_bytes.why()
            && (raw == Level::Low || raw < self.held)
        {
            self.better_since_ms = None;
            self.level = Level::Unknown;
            self.reason = Some(votes::blind(why));
            return self.level;
        }
        self.level = self.follow(
            vote,
            eased.map_or(Level::Low, |v| v.level),
            sample.at.steady_ms,
        );
        self.held = self.level;
        self.level
    }

    /// The next level: up at once, down a step at a time.
    fn follow(&mut self, vote: Option<Vote>, eased: Level, now_ms: u64) -> Level {
        let raw = vote.as_ref().map_or(Level::Low, |vote| vote.level);
        let held = self.held;
        if raw >= held {
            self.better_since_ms = None;
            self.reason = vote;
            return raw;
        }
        if eased >= held {
            self.better_since_ms = None;
            return held;
        }
        let since_ms = *self.better_since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since_ms) < FALL_AFTER_MS {
            return held;
        }
        let level = held.below().max(raw);
        self.better_since_ms = Some(now_ms);
        self.reason = match level {
            Level::Low => None,
            level => vote.or_else(|| Some(votes::recovery(level, FALL_AFTER_MS))),
        };
        level
    }

    /// The votes above Low if every threshold were `band` times as careful.
    fn votes(
        &self,
        sample: &Sample,
        capacity: &Capacity,
        band: f64,
        events: Events,
    ) -> impl Iterator<Item = Vote> + use<> {
        let votes = [
            votes::available(capacity, band),
            votes::stalls(sample, band),
            votes::group_events(self.events, events),
        ];
        votes.into_iter().flatten()
    }
}

fn highest(votes: impl Iterator<Item = Vote>) -> Option<Vote> {
    votes
        .filter(|vote| vote.level > Level::Low)
        .max_by_key(|vote| vote.level)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capacity::Settings;
    use crate::reader::{Cgroup, Machine, Psi};
    use crate::reading::Reading;
    use crate::sample::Moment;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn sample(at_s: u64, available_bytes: u64) -> Sample {
        Sample {
            at: Moment::new(at_s * 1_000, 0),
            machine: Reading::Known(Machine::new(8 * GIB, available_bytes, 2 * GIB, 2 * GIB)),
            ..Sample::default()
        }
    }

    fn update(pressure: &mut Pressure, sample: &Sample) -> Level {
        let settings = Settings::default();
        pressure.update(
            sample,
            &Capacity::new(&sample.machine, &sample.cgroup, settings),
        )
    }

    #[test]
    fn level_is_raised_at_once_and_falls_in_steps() {
        let mut pressure = Pressure::new();
        assert_eq!(update(&mut pressure, &sample(0, 4 * GIB)), Level::Low);
        assert_eq!(
            update(&mut pressure, &sample(1, 300 * MIB)),
            Level::Critical
        );
        assert_eq!(
            pressure.reason().unwrap().reason,
            "300 MiB available, below 491 MiB"
        );
        let seen: Vec<_> = (2..=190)
            .map(|s| update(&mut pressure, &sample(s, 4 * GIB)))
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
        update(&mut pressure, &sample(200, 300 * MIB));
        for s in 201..=261 {
            update(&mut pressure, &sample(s, 4 * GIB));
        }
        let reason = pressure.reason().unwrap();
        assert_eq!((reason.level, reason.voter), (Level::High, Voter::Recovery));
    }

    #[test]
    fn level_stays_inside_the_dead_band() {
        let mut pressure = Pressure::new();
        update(&mut pressure, &sample(0, 900 * MIB));
        // High began below 1,024 MiB; 1,100 is not yet a fifth better.
        for s in 1..600 {
            assert_eq!(update(&mut pressure, &sample(s, 1_100 * MIB)), Level::High);
        }
    }

    #[test]
    fn stalls_and_events_vote() {
        let stalled = |some, full| Sample {
            psi: Reading::Known(Psi::new(some, full)),
            ..sample(1, 6 * GIB)
        };
        assert_eq!(
            update(&mut Pressure::new(), &stalled(60.0, 20.0)),
            Level::Critical
        );
        assert_eq!(
            update(&mut Pressure::new(), &stalled(99.0, 0.0)),
            Level::High
        );
        let group = |max| {
            let group = Cgroup {
                events_max: Some(max),
                ..Cgroup::default()
            };
            Sample {
                cgroup: Reading::Known(Some(group)),
                ..sample(2, 6 * GIB)
            }
        };
        let mut pressure = Pressure::new();
        assert_eq!(
            update(&mut pressure, &group(7)),
            Level::Low,
            "events before the first sample are old"
        );
        assert_eq!(update(&mut pressure, &group(8)), Level::Critical);
    }

    #[test]
    fn blind_sample_is_unknown_and_no_recovery() {
        let mut pressure = Pressure::new();
        assert_eq!(pressure.level(), Level::Unknown, "before the first sample");
        let blind = |at_s| Sample {
            machine: Reading::unknown("cannot read /proc/meminfo"),
            ..sample(at_s, 0)
        };
        update(&mut pressure, &sample(0, 300 * MIB));
        for s in 1..=30 {
            update(&mut pressure, &sample(s, 4 * GIB));
        }
        assert_eq!(update(&mut pressure, &blind(31)), Level::Unknown);
        let reason = &pressure.reason().unwrap().reason;
        assert_eq!(
            reason,
            "available memory is unknown: cannot read /proc/meminfo"
        );
        for s in 32..92 {
            assert_eq!(
                update(&mut pressure, &sample(s, 4 * GIB)),
                Level::Critical,
                "{s}"
            );
        }
        assert_eq!(update(&mut pressure, &sample(92, 4 * GIB)), Level::High);
        // What can be read still raises the level.
        let mut stalled = blind(93);
        stalled.psi = Reading::Known(Psi::new(60.0, 20.0));
        assert_eq!(update(&mut pressure, &stalled), Level::Critical);
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
                let machine = Machine::new(total * GIB, available, swap, swap);
                sample.machine = Reading::Known(machine);
                sample.psi = Reading::Known(Psi::new(some, full));
                update(&mut Pressure::new(), &sample)
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
                update(&mut pressure, &sample(s, available));
            }
            let seen: Vec<_> =
                (n..n + 400).map(|s| update(&mut pressure, &sample(s, constant))).collect();
            let falls = seen.windows(2).filter(|w| w[1] < w[0]).count();
            let rises = seen.windows(2).filter(|w| w[1] > w[0]).count();
            prop_assert!(falls <= 3 && rises == 0, "{} falls, {} rises", falls, rises);
        }
    }
}
