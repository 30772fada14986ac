//! Verdicts on recorded traces.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use steadyscribe_monitor::Component;
use steadyscribe_monitor::history;
use steadyscribe_monitor::leak::{self, Verdict, WINDOW_MINUTES};
use steadyscribe_monitor::series::Series;
use steadyscribe_monitor::trend::{self, Trend};

/// Most components of a file.
const COMPONENTS_MAX: usize = 64;

/// Longest line.
const LINE_BYTES_MAX: u64 = 4_096;

/// Name of the only component of a file without names.
const UNNAMED: &str = "total";

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

/// The least value of each minute, by component; only the last day of it is kept.
#[derive(Default)]
struct Traces(BTreeMap<String, BTreeMap<u64, f64>>);

impl Traces {
    fn add(&mut self, component: &str, minute: u64, bytes: f64) -> Result<(), String> {
        if !self.0.contains_key(component) {
            if self.0.len() == COMPONENTS_MAX {
                return Err(format!("more than {COMPONENTS_MAX} components"));
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
    let traces = match history::read(path) {
        Ok(records) => from_history(records)?,
        Err(history::HistoryError::Foreign { .. }) => from_text(path)?,
        // A text that is shorter than a history's head.
        Err(history::HistoryError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::UnexpectedEof =>
        {
            from_text(path)?
        }
        Err(error) => return Err(error.into()),
    };
    if traces.0.is_empty() {
        return Err(format!("{} holds no value", path.display()).into());
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
    Analysis {
        component,
        verdict: finding.verdict,
        rate_mb_per_hour: finding.rate_mb_per_hour,
        rate_interval_mb_per_hour: finding.rate_interval_mb_per_hour,
        trend: trend::of(&series, last.saturating_mul(60_000).saturating_add(59_999)),
        evidence: finding.evidence,
    }
}

fn from_history(records: impl Iterator<Item = history::Record>) -> Result<Traces, String> {
    let mut traces = Traces::default();
    for record in records {
        for (component, bytes) in Component::ALL.into_iter().zip(record.parts_bytes) {
            traces.add(component.name(), record.unix_ms / 60_000, bytes as f64)?;
        }
    }
    Ok(traces)
}

fn from_text(path: &Path) -> Result<Traces, Box<dyn Error>> {
    let mut input = BufReader::new(File::open(path)?);
    let mut traces = Traces::default();
    let (mut line, mut number) = (String::new(), 0_u64);
    loop {
        line.clear();
        if input.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(traces);
        }
        number += 1;
        let text = line.trim();
        // The first line of a CSV names the columns.
        if text.is_empty()
            || (number == 1 && !text.starts_with(|c: char| c.is_ascii_digit() || c == '{'))
        {
            continue;
        }
        let row = if text.starts_with('{') {
            json(text)
        } else {
            csv(text)
        };
        let (component, minute, bytes) = row.ok_or_else(|| {
            format!("line {number} is not minute,bytes or timestamp,component,bytes: {text}")
        })?;
        traces
            .add(&component, minute, bytes)
            .map_err(|e| format!("line {number}: {e}"))?;
    }
}

fn csv(text: &str) -> Option<(String, u64, f64)> {
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    match fields[..] {
        [minute, bytes] => Some((
            UNNAMED.to_owned(),
            minute.parse().ok()?,
            amount(bytes.parse().ok()?)?,
        )),
        [timestamp, component, bytes] => Some((
            component.to_owned(),
            minute_of(timestamp)?,
            amount(bytes.parse().ok()?)?,
        )),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Row {
    minute: Option<u64>,
    timestamp: Option<serde_json::Value>,
    component: Option<String>,
    bytes: f64,
}

fn json(text: &str) -> Option<(String, u64, f64)> {
    let row: Row = serde_json::from_str(text).ok()?;
    let minute = match (row.minute, row.timestamp) {
        (Some(minute), _) => minute,
        (None, Some(serde_json::Value::String(text))) => minute_of(&text)?,
        (None, Some(other)) => minute_of(&other.to_string())?,
        (None, None) => return None,
    };
    Some((
        row.component.unwrap_or_else(|| UNNAMED.to_owned()),
        minute,
        amount(row.bytes)?,
    ))
}

fn amount(bytes: f64) -> Option<f64> {
    (bytes.is_finite() && bytes >= 0.0).then_some(bytes)
}

/// Seconds or milliseconds since 1970 (or since anything), or `2026-01-31T12:00:00Z`.
fn minute_of(timestamp: &str) -> Option<u64> {
    /// Seconds reach it in the year 5138; milliseconds have passed it since 1973.
    const SECONDS_MAX: f64 = 1e11;
    if let Ok(number) = timestamp.parse::<f64>() {
        let minute = if number < SECONDS_MAX {
            number / 60.0
        } else {
            number / 60_000.0
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the minute is the whole part"
        )]
        return (minute >= 0.0).then_some(minute as u64);
    }
    let (date, time) = timestamp.trim_end_matches('Z').split_once(['T', ' '])?;
    let number = |text: &str| text.parse::<u64>().ok();
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (number(time.next()?)?, number(time.next()?)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || hour > 24 || minute > 59 {
        return None;
    }
    // Source: Howard Hinnant, chrono-compatible low-level date algorithms, `days_from_civil`.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some((days * 24 + hour) * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("120", Some(2)),
            ("119.5", Some(1)),
            ("1700000000000", Some(28_333_333)),
            ("1700000000", Some(28_333_333)),
            ("2023-11-14T22:13:20Z", Some(28_333_333)),
            ("2000-03-01T00:00:00Z", Some(15_864_480)),
            ("yesterday", None),
            ("2023-13-01T00:00:00Z", None),
            ("-5", None),
        ] {
            assert_eq!(minute_of(text), expected, "{text}");
        }
    }

    #[test]
    fn leak_in_a_csv_is_confirmed() {
        let mut minutes = BTreeMap::new();
        minutes.extend((0..1_440).map(|m| (m, 5e8 + m as f64 * 5e5)));
        let analysis = analyze(UNNAMED, &minutes, 10.0);
        assert_eq!(
            (analysis.verdict, analysis.trend),
            (Verdict::Confirmed, Trend::Growing)
        );
        assert!((analysis.rate_mb_per_hour.unwrap() - 30.0).abs() < 0.1);
        let (low, high) = analysis.rate_interval_mb_per_hour.unwrap();
        assert!((low..=high + 1e-9).contains(&30.0), "{low} to {high}");
    }

    #[test]
    fn rows_are_read_in_every_form() {
        let expected = |name: &str| Some((name.to_owned(), 2, 7.0));
        assert_eq!(csv("2,7"), expected("total"));
        assert_eq!(csv("120, backend ,7"), expected("backend"));
        assert_eq!(
            json(r#"{"timestamp":120,"component":"backend","bytes":7}"#),
            expected("backend")
        );
        assert_eq!(json(r#"{"minute":2,"bytes":7}"#), expected("total"));
        for text in ["", "2", "2,x", "2,-1", "1,2,3,4", "2,nan"] {
            assert_eq!(csv(text), None, "{text}");
        }
    }
}
