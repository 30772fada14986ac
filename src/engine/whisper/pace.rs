//! How many threads a step of the decoder takes: one, or all.
//!
//! A step works on one token. That is little for each thread, and they wait for each other some hundred times meanwhile: where waking a
//! thread is slow, as in a virtual machine or on a busy one, all are slower than one. Which is faster depends on the model, the machine
//! and what else runs there, so a few steps of each window are timed both ways. Threads share out rows and change no sum, so that the text
//! does not depend on the choice.

use std::time::Duration;

/// Steps of each kind that are not counted: the encoder has left nothing of the decoder's weights in the caches.
const COLD_STEPS: usize = 1;

/// Steps of each kind that are counted.
const TIMED_STEPS: usize = 3;

/// Chooses the threads of each step of a window.
#[derive(Debug)]
pub(super) struct Pace {
    all: usize,
    /// Steps of this window so far.
    steps: usize,
    /// Time of the counted steps with one thread, and with all.
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

    /// Begins a window.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.all);
    }

    /// Returns how many threads the next step takes.
    pub(super) fn threads(&self) -> usize {
        let [one, all] = self.spent;
        let is_one = if self.is_timing() {
            self.steps.is_multiple_of(2)
        } else {
            one <= all
        };
        if is_one { 1 } else { self.all }
    }

    /// Takes note of how long that step took.
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

    /// Threads of the first twelve steps where a step takes so many milliseconds with one thread, and with four.
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
        // The machine has become another one: each window finds out anew.
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
