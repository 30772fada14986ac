//! Processor time: what a piece of work costs, however busy the machine is.

use std::time::Duration;

/// A clock that runs only while this thread does. Elsewhere than on Unix it is the clock on the
/// wall.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadClock(Duration);

impl ThreadClock {
    pub(crate) fn start() -> Self {
        Self(now())
    }

    /// Processor time that this thread has used since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        now().saturating_sub(self.0)
    }
}

#[cfg(unix)]
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

#[cfg(not(unix))]
fn now() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}
