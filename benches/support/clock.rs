//! Time on the clock, and processor time of this process: the latter is what a quiet machine would
//! need.

use std::time::{Duration, Instant};

/// What a piece of work took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// On the clock.
    #[allow(dead_code, reason = "not every bench shows it")]
    pub(crate) clock: Duration,
    /// Of processors, by all threads together. Elsewhere than on Unix, the same as on the clock.
    pub(crate) processor: Duration,
}

/// Does a piece of work and says what it took.
pub(crate) fn measure<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let (processor, began) = (processor_time(), Instant::now());
    let result = work();
    let clock = began.elapsed();
    let processor = processor
        .zip(processor_time())
        .map_or(clock, |(before, after)| after - before);
    (result, Spent { clock, processor })
}

/// Processor time of all threads so far, where the system reports it.
fn processor_time() -> Option<Duration> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::try_from(time).ok()
    }
    #[cfg(not(unix))]
    None
}
