//! The conditions of every alert: from figures to words. Pure.

use super::view::{AppView, ComponentView};
use crate::alert::{Condition, Facts, Key, Kind, Severity};
use crate::component::Component;
use crate::leak::{Cause, Verdict};
use crate::pressure::{DEAD_BAND, Level};
use crate::trend::Trend;

/// Rate of a leak that is worth finding, in MB (1,000,000 bytes) per hour.
pub(super) const LEAK_TARGET_MB_PER_HOUR: f64 = 10.0;

/// Memory that a meeting must leave behind to be worth finding, in MB (1,000,000 bytes).
pub(super) const MEETING_TARGET_MB: f64 = 20.0;

/// Part of the budget above which an Info is raised. Above the whole, it is a Warning.
const BUDGET_INFO: f64 = 0.8;

/// Part of a component's limit above which an Info is raised.
const LIMIT_INFO: f64 = 0.9;

/// Part of a component's limit above which a Critical is raised. Above the whole, it is a Warning.
const LIMIT_CRITICAL: f64 = 1.1;

/// Returns the condition of every alert after a sample.
pub(super) fn of(app: &AppView<'_>) -> Vec<Condition> {
    let mut conditions = vec![pressure(app), budget(app), blind(app)];
    for view in &app.components {
        conditions.push(limit(view));
        conditions.push(growing(view));
        conditions.push(leak(app, view));
        conditions.push(meeting_leak(view));
    }
    conditions
}

fn pressure(app: &AppView<'_>) -> Condition {
    let level = app.pressure.level();
    let raised = match level {
        Level::Unknown | Level::Low => None,
        Level::Medium => Some(Severity::Info),
        Level::High => Some(Severity::Warning),
        Level::Critical => Some(Severity::Critical),
    };
    let vote = app.pressure.reason();
    let reason = match vote {
        Some(vote) => format!("memory pressure is {}: {}", level.name(), vote.reason),
        None => format!("memory pressure is {}", level.name()),
    };
    let largest = largest(app);
    let advice = match level {
        Level::Unknown | Level::Low => String::new(),
        Level::Medium => format!("Close what you do not need; {largest} holds most"),
        Level::High => format!("Unload idle models or close programs; {largest} holds most"),
        Level::Critical => {
            format!("Save your work, then restart or reconfigure {largest}, which holds most")
        }
    };
    let faster = app.samples_faster && level >= Level::High;
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
    // An unknown level neither raises nor clears.
    let clear = level == Level::Low;
    Condition::new(Key::new(Kind::Pressure, None), raised, clear, facts)
}

/// The app's own budget. Exceeding it is never Critical: the machine may have plenty of memory.
fn budget(app: &AppView<'_>) -> Condition {
    let key = Key::new(Kind::Budget, None);
    let Some(budget_bytes) = app.capacity.budget_bytes else {
        return Condition::new(key, None, true, Facts::default());
    };
    let Some(total_bytes) = app.total_bytes.get() else {
        return Condition::new(key, None, false, Facts::default());
    };
    let part = total_bytes as f64 / budget_bytes as f64;
    let raised = if part > 1.0 {
        Some(Severity::Warning)
    } else if part > BUDGET_INFO {
        Some(Severity::Info)
    } else {
        None
    };
    let (holds, budget) = (total_bytes >> 20, budget_bytes >> 20);
    let facts = Facts {
        value: total_bytes as f64,
        threshold: budget_bytes as f64,
        reason: format!(
            "the app holds {holds} MiB, {:.0} % of its budget of {budget} MiB",
            part * 100.0
        ),
        done: String::new(),
        advice: format!(
            "Unload idle models or raise the budget; {} holds most",
            largest(app)
        ),
    };
    Condition::new(key, raised, part < BUDGET_INFO / DEAD_BAND, facts)
}

fn blind(app: &AppView<'_>) -> Condition {
    let parts = app.components.iter().find_map(|c| c.current_bytes.why());
    let reason = app.capacity.available_bytes.why().or(parts);
    let facts = reason.map_or_else(Facts::default, |reason| Facts {
        reason: format!("memory cannot be measured: {reason}"),
        done: "until it can be, only the readable figures are judged".to_owned(),
        advice: "Check that this user may read the system's memory figures, and that the program \
                 has open files left"
            .to_owned(),
        ..Facts::default()
    });
    let raised = reason.map(|_| Severity::Warning);
    Condition::new(Key::new(Kind::Blind, None), raised, reason.is_none(), facts)
}

fn leak(app: &AppView<'_>, view: &ComponentView) -> Condition {
    let raised = match view.leak.verdict {
        Verdict::None => None,
        Verdict::Suspected => Some(Severity::Info),
        Verdict::Confirmed => Some(Severity::Warning),
    };
    let rate = view.leak.rate_mb_per_hour.unwrap_or(0.0);
    let headroom = app.capacity.headroom_bytes(app.total_bytes.clone());
    let left = headroom.get().and_then(|free| view.leak.hours_left(free));
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

/// The name in advice: nobody can restart "Unattributed".
fn named(component: Component) -> &'static str {
    match component {
        Component::Unattributed => "the app itself",
        Component::Monitor => "the monitor",
        other => other.name(),
    }
}

/// The component that holds most, by its name in advice.
fn largest(app: &AppView<'_>) -> &'static str {
    app.components
        .iter()
        .max_by_key(|view| view.current_bytes.get())
        .map_or("the app itself", |view| named(view.component))
}

fn limit(view: &ComponentView) -> Condition {
    let key = Key::new(Kind::Limit, Some(view.component));
    let Some(limit_bytes) = view.limit_bytes.filter(|l| *l > 0) else {
        return Condition::new(key, None, true, Facts::default());
    };
    let Some(current_bytes) = view.current_bytes.get() else {
        return Condition::new(key, None, false, Facts::default());
    };
    let part = current_bytes as f64 / limit_bytes as f64;
    let raised = if part > LIMIT_CRITICAL {
        Some(Severity::Critical)
    } else if part > 1.0 {
        Some(Severity::Warning)
    } else if part > LIMIT_INFO {
        Some(Severity::Info)
    } else {
        None
    };
    let (has, limit) = (current_bytes >> 20, limit_bytes >> 20);
    let facts = Facts {
        value: current_bytes as f64,
        threshold: limit_bytes as f64,
        reason: format!("holds {has} MiB, {:.0} % of its {limit} MiB", part * 100.0),
        done: String::new(),
        advice: format!("Restart {} or raise its limit", named(view.component)),
    };
    Condition::new(key, raised, part < LIMIT_INFO / DEAD_BAND, facts)
}

fn growing(view: &ComponentView) -> Condition {
    let key = Key::new(Kind::Growing, Some(view.component));
    let clear = matches!(view.trend, Trend::Stable | Trend::Shrinking);
    let (Trend::Growing, Some(current_bytes)) = (view.trend, view.current_bytes.get()) else {
        return Condition::new(key, None, clear, Facts::default());
    };
    let facts = Facts {
        value: current_bytes as f64,
        threshold: view.average_bytes.unwrap_or(0) as f64,
        reason: format!("grew over the last hour to {} MiB", current_bytes >> 20),
        done: String::new(),
        advice: "Watch whether it goes on; a leak verdict needs six hours".to_owned(),
    };
    Condition::new(key, Some(Severity::Info), false, facts)
}
