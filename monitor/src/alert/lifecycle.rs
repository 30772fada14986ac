//! The lifecycle of an alert: when it begins, is repeated, and ends. Pure.

use std::collections::VecDeque;

use super::condition::{Condition, Facts};
use super::key::{Key, Kind, Severity};
use super::notice::{Alert, Event, Notice};

/// Times of an alert's lifecycle, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// How long Info must hold before it fires.
    pub info_for_ms: u64,
    /// How long Warning must hold before it fires. Critical fires at once.
    pub warning_for_ms: u64,
    /// How long an alert must be clear before it ends, and before it becomes less bad.
    pub keep_firing_ms: u64,
    /// Time after which a Warning is repeated. Info is not.
    pub warning_repeat_ms: u64,
    /// Time after which a Critical is repeated.
    pub critical_repeat_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            info_for_ms: 300_000,
            warning_for_ms: 30_000,
            keep_firing_ms: 120_000,
            warning_repeat_ms: 1_800_000,
            critical_repeat_ms: 300_000,
        }
    }
}

impl Timing {
    fn hold_ms(&self, severity: Severity) -> u64 {
        match severity {
            Severity::Info => self.info_for_ms,
            Severity::Warning => self.warning_for_ms,
            Severity::Critical => 0,
        }
    }
}

/// Loud notices that are not Critical within [`LOUD_WINDOW_MS`].
const LOUD_MAX: usize = 3;

/// Window of [`LOUD_MAX`].
const LOUD_WINDOW_MS: u64 = 600_000;

/// Most actions that are kept for one alert.
const ACTED_MAX: usize = 4;

/// Longest description of an action, in characters.
const ACTED_CHARS_MAX: usize = 200;

#[derive(Clone, Debug)]
struct Tracked {
    key: Key,
    facts: Facts,
    /// Actions since the alert began, the oldest first.
    acted: VecDeque<String>,
    state: State,
    /// Start of the firing, by the clock of the system.
    since_unix_ms: u64,
    notices: u32,
    acknowledged: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Ok,
    Pending { severity: Severity, since_ms: u64 },
    Firing(Firing),
}

#[derive(Clone, Copy, Debug)]
struct Firing {
    severity: Severity,
    since_ms: u64,
    notified_ms: u64,
    /// Since when it would be worse.
    worse_since_ms: Option<u64>,
    /// Since when it would be less bad.
    better_since_ms: Option<u64>,
    /// Since when it is clear.
    clear_since_ms: Option<u64>,
}

/// Every alert, by key.
///
/// # Memory
///
/// One entry per key: at most 7 kinds x 7 subjects.
#[derive(Clone, Debug)]
pub struct Alerts {
    timing: Timing,
    tracked: Vec<Tracked>,
    next_id: u64,
    loud_ms: [Option<u64>; LOUD_MAX],
}

impl Alerts {
    /// Starts without an alert. `first_id` is the number of the first notice.
    #[must_use]
    pub fn new(timing: Timing, first_id: u64) -> Self {
        Self {
            timing,
            tracked: Vec::new(),
            next_id: first_id,
            loud_ms: [None; LOUD_MAX],
        }
    }

    /// Takes the conditions of now, one per key, and returns the notices that are due.
    pub fn update(&mut self, conditions: Vec<Condition>, now_ms: u64, unix_ms: u64) -> Vec<Notice> {
        let mut due = Vec::new();
        for condition in conditions {
            if let Some((event, severity, facts)) = self.step(&condition, now_ms, unix_ms) {
                due.push((condition.key, event, severity, facts));
            }
        }
        // The worst first: the rate limit of loud notices must hit the others.
        due.sort_by_key(|(_, _, severity, _)| std::cmp::Reverse(*severity));
        due.into_iter()
            .map(|(key, event, severity, facts)| {
                let loud = !self.is_inhibited(key, severity) && self.may_be_loud(severity, now_ms);
                let id = self.next_id;
                self.next_id += 1;
                Notice {
                    id,
                    key,
                    event,
                    severity,
                    unix_ms,
                    loud,
                    facts,
                }
            })
            .collect()
    }

    /// Returns the alerts that are firing, the worst first.
    #[must_use]
    pub fn open(&self) -> Vec<Alert> {
        let mut open: Vec<Alert> = self.tracked.iter().filter_map(Tracked::open).collect();
        open.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.key));
        open
    }

    /// Records that the user has seen an alert. Returns whether it was open.
    pub fn acknowledge(&mut self, key: Key) -> bool {
        let found = self
            .tracked
            .iter_mut()
            .find(|t| t.key == key && t.open().is_some());
        found.is_some_and(|tracked| {
            tracked.acknowledged = true;
            true
        })
    }

    /// Records an action against an alert that is open or pending, for its notices from now on. Of
    /// more than four actions the oldest is left out. Returns whether there is such an alert.
    pub fn record_action(&mut self, key: Key, action: &str) -> bool {
        let active = |t: &&mut Tracked| t.key == key && !matches!(t.state, State::Ok);
        let found = self.tracked.iter_mut().find(active);
        found.is_some_and(|tracked| {
            tracked.act(action);
            true
        })
    }

    fn step(
        &mut self,
        condition: &Condition,
        now_ms: u64,
        unix_ms: u64,
    ) -> Option<(Event, Severity, Facts)> {
        let timing = self.timing;
        let at = self.tracked.iter().position(|t| t.key == condition.key);
        let at = at.unwrap_or_else(|| {
            self.tracked.push(Tracked::new(condition.key));
            self.tracked.len() - 1
        });
        let tracked = &mut self.tracked[at];
        let (event, severity) = tracked.step(condition, now_ms, &timing)?;
        if tracked.notices == 0 {
            tracked.since_unix_ms = unix_ms;
        }
        tracked.notices = tracked.notices.saturating_add(1);
        let facts = tracked.facts_with_actions();
        if event == Event::Resolved {
            tracked.acted.clear();
        }
        Some((event, severity, facts))
    }

    /// A warning about a component is quiet while the machine is critical, and growth while it is
    /// known as a leak.
    fn is_inhibited(&self, key: Key, severity: Severity) -> bool {
        let fires = |kind, component, least| {
            let wanted = Key::new(kind, component);
            self.tracked
                .iter()
                .filter(|t| t.key == wanted)
                .filter_map(Tracked::severity)
                .any(|s| s >= least)
        };
        let by_machine = key.component.is_some()
            && severity < Severity::Critical
            && fires(Kind::Pressure, None, Severity::Critical);
        let leaks = |kind| fires(kind, key.component, Severity::Warning);
        let by_leak = key.kind == Kind::Growing && (leaks(Kind::Leak) || leaks(Kind::MeetingLeak));
        by_machine || by_leak
    }

    fn may_be_loud(&mut self, severity: Severity, now_ms: u64) -> bool {
        if severity == Severity::Critical {
            return true;
        }
        let is_free = |slot: &&mut Option<u64>| {
            slot.is_none_or(|then| now_ms.saturating_sub(then) >= LOUD_WINDOW_MS)
        };
        self.loud_ms
            .iter_mut()
            .find(is_free)
            .map(|slot| *slot = Some(now_ms))
            .is_some()
    }
}

impl Tracked {
    fn new(key: Key) -> Self {
        Self {
            key,
            facts: Facts::default(),
            acted: VecDeque::new(),
            state: State::Ok,
            since_unix_ms: 0,
            notices: 0,
            acknowledged: false,
        }
    }

    fn severity(&self) -> Option<Severity> {
        match self.state {
            State::Firing(firing) => Some(firing.severity),
            State::Ok | State::Pending { .. } => None,
        }
    }

    fn open(&self) -> Option<Alert> {
        let State::Firing(firing) = self.state else {
            return None;
        };
        Some(Alert {
            key: self.key,
            severity: firing.severity,
            since_ms: firing.since_ms,
            since_unix_ms: self.since_unix_ms,
            notices: self.notices,
            acknowledged: self.acknowledged,
            resolving: firing.clear_since_ms.is_some(),
            facts: self.facts_with_actions(),
        })
    }

    fn act(&mut self, action: &str) {
        let action: String = action.chars().take(ACTED_CHARS_MAX).collect();
        if action.is_empty() || self.acted.contains(&action) {
            return;
        }
        if self.acted.len() == ACTED_MAX {
            self.acted.pop_front();
        }
        self.acted.push_back(action);
    }

    /// The facts with the actions that were taken.
    fn facts_with_actions(&self) -> Facts {
        let mut facts = self.facts.clone();
        for action in &self.acted {
            if !facts.done.is_empty() {
                facts.done.push_str("; ");
            }
            facts.done.push_str(action);
        }
        facts
    }

    fn step(
        &mut self,
        condition: &Condition,
        now_ms: u64,
        timing: &Timing,
    ) -> Option<(Event, Severity)> {
        if condition.raised.is_some() || matches!(self.state, State::Firing(_)) {
            self.facts.clone_from(&condition.facts);
        }
        match (self.state, condition.raised) {
            (State::Ok | State::Pending { .. }, None) => {
                self.state = State::Ok;
                self.acted.clear();
                None
            }
            (State::Ok, Some(severity)) => self.pend(severity, now_ms, now_ms, timing),
            (
                State::Pending {
                    severity: held,
                    since_ms,
                },
                Some(severity),
            ) => {
                // A worse state has its own wait, which Critical has not.
                let since_ms = if severity > held { now_ms } else { since_ms };
                self.pend(severity, since_ms, now_ms, timing)
            }
            (State::Firing(mut firing), raised) => {
                let event = firing.step(raised, condition.clear, now_ms, timing, self.acknowledged);
                if matches!(event, Some((Event::Raised, _))) {
                    self.acknowledged = false;
                }
                let ended = matches!(event, Some((Event::Resolved, _)));
                self.state = if ended {
                    State::Ok
                } else {
                    State::Firing(firing)
                };
                event
            }
        }
    }

    fn pend(
        &mut self,
        severity: Severity,
        since_ms: u64,
        now_ms: u64,
        timing: &Timing,
    ) -> Option<(Event, Severity)> {
        if now_ms.saturating_sub(since_ms) < timing.hold_ms(severity) {
            self.state = State::Pending { severity, since_ms };
            return None;
        }
        self.acknowledged = false;
        self.notices = 0;
        self.state = State::Firing(Firing {
            severity,
            since_ms: now_ms,
            notified_ms: now_ms,
            worse_since_ms: None,
            better_since_ms: None,
            clear_since_ms: None,
        });
        Some((Event::Raised, severity))
    }
}

impl Firing {
    fn step(
        &mut self,
        raised: Option<Severity>,
        clear: bool,
        now_ms: u64,
        timing: &Timing,
        acknowledged: bool,
    ) -> Option<(Event, Severity)> {
        let held = |since: &mut Option<u64>, holds: bool| {
            *since = if holds { since.or(Some(now_ms)) } else { None };
            since.map(|since_ms| now_ms.saturating_sub(since_ms))
        };
        let cleared = held(&mut self.clear_since_ms, raised.is_none() && clear);
        let worse = held(&mut self.worse_since_ms, raised > Some(self.severity));
        let better = held(
            &mut self.better_since_ms,
            raised.is_some() && raised < Some(self.severity),
        );
        if cleared.is_some_and(|ms| ms >= timing.keep_firing_ms) {
            return Some((Event::Resolved, self.severity));
        }
        if let (Some(severity), Some(ms)) = (raised, worse)
            && ms >= timing.hold_ms(severity)
        {
            (self.severity, self.notified_ms, self.worse_since_ms) = (severity, now_ms, None);
            return Some((Event::Raised, severity));
        }
        if let (Some(severity), Some(ms)) = (raised, better)
            && ms >= timing.keep_firing_ms
        {
            (self.severity, self.better_since_ms) = (severity, None);
        }
        let repeat_ms = match self.severity {
            Severity::Info => u64::MAX,
            Severity::Warning => timing.warning_repeat_ms,
            Severity::Critical => timing.critical_repeat_ms,
        };
        let due = cleared.is_none() && !acknowledged;
        if due && now_ms.saturating_sub(self.notified_ms) >= repeat_ms {
            self.notified_ms = now_ms;
            return Some((Event::Repeated, self.severity));
        }
        None
    }
}
