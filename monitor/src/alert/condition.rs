//! The state of one alert at one moment, as figures show it.

use serde::{Deserialize, Serialize};

use super::key::{Key, Severity};

/// The state of one alert at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Condition {
    /// The alert.
    pub key: Key,
    /// Whether and how badly its threshold is exceeded.
    pub raised: Option<Severity>,
    /// Whether the value is back below the lower threshold at which the alert ends. Between the two
    /// thresholds, and while the value is unknown, nothing changes.
    pub clear: bool,
    /// Figures, reason and advice.
    pub facts: Facts,
}

impl Condition {
    /// Makes a condition.
    #[must_use]
    pub fn new(key: Key, raised: Option<Severity>, clear: bool, facts: Facts) -> Self {
        Self {
            key,
            raised,
            clear,
            facts,
        }
    }
}

/// The figures of an alert, its reason and advice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Facts {
    /// The figure, in the unit that the reason names.
    pub value: f64,
    /// The threshold that it passed.
    pub threshold: f64,
    /// Why, with the numbers.
    pub reason: String,
    /// Actions that were taken; empty: none.
    pub done: String,
    /// Advice to the user.
    pub advice: String,
}
