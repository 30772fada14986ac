//! The votes: a level from one kind of figure each, or none where the figure is missing.

use serde::Serialize;

use super::level::Level;
use crate::capacity::Capacity;
use crate::reader::Psi;
use crate::sample::Sample;

const MIB: u64 = 1 << 20;

/// What voted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Voter {
    /// Available memory of the machine or room in the control group.
    Available,
    /// Time lost waiting for memory.
    Stalls,
    /// Limits that the control group ran into since the last look.
    GroupEvents,
    /// No figure any more: the level is on its way down.
    Recovery,
    /// No figure yet or at present: available memory cannot be read.
    Blind,
}

/// A level with its reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Vote {
    /// The level.
    pub level: Level,
    /// What voted.
    pub voter: Voter,
    /// The figure: bytes that are available or held, percent of the time, a count of events, or
    /// seconds.
    pub value: f64,
    /// The threshold that it passed, in the same unit.
    pub threshold: f64,
    /// Both in words.
    pub reason: String,
}

/// Counters of the limits that the control group ran into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Events {
    high: u64,
    max: u64,
    oom: u64,
}

impl Events {
    /// One more than the counters, so that counters at 0 differ from none seen yet.
    /// `None`: the group cannot be read.
    pub(super) fn of(sample: &Sample) -> Option<Self> {
        let Some(group) = sample.cgroup.as_ref().known()? else {
            return Some(Self::default());
        };
        let of = |events: Option<u64>| events.map_or(0, |n| n.saturating_add(1));
        Some(Self {
            high: of(group.events_high),
            max: of(group.events_max),
            oom: of(group.events_oom),
        })
    }
}

pub(super) fn available(capacity: &Capacity, band: f64) -> Option<Vote> {
    let available_bytes = capacity.available_bytes.get()?;
    let thresholds = capacity.thresholds().get()?;
    let level = Level::of_available(available_bytes as f64 / band, &thresholds);
    let below_bytes = match level {
        Level::Critical => thresholds.critical_bytes,
        Level::High => thresholds.high_bytes,
        Level::Medium | Level::Low | Level::Unknown => thresholds.medium_bytes,
    };
    let (has, below) = (available_bytes / MIB, below_bytes / MIB);
    Some(Vote {
        level,
        voter: Voter::Available,
        value: available_bytes as f64,
        threshold: below_bytes as f64,
        reason: format!("{has} MiB available, below {below} MiB"),
    })
}

pub(super) fn group_events(old: Events, events: Events) -> Option<Vote> {
    let (level, what, value, threshold) = if events.max > old.max || events.oom > old.oom {
        let count = |events: Events| events.max.saturating_add(events.oom);
        (Level::Critical, "its hard limit", count(events), count(old))
    } else if events.high > old.high {
        (Level::High, "its throttling limit", events.high, old.high)
    } else {
        return None;
    };
    // The first look only learns the counters.
    (old != Events::default()).then(|| Vote {
        level,
        voter: Voter::GroupEvents,
        value: value as f64,
        threshold: threshold as f64,
        reason: format!("the control group ran into {what}"),
    })
}

pub(super) fn stalls(sample: &Sample, band: f64) -> Option<Vote> {
    let group = sample.cgroup().and_then(|group| group.psi);
    // Either may be missing: a container often shows its own stalls and hides the machine's.
    let machine = sample.psi.get();
    machine.or(group)?;
    let worst = |f: fn(&Psi) -> f64| machine.iter().chain(&group).map(f).fold(0.0, f64::max);
    let some = worst(|p| p.some.avg10_percent);
    let full = worst(|p| p.full.map_or(0.0, |full| full.avg10_percent));
    // `some` alone never makes Critical: one waiting task is no emergency.
    let (by_some, some_from) = step(some * band, [10.0, 25.0, f64::INFINITY]);
    let (by_full, full_from) = step(full * band, [f64::INFINITY, 5.0, 20.0]);
    let by_full_alone = by_full > by_some;
    Some(Vote {
        level: by_some.max(by_full),
        voter: Voter::Stalls,
        value: if by_full_alone { full } else { some },
        threshold: if by_full_alone { full_from } else { some_from },
        reason: format!("tasks waited for memory {some:.0} %, all at once {full:.0} % of 10 s"),
    })
}

/// The reason of a level that no figure asks for any more.
pub(super) fn recovery(level: Level, falls_after_ms: u64) -> Vote {
    let falls_after_s = falls_after_ms / 1_000;
    Vote {
        level,
        voter: Voter::Recovery,
        value: 0.0,
        threshold: falls_after_s as f64,
        reason: format!("memory is sufficient again; the level falls after {falls_after_s} s"),
    }
}

/// The reason of a level that cannot be judged.
pub(super) fn blind(why: &str) -> Vote {
    Vote {
        level: Level::Unknown,
        voter: Voter::Blind,
        value: 0.0,
        threshold: 0.0,
        reason: format!("available memory is unknown: {why}"),
    }
}

/// The level of a value and the threshold where that level begins, or where the first would.
fn step(value: f64, [medium, high, critical]: [f64; 3]) -> (Level, f64) {
    if value >= critical {
        (Level::Critical, critical)
    } else if value >= high {
        (Level::High, high)
    } else if value >= medium {
        (Level::Medium, medium)
    } else {
        (Level::Low, medium.min(high))
    }
}
