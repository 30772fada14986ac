//! A leak verdict with its numbers.

use serde::Serialize;

/// How sure the verdict is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Verdict {
    /// No sign of a leak, or too little to judge by.
    #[default]
    None,
    /// The floor grew in 3 of 4 parts of the window.
    Suspected,
    /// The floor grew in 5 of 6 parts, the last included.
    Confirmed,
}

/// Cause of the growth, where the allocator's own figures show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Cause {
    /// The program holds more: a leak.
    Held,
    /// The program holds no more, but its allocator keeps more: fragmentation. Trimming or another
    /// allocator helps.
    Fragmentation,
}

/// A verdict with its numbers. MB are 1,000,000 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Finding {
    /// How sure.
    pub verdict: Verdict,
    /// Growth of the floor per hour. `None`: too little to judge by.
    pub rate_mb_per_hour: Option<f64>,
    /// Interval that holds the true rate in 95 of 100 cases.
    pub rate_interval_mb_per_hour: Option<(f64, f64)>,
    /// Growth of the floor over the judged hours.
    pub grown_mb: f64,
    /// Hours that were judged.
    pub hours: f64,
    /// Cause of the growth. `None`: nothing leaks, or the component does not report its
    /// allocations.
    pub cause: Option<Cause>,
    /// The deciding numbers in words.
    pub evidence: String,
}

impl Finding {
    /// Returns the hours until the growth has used `free_bytes`, or `None` where nothing leaks.
    #[must_use]
    pub fn hours_left(&self, free_bytes: u64) -> Option<f64> {
        let rate = self.rate_mb_per_hour.filter(|r| *r > 0.0)?;
        (self.verdict > Verdict::None).then(|| free_bytes as f64 / 1e6 / rate)
    }
}
