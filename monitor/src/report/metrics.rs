//! The app's memory as one flat record, the form that the app's other parts log and plot.

use serde::Serialize;

use super::alerts::{MemoryAlert, alerts};
use super::text::iso8601;
use crate::alert::Severity;
use crate::component::Component;
use crate::pressure::Level;
use crate::tracker::{ComponentView, Tracker};

/// The figures of one moment. A figure that is `None` is unknown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MemoryMetrics {
    /// Time, as ISO 8601.
    pub timestamp: String,
    /// The machine, or the control group around the app.
    pub system_memory: SystemMemoryMetrics,
    /// By component, under its name in lower case.
    pub component_memory: ComponentMemoryMetrics,
    /// Requested savings and the actions that were taken.
    pub optimization_status: OptimizationStatus,
    /// Alerts that are open, the worst first.
    pub alerts: Vec<MemoryAlert>,
}

/// Memory of the machine or of the control group, whichever is less, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SystemMemoryMetrics {
    /// Total.
    pub total_memory: Option<u64>,
    /// Part that the app can still have.
    pub available_memory: Option<u64>,
    /// The rest.
    pub used_memory: Option<u64>,
    /// The used part, 0 to 1.
    pub memory_pressure: Option<f64>,
    /// Swapped-out bytes of the machine.
    pub swap_usage: Option<u64>,
}

/// One record for each component.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ComponentMemoryMetrics {
    /// The LLM server and its runners.
    pub ollama: ComponentMetric,
    /// The transcription pipeline.
    pub audio: ComponentMetric,
    /// The web view and its shell.
    pub frontend: ComponentMetric,
    /// The HTTP backend.
    pub backend: ComponentMetric,
    /// This monitor.
    pub monitor: ComponentMetric,
    /// Processes and bytes of no other component.
    pub unattributed: ComponentMetric,
}

/// Memory of one component, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ComponentMetric {
    /// Private bytes now.
    pub current_usage: Option<u64>,
    /// Most private bytes ever.
    pub peak_usage: Option<u64>,
    /// Mean of the last two hours.
    pub average_usage: Option<u64>,
    /// Requested savings: 0 nothing, 1 caches that cost nothing, 2 everything idle, 3 as much as
    /// possible. It follows the pressure level, and is at least 2 where the component exceeds its
    /// own limit or the app its budget. While the pressure is unknown, it is 0.
    pub optimization_level: u8,
    /// Bytes that the component needs, divided by the private bytes that it holds; 0 to 1. It needs
    /// the bytes of its models and pipelines by their own account, or the bytes in use according to
    /// its allocator, whichever is more. `None`: nothing of it publishes such a figure.
    pub efficiency_score: Option<f64>,
}

/// Requested savings and the actions that were taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OptimizationStatus {
    /// How short the machine's memory is.
    pub memory_pressure_level: Level,
    /// Whether savings are requested.
    pub active: bool,
    /// Actions that were taken against the open alerts.
    pub actions: Vec<String>,
}

impl MemoryMetrics {
    /// Describes the app as of the last sample.
    #[must_use]
    pub fn new(tracker: &Tracker) -> Self {
        let (sample, capacity) = (tracker.last(), tracker.capacity());
        let (total, available) = (capacity.total_bytes.get(), capacity.available_bytes.get());
        let used = total
            .zip(available)
            .map(|(total, available)| total.saturating_sub(available));
        let level = tracker.pressure().level();
        let held = sample.total_bytes().get();
        let over_budget = held
            .zip(capacity.budget_bytes)
            .is_some_and(|(held, b)| held > b);
        let component = |c| ComponentMetric::new(&tracker.component(c), level, over_budget);
        let alerts = alerts(tracker);
        let done = |alert: &MemoryAlert| (!alert.done.is_empty()).then(|| alert.done.clone());
        Self {
            timestamp: iso8601(sample.at.unix_ms),
            system_memory: SystemMemoryMetrics {
                total_memory: total,
                available_memory: available,
                used_memory: used,
                memory_pressure: used.zip(total).map(|(used, total)| part_of(used, total)),
                swap_usage: sample.machine_swap_bytes(),
            },
            component_memory: ComponentMemoryMetrics {
                ollama: component(Component::Ollama),
                audio: component(Component::Audio),
                frontend: component(Component::Frontend),
                backend: component(Component::Backend),
                monitor: component(Component::Monitor),
                unattributed: component(Component::Unattributed),
            },
            optimization_status: OptimizationStatus {
                memory_pressure_level: level,
                active: level > Level::Low || alerts.iter().any(|a| a.severity > Severity::Info),
                actions: alerts.iter().filter_map(done).collect(),
            },
            alerts,
        }
    }
}

impl ComponentMetric {
    fn new(view: &ComponentView, level: Level, over_budget: bool) -> Self {
        let current = view.current_bytes.get();
        let over_limit = current
            .zip(view.limit_bytes)
            .is_some_and(|(current, limit)| current > limit);
        let requested = if over_limit || over_budget {
            level.max(Level::High)
        } else {
            level
        };
        Self {
            current_usage: current,
            peak_usage: view.peak_bytes,
            average_usage: view.average_bytes,
            optimization_level: requested.rank().unwrap_or(0),
            efficiency_score: view
                .needed_bytes
                .zip(current)
                .map(|(needed, current)| part_of(needed, current)),
        }
    }
}

/// A part of a whole, 0 to 1. A component that holds nothing wastes nothing.
fn part_of(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        1.0
    } else {
        (part as f64 / whole as f64).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_between_none_and_all() {
        for (part, whole, expected) in [(1, 2, 0.5), (3, 2, 1.0), (0, 5, 0.0), (0, 0, 1.0)] {
            assert_eq!(part_of(part, whole), expected, "{part} of {whole}");
        }
    }
}
