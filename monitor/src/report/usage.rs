//! The memory of the app and of its components now.

use serde::Serialize;

use super::alerts::{OptimizationRecommendation, recommendations};
use super::text::iso8601;
use crate::component::Component;
use crate::leak::{Finding, Verdict};
use crate::pressure::Level;
use crate::reader::Basis;
use crate::tracker::Tracker;
use crate::trend::Trend;

/// The app's memory now. A figure that is `None` is unknown, and the field of its name that ends in
/// `_unknown` holds the reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MemoryUsageReport {
    /// Time, as ISO 8601.
    pub timestamp: String,
    /// RAM of the machine, or the limit of its control group.
    pub total_system_memory: Option<u64>,
    /// Why it is unknown.
    pub total_system_memory_unknown: Option<String>,
    /// What the app can still have.
    pub available_memory: Option<u64>,
    /// Why it is unknown.
    pub available_memory_unknown: Option<String>,
    /// Swapped-out bytes of the machine.
    pub swap_usage: Option<u64>,
    /// Private bytes of all processes of the app: the sum of the breakdown.
    pub meetily_total_usage: Option<u64>,
    /// Why it is unknown.
    pub meetily_total_usage_unknown: Option<String>,
    /// What the app may use in all. `None`: as much as there is.
    pub budget: Option<u64>,
    /// By component.
    pub component_breakdown: Vec<ComponentMemoryUsage>,
    /// How short the machine's memory is. An exceeded budget does not change it.
    pub memory_pressure_level: Level,
    /// Reason of the level.
    pub memory_pressure_reason: Option<String>,
    /// Recommended actions, the most urgent first.
    pub recommendations: Vec<OptimizationRecommendation>,
    /// Composition of private bytes on this system; of several kinds the one that is an estimate.
    /// `None`: no process is measured.
    pub basis: Option<Basis>,
    /// Whether any figure is an estimate.
    pub estimated: bool,
    /// Why figures are missing or estimated.
    pub reasons: Vec<String>,
}

/// Memory of one component. A figure that is `None` is unknown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ComponentMemoryUsage {
    /// The component.
    pub component: Component,
    /// Private bytes now.
    pub current_usage: Option<u64>,
    /// Why they are unknown.
    pub current_usage_unknown: Option<String>,
    /// Most private bytes ever.
    pub peak_usage: Option<u64>,
    /// Mean of the last two hours.
    pub average_usage: Option<u64>,
    /// Direction of the last hour; a component that leaks grows.
    pub memory_trend: Trend,
    /// Bytes in RAM, shared pages and mapped files included.
    pub resident: Option<u64>,
    /// Mapped files in RAM, which the kernel can drop: not part of the usage.
    pub reclaimable: Option<u64>,
    /// Share of all pages in RAM and swap, each divided by the number of its users; some minutes
    /// old.
    pub proportional: Option<u64>,
    /// Processes.
    pub processes: u32,
    /// Its limit. `None`: it has none.
    pub limit: Option<u64>,
    /// Whether the figures are estimates.
    pub estimated: bool,
    /// Composition of its private bytes. `None`: it has no process of its own.
    pub basis: Option<Basis>,
    /// Whether it leaks.
    pub leak: Finding,
    /// Whether each meeting leaves memory behind in it.
    pub meeting_leak: Finding,
}

impl MemoryUsageReport {
    /// Describes the app as of the last sample.
    #[must_use]
    pub fn new(tracker: &Tracker) -> Self {
        let (sample, capacity) = (tracker.last(), tracker.capacity());
        let breakdown: Vec<_> = Component::ALL
            .map(|c| ComponentMemoryUsage::new(tracker, c))
            .into_iter()
            .collect();
        let basis = breakdown.iter().filter_map(|c| c.basis);
        let basis = basis.reduce(|a, b| if b.is_estimated() { b } else { a });
        let machine_estimated = sample.machine.get().is_some_and(|m| m.estimated);
        let total = sample.total_bytes();
        let why = |why: Option<&str>| why.map(str::to_owned);
        Self {
            timestamp: iso8601(sample.at.unix_ms),
            total_system_memory: capacity.total_bytes.get(),
            total_system_memory_unknown: why(capacity.total_bytes.why()),
            available_memory: capacity.available_bytes.get(),
            available_memory_unknown: why(capacity.available_bytes.why()),
            swap_usage: sample.machine_swap_bytes(),
            meetily_total_usage: total.get(),
            meetily_total_usage_unknown: why(total.why()),
            budget: capacity.budget_bytes,
            estimated: machine_estimated || breakdown.iter().any(|c| c.estimated),
            component_breakdown: breakdown,
            memory_pressure_level: tracker.pressure().level(),
            memory_pressure_reason: tracker.pressure().reason().map(|vote| vote.reason.clone()),
            recommendations: recommendations(&tracker.alerts()),
            basis,
            reasons: sample.reasons.clone(),
        }
    }
}

impl ComponentMemoryUsage {
    /// Describes one component as of the last sample.
    #[must_use]
    pub fn new(tracker: &Tracker, component: Component) -> Self {
        let (view, part) = (tracker.component(component), tracker.last().part(component));
        let leaks = view.leak.verdict > Verdict::None;
        Self {
            component,
            current_usage: view.current_bytes.get(),
            current_usage_unknown: view.current_bytes.why().map(str::to_owned),
            peak_usage: view.peak_bytes,
            average_usage: view.average_bytes,
            memory_trend: view.trend.with_leak(leaks),
            resident: part.resident_bytes.get(),
            reclaimable: part.reclaimable_bytes.get(),
            processes: part.processes,
            proportional: part.proportional_bytes.get(),
            limit: view.limit_bytes,
            estimated: part.estimated,
            basis: part.basis,
            leak: view.leak,
            meeting_leak: view.meeting_leak,
        }
    }
}
