//! The TypeScript declarations match the JSON of the program, field by field.

use std::collections::BTreeMap;

use serde_json::Value;
use steadyscribe_monitor::Component;
use steadyscribe_monitor::alert::{Key, Kind, Timing};
use steadyscribe_monitor::capacity::Thresholds;
use steadyscribe_monitor::report::{MemoryAnalysisReport, MemoryMetrics};
use steadyscribe_monitor::tracker::Tracker;

use crate::app::{GIB, sample};
use crate::corpus;

/// The part of TypeScript that the file uses: interfaces with one field in a line, and named
/// unions.
pub(crate) struct Declarations {
    interfaces: BTreeMap<String, BTreeMap<String, String>>,
    unions: BTreeMap<String, String>,
}

impl Declarations {
    pub(crate) fn read() -> Self {
        let text = include_str!("../../types/steadyscribe-monitor.d.ts");
        let (mut interfaces, mut unions) = (BTreeMap::new(), BTreeMap::new());
        let mut open: Option<(String, BTreeMap<String, String>)> = None;
        // A long union stands on the line after its name.
        let text = text.replace(" =\n  ", " = ");
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("export type ") {
                let (name, union) = rest.split_once(" = ").unwrap();
                unions.insert(name.to_owned(), union.to_owned());
            } else if let Some(rest) = line.strip_prefix("export interface ") {
                open = Some((rest.trim_end_matches(" {").to_owned(), BTreeMap::new()));
            } else if line == "}" {
                let (name, fields) = open.take().unwrap();
                interfaces.insert(name, fields);
            } else if let Some((_, fields)) = &mut open
                && !line.starts_with("/**")
                && let Some((field, kind)) = line.split_once(": ")
                && !field.contains('(')
            {
                fields.insert(field.to_owned(), kind.to_owned());
            }
        }
        Self { interfaces, unions }
    }

    /// Compares a value with a type. `at` is its place, for the failure.
    pub(crate) fn check(&self, kind: &str, value: &Value, at: &str) {
        let alternatives: Vec<&str> = kind.split(" | ").collect();
        let fits = alternatives.iter().any(|kind| match *kind {
            "null" => value.is_null(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "[number, number]" => {
                let pair = value.as_array().filter(|pair| pair.len() == 2);
                pair.is_some_and(|pair| pair.iter().all(Value::is_number))
            }
            literal if literal.starts_with('\'') => value == literal.trim_matches('\''),
            list if list.ends_with("[]") => {
                let kind = list.trim_end_matches("[]");
                let items = value.as_array();
                items
                    .into_iter()
                    .flatten()
                    .for_each(|item| self.check(kind, item, at));
                items.is_some()
            }
            name => match self.unions.get(name) {
                Some(union) => {
                    value.is_string() && {
                        self.check(union, value, at);
                        true
                    }
                }
                None => {
                    value.is_object() && {
                        self.check_object(name, value, at);
                        true
                    }
                }
            },
        });
        assert!(fits, "{at} is declared as {kind}, and is {value}");
    }

    fn check_object(&self, name: &str, value: &Value, at: &str) {
        let fields = self
            .interfaces
            .get(name)
            .unwrap_or_else(|| panic!("no type {name}"));
        let found: Vec<&String> = value.as_object().unwrap().keys().collect();
        let mut declared: Vec<&String> = fields.keys().collect();
        declared.sort();
        let mut sorted = found.clone();
        sorted.sort();
        assert_eq!(sorted, declared, "{at}: the fields of {name}");
        for (field, kind) in fields {
            self.check(kind, &value[field], &format!("{at}.{field}"));
        }
    }
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// Feature: meetily-memory-optimization, Property 7: Memory Usage Reporting and Alerting
#[test]
fn declarations_are_what_is_written() {
    let types = Declarations::read();
    let leaking = corpus::trace(corpus::NOISE[1].1, 3, 20.0, corpus::Kind::Linear);
    let mut tracker = Tracker::new(Timing::default(), 1);
    let empty = MemoryAnalysisReport::new(&tracker);
    types.check("MemoryAnalysisReport", &json(&empty), "empty report");
    types.check(
        "MemoryMetrics",
        &json(&MemoryMetrics::new(&tracker)),
        "empty metrics",
    );
    let mut notices = Vec::new();
    for (minute, mb) in (0..).zip(&leaking) {
        let available = if minute == 1_430 { GIB / 4 } else { 6 * GIB };
        tracker.declare_allocated_bytes(Component::Backend, 300_000_000);
        notices.extend(tracker.observe(sample(minute, available, (mb * 1e6) as u64)));
        tracker.record_action(Key::new(Kind::Pressure, None), "unloaded a model");
    }
    let report = json(&MemoryAnalysisReport::new(&tracker));
    types.check("MemoryAnalysisReport", &report, "report");
    assert!(report["usage"]["componentBreakdown"][3]["leak"]["cause"] == "fragmentation");
    let metrics = json(&MemoryMetrics::new(&tracker));
    types.check("MemoryMetrics", &metrics, "metrics");
    assert!(notices.len() > 2, "{notices:?}");
    for notice in &notices {
        types.check("Notice", &json(notice), "notice");
    }
    let thresholds = Thresholds::new(3, 2, 1).unwrap();
    types.check("MemoryThresholds", &json(&thresholds), "thresholds");
}

/// The names of the requirements. Our types may have more fields, and figures that are unknown.
#[test]
fn declarations_hold_the_documents_names() {
    let types = Declarations::read();
    for (interface, fields) in [
        (
            "MemoryUsageReport",
            "totalSystemMemory availableMemory meetilyTotalUsage componentBreakdown \
             memoryPressureLevel recommendations",
        ),
        (
            "ComponentMemoryUsage",
            "component currentUsage peakUsage averageUsage memoryTrend",
        ),
        (
            "MemoryMetrics",
            "timestamp systemMemory componentMemory optimizationStatus alerts",
        ),
        (
            "SystemMemoryMetrics",
            "totalMemory availableMemory usedMemory memoryPressure swapUsage",
        ),
        ("ComponentMemoryMetrics", "ollama audio frontend backend"),
        (
            "ComponentMetric",
            "currentUsage peakUsage averageUsage optimizationLevel efficiencyScore",
        ),
        (
            "MemoryAlert",
            "severity component message recommendation timestamp autoResolved",
        ),
    ] {
        let declared = &types.interfaces[interface];
        for field in fields.split(' ') {
            assert!(declared.contains_key(field), "{interface}.{field}");
        }
    }
}
