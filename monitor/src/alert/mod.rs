//! Alerts: one for each kind and component, sent once and not a hundred times.
//!
//! ```text
//! Ok ──raised──▶ Pending ──held long enough──▶ Firing ──clear──▶ Resolving ──clear for 2 min──▶ Ok
//!                   │ not raised                  ▲ raised again      │
//!                   └──────▶ Ok                   └───────────────────┘
//! ```
//!
//! [`Alerts`] is pure: it takes the conditions of one moment and returns the notices that are due.
//! [`Delivery`] sends them through [`channel`]s, and the [`journal`] keeps the critical ones on
//! disk.

pub mod channel;
pub mod journal;
pub mod outbox;

mod condition;
mod delivery;
mod key;
mod lifecycle;
mod notice;

pub use condition::{Condition, Facts};
pub use delivery::Delivery;
pub use key::{Key, Kind, Severity};
pub use lifecycle::{Alerts, Timing};
pub use notice::{Alert, Event, Notice};
