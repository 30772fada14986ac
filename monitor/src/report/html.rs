//! The report as one HTML page: style and charts inside, no script, no request.

use std::fmt::Write;

use super::{Course, MemoryAnalysisReport, bytes_text, leak_text};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2330;--paper:#fff;--soft:#5a6577;--rule:#d5dbe4;--line:#1d5fd1}\
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf1;--paper:#12161d;--soft:#9aa6b8;--rule:#2b3442;--line:#7fb0ff}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:62rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}th,td{padding:.35rem .6rem;border-bottom:1px solid var(--rule);text-align:left}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.soft{color:var(--soft)}\
figure{margin:1rem 0}figcaption{font-weight:600}svg{width:100%;height:auto;border:1px solid var(--rule)}\
svg .area{fill:var(--line);opacity:.18}svg .line{fill:none;stroke:var(--line);stroke-width:2}svg text{fill:var(--soft);font-size:13px}";

pub(super) fn render(report: &MemoryAnalysisReport) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = page(report, &mut text);
    text
}

fn page(report: &MemoryAnalysisReport, out: &mut String) -> std::fmt::Result {
    let usage = &report.usage;
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Memory report</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
         <h1>Memory report</h1><p class=\"soft\">{}</p>",
        usage.timestamp
    )?;
    let reason = usage
        .memory_pressure_reason
        .as_deref()
        .unwrap_or("nothing is short");
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), bytes_text);
    write!(
        out,
        "<p>Pressure: <strong>{}</strong> ({}). The app holds <strong>{}</strong>; {} of {} are available.</p>",
        usage.memory_pressure_level.name(),
        escape(reason),
        bytes_text(usage.meetily_total_usage),
        known(usage.available_memory),
        known(usage.total_system_memory)
    )?;
    table(report, out)?;
    alerts(report, out)?;
    write!(out, "<h2>The last two hours</h2>")?;
    report
        .history
        .iter()
        .filter(|c| c.points.len() > 1)
        .try_for_each(|c| chart(c, out))?;
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
        "<h2>Components</h2><table><thead><tr><th>Component</th><th class=\"n\">Now</th><th class=\"n\">Peak</th>\
         <th class=\"n\">Average, 2 h</th><th>Trend</th><th class=\"n\">Reclaimable</th><th>Leak</th></tr></thead><tbody>"
    )?;
    for part in &report.usage.component_breakdown {
        let leak = escape(&leak_text(part));
        write!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{:?}</td>\
             <td class=\"n\">{}</td><td>{leak}</td></tr>",
            part.component,
            bytes_text(part.current_usage),
            bytes_text(part.peak_usage),
            bytes_text(part.average_usage),
            part.memory_trend,
            bytes_text(part.reclaimable)
        )?;
    }
    write!(out, "</tbody></table>")
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
            "<li><strong>{}</strong> {}: {}.{} <em>{}</em> <span class=\"soft\">since {}</span></li>",
            alert.severity.name(),
            alert.component,
            escape(&alert.message),
            escape(&alert.done_sentence()),
            escape(&alert.recommendation),
            alert.timestamp
        )?;
    }
    write!(out, "</ul>")
}

/// A line of the means over a band from the least to the greatest values, from zero.
fn chart(course: &Course, out: &mut String) -> std::fmt::Result {
    const WIDTH: f64 = 900.0;
    const HEIGHT: f64 = 180.0;
    let points = &course.points;
    let top = points.iter().map(|p| p.max_bytes).max().unwrap_or(0).max(1);
    let (first, last) = (points[0].steady_ms, points[points.len() - 1].steady_ms);
    let x = |ms: u64| (ms - first) as f64 / (last - first).max(1) as f64 * WIDTH;
    let y = |bytes: u64| HEIGHT - bytes as f64 / top as f64 * (HEIGHT - 20.0);
    let now = points[points.len() - 1].mean_bytes;
    write!(
        out,
        "<figure><figcaption>{}: {} now, {} at most</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} over the last two hours\"><path class=\"area\" d=\"",
        course.name,
        bytes_text(now),
        bytes_text(top),
        course.name
    )?;
    for (at, point) in points.iter().enumerate() {
        let step = if at == 0 { 'M' } else { 'L' };
        write!(
            out,
            "{step}{:.1} {:.1}",
            x(point.steady_ms),
            y(point.max_bytes)
        )?;
    }
    for point in points.iter().rev() {
        write!(out, "L{:.1} {:.1}", x(point.steady_ms), y(point.min_bytes))?;
    }
    write!(out, "Z\"/><path class=\"line\" d=\"")?;
    for (at, point) in points.iter().enumerate() {
        let step = if at == 0 { 'M' } else { 'L' };
        write!(
            out,
            "{step}{:.1} {:.1}",
            x(point.steady_ms),
            y(point.mean_bytes)
        )?;
    }
    write!(
        out,
        "\"/><text x=\"6\" y=\"15\">{}</text></svg></figure>",
        bytes_text(top)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
