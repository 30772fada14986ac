//! `GET /metrics`: OpenMetrics text.
//!
//! Source: OpenMetrics 1.0, which wants `# EOF` at the end and units as a suffix.

use std::fmt::{Result, Write};

use crate::alert::Severity;
use crate::component::Component;
use crate::gauge::{Gauges, Unit, Value};
use crate::model::Model;
use crate::report::{ComponentMemoryUsage, MemoryUsageReport};
use crate::tracker::Tracker;

/// Content type of the text.
pub(super) const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn render(tracker: &Tracker, publishers: &[(usize, Gauges)]) -> String {
    let usage = MemoryUsageReport::new(tracker);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = components(&usage.component_breakdown, &mut text)
        .and_then(|()| whole(&usage, &mut text))
        .and_then(|()| alerts(tracker, &mut text))
        .and_then(|()| models(tracker, &mut text))
        .and_then(|()| pipelines(publishers, &mut text))
        .and_then(|()| writeln!(text, "# EOF"));
    text
}

/// The lines before the values of a gauge. A name that ends in `_bytes` has that unit.
fn head(name: &str, help: &str, out: &mut String) -> Result {
    writeln!(out, "# TYPE {name} gauge")?;
    if name.ends_with("_bytes") {
        writeln!(out, "# UNIT {name} bytes")?;
    }
    writeln!(out, "# HELP {name} {help}")
}

/// A figure of a component; `None`: unknown.
type Figure = fn(&ComponentMemoryUsage) -> Option<f64>;

const COMPONENT_FIGURES: [(&str, &str, Figure); 7] = [
    ("private_bytes", "Private memory.", |c| {
        c.current_usage.map(|bytes| bytes as f64)
    }),
    (
        "peak_private_bytes",
        "Greatest private memory so far.",
        |c| c.peak_usage.map(|bytes| bytes as f64),
    ),
    (
        "resident_bytes",
        "Memory in RAM, shared pages included.",
        |c| c.resident.map(|bytes| bytes as f64),
    ),
    ("reclaimable_bytes", "Mapped files in RAM.", |c| {
        c.reclaimable.map(|bytes| bytes as f64)
    }),
    ("proportional_bytes", "Share of all pages.", |c| {
        c.proportional.map(|bytes| bytes as f64)
    }),
    ("leak_verdict", "0 none, 1 suspected, 2 confirmed.", |c| {
        Some(f64::from(c.leak.verdict.max(c.meeting_leak.verdict) as u8))
    }),
    (
        "leak_megabytes_per_hour",
        "Growth of the retained floor.",
        |c| c.leak.rate_mb_per_hour,
    ),
];

fn components(parts: &[ComponentMemoryUsage], out: &mut String) -> Result {
    for (name, help, figure) in COMPONENT_FIGURES {
        let name = format!("steadyscribe_component_{name}");
        head(&name, help, out)?;
        for part in parts {
            if let Some(value) = figure(part) {
                writeln!(out, "{name}{{component=\"{}\"}} {value}", part.component)?;
            }
        }
    }
    Ok(())
}

fn whole(usage: &MemoryUsageReport, out: &mut String) -> Result {
    for (name, help, value) in [
        (
            "available_bytes",
            "What the app can still have.",
            usage.available_memory,
        ),
        (
            "limit_bytes",
            "Memory of the machine or its control group.",
            usage.total_system_memory,
        ),
        (
            "total_bytes",
            "Private memory of the app.",
            usage.meetily_total_usage,
        ),
        ("budget_bytes", "What the app may use in all.", usage.budget),
        (
            "pressure_level",
            "0 Low, 1 Medium, 2 High, 3 Critical.",
            usage.memory_pressure_level.rank().map(u64::from),
        ),
    ] {
        if let Some(value) = value {
            let name = format!("steadyscribe_{name}");
            head(&name, help, out)?;
            writeln!(out, "{name} {value}")?;
        }
    }
    Ok(())
}

fn alerts(tracker: &Tracker, out: &mut String) -> Result {
    let (name, open) = ("steadyscribe_alerts_open", tracker.alerts());
    head(name, "Alerts that are open.", out)?;
    for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
        let count = open
            .iter()
            .filter(|alert| alert.severity == severity)
            .count();
        writeln!(out, "{name}{{severity=\"{}\"}} {count}", severity.name())?;
    }
    Ok(())
}

/// Bytes of a model; `None`: unknown.
type ModelBytes = fn(&Model) -> Option<u64>;

fn models(tracker: &Tracker, out: &mut String) -> Result {
    for (name, help, bytes) in [
        (
            "steadyscribe_model_ram_bytes",
            "A model in main memory, by its component's account.",
            (|model| model.ram_bytes) as ModelBytes,
        ),
        (
            "steadyscribe_model_gpu_bytes",
            "A model on a GPU, by its component's account.",
            |model| model.gpu_bytes,
        ),
    ] {
        head(name, help, out)?;
        for component in Component::ALL {
            let models = tracker.models(component);
            for (at, model) in models.iter().enumerate() {
                // A model that is loaded twice is one line: a series must not appear twice.
                let same = |other: &&Model| other.name == model.name;
                if models[..at].iter().any(|other| same(&other)) {
                    continue;
                }
                let all = models.iter().filter(same).filter_map(bytes);
                if let Some(bytes) = all.reduce(u64::saturating_add) {
                    let label = label(&model.name);
                    writeln!(
                        out,
                        "{name}{{component=\"{component}\",model=\"{label}\"}} {bytes}"
                    )?;
                }
            }
        }
    }
    Ok(())
}

fn pipelines(publishers: &[(usize, Gauges)], out: &mut String) -> Result {
    let name = "steadyscribe_gauge";
    head(name, "A gauge of a pipeline.", out)?;
    for (pipeline, publisher) in publishers {
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
            // The place of the pipeline keeps two with the same names apart.
            writeln!(
                out,
                "{name}{{component=\"{}\",pipeline=\"{pipeline}\",\
                 name=\"{}\",unit=\"{unit}\"}} {value}",
                publisher.component(),
                label(reading.name),
            )?;
        }
    }
    Ok(())
}

/// Escapes a label's value.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
