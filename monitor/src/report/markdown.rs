//! The report as Markdown.

use std::fmt::Write;

use super::{MemoryAnalysisReport, bytes_text, leak_text};

pub(super) fn render(report: &MemoryAnalysisReport) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(report, &mut text);
    text
}

fn write(report: &MemoryAnalysisReport, out: &mut String) -> std::fmt::Result {
    let usage = &report.usage;
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), bytes_text);
    writeln!(out, "# Memory report\n\n{}\n", usage.timestamp)?;
    let reason = usage
        .memory_pressure_reason
        .as_deref()
        .unwrap_or("nothing is short");
    writeln!(
        out,
        "Pressure: **{}** ({reason})  ",
        usage.memory_pressure_level.name()
    )?;
    writeln!(
        out,
        "The app holds {}; {} of {} are available.\n",
        bytes_text(usage.meetily_total_usage),
        known(usage.available_memory),
        known(usage.total_system_memory),
    )?;
    if let Some(basis) = usage.basis {
        writeln!(out, "Measured is {}.\n", basis.meaning())?;
    }
    writeln!(
        out,
        "| component | now | peak | average (2 h) | trend | reclaimable | processes | leak |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---|---:|---:|---|")?;
    for part in &usage.component_breakdown {
        let leak = leak_text(part);
        writeln!(
            out,
            "| {}{} | {} | {} | {} | {:?} | {} | {} | {leak} |",
            part.component,
            if part.estimated { " (estimated)" } else { "" },
            bytes_text(part.current_usage),
            bytes_text(part.peak_usage),
            bytes_text(part.average_usage),
            part.memory_trend,
            bytes_text(part.reclaimable),
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
