//! Settings of a monitor, and the reasons why one cannot start.

use std::path::PathBuf;

use crate::alert::Timing;
use crate::alert::channel::{Channel, Log};
use crate::alert::journal::JournalError;
use crate::history::HistoryError;
use crate::membership::Rules;
use crate::reader::{ProcessId, ReadError, System};

/// Settings of a monitor. Every field has a default.
#[derive(Debug)]
#[non_exhaustive]
pub struct Options {
    /// The system that is read.
    pub system: System,
    /// First process of the app; `None`: this one.
    pub app: Option<ProcessId>,
    /// Ports and names by which processes are attributed, beside descent.
    pub rules: Rules,
    /// What the app may use in all.
    pub budget_bytes: Option<u64>,
    /// File of the critical alerts; `None`: they do not outlive the program.
    pub journal: Option<PathBuf>,
    /// File of the history; `None`: none is kept.
    pub history: Option<PathBuf>,
    /// Channels that receive the alerts.
    pub channels: Vec<Box<dyn Channel>>,
    /// Times of the alerts' lifecycle.
    pub timing: Timing,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            system: System::host(),
            app: None,
            rules: Rules::default(),
            budget_bytes: None,
            journal: None,
            history: None,
            channels: vec![Box::new(Log::default())],
            timing: Timing::default(),
        }
    }
}

/// Why a monitor cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// This process cannot be identified, so nothing could be attributed.
    #[error("cannot identify this process")]
    Own(#[source] ReadError),
    /// The journal of critical alerts: name another path, or none.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The history: name another path, or none.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}
