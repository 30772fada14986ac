//! The whole state: usage, history, leaks and alerts.

use serde::Serialize;

use super::alerts::{MemoryAlert, alerts};
use super::course::{Course, courses};
use super::usage::{ComponentMemoryUsage, MemoryUsageReport};
use crate::component::Component;
use crate::leak::Verdict;
use crate::series::Span;
use crate::tracker::Tracker;

/// Usage, history, leaks and alerts.
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

impl MemoryAnalysisReport {
    /// Describes the app as of the last sample.
    #[must_use]
    pub fn new(tracker: &Tracker) -> Self {
        let usage = MemoryUsageReport::new(tracker);
        let leaks =
            |c: &&ComponentMemoryUsage| c.leak.verdict.max(c.meeting_leak.verdict) > Verdict::None;
        let potential_leaks = usage
            .component_breakdown
            .iter()
            .filter(leaks)
            .map(|c| c.component)
            .collect();
        Self {
            alerts: alerts(tracker),
            potential_leaks,
            history: courses(tracker, Span::TwoHours),
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
}
