//! Reports: the figures for people and for other programs, under the names that the app's other
//! parts use.

mod alerts;
mod analysis;
mod course;
mod html;
mod markdown;
mod metrics;
mod text;
mod usage;

pub use alerts::{MemoryAlert, OptimizationRecommendation, alerts};
pub use analysis::MemoryAnalysisReport;
pub use course::{CHART_POINTS_MAX, Course, courses};
pub use metrics::{
    ComponentMemoryMetrics, ComponentMetric, MemoryMetrics, OptimizationStatus, SystemMemoryMetrics,
};
pub use text::{bytes_text, figure_text, iso8601, leak_text};
pub use usage::{ComponentMemoryUsage, MemoryUsageReport};
