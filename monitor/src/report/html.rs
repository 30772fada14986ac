//! The report as one HTML page: style and charts inside, no script, no request.

use std::fmt::Write;

use super::analysis::MemoryAnalysisReport;
use super::course::Course;
use super::text::{bytes_text, figure_text, leak_text};
use crate::series::Point;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2330;--paper:#fff;--soft:#5a6577;\
--rule:#d5dbe4;--line:#1d5fd1}\
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf1;--paper:#12161d;--soft:#9aa6b8;\
--rule:#2b3442;--line:#7fb0ff}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);\
max-width:62rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}\
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--rule);text-align:left}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.soft{color:var(--soft)}\
figure{margin:1.25rem 0}figcaption{font-weight:600}svg{width:100%;height:auto}\
svg .area{fill:var(--line);opacity:.18}svg .line{fill:none;stroke:var(--line);stroke-width:2}\
svg .rule{stroke:var(--rule)}svg text{fill:var(--soft);font-size:13px}\
.wide{overflow-x:auto}";

impl MemoryAnalysisReport {
    /// Returns the report as one HTML page with charts that needs nothing else.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = page(self, &mut text);
        text
    }
}

fn page(report: &MemoryAnalysisReport, out: &mut String) -> std::fmt::Result {
    let usage = &report.usage;
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>Memory report</title><meta name=\"viewport\" content=\"width=device-width\">\
         <style>{STYLE}</style></head><body>\
         <h1>Memory report</h1><p class=\"soft\">{}</p>",
        usage.timestamp
    )?;
    let reason = usage
        .memory_pressure_reason
        .as_deref()
        .unwrap_or("nothing is short");
    write!(
        out,
        "<p>Machine pressure: <strong>{}</strong> ({}). \
         The app holds <strong>{}</strong>; {} of {} are available.</p>",
        usage.memory_pressure_level.name(),
        escape(reason),
        figure_text(usage.meetily_total_usage),
        figure_text(usage.available_memory),
        figure_text(usage.total_system_memory)
    )?;
    if let Some(budget) = usage.budget {
        let budget = bytes_text(budget);
        write!(
            out,
            "<p>The budget of the app is <strong>{budget}</strong>.</p>"
        )?;
    }
    if let Some(basis) = usage.basis {
        let meaning = basis.meaning();
        write!(out, "<p class=\"soft\">The figures are {meaning}.</p>")?;
    }
    table(report, out)?;
    alerts(report, out)?;
    recommendations(report, out)?;
    charts(report, out)?;
    if !usage.reasons.is_empty() {
        write!(out, "<h2>Missing or estimated</h2><ul>")?;
        usage
            .reasons
            .iter()
            .try_for_each(|r| write!(out, "<li>{}</li>", escape(r)))?;
        write!(out, "</ul>")?;
    }
    write!(out, "</body></html>")
}

fn table(report: &MemoryAnalysisReport, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        "<h2>Components</h2><div class=\"wide\"><table><thead><tr><th>Component</th>\
         <th class=\"n\">Now</th><th class=\"n\">Peak</th><th class=\"n\">Average, 2 h</th>\
         <th>Trend</th><th class=\"n\">Reclaimable</th><th>Leak</th></tr></thead><tbody>"
    )?;
    for part in &report.usage.component_breakdown {
        let leak = escape(&leak_text(&part.leak, &part.meeting_leak));
        write!(out, "<tr><td>{}</td>", part.component)?;
        for figure in [part.current_usage, part.peak_usage, part.average_usage] {
            write!(out, "<td class=\"n\">{}</td>", figure_text(figure))?;
        }
        write!(
            out,
            "<td>{}</td><td class=\"n\">{}</td><td>{leak}</td></tr>",
            part.memory_trend.name(),
            figure_text(part.reclaimable)
        )?;
    }
    write!(out, "</tbody></table></div>")
}

fn alerts(report: &MemoryAnalysisReport, out: &mut String) -> std::fmt::Result {
    write!(out, "<h2>Alerts</h2>")?;
    if report.alerts.is_empty() {
        return write!(out, "<p>None.</p>");
    }
    write!(out, "<ul>")?;
    for alert in &report.alerts {
        write!(
            out,
            "<li><strong>{}</strong> {}: {}.{} \
             <span class=\"soft\">Since {}.</span></li>",
            alert.severity.name(),
            alert.component,
            escape(&alert.message),
            escape(&alert.done_sentence()),
            alert.timestamp
        )?;
    }
    write!(out, "</ul>")
}

fn recommendations(report: &MemoryAnalysisReport, out: &mut String) -> std::fmt::Result {
    write!(out, "<h2>Recommendations</h2>")?;
    if report.usage.recommendations.is_empty() {
        return write!(out, "<p>None: nothing needs to be done.</p>");
    }
    write!(out, "<ol>")?;
    for step in &report.usage.recommendations {
        let (action, why) = (escape(&step.action), escape(&step.reason));
        let component = step.component;
        write!(
            out,
            "<li><strong>{component}</strong>: {action} <span class=\"soft\">({why})</span>.</li>"
        )?;
    }
    write!(out, "</ol>")
}

/// One chart for each component that ever held anything.
fn charts(report: &MemoryAnalysisReport, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        "<h2>The last two hours</h2>\
         <p class=\"soft\">Line: mean. Band: from the least to the greatest value.</p>"
    )?;
    let mut shown = 0;
    for course in &report.history {
        if course.points.len() > 1 && course.points.iter().any(|p| p.max_bytes > 0) {
            let parts = &report.usage.component_breakdown;
            let part = parts.iter().find(|p| p.component.name() == course.name);
            let trend = part.map_or_else(String::new, |p| format!(", {}", p.memory_trend.name()));
            chart(course, &trend.to_lowercase(), out)?;
            shown += 1;
        }
    }
    if shown == 0 {
        write!(out, "<p>Too few samples for a chart.</p>")?;
    }
    Ok(())
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 200.0;

/// Room for the amounts on the left and for the times below.
const LEFT: f64 = 74.0;
const BELOW: f64 = 22.0;

/// A line of the means over a band from the least to the greatest values, from zero.
fn chart(course: &Course, trend: &str, out: &mut String) -> std::fmt::Result {
    let points = &course.points;
    let top = points.iter().map(|p| p.max_bytes).max().unwrap_or(0).max(1);
    let (first, last) = (points[0].steady_ms, points[points.len() - 1].steady_ms);
    let x = |ms: u64| LEFT + (ms - first) as f64 / (last - first).max(1) as f64 * (WIDTH - LEFT);
    let y = |bytes: u64| (HEIGHT - BELOW) - bytes as f64 / top as f64 * (HEIGHT - BELOW - 12.0);
    let now = points[points.len() - 1].mean_bytes;
    write!(
        out,
        "<figure><figcaption>{}: {} now, {} at most{trend}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{} over the last two hours\">",
        course.name,
        bytes_text(now),
        bytes_text(top),
        course.name
    )?;
    for bytes in [0, top / 2, top] {
        let at = y(bytes);
        write!(
            out,
            "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            bytes_text(bytes)
        )?;
    }
    let line = |of: fn(&Point) -> u64| {
        let place = |p: &Point| format!("{:.1} {:.1}", x(p.steady_ms), y(of(p)));
        points.iter().map(place).collect::<Vec<_>>()
    };
    let (high, mean) = (line(|p| p.max_bytes), line(|p| p.mean_bytes));
    let mut low = line(|p| p.min_bytes);
    low.reverse();
    let (minutes, foot) = ((last - first) / 60_000, HEIGHT - 4.0);
    write!(
        out,
        "<path class=\"area\" d=\"M{}L{}Z\"/><path class=\"line\" d=\"M{}\"/>\
         <text x=\"{LEFT}\" y=\"{foot}\">{minutes} min ago</text>\
         <text x=\"{WIDTH}\" y=\"{foot}\" text-anchor=\"end\">now</text></svg></figure>",
        high.join("L"),
        low.join("L"),
        mean.join("L"),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
