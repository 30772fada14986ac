//! The report as Markdown.

use std::fmt::Write;

use super::analysis::MemoryAnalysisReport;
use super::text::{bytes_text, figure_text, leak_text};

impl MemoryAnalysisReport {
    /// Returns the report as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write(self, &mut text);
        text
    }
}

fn write(report: &MemoryAnalysisReport, out: &mut String) -> std::fmt::Result {
    let usage = &report.usage;
    writeln!(out, "# Memory report\n\n{}\n", usage.timestamp)?;
    let reason = usage
        .memory_pressure_reason
        .as_deref()
        .unwrap_or("nothing is short");
    writeln!(
        out,
        "Machine pressure: **{}** ({reason})  ",
        usage.memory_pressure_level.name()
    )?;
    writeln!(
        out,
        "The app holds {}; {} of {} are available.\n",
        figure_text(usage.meetily_total_usage),
        figure_text(usage.available_memory),
        figure_text(usage.total_system_memory),
    )?;
    if let Some(budget) = usage.budget {
        writeln!(out, "The budget of the app is {}.\n", bytes_text(budget))?;
    }
    if let Some(basis) = usage.basis {
        writeln!(out, "The figures are {}.\n", basis.meaning())?;
    }
    writeln!(
        out,
        "| component | now | peak | average (2 h) | trend | reclaimable | processes | leak |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---|---:|---:|---|")?;
    for part in &usage.component_breakdown {
        let leak = leak_text(&part.leak, &part.meeting_leak);
        writeln!(
            out,
            "| {}{} | {} | {} | {} | {} | {} | {} | {leak} |",
            part.component,
            if part.estimated { " (estimated)" } else { "" },
            figure_text(part.current_usage),
            figure_text(part.peak_usage),
            figure_text(part.average_usage),
            part.memory_trend.name(),
            figure_text(part.reclaimable),
            part.processes,
        )?;
    }
    alerts(report, out)?;
    recommendations(report, out)?;
    if !usage.reasons.is_empty() {
        writeln!(out, "\n## Missing or estimated\n")?;
        usage
            .reasons
            .iter()
            .try_for_each(|reason| writeln!(out, "* {reason}"))?;
    }
    Ok(())
}

fn alerts(report: &MemoryAnalysisReport, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n## Alerts\n")?;
    for alert in &report.alerts {
        writeln!(
            out,
            "* **{}** {}: {}.{} Since {}.",
            alert.severity.name(),
            alert.component,
            alert.message,
            alert.done_sentence(),
            alert.timestamp
        )?;
    }
    if report.alerts.is_empty() {
        writeln!(out, "None.")?;
    }
    Ok(())
}

fn recommendations(report: &MemoryAnalysisReport, out: &mut String) -> std::fmt::Result {
    let usage = &report.usage;
    writeln!(out, "\n## Recommendations\n")?;
    for step in &usage.recommendations {
        writeln!(
            out,
            "1. **{}**: {} ({}).",
            step.component, step.action, step.reason
        )?;
    }
    if usage.recommendations.is_empty() {
        writeln!(out, "None: nothing needs to be done.")?;
    }
    Ok(())
}
