//! Messages about alerts.

use serde::{Deserialize, Serialize};

use super::condition::Facts;
use super::key::{Key, Severity};

/// The occasion of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// A new alert, or one that became worse.
    Raised,
    /// It still holds.
    Repeated,
    /// It ended by itself.
    Resolved,
    /// It was not acknowledged before the program ended.
    Recovered,
}

/// A message about an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Notice {
    /// Number, rising.
    pub id: u64,
    /// The alert.
    pub key: Key,
    /// The occasion.
    pub event: Event,
    /// How bad it is.
    pub severity: Severity,
    /// Time in milliseconds since 1970.
    pub unix_ms: u64,
    /// Whether it may interrupt the user. A notice that is inhibited, or exceeds the rate limit, is
    /// only logged and listed.
    pub loud: bool,
    /// Figures, reason and advice.
    pub facts: Facts,
}

impl Notice {
    /// Returns one line for people.
    #[must_use]
    pub fn headline(&self) -> String {
        let subject = self.key.subject();
        match self.event {
            Event::Resolved => format!("{subject}: resolved ({})", self.facts.reason),
            _ => format!(
                "{} · {subject}: {}",
                self.severity.name(),
                self.facts.reason
            ),
        }
    }
}

/// An alert that is open now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Alert {
    /// Identity.
    pub key: Key,
    /// How bad.
    pub severity: Severity,
    /// Start on the steady clock.
    pub since_ms: u64,
    /// Start in milliseconds since 1970: the steady clock may stand still while the machine sleeps.
    pub since_unix_ms: u64,
    /// Notices so far.
    pub notices: u32,
    /// Whether the user has seen it: it is not repeated until it becomes worse.
    pub acknowledged: bool,
    /// Whether it is about to end.
    pub resolving: bool,
    /// Figures, reason and advice.
    pub facts: Facts,
}
