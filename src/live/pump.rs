//! The thread between the ring and the queue, which keeps the ring empty.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::backlog::Backlog;
use super::feed::{Marker, RingReader};
use crate::audio::Format;
use crate::resample::Resampler;
use crate::time::Time;

/// How long the thread sleeps after it emptied the ring. The callback does not wake it, because
/// that would be a system call.
const TICK: Duration = Duration::from_millis(20);

/// Frames that are moved at once, with the queue locked: under a millisecond of work.
const PIECE_FRAMES: usize = 4_096;

/// Moves what was pushed to the queue, as 16 kHz mono.
pub(super) struct Pump {
    ring: RingReader,
    /// Frames that were taken from the ring.
    taken: u64,
    rate_hz: u32,
    resampler: Resampler,
    backlog: Arc<Backlog>,
}

impl Pump {
    pub(super) fn new(ring: RingReader, backlog: Arc<Backlog>) -> Self {
        Self {
            ring,
            taken: 0,
            rate_hz: 0,
            resampler: Resampler::new(),
            backlog,
        }
    }

    /// Runs until the feed is gone and all of it is moved, or until the live input is dropped.
    pub(super) fn run(mut self) {
        while !self.backlog.is_closed() {
            // Asked before the ring is emptied, so that what was pushed before the feed went is
            // seen.
            let is_ended = self.ring.samples.is_abandoned();
            self.empty();
            if is_ended {
                let resampler = &mut self.resampler;
                self.backlog
                    .fill(|queue| resampler.finish(&mut |samples| queue.push(samples)));
                return;
            }
            thread::park_timeout(TICK);
        }
    }

    fn empty(&mut self) {
        // A marker is written before the frames that it precedes, so it is visible when they are.
        let mut left = self.ring.samples.slots();
        loop {
            let marker = self.ring.markers.peek().ok().copied();
            match marker {
                Some(marker) if marker.at == self.taken => {
                    let _ = self.ring.markers.pop();
                    self.apply(marker);
                }
                marker => {
                    let until = marker.map_or(u64::MAX, |marker| marker.at - self.taken);
                    let until = usize::try_from(until).unwrap_or(usize::MAX);
                    let count = left.min(until).min(PIECE_FRAMES);
                    if count == 0 {
                        return;
                    }
                    self.pass(count);
                    left -= count;
                }
            }
        }
    }

    /// Moves frames of one rate.
    fn pass(&mut self, count: usize) {
        let Ok(frames) = self.ring.samples.read_chunk(count) else {
            return;
        };
        let format = Format {
            rate_hz: self.rate_hz,
            channels: 1,
        };
        let resampler = &mut self.resampler;
        let (first, second) = frames.as_slices();
        self.backlog.fill(|queue| {
            for part in [first, second] {
                resampler.push(format, part, &mut |samples| queue.push(samples));
            }
        });
        frames.commit_all();
        self.taken += count as u64;
    }

    /// Begins a stretch of another rate, or behind a gap.
    fn apply(&mut self, marker: Marker) {
        self.rate_hz = marker.rate_hz;
        let resampler = &mut self.resampler;
        let time = |length: Duration| Time::from_seconds(length.as_secs_f64());
        self.backlog.fill(|queue| {
            resampler.finish(&mut |samples| queue.push(samples));
            if !marker.gap.lost.is_zero() {
                tracing::warn!(
                    at_s = queue.timeline().end().seconds(),
                    lost_s = marker.gap.lost.as_secs_f64(),
                    "live: pushed audio was refused or found no room in the ring, and is dropped"
                );
                queue.lose(time(marker.gap.lost));
            }
            queue.silence(time(marker.gap.silence));
        });
    }
}

impl Drop for Pump {
    /// Also after a panic, so that no reader waits for audio that does not come.
    fn drop(&mut self) {
        self.backlog.end_input();
    }
}
