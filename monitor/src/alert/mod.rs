//! Alerts: who must know what, once and not a hundred times.
//!
//! ```text
//! Ok ──raised──▶ Pending ──held long enough──▶ Firing ──clear──▶ Resolving ──clear for 2 min──▶ Resolved = Ok
//!                   │ not raised                  ▲ raised again      │
//!                   └──────▶ Ok                   └───────────────────┘
//! ```
//!
//! There is one alert per (kind, subject). `machine` is pure: it is told what holds and when, and returns the notices that
//! are due. Sending them is `delivery`.

pub mod channel;
pub mod delivery;
pub mod journal;
pub mod machine;
pub mod outbox;

use serde::{Deserialize, Serialize};

use crate::component::Component;

pub use delivery::Delivery;
pub use machine::{Alerts, Timing};

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Kind {
    /// Memory of the machine, of the control group or of the budget is short.
    Pressure,
    /// A component exceeds its own limit.
    Limit,
    /// A component grew over the last hour.
    Growing,
    /// A component does not give memory back.
    Leak,
    /// Each meeting leaves memory behind in a component.
    MeetingLeak,
    /// Figures cannot be read.
    Blind,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Severity {
    /// Good to know.
    Info,
    /// Act when convenient.
    Warning,
    /// Act now.
    Critical,
}

impl Severity {
    /// Returns the name that reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Critical => "Critical",
        }
    }
}

/// Identity of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Key {
    /// What it is about.
    pub kind: Kind,
    /// Which component; `None`: the machine or the app as a whole.
    pub component: Option<Component>,
}

impl Key {
    /// Names an alert.
    #[must_use]
    pub const fn new(kind: Kind, component: Option<Component>) -> Self {
        Self { kind, component }
    }

    /// Returns the name of the component, or "System".
    #[must_use]
    pub fn subject(&self) -> &'static str {
        self.component.map_or("System", Component::name)
    }
}

/// What holds of one key at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Condition {
    /// Of which alert.
    pub key: Key,
    /// Whether and how badly its threshold is exceeded.
    pub raised: Option<Severity>,
    /// Whether the value is back below the lower threshold at which the alert ends. Between the two, nothing changes.
    pub clear: bool,
    /// The figures and the words.
    pub facts: Facts,
}

impl Condition {
    /// States what holds.
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

/// The figures of an alert and what can be done.
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
    /// What was done about it; empty: nothing.
    pub done: String,
    /// What the user can do.
    pub advice: String,
}

/// What a notice tells.
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
    /// Nobody acknowledged it before the last end of the program.
    Recovered,
}

/// A message about an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Notice {
    /// Number, rising.
    pub id: u64,
    /// Of which alert.
    pub key: Key,
    /// What it tells.
    pub event: Event,
    /// How bad it is.
    pub severity: Severity,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Whether it may interrupt the user. A notice that is inhibited or one too many is only logged and listed.
    pub loud: bool,
    /// Figures and words.
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
    /// Since when, on the steady clock.
    pub since_ms: u64,
    /// Since when, in milliseconds since 1970: the steady clock may stand still while the machine sleeps.
    pub since_unix_ms: u64,
    /// Notices so far.
    pub notices: u32,
    /// Whether the user has seen it: it is not repeated until it becomes worse.
    pub acknowledged: bool,
    /// Whether it is about to end.
    pub resolving: bool,
    /// Figures and words.
    pub facts: Facts,
}
