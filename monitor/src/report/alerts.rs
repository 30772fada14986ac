//! Open alerts and recommendations.

use serde::Serialize;

use super::text::iso8601;
use crate::alert::{Alert, Kind, Severity};
use crate::tracker::Tracker;

/// A recommended action.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OptimizationRecommendation {
    /// Component, or "System" for the machine or the app as a whole.
    pub component: &'static str,
    /// Urgency.
    pub severity: Severity,
    /// Reason, with the numbers.
    pub reason: String,
    /// Actions that were taken already; empty: none.
    pub done: String,
    /// Advice.
    pub action: String,
}

/// An open alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MemoryAlert {
    /// Severity.
    pub severity: Severity,
    /// Kind.
    pub kind: Kind,
    /// Component, or "System" for the machine or the app as a whole.
    pub component: &'static str,
    /// Reason, with the numbers.
    pub message: String,
    /// Actions that were taken; empty: none.
    pub done: String,
    /// Advice.
    pub recommendation: String,
    /// Start, as ISO 8601.
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

impl MemoryAlert {
    /// The actions that were taken, as a sentence after others; empty: none.
    pub(super) fn done_sentence(&self) -> String {
        if self.done.is_empty() {
            String::new()
        } else {
            format!(" Done: {}.", self.done)
        }
    }
}

/// Returns the open alerts, the worst first.
#[must_use]
pub fn alerts(tracker: &Tracker) -> Vec<MemoryAlert> {
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
    tracker.alerts().into_iter().map(describe).collect()
}

/// Returns the advice of the alerts, the most urgent first.
pub(super) fn recommendations(alerts: &[Alert]) -> Vec<OptimizationRecommendation> {
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
