//! The lines of a chart.

use serde::Serialize;

use crate::component::Component;
use crate::series::{Point, Series, Span};
use crate::tracker::Tracker;

/// Most points of a line: what a screen can show.
pub const CHART_POINTS_MAX: usize = 360;

/// One line of a chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Course {
    /// Component, or "Total" or "Available".
    pub name: &'static str,
    /// At most [`CHART_POINTS_MAX`] points, the oldest first. Points of different lines have the
    /// same times. A time in which the figure was unknown has no point.
    pub points: Vec<Point>,
}

/// Returns the course of every component, of the total and of available memory.
#[must_use]
pub fn courses(tracker: &Tracker, span: Span) -> Vec<Course> {
    let parts = Component::ALL.map(|c| (c.name(), tracker.series(c)));
    let rest = [
        ("Total", tracker.total()),
        ("Available", tracker.available()),
    ];
    let now_ms = tracker.last().at.steady_ms;
    let points = |(name, series): (&'static str, &Series)| Course {
        name,
        points: series.points(span, now_ms).collect(),
    };
    let mut courses: Vec<Course> = parts.into_iter().chain(rest).map(points).collect();
    let step_ms = step_ms(&courses, span);
    for course in &mut courses {
        course.points = thin(&course.points, step_ms);
    }
    courses
}

/// The step of time in which the longest line has at most [`CHART_POINTS_MAX`] points.
fn step_ms(courses: &[Course], span: Span) -> u64 {
    let times = || {
        courses
            .iter()
            .flat_map(|c| c.points.iter().map(|p| p.steady_ms))
    };
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let steps = (last - first) / span.step_ms() + 1;
    // A line that begins within a step has one more.
    steps.div_ceil(CHART_POINTS_MAX as u64 - 1) * span.step_ms()
}

/// Joins the points within each step of time. The least and the greatest value survive.
fn thin(points: &[Point], step_ms: u64) -> Vec<Point> {
    let join = |group: &[Point]| {
        let mut joined = group[0];
        let means = group.iter().map(|p| p.mean_bytes);
        joined.steady_ms -= joined.steady_ms % step_ms;
        joined.mean_bytes = means.fold(0, u64::saturating_add) / group.len() as u64;
        for point in group {
            joined.min_bytes = joined.min_bytes.min(point.min_bytes);
            joined.max_bytes = joined.max_bytes.max(point.max_bytes);
        }
        joined
    };
    points
        .chunk_by(|a, b| a.steady_ms / step_ms == b.steady_ms / step_ms)
        .map(join)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_survive_and_times_agree() {
        let (mut whole, mut late) = (Series::new(), Series::new());
        for s in 0..7_200 {
            let bytes = if s == 4_000 { 900 << 20 } else { 1 << 20 };
            whole.push(s * 1_000, bytes);
            if s > 3_005 {
                late.push(s * 1_000, bytes);
            }
        }
        let course = |series: &Series| Course {
            name: "Total",
            points: series.points(Span::TwoHours, 7_199_000).collect(),
        };
        let courses = [course(&whole), course(&late)];
        let step_ms = step_ms(&courses, Span::TwoHours);
        let [whole, late] = courses.map(|course| thin(&course.points, step_ms));
        assert!(whole.len() <= CHART_POINTS_MAX);
        assert_eq!(whole.iter().map(|p| p.max_bytes).max(), Some(900 << 20));
        let times: Vec<u64> = whole.iter().map(|p| p.steady_ms).collect();
        assert!(late.iter().all(|p| times.contains(&p.steady_ms)));
        assert!(late.len() < whole.len() && late.len() > 100);
    }
}
