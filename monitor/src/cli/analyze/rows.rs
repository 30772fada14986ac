//! The rows of a recorded trace: CSV or JSON lines, each error with its line.

use std::io::{BufRead, Read};

use serde::Deserialize;

/// Longest line.
const LINE_BYTES_MAX: u64 = 4_096;

/// Characters of a wrong line that an error quotes.
const QUOTED_CHARS_MAX: usize = 60;

/// Name of the only component of a file without names.
pub(super) const UNNAMED: &str = "total";

/// The formats of a line.
const FORMS: &str = "minute,bytes or timestamp,component,bytes";

/// The memory of one component at one time.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) component: String,
    /// Minutes since 1970, or since any other time.
    pub(super) minute: u64,
    pub(super) bytes: f64,
}

/// Reads rows one after another.
pub(super) struct Rows<R> {
    input: R,
    text: Vec<u8>,
    line: u64,
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            text: Vec::new(),
            line: 0,
        }
    }

    /// Returns the number of the last line, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Returns the next row; `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<Row>, String> {
        loop {
            self.text.clear();
            let mut limited = self.input.by_ref().take(LINE_BYTES_MAX);
            let read = limited.read_until(b'\n', &mut self.text);
            self.line += 1;
            let line = self.line;
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(format!("cannot read line {line}: {error}")),
            }
            if self.text.len() as u64 == LINE_BYTES_MAX && !self.text.ends_with(b"\n") {
                return Err(format!("line {line} is longer than {LINE_BYTES_MAX} bytes"));
            }
            let text = std::str::from_utf8(&self.text);
            let text = text.map_err(|_| format!("line {line} is not UTF-8 text"))?;
            // Some programs put a byte order mark at the start.
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() || (line == 1 && is_head(text)) {
                continue;
            }
            return match row(text) {
                Some(row) => Ok(Some(row)),
                None => Err(format!("line {line} is not {FORMS}: {}", quote(text))),
            };
        }
    }
}

fn quote(text: &str) -> String {
    let mut start: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

/// The names of the columns, in the accepted orders.
fn is_head(text: &str) -> bool {
    let names: Vec<String> = text
        .split(',')
        .map(|name| bare(name).to_ascii_lowercase())
        .collect();
    matches!(
        names.join(",").as_str(),
        "minute,bytes" | "timestamp,component,bytes"
    )
}

fn row(text: &str) -> Option<Row> {
    if text.starts_with('{') {
        json(text)
    } else {
        csv(text)
    }
}

/// A field without blanks and quotes around it.
fn bare(field: &str) -> &str {
    let field = field.trim();
    let inside = field.strip_prefix('"').and_then(|f| f.strip_suffix('"'));
    inside.unwrap_or(field)
}

/// The first and the last field are figures. The text between them is the name, commas included.
fn csv(text: &str) -> Option<Row> {
    let (first, rest) = text.split_once(',')?;
    let (component, minute, bytes) = match rest.rsplit_once(',') {
        None => (UNNAMED, bare(first).parse().ok()?, rest),
        Some((component, bytes)) => (bare(component), minute_of(bare(first))?, bytes),
    };
    Some(Row {
        component: component.to_owned(),
        minute,
        bytes: amount(bare(bytes).parse().ok()?)?,
    })
}

#[derive(Deserialize)]
struct Fields {
    minute: Option<u64>,
    timestamp: Option<serde_json::Value>,
    component: Option<String>,
    bytes: f64,
}

fn json(text: &str) -> Option<Row> {
    let fields: Fields = serde_json::from_str(text).ok()?;
    let minute = match (fields.minute, fields.timestamp) {
        (Some(minute), _) => minute,
        (None, Some(serde_json::Value::String(text))) => minute_of(&text)?,
        (None, Some(other)) => minute_of(&other.to_string())?,
        (None, None) => return None,
    };
    Some(Row {
        component: fields.component.unwrap_or_else(|| UNNAMED.to_owned()),
        minute,
        bytes: amount(fields.bytes)?,
    })
}

fn amount(bytes: f64) -> Option<f64> {
    (bytes.is_finite() && bytes >= 0.0).then_some(bytes)
}

/// Seconds or milliseconds since 1970 (or since any other time), or ISO 8601 such as
/// `2026-01-31T12:00:00+02:00`. Without an offset it is UTC.
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
        return (minute >= 0.0 && minute.is_finite()).then_some(minute as u64);
    }
    let (date, time) = timestamp.split_once(['T', ' '])?;
    let (time, east_minutes) = offset(time)?;
    let number = |text: &str| text.parse::<u64>().ok();
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (number(time.next()?)?, number(time.next()?)?);
    let is_time = hour < 24 && minute < 60;
    if !(1970..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || !is_time
    {
        return None;
    }
    // Source: Howard Hinnant, chrono-compatible low-level date algorithms, `days_from_civil`.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    ((days * 24 + hour) * 60 + minute).checked_add_signed(-east_minutes)
}

/// Splits `12:00:00+02:00` into the time and the minutes east of Greenwich.
fn offset(time: &str) -> Option<(&str, i64)> {
    let time = time.trim_end();
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else {
        return Some((time, 0));
    };
    let digits = time[at + 1..].replace(':', "");
    let (hours, minutes) = match digits.len() {
        2 => (digits.parse::<i64>().ok()?, 0),
        4 => (digits[..2].parse().ok()?, digits[2..].parse().ok()?),
        _ => return None,
    };
    let east = hours * 60 + minutes;
    Some((
        &time[..at],
        if time.as_bytes()[at] == b'-' {
            -east
        } else {
            east
        },
    ))
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
            ("2023-11-14 22:13:20.123", Some(28_333_333)),
            ("2023-11-15T00:13:20+02:00", Some(28_333_333)),
            ("2023-11-14T18:43:20-0330", Some(28_333_333)),
            ("2023-11-14T23:13+01", Some(28_333_333)),
            ("2000-03-01T00:00:00Z", Some(15_864_480)),
            ("yesterday", None),
            ("inf", None),
            ("2023-13-01T00:00:00Z", None),
            ("2023-12-00T00:00:00Z", None),
            ("2023-12-01T24:00:00Z", None),
            ("2023-12-01T20:00:00+2", None),
            ("-5", None),
        ] {
            assert_eq!(minute_of(text), expected, "{text}");
        }
    }

    #[test]
    fn rows_are_read_in_every_form() {
        let check = |text: &str, component: &str| {
            let expected = Row {
                component: component.to_owned(),
                minute: 2,
                bytes: 7.0,
            };
            assert_eq!(row(text), Some(expected), "{text}");
        };
        check("2,7", UNNAMED);
        check("120, backend ,7", "backend");
        check(r#""120","web, view","7""#, "web, view");
        check(
            r#"{"timestamp":120,"component":"backend","bytes":7}"#,
            "backend",
        );
        check(
            r#"{"timestamp":"1970-01-01T00:02:00Z","component":"backend","bytes":7}"#,
            "backend",
        );
        check(r#"{"minute":2,"bytes":7}"#, UNNAMED);
        for text in ["2", "2,x", "2,-1", "x,2,3,4", "2,nan", r#"{"bytes":7}"#] {
            assert_eq!(row(text), None, "{text}");
        }
    }

    #[test]
    fn errors_name_their_line() {
        let error = |text: &[u8]| {
            let mut rows = Rows::new(text);
            loop {
                match rows.next_row() {
                    Ok(Some(_)) => {}
                    Ok(None) => return String::new(),
                    Err(error) => return error,
                }
            }
        };
        assert_eq!(error(b"\xef\xbb\xbfMinute,Bytes\r\n1,5\r\n\r\n2,6"), "");
        for (text, expected) in [
            (
                &b"minute,bytes\n1,5\n\nx,6\n"[..],
                "line 4 is not minute,bytes or timestamp,component,bytes: x,6",
            ),
            (
                b"bytes,minute\n",
                "line 1 is not minute,bytes or timestamp,component,bytes: bytes,minute",
            ),
            (b"1,5\n\xff\xfe\n", "line 2 is not UTF-8 text"),
            (&[b'1'; 5_000], "line 1 is longer than 4096 bytes"),
        ] {
            assert_eq!(error(text), expected);
        }
        assert!(error(&[b'x'; 500]).ends_with("xxx…"));
    }
}
