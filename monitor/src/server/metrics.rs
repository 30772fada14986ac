//! `GET /metrics`: OpenMetrics text.
//!
//! Source: OpenMetrics 1.0, which wants `# EOF` at the end and units as a suffix.

use std::fmt::Write;

use crate::gauge::{Gauges, Unit, Value};
use crate::report::MemoryUsageReport;

/// Content type of the text.
pub(super) const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn render(usage: &MemoryUsageReport, publishers: &[Gauges]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(usage, publishers, &mut text);
    text
}

fn write(usage: &MemoryUsageReport, publishers: &[Gauges], out: &mut String) -> std::fmt::Result {
    let parts = &usage.component_breakdown;
    for (name, help, value) in [
        (
            "private",
            "Private memory.",
            (|c| c.current_usage) as fn(&crate::report::ComponentMemoryUsage) -> u64,
        ),
        ("peak_private", "Greatest private memory so far.", |c| {
            c.peak_usage
        }),
        ("resident", "Memory in RAM, shared pages included.", |c| {
            c.resident
        }),
        ("reclaimable", "Mapped files in RAM.", |c| c.reclaimable),
    ] {
        let name = format!("steadyscribe_component_{name}_bytes");
        writeln!(
            out,
            "# TYPE {name} gauge\n# UNIT {name} bytes\n# HELP {name} {help}"
        )?;
        for part in parts {
            writeln!(
                out,
                "{name}{{component=\"{}\"}} {}",
                part.component,
                value(part)
            )?;
        }
    }
    for (name, help, value) in [
        (
            "available",
            "What the app can still have.",
            usage.available_memory,
        ),
        (
            "limit",
            "Memory of the machine or of its control group.",
            usage.total_system_memory,
        ),
        (
            "total",
            "Private memory of the app.",
            Some(usage.meetily_total_usage),
        ),
    ] {
        if let Some(value) = value {
            let name = format!("steadyscribe_{name}_bytes");
            writeln!(
                out,
                "# TYPE {name} gauge\n# UNIT {name} bytes\n# HELP {name} {help}"
            )?;
            writeln!(out, "{name} {value}")?;
        }
    }
    let name = "steadyscribe_pressure_level";
    writeln!(
        out,
        "# TYPE {name} gauge\n# HELP {name} 0 Low, 1 Medium, 2 High, 3 Critical."
    )?;
    writeln!(out, "{name} {}", usage.memory_pressure_level as u8)?;
    pipelines(publishers, out)?;
    writeln!(out, "# EOF")
}

fn pipelines(publishers: &[Gauges], out: &mut String) -> std::fmt::Result {
    let name = "steadyscribe_gauge";
    writeln!(
        out,
        "# TYPE {name} gauge\n# HELP {name} What a pipeline publishes."
    )?;
    for publisher in publishers {
        for reading in publisher.snapshot() {
            let unit = match reading.unit {
                Unit::HeldBytes | Unit::Bytes => "bytes",
                Unit::Count => "count",
                Unit::Ratio => "ratio",
            };
            let value = match reading.value {
                Value::Whole(value) => value.to_string(),
                Value::Ratio(value) => value.to_string(),
            };
            writeln!(
                out,
                "{name}{{component=\"{}\",name=\"{}\",unit=\"{unit}\"}} {value}",
                publisher.component(),
                reading.name.replace(['"', '\\', '\n'], "_"),
            )?;
        }
    }
    Ok(())
}
