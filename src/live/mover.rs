//! From the ring to the queue: one thread that keeps the ring empty.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::feed::{Mark, Ring};
use super::queue::Queue;
use super::shared::Shared;
use crate::audio::Format;
use crate::resample::Resampler;
use crate::time::Time;

/// How long the mover sleeps when it has emptied the ring. The callback does not wake it: that would be a system call.
const TICK: Duration = Duration::from_millis(20);

/// Frames that are moved at once, with the queue locked: under a millisecond of work.
const PIECE_FRAMES: usize = 4_096;

/// Moves what was pushed to the queue, as 16 kHz mono.
pub(super) struct Mover {
    ring: Ring,
    /// Frames that were taken from the ring.
    taken: u64,
    rate_hz: u32,
    resampler: Resampler,
    shared: Arc<Shared>,
}

impl Mover {
    pub(super) fn new(ring: Ring, shared: Arc<Shared>) -> Self {
        Self {
            ring,
            taken: 0,
            rate_hz: 0,
            resampler: Resampler::new(),
            shared,
        }
    }

    /// Works until the feed has gone and all of it is moved, or nobody wants it any more.
    pub(super) fn run(mut self) {
        while !self.shared.is_closed() {
            // Before the ring is emptied: what was pushed before the feed went is then seen.
            let ended = self.ring.samples.is_abandoned();
            self.empty();
            if ended {
                let resampler = &mut self.resampler;
                self.shared
                    .fill(|queue| resampler.finish(&mut |samples| queue.push(samples)));
                return;
            }
            thread::park_timeout(TICK);
        }
    }

    fn empty(&mut self) {
        // A mark is written before the frames that it stands before, so it is seen when they are.
        let mut left = self.ring.samples.slots();
        loop {
            let mark = self.ring.marks.peek().ok().copied();
            match mark {
                Some(mark) if mark.at == self.taken => {
                    let _ = self.ring.marks.pop();
                    self.turn(mark);
                }
                mark => {
                    let until = mark.map_or(u64::MAX, |mark| mark.at - self.taken);
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
        self.shared.fill(|queue| {
            for part in [first, second] {
                resampler.push(format, part, &mut |samples| queue.push(samples));
            }
        });
        frames.commit_all();
        self.taken += count as u64;
    }

    /// Begins a stretch with another rate, or behind a hole.
    fn turn(&mut self, mark: Mark) {
        self.rate_hz = mark.rate_hz;
        let resampler = &mut self.resampler;
        let time = |length: Duration| Time::from_seconds(length.as_secs_f64());
        self.shared.fill(|queue: &mut Queue| {
            resampler.finish(&mut |samples| queue.push(samples));
            if !mark.hole.lost.is_zero() {
                tracing::warn!(
                    at_s = queue.end().seconds(),
                    lost_s = mark.hole.lost.as_secs_f64(),
                    "live: audio was pushed and could not be taken"
                );
                queue.lose(time(mark.hole.lost));
            }
            queue.silence(time(mark.hole.silence));
        });
    }
}

impl Drop for Mover {
    /// Also after a panic, so that nobody waits for what does not come.
    fn drop(&mut self) {
        self.shared.end();
    }
}
