//! What holds of each alert: from figures to conditions with words. Pure.

use super::{ComponentView, LEAK_TARGET_MB_PER_HOUR, MEETING_TARGET_MB, Watcher};
use crate::alert::{Condition, Facts, Key, Kind, Severity};
use crate::component::Component;
use crate::leak::{Cause, Verdict};
use crate::pressure::{DEAD_BAND, Level};
use crate::trend::Trend;

/// States what holds of every alert after the last sample.
pub(super) fn of(watcher: &Watcher) -> Vec<Condition> {
    let mut conditions = vec![pressure(watcher), blind(watcher)];
    for component in Component::ALL {
        let view = watcher.component(component);
        conditions.push(limit(&view));
        conditions.push(growing(&view));
        conditions.push(leak(watcher, &view));
        conditions.push(meeting_leak(&view));
    }
    conditions
}

fn pressure(watcher: &Watcher) -> Condition {
    let level = watcher.pressure.level();
    let raised = match level {
        Level::Low => None,
        Level::Medium => Some(Severity::Info),
        Level::High => Some(Severity::Warning),
        Level::Critical => Some(Severity::Critical),
    };
    let vote = watcher.pressure.reason();
    let reason = match vote {
        Some(vote) => format!("memory pressure is {}: {}", level.name(), vote.reason),
        None => format!("memory pressure is {}", level.name()),
    };
    let largest = largest(watcher);
    let advice = match level {
        Level::Low => String::new(),
        Level::Medium => format!("Close what you do not need; {largest} holds most"),
        Level::High => format!("Unload idle models or close programs; {largest} holds most"),
        Level::Critical => {
            format!("Save your work, then restart or reconfigure {largest}, which holds most")
        }
    };
    let faster = watcher.measures_faster && level >= Level::High;
    let done = if faster {
        "measured every second until it is over"
    } else {
        ""
    };
    let facts = Facts {
        value: vote.map_or(0.0, |vote| vote.value),
        threshold: vote.map_or(0.0, |vote| vote.threshold),
        reason,
        done: done.to_owned(),
        advice,
    };
    let clear = level == Level::Low;
    Condition::new(Key::new(Kind::Pressure, None), raised, clear, facts)
}

fn blind(watcher: &Watcher) -> Condition {
    let last = &watcher.last;
    let reason = last.reasons.first().filter(|_| last.machine.is_none());
    let facts = reason.map_or_else(Facts::default, |reason| Facts {
        reason: format!("memory cannot be measured: {reason}"),
        done: "until it can be, pressure is judged by the budget and by what can be read"
            .to_owned(),
        advice: "Check that this user may read the system's memory figures".to_owned(),
        ..Facts::default()
    });
    let raised = reason.map(|_| Severity::Warning);
    Condition::new(Key::new(Kind::Blind, None), raised, reason.is_none(), facts)
}

fn leak(watcher: &Watcher, view: &ComponentView) -> Condition {
    let raised = match view.leak.verdict {
        Verdict::None => None,
        Verdict::Suspected => Some(Severity::Info),
        Verdict::Confirmed => Some(Severity::Warning),
    };
    let rate = view.leak.rate_mb_per_hour.unwrap_or(0.0);
    let free_bytes = watcher
        .pressure
        .budget_bytes()
        .map(|budget| budget.saturating_sub(watcher.last.total_bytes))
        .or_else(|| watcher.last.available_bytes());
    let left = free_bytes.and_then(|free| view.leak.hours_left(free));
    let until = left.map_or_else(String::new, |h| format!(", enough for {h:.0} h"));
    let (component, name) = (view.component, named(view.component));
    let (what, advice) = match view.leak.cause {
        Some(Cause::Fragmentation) => (
            "its allocator keeps what it has freed",
            format!(
                "Trim the allocator of {name}, or use another one; a restart helps for a while"
            ),
        ),
        Some(Cause::Held) | None => (
            "does not give memory back",
            format!("Restart {name} when it is idle, and report the figures"),
        ),
    };
    let facts = Facts {
        value: rate,
        threshold: LEAK_TARGET_MB_PER_HOUR,
        reason: format!("{what}: {rate:.0} MB/h{until}; {}", view.leak.evidence),
        done: String::new(),
        advice,
    };
    let clear = view.leak.verdict == Verdict::None;
    Condition::new(Key::new(Kind::Leak, Some(component)), raised, clear, facts)
}

fn meeting_leak(view: &ComponentView) -> Condition {
    let found = view.meeting_leak.verdict > Verdict::None;
    let facts = Facts {
        value: view.meeting_leak.grown_mb,
        threshold: MEETING_TARGET_MB,
        reason: view.meeting_leak.evidence.clone(),
        done: String::new(),
        advice: format!(
            "Restart {} between meetings, and report the figures",
            named(view.component)
        ),
    };
    let key = Key::new(Kind::MeetingLeak, Some(view.component));
    Condition::new(key, found.then_some(Severity::Warning), !found, facts)
}

/// The name in advice: nobody can restart what is called Unattributed.
fn named(component: Component) -> &'static str {
    match component {
        Component::Unattributed => "the app itself",
        Component::Monitor => "the monitor",
        other => other.name(),
    }
}

/// What holds most, by its name in advice.
fn largest(watcher: &Watcher) -> &'static str {
    let bytes = |c: &Component| watcher.last.part(*c).private_bytes;
    Component::ALL
        .into_iter()
        .max_by_key(bytes)
        .map_or("the app itself", named)
}

fn limit(view: &ComponentView) -> Condition {
    let key = Key::new(Kind::Limit, Some(view.component));
    let Some(limit_bytes) = view.limit_bytes.filter(|l| *l > 0) else {
        return Condition::new(key, None, true, Facts::default());
    };
    let part = view.current_bytes as f64 / limit_bytes as f64;
    let raised = if part > 1.1 {
        Some(Severity::Critical)
    } else if part > 1.0 {
        Some(Severity::Warning)
    } else if part > 0.9 {
        Some(Severity::Info)
    } else {
        None
    };
    let (has, limit) = (view.current_bytes >> 20, limit_bytes >> 20);
    let facts = Facts {
        value: view.current_bytes as f64,
        threshold: limit_bytes as f64,
        reason: format!("holds {has} MiB, {:.0} % of its {limit} MiB", part * 100.0),
        done: String::new(),
        advice: format!("Restart {} or raise its limit", named(view.component)),
    };
    Condition::new(key, raised, part < 0.9 / DEAD_BAND, facts)
}

fn growing(view: &ComponentView) -> Condition {
    let grows = view.trend == Trend::Growing;
    let facts = Facts {
        value: view.current_bytes as f64,
        threshold: view.average_bytes as f64,
        reason: format!(
            "grew over the last hour to {} MiB",
            view.current_bytes >> 20
        ),
        done: String::new(),
        advice: "Watch whether it goes on; a leak verdict needs six hours".to_owned(),
    };
    let key = Key::new(Kind::Growing, Some(view.component));
    Condition::new(key, grows.then_some(Severity::Info), !grows, facts)
}
