//! How far a transcription is, for another thread to look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Time;

/// Shows how far a transcription is. Clones show the same.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    position_samples: AtomicU64,
    decoded_samples: AtomicU64,
    bytes_read: AtomicU64,
    /// Zero while it is not known.
    bytes_total: AtomicU64,
}

impl Progress {
    /// Returns up to where the input was transcribed or skipped.
    #[must_use]
    pub fn position(&self) -> Time {
        Time::from_samples(self.0.position_samples.load(Ordering::Relaxed))
    }

    /// Returns up to where the input was decoded: ahead of [`position`](Self::position) by a window
    /// and the pool.
    #[must_use]
    pub fn decoded(&self) -> Time {
        Time::from_samples(self.0.decoded_samples.load(Ordering::Relaxed))
    }

    /// Returns how many bytes of the input were read, which is as far as
    /// [`decoded`](Self::decoded).
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.0.bytes_read.load(Ordering::Relaxed)
    }

    /// Returns the input's length in bytes, if it is known. Durations that files declare are often
    /// wrong, so the bytes say how much is left.
    #[must_use]
    pub fn bytes_total(&self) -> Option<u64> {
        Some(self.0.bytes_total.load(Ordering::Relaxed)).filter(|&bytes| bytes > 0)
    }

    pub(super) fn restart(&self, bytes_total: Option<u64>) {
        self.0.position_samples.store(0, Ordering::Relaxed);
        self.0.decoded_samples.store(0, Ordering::Relaxed);
        self.0.bytes_read.store(0, Ordering::Relaxed);
        self.0
            .bytes_total
            .store(bytes_total.unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn reached(&self, position: Time) {
        self.0
            .position_samples
            .store(position.samples(), Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: u64, decoded: Time) {
        self.0.bytes_read.store(bytes, Ordering::Relaxed);
        self.0
            .decoded_samples
            .store(decoded.samples(), Ordering::Relaxed);
    }
}
