//! `analyze`: verdicts on recorded traces.

mod rows;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Serialize;
use steadyscribe_monitor::Component;
use steadyscribe_monitor::history;
use steadyscribe_monitor::leak::{self, Verdict, WINDOW_MINUTES};
use steadyscribe_monitor::series::Series;
use steadyscribe_monitor::trend::{self, Trend};

use rows::Rows;

/// Most components of a file.
const COMPONENTS_MAX: usize = 64;

/// One line of the output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Analysis<'a> {
    component: &'a str,
    verdict: Verdict,
    rate_mb_per_hour: Option<f64>,
    rate_interval_mb_per_hour: Option<(f64, f64)>,
    trend: Trend,
    evidence: String,
}

/// The least value of each minute, by component. The last day is kept.
#[derive(Default)]
struct Traces(BTreeMap<String, BTreeMap<u64, f64>>);

impl Traces {
    fn add(&mut self, component: &str, minute: u64, bytes: f64) -> Result<(), String> {
        if !self.0.contains_key(component) {
            if self.0.len() == COMPONENTS_MAX {
                return Err(format!(
                    "the trace has more than {COMPONENTS_MAX} components; split it"
                ));
            }
            self.0.insert(component.to_owned(), BTreeMap::new());
        }
        let Some(minutes) = self.0.get_mut(component) else {
            return Ok(());
        };
        minutes
            .entry(minute)
            .and_modify(|low| *low = low.min(bytes))
            .or_insert(bytes);
        if minutes.len() > WINDOW_MINUTES {
            minutes.pop_first();
        }
        Ok(())
    }
}

pub(super) fn run(path: &Path, target_mb_per_hour: f64) -> Result<(), Box<dyn Error>> {
    let traces = if path == Path::new("-") {
        from_text(std::io::stdin().lock())?
    } else {
        let failed = |error| format!("cannot read {}: {error}", path.display());
        let mut input = BufReader::new(File::open(path).map_err(failed)?);
        // The file is opened once, since a pipe cannot be read twice.
        if history::is_start(input.fill_buf().map_err(failed)?) {
            from_history(history::read(path)?)?
        } else {
            from_text(input)?
        }
    };
    if traces.0.is_empty() {
        let path = path.display();
        return Err(format!("{path} holds no value; see `analyze --help` for the formats").into());
    }
    for (component, minutes) in &traces.0 {
        println!(
            "{}",
            serde_json::to_string(&analyze(component, minutes, target_mb_per_hour))?
        );
    }
    Ok(())
}

fn analyze<'a>(
    component: &'a str,
    minutes: &BTreeMap<u64, f64>,
    target_mb_per_hour: f64,
) -> Analysis<'a> {
    let last = minutes.last_key_value().map_or(0, |(minute, _)| *minute);
    let first = minutes.first_key_value().map_or(0, |(minute, _)| *minute);
    let first = first.max((last + 1).saturating_sub(WINDOW_MINUTES as u64));
    let at = |minute| minutes.get(&minute).map_or(f64::NAN, |bytes| bytes / 1e6);
    let trace: Vec<f64> = (first..=last).map(at).collect();
    let finding = leak::judge(&trace, target_mb_per_hour);
    let mut series = Series::new();
    for (minute, bytes) in minutes {
        // The cast saturates, and a series keeps no more.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "fractions of a byte do not matter"
        )]
        series.push(minute.saturating_mul(60_000), *bytes as u64);
    }
    let trend = trend::of(&series, last.saturating_mul(60_000).saturating_add(59_999));
    Analysis {
        component,
        verdict: finding.verdict,
        rate_mb_per_hour: finding.rate_mb_per_hour,
        rate_interval_mb_per_hour: finding.rate_interval_mb_per_hour,
        trend: trend.with_leak(finding.verdict > Verdict::None),
        evidence: finding.evidence,
    }
}

fn from_text(input: impl BufRead) -> Result<Traces, String> {
    let mut traces = Traces::default();
    let mut rows = Rows::new(input);
    while let Some(row) = rows.next_row()? {
        traces
            .add(&row.component, row.minute, row.bytes)
            .map_err(|error| format!("line {}: {error}", rows.line()))?;
    }
    Ok(traces)
}

fn from_history(records: impl Iterator<Item = history::Record>) -> Result<Traces, String> {
    let mut traces = Traces::default();
    for (steady_ms, record) in history::steadily(records) {
        for (component, bytes) in Component::ALL.into_iter().zip(record.parts_bytes) {
            if let Some(bytes) = bytes {
                traces.add(component.name(), steady_ms / 60_000, bytes as f64)?;
            }
        }
    }
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leak_in_a_csv_is_confirmed() {
        let mut minutes = BTreeMap::new();
        minutes.extend((0..1_440).map(|m| (m, 5e8 + m as f64 * 5e5)));
        let analysis = analyze("total", &minutes, 10.0);
        assert_eq!(
            (analysis.verdict, analysis.trend),
            (Verdict::Confirmed, Trend::Growing)
        );
        assert!((analysis.rate_mb_per_hour.unwrap() - 30.0).abs() < 0.1);
        let (low, high) = analysis.rate_interval_mb_per_hour.unwrap();
        assert!((low..=high + 1e-9).contains(&30.0), "{low} to {high}");
    }
}
