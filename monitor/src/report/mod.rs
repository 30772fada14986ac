//! Reports: what is told to people and to other programs, with the names that the app's other parts know.

mod html;
mod markdown;
mod metrics;
mod text;

use serde::Serialize;

use crate::alert::{Alert, Kind, Severity};
use crate::component::Component;
use crate::leak::{Finding, Verdict};
use crate::pressure::Level;
use crate::reader::Basis;
use crate::series::{Point, Series, Span};
use crate::trend::Trend;
use crate::watcher::Watcher;

pub use metrics::{
    ComponentMemoryMetrics, ComponentMetric, MemoryMetrics, OptimizationStatus, SystemMemoryMetrics,
};
pub use text::{bytes_text, iso8601, leak_text};

/// Points of a chart: what a screen can show.
pub const CHART_POINTS_MAX: usize = 360;

/// The app's memory now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MemoryUsageReport {
    /// When, as ISO 8601.
    pub timestamp: String,
    /// RAM of the machine, or the limit of its control group. `None`: cannot be read.
    pub total_system_memory: Option<u64>,
    /// What the app can still have. `None`: cannot be read.
    pub available_memory: Option<u64>,
    /// Swapped-out bytes of the machine.
    pub swap_usage: Option<u64>,
    /// Private bytes of all processes of the app: the sum of the breakdown.
    pub meetily_total_usage: u64,
    /// By component.
    pub component_breakdown: Vec<ComponentMemoryUsage>,
    /// How short memory is.
    pub memory_pressure_level: Level,
    /// Why.
    pub memory_pressure_reason: Option<String>,
    /// What can be done, the most urgent first.
    pub recommendations: Vec<OptimizationRecommendation>,
    /// What private bytes are made of on this system; of several kinds the one that is an estimate. `None`: nothing is
    /// measured.
    pub basis: Option<Basis>,
    /// Whether any figure is an estimate.
    pub estimated: bool,
    /// Why a figure is missing or estimated.
    pub reasons: Vec<String>,
}

/// Memory of one component.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ComponentMemoryUsage {
    /// Which.
    pub component: Component,
    /// Private bytes now.
    pub current_usage: u64,
    /// Most private bytes ever.
    pub peak_usage: u64,
    /// Mean of the last two hours.
    pub average_usage: u64,
    /// Direction of the last hour; what leaks grows.
    pub memory_trend: Trend,
    /// Bytes in RAM, shared pages and mapped files included.
    pub resident: u64,
    /// Mapped files in RAM, which the kernel can drop: not part of the usage.
    pub reclaimable: u64,
    /// Share of all pages in RAM and swap, each divided by the number of its users; some minutes old. `None`: not known.
    pub proportional: Option<u64>,
    /// Processes.
    pub processes: u32,
    /// Its limit, if it has one.
    pub limit: Option<u64>,
    /// Whether the figures are estimates.
    pub estimated: bool,
    /// What its private bytes were made of. `None`: it has no process of its own.
    pub basis: Option<Basis>,
    /// Whether it leaks.
    pub leak: Finding,
    /// Whether each meeting leaves memory behind in it.
    pub meeting_leak: Finding,
}

/// A step that somebody can take.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OptimizationRecommendation {
    /// Whom it concerns; "System" for all.
    pub component: &'static str,
    /// How urgent it is.
    pub severity: Severity,
    /// Why.
    pub reason: String,
    /// What was done already; empty: nothing.
    pub done: String,
    /// What to do.
    pub action: String,
}

/// An alert with the document's names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MemoryAlert {
    /// How bad.
    pub severity: Severity,
    /// What it is about.
    pub kind: Kind,
    /// Whom it concerns; "System" for all.
    pub component: &'static str,
    /// Why, with the numbers.
    pub message: String,
    /// What was done about it; empty: nothing.
    pub done: String,
    /// What to do.
    pub recommendation: String,
    /// Since when, as ISO 8601.
    pub timestamp: String,
    /// Whether it is ending by itself.
    pub auto_resolved: bool,
    /// Whether the user has seen it.
    pub acknowledged: bool,
    /// The figure, in the unit that the message names.
    pub value: f64,
    /// The threshold that it passed.
    pub threshold: f64,
}

/// Everything known: usage, course over time, leaks and alerts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MemoryAnalysisReport {
    /// The app now.
    pub usage: MemoryUsageReport,
    /// Alerts that are open.
    pub alerts: Vec<MemoryAlert>,
    /// Components that may leak.
    pub potential_leaks: Vec<Component>,
    /// The last two hours.
    pub history: Vec<Course>,
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Course {
    /// Component, or "Total" or "Available".
    pub name: &'static str,
    /// At most [`CHART_POINTS_MAX`] points, the oldest first.
    pub points: Vec<Point>,
}

impl MemoryUsageReport {
    /// Describes the app as it was at the last sample.
    #[must_use]
    pub fn new(watcher: &Watcher) -> Self {
        let sample = watcher.last();
        let breakdown: Vec<_> = Component::ALL
            .map(|c| ComponentMemoryUsage::new(watcher, c))
            .into_iter()
            .collect();
        let basis = breakdown.iter().filter_map(|c| c.basis);
        let basis = basis.reduce(|a, b| if b.is_estimated() { b } else { a });
        let estimated =
            sample.machine.is_none_or(|m| m.estimated) || breakdown.iter().any(|c| c.estimated);
        let swap = sample
            .machine
            .map(|m| m.swap_total_bytes.saturating_sub(m.swap_free_bytes));
        Self {
            timestamp: iso8601(sample.at.unix_ms),
            total_system_memory: sample.limit_bytes(),
            available_memory: sample.available_bytes(),
            swap_usage: swap,
            meetily_total_usage: sample.total_bytes,
            component_breakdown: breakdown,
            memory_pressure_level: watcher.pressure().level(),
            memory_pressure_reason: watcher.pressure().reason().map(|vote| vote.reason.clone()),
            recommendations: recommendations(&watcher.alerts()),
            basis,
            estimated,
            reasons: sample.reasons.clone(),
        }
    }
}

impl ComponentMemoryUsage {
    /// Describes one component as it was at the last sample.
    #[must_use]
    pub fn new(watcher: &Watcher, component: Component) -> Self {
        let (view, part) = (watcher.component(component), watcher.last().part(component));
        Self {
            component,
            current_usage: view.current_bytes,
            peak_usage: view.peak_bytes,
            average_usage: view.average_bytes,
            memory_trend: view.trend.with_leak(view.leak.verdict),
            resident: part.resident_bytes,
            reclaimable: part.reclaimable_bytes,
            processes: part.processes,
            proportional: part.proportional_bytes,
            limit: view.limit_bytes,
            estimated: part.estimated,
            basis: part.basis,
            leak: view.leak,
            meeting_leak: view.meeting_leak,
        }
    }
}

impl MemoryAlert {
    /// What was done, as a sentence after others; empty: nothing was.
    fn done_sentence(&self) -> String {
        if self.done.is_empty() {
            String::new()
        } else {
            format!(" Done: {}.", self.done)
        }
    }
}

impl MemoryAnalysisReport {
    /// Describes everything known.
    #[must_use]
    pub fn new(watcher: &Watcher) -> Self {
        let usage = MemoryUsageReport::new(watcher);
        let leaks =
            |c: &&ComponentMemoryUsage| c.leak.verdict.max(c.meeting_leak.verdict) > Verdict::None;
        let potential_leaks = usage
            .component_breakdown
            .iter()
            .filter(leaks)
            .map(|c| c.component)
            .collect();
        Self {
            alerts: alerts(watcher),
            potential_leaks,
            history: courses(watcher, Span::TwoHours),
            usage,
        }
    }

    /// Returns the report as JSON.
    ///
    /// # Errors
    ///
    /// Never in practice: every value of a report has a JSON form.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// Returns the report as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        markdown::render(self)
    }

    /// Returns the report as one HTML page with charts that needs nothing else.
    #[must_use]
    pub fn to_html(&self) -> String {
        html::render(self)
    }
}

/// Returns the open alerts, the worst first.
#[must_use]
pub fn alerts(watcher: &Watcher) -> Vec<MemoryAlert> {
    let describe = |alert: Alert| MemoryAlert {
        severity: alert.severity,
        kind: alert.key.kind,
        component: alert.key.subject(),
        timestamp: iso8601(alert.since_unix_ms),
        auto_resolved: alert.resolving,
        acknowledged: alert.acknowledged,
        value: alert.facts.value,
        threshold: alert.facts.threshold,
        message: alert.facts.reason,
        done: alert.facts.done,
        recommendation: alert.facts.advice,
    };
    watcher.alerts().into_iter().map(describe).collect()
}

/// Returns the course of every component, of the total and of available memory.
#[must_use]
pub fn courses(watcher: &Watcher, span: Span) -> Vec<Course> {
    let now_ms = watcher.last().at.steady_ms;
    let course = |name, series: &Series| Course {
        name,
        points: thin(series.points(span, now_ms)),
    };
    let parts = Component::ALL.map(|c| course(c.name(), watcher.series(c)));
    let rest = [
        course("Total", watcher.total()),
        course("Available", watcher.available()),
    ];
    parts.into_iter().chain(rest).collect()
}

/// Joins neighbouring points until a screen can show them. The least and the greatest value survive.
fn thin(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let points: Vec<Point> = points.collect();
    let each = points.len().div_ceil(CHART_POINTS_MAX).max(1);
    let join = |group: &[Point]| {
        let mut joined = group[0];
        let sum: u64 = group
            .iter()
            .map(|p| p.mean_bytes)
            .fold(0, u64::saturating_add);
        joined.mean_bytes = sum / group.len() as u64;
        for point in group {
            joined.min_bytes = joined.min_bytes.min(point.min_bytes);
            joined.max_bytes = joined.max_bytes.max(point.max_bytes);
        }
        joined
    };
    points.chunks(each).map(join).collect()
}

fn recommendations(alerts: &[Alert]) -> Vec<OptimizationRecommendation> {
    alerts
        .iter()
        .filter(|alert| !alert.facts.advice.is_empty())
        .map(|alert| OptimizationRecommendation {
            component: alert.key.subject(),
            severity: alert.severity,
            reason: alert.facts.reason.clone(),
            done: alert.facts.done.clone(),
            action: alert.facts.advice.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_survive_thinning() {
        let mut series = Series::new();
        (0..7_200)
            .for_each(|s| series.push(s * 1_000, if s == 4_000 { 900 << 20 } else { 1 << 20 }));
        let points = thin(series.points(Span::TwoHours, 7_199_000));
        assert_eq!(points.len(), CHART_POINTS_MAX);
        assert_eq!(points.iter().map(|p| p.max_bytes).max(), Some(900 << 20));
    }
}
