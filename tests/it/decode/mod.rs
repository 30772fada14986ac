//! Decodes files and pipes to 16 kHz mono: every format, every trap, every kind of damage.

use std::time::Duration;

mod damage;
mod formats;
mod hostile;
mod memory;
mod sweep;
mod traps;
mod unsupported;
mod wave;

/// Processor time of this thread so far, which other programs on the machine do not change.
/// Decoding runs on the thread that calls it.
fn processor_time() -> Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap()
    }
    #[cfg(not(unix))]
    {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }
}
