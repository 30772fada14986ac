//! How long a load is waited for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::sight::Sight;
use super::super::transport::Patience;
use super::super::unload::{Target, runner_of};
use super::{Description, Inner};

/// How often a load's process is looked at.
const GROWTH_TURN: Duration = Duration::from_secs(1);

/// Waits for a load as long as its process grows.
#[derive(Debug)]
pub(super) struct LoadWatch {
    sight: Arc<dyn Sight>,
    target: Target,
    stall_max: Duration,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    looked_at: Duration,
    resident_bytes: u64,
    grew_at: Duration,
}

impl LoadWatch {
    pub(super) fn new(inner: &Inner, name: &str, description: &Description) -> Self {
        Self {
            sight: Arc::clone(&inner.sight),
            target: description.target(name),
            stall_max: inner.state().settings.load_stall_max,
            progress: Mutex::default(),
        }
    }
}

impl Patience for LoadWatch {
    fn waits(&self, silent: Duration) -> bool {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if silent < progress.looked_at + GROWTH_TURN {
            return true;
        }
        progress.looked_at = silent;
        let runner = runner_of(self.sight.as_ref(), &self.target).flatten();
        let resident = runner.and_then(|runner| Some(runner.memory?.resident_bytes));
        if let Some(resident) = resident
            && resident > progress.resident_bytes
        {
            progress.resident_bytes = resident;
            progress.grew_at = silent;
        }
        silent.saturating_sub(progress.grew_at) <= self.stall_max
    }
}
