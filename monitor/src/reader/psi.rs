//! Pressure stall information: the time that tasks wait for memory.
//!
//! Source: Linux Documentation/accounting/psi.rst.

use std::path::Path;

use serde::Serialize;

use super::error::ReadError;
use super::text::{self, leading_number};

/// Shares of the time in which tasks waited for memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Psi {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks waited at once. `None`: the kernel does not report it.
    pub full: Option<Stall>,
}

/// Share of the time, in percent, and the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stall {
    /// Percent of the last 10 s.
    pub avg10_percent: f64,
    /// Percent of the last 60 s.
    pub avg60_percent: f64,
    /// Time waited since boot, in microseconds.
    pub total_us: u64,
}

impl Psi {
    /// Describes pressure over the last 10 s, in percent.
    #[must_use]
    pub fn new(some_avg10_percent: f64, full_avg10_percent: f64) -> Self {
        let stall = |avg10_percent| Stall {
            avg10_percent,
            ..Stall::default()
        };
        Self {
            some: stall(some_avg10_percent),
            full: Some(stall(full_avg10_percent)),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Psi, ReadError> {
    let text = text::read(path)?;
    let some = text.field("some ").and_then(stall);
    let some = some.ok_or(ReadError::Missing {
        path: path.to_path_buf(),
        field: "some",
    })?;
    Ok(Psi {
        some,
        full: text.field("full ").and_then(stall),
    })
}

fn stall(line: &[u8]) -> Option<Stall> {
    let mut stall = Stall::default();
    let mut seen = false;
    for word in line.split(|&b| b == b' ') {
        let at = word.iter().position(|&b| b == b'=')?;
        let (key, value) = (&word[..at], &word[at + 1..]);
        match key {
            b"avg10" => {
                stall.avg10_percent = percent(value)?;
                seen = true;
            }
            b"avg60" => stall.avg60_percent = percent(value)?,
            b"total" => stall.total_us = leading_number(value)?,
            _ => {}
        }
    }
    seen.then_some(stall)
}

fn percent(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (0.0..=100.0).contains(&value).then_some(value)
}
