//! How many threads a step of the decoder uses: one, or all.
//!
//! A step computes one token, which is little work for each thread, and the threads wait for each
//! other some hundred times meanwhile. Where waking a thread is slow, as in a virtual machine or on
//! a busy one, all of them are slower than one. Which is faster depends on the model, the machine
//! and its load, so a few steps of each window are timed both ways. The text does not depend on the
//! choice: threads divide rows among themselves and change no sum.

use std::time::Duration;

/// Steps of each kind that are not timed: the encoder has displaced the decoder's weights from the
/// processor's caches.
const COLD_STEPS: usize = 1;

/// Steps of each kind that are timed.
const TIMED_STEPS: usize = 3;

/// Chooses the threads of each step of a window.
#[derive(Debug)]
pub(super) struct Pace {
    all: usize,
    /// Steps of this window so far.
    steps: usize,
    /// Time of the timed steps with one thread, and with all.
    spent: [Duration; 2],
}

impl Pace {
    pub(super) fn new(all: usize) -> Self {
        Self {
            all,
            steps: 0,
            spent: [Duration::ZERO; 2],
        }
    }

    /// Begins a new window, with new timings.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.all);
    }

    /// Returns how many threads the next step uses.
    pub(super) fn threads(&self) -> usize {
        let [one, all] = self.spent;
        let is_one = if self.is_timing() {
            self.steps.is_multiple_of(2)
        } else {
            one <= all
        };
        if is_one { 1 } else { self.all }
    }

    /// Records how long that step took.
    pub(super) fn took(&mut self, time: Duration) {
        if self.is_timing() && self.steps >= 2 * COLD_STEPS {
            self.spent[self.steps % 2] += time;
        }
        self.steps += 1;
    }

    fn is_timing(&self) -> bool {
        self.steps < 2 * (COLD_STEPS + TIMED_STEPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the threads of twelve steps that take `one_ms` with one thread and `four_ms` with
    /// several.
    fn chosen(one_ms: u64, four_ms: u64, pace: &mut Pace) -> Vec<usize> {
        let step = |_| {
            let threads = pace.threads();
            let ms = if threads == 1 { one_ms } else { four_ms };
            pace.took(Duration::from_millis(ms));
            threads
        };
        (0..12).map(step).collect()
    }

    #[test]
    fn the_faster_way_is_taken_after_both_were_timed() {
        let timed = [1, 4, 1, 4, 1, 4, 1, 4];
        let mut pace = Pace::new(4);
        assert_eq!(chosen(5, 12, &mut pace), [&timed[..], &[1; 4]].concat());
        // The machine is now faster with four: each window is timed on its own.
        pace.restart();
        assert_eq!(chosen(12, 5, &mut pace), [&timed[..], &[4; 4]].concat());
    }

    #[test]
    fn a_cold_start_does_not_count() {
        let mut pace = Pace::new(2);
        pace.took(Duration::from_secs(1));
        assert_eq!(chosen(5, 12, &mut pace).last(), Some(&1));
    }

    #[test]
    fn one_thread_stays_one() {
        assert_eq!(chosen(5, 5, &mut Pace::new(1)), [1; 12]);
    }
}
