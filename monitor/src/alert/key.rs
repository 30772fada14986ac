//! The identity of an alert, and how bad it is.

use serde::{Deserialize, Serialize};

use crate::component::Component;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Kind {
    /// Memory of the machine or of the control group is short.
    Pressure,
    /// The app exceeds its own budget, however much memory the machine has.
    Budget,
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
