//! The app's memory as one flat record, the form that the app's other parts log and plot.

use serde::Serialize;

use super::{MemoryAlert, alerts, iso8601};
use crate::alert::Severity;
use crate::component::Component;
use crate::pressure::Level;
use crate::watcher::{ComponentView, Watcher};

/// Everything of one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MemoryMetrics {
    /// When, as ISO 8601.
    pub timestamp: String,
    /// The machine, or the control group around the app.
    pub system_memory: SystemMemoryMetrics,
    /// By component, under its name in lower case.
    pub component_memory: ComponentMemoryMetrics,
    /// What is asked for and what was done.
    pub optimization_status: OptimizationStatus,
    /// Alerts that are open, the worst first.
    pub alerts: Vec<MemoryAlert>,
}

/// Memory of the machine or of the control group, whichever is less, in bytes. `None`: cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SystemMemoryMetrics {
    /// What there is.
    pub total_memory: Option<u64>,
    /// What the app can still have.
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
    /// What no other component claims.
    pub unattributed: ComponentMetric,
}

/// Memory of one component, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ComponentMetric {
    /// Private bytes now.
    pub current_usage: u64,
    /// Most private bytes ever.
    pub peak_usage: u64,
    /// Mean of the last two hours.
    pub average_usage: u64,
    /// How much the component is asked to save: 0 nothing, 1 what costs nothing, 2 all that is idle, 3 all it can. It is
    /// the pressure level, or 2 where the component exceeds its own limit.
    pub optimization_level: u8,
    /// Bytes that the component is known to need, divided by the private bytes that it holds; 0 to 1. Needed are the
    /// models and the pipelines that say what they hold, or what its allocator says is in use, whichever is more. `None`:
    /// nothing of it says so.
    pub efficiency_score: Option<f64>,
}

/// What is asked for and what was done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OptimizationStatus {
    /// How short memory is.
    pub memory_pressure_level: Level,
    /// Whether anything is asked of the components.
    pub active: bool,
    /// What was done about the alerts that are open.
    pub actions: Vec<String>,
}

impl MemoryMetrics {
    /// Describes the app as it was at the last sample.
    #[must_use]
    pub fn new(watcher: &Watcher) -> Self {
        let sample = watcher.last();
        let (total, available) = (sample.limit_bytes(), sample.available_bytes());
        let used = total
            .zip(available)
            .map(|(total, available)| total.saturating_sub(available));
        let level = watcher.pressure().level();
        let component = |c| ComponentMetric::new(&watcher.component(c), level);
        let alerts = alerts(watcher);
        let done = |alert: &MemoryAlert| (!alert.done.is_empty()).then(|| alert.done.clone());
        Self {
            timestamp: iso8601(sample.at.unix_ms),
            system_memory: SystemMemoryMetrics {
                total_memory: total,
                available_memory: available,
                used_memory: used,
                memory_pressure: used.zip(total).map(|(used, total)| part_of(used, total)),
                swap_usage: sample
                    .machine
                    .map(|m| m.swap_total_bytes.saturating_sub(m.swap_free_bytes)),
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
    fn new(view: &ComponentView, level: Level) -> Self {
        let exceeds = view
            .limit_bytes
            .is_some_and(|limit| view.current_bytes > limit);
        let asked = if exceeds {
            level.max(Level::High)
        } else {
            level
        };
        Self {
            current_usage: view.current_bytes,
            peak_usage: view.peak_bytes,
            average_usage: view.average_bytes,
            optimization_level: asked as u8,
            efficiency_score: view
                .needed_bytes
                .map(|needed| part_of(needed, view.current_bytes)),
        }
    }
}

/// A part of a whole, 0 to 1. Who holds nothing wastes nothing.
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
