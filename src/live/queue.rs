//! What was pushed and not yet transcribed: in memory, then in the spill file, with silence for what had no room.

use std::collections::VecDeque;

use super::spill::Spill;
use crate::config::SPANS_MAX;
use crate::time::{Span, Time};

/// Samples that wait in memory before the spill file is used: 30 s, 1.9 MB. An engine that is slow for one window and fast
/// for the next never touches the disk.
pub(super) const MEMORY_SAMPLES: usize = 480_000;

/// After audio was dropped, it is taken again only when there is room for this much: 30 s, or a quarter of all room if that is
/// less. Otherwise, with an engine that stays behind, every read would let a shred of audio in.
const RESUME_SAMPLES: u64 = 480_000;

/// Stretches of silence that wait at most. Each but the first has audio before it that waits too.
const HOLES_MAX: usize = 1_024;

/// Samples of 16 kHz mono, oldest out first, on one time line without gaps.
///
/// # Memory
///
/// [`MEMORY_SAMPLES`] and the lists of holes and of lost spans, allocated when it is made; two mapped segments of the file.
#[derive(Debug)]
pub(super) struct Queue {
    /// The oldest samples.
    memory: VecDeque<f32>,
    /// Those behind them.
    spill: Option<Spill>,
    /// The system did not map the file.
    is_broken: bool,
    /// Silence between samples, in order.
    holes: VecDeque<Hole>,
    /// Samples that were ever stored, and of those, how many were read.
    stored: u64,
    taken: u64,
    /// End of the time line: everything that was pushed.
    end: Time,
    /// Up to where it was read.
    read: Time,
    /// There was no room, and there is not enough yet.
    dropping: bool,
    dropped: Time,
    /// What was dropped, or given up; at most [`SPANS_MAX`] spans.
    lost: Vec<Span>,
}

/// Silence in front of a sample.
#[derive(Debug)]
struct Hole {
    /// Index of the sample, counted over all that were ever stored.
    at: u64,
    length: u64,
}

impl Queue {
    pub(super) fn new(spill: Option<Spill>) -> Self {
        Self {
            memory: VecDeque::with_capacity(MEMORY_SAMPLES),
            spill,
            is_broken: false,
            holes: VecDeque::with_capacity(HOLES_MAX),
            stored: 0,
            taken: 0,
            end: Time::ZERO,
            read: Time::ZERO,
            dropping: false,
            dropped: Time::ZERO,
            lost: Vec::with_capacity(SPANS_MAX),
        }
    }

    /// Takes samples. What there is no room for becomes silence.
    pub(super) fn push(&mut self, samples: &[f32]) {
        let taken = if self.dropping && !self.may_resume() {
            0
        } else {
            self.store(samples)
        };
        self.stored += taken as u64;
        self.end += Time::from_samples(taken as u64);
        if taken > 0 && self.dropping {
            self.dropping = false;
            tracing::warn!(
                at_s = self.end.seconds(),
                dropped_s = self.dropped.seconds(),
                "live: audio is taken again"
            );
        }
        let rest = Time::from_samples((samples.len() - taken) as u64);
        if rest > Time::ZERO {
            if !self.dropping {
                self.dropping = true;
                tracing::warn!(
                    at_s = self.end.seconds(),
                    "live: the spill limit is reached, audio is dropped"
                );
            }
            self.lose(rest);
        }
    }

    /// Stores as many samples as there is room for, and returns how many.
    fn store(&mut self, samples: &[f32]) -> usize {
        let spilled = self.spilled();
        let free = MEMORY_SAMPLES - self.memory.len();
        // While older samples wait in the file, newer ones go behind them.
        let now = if spilled > 0 {
            0
        } else {
            free.min(samples.len())
        };
        self.memory.extend(&samples[..now]);
        let is_usable = now < samples.len() && !self.is_broken;
        let Some(spill) = self.spill.as_mut().filter(|_| is_usable) else {
            return now;
        };
        if let Err(error) = spill.push(&samples[now..]) {
            self.is_broken = true;
            tracing::error!(%error, "live: the spill file cannot be mapped and is not used any more");
        }
        let taken = spill.len() - spilled;
        if spilled == 0 && taken > 0 {
            tracing::info!(
                at_s = self.end.seconds(),
                "live: the engine is behind, audio goes to the spill file"
            );
        }
        now + usize::try_from(taken).unwrap_or(samples.len())
    }

    /// Audio that never came here: silence of the same length, reported.
    pub(super) fn lose(&mut self, length: Time) {
        self.dropped += length;
        let span = Span::new(self.end, self.end + length);
        self.report(span);
        self.silence(length);
    }

    /// Silence that takes no room.
    pub(super) fn silence(&mut self, length: Time) {
        self.end += length;
        let length = length.samples();
        // Beyond the limit silence is joined to earlier silence: what lies between is heard too late by that much, and
        // everything behind it in time again.
        let is_full = self.holes.len() == HOLES_MAX;
        match self.holes.back_mut() {
            Some(last) if last.at == self.stored || is_full => last.length += length,
            _ if length > 0 => self.holes.push_back(Hole {
                at: self.stored,
                length,
            }),
            _ => {}
        }
    }

    /// Reads the oldest audio into `out`, and returns how much there was of it, in samples.
    pub(super) fn read(&mut self, out: &mut [f32]) -> usize {
        let next = self
            .holes
            .front()
            .map(|hole| (hole.at - self.taken, hole.length));
        let count = match next {
            Some((0, length)) => {
                let count = length.min(out.len() as u64);
                self.fill_hole(count);
                let count = usize::try_from(count).unwrap_or(out.len());
                out[..count].fill(0.0);
                count
            }
            Some((before, _)) => {
                let limit = usize::try_from(before).unwrap_or(usize::MAX).min(out.len());
                self.fetch(&mut out[..limit])
            }
            None => self.fetch(out),
        };
        self.read += Time::from_samples(count as u64);
        count
    }

    /// Takes silence from the first hole.
    fn fill_hole(&mut self, count: u64) {
        if let Some(hole) = self.holes.front_mut() {
            hole.length -= count;
            if hole.length == 0 {
                self.holes.pop_front();
            }
        }
    }

    /// Takes stored samples.
    fn fetch(&mut self, out: &mut [f32]) -> usize {
        let count = if self.memory.is_empty() {
            self.fetch_spilled(out)
        } else {
            let count = out.len().min(self.memory.len());
            for (to, from) in out.iter_mut().zip(self.memory.drain(..count)) {
                *to = from;
            }
            count
        };
        self.taken += count as u64;
        count
    }

    fn fetch_spilled(&mut self, out: &mut [f32]) -> usize {
        let Some(spill) = &mut self.spill else {
            return 0;
        };
        let before = spill.len();
        let result = spill.read(out);
        let read = usize::try_from(before - spill.len()).unwrap_or(usize::MAX);
        match result {
            Ok(count) => {
                if count > 0 && spill.len() == 0 {
                    tracing::info!(
                        at_s = self.end.seconds(),
                        "live: the spill file is empty again"
                    );
                }
                count
            }
            Err(error) => {
                // What was read before the error stays; the rest of this piece is silence.
                tracing::error!(%error, "live: the spill file cannot be mapped");
                let count = usize::try_from(before).unwrap_or(usize::MAX).min(out.len());
                spill.skip(count - read);
                out[read..count].fill(0.0);
                let time = |samples: usize| self.read + Time::from_samples(samples as u64);
                let span = Span::new(time(read), time(count));
                self.dropped += span.length();
                self.report(span);
                count
            }
        }
    }

    /// Reports audio that was read and never transcribed, because its transcription ended early.
    pub(super) fn give_up(&mut self, span: Span) {
        self.dropped += span.length();
        self.report(span);
    }

    fn report(&mut self, span: Span) {
        let is_full = self.lost.len() == SPANS_MAX;
        match self.lost.last_mut() {
            Some(last) if last.end == span.start => last.end = span.end,
            _ if is_full || span.is_empty() => {}
            _ => self.lost.push(span),
        }
    }

    fn may_resume(&self) -> bool {
        let (free, all) = match &self.spill {
            Some(spill) => (spill.free(), spill.capacity()),
            None => (
                (MEMORY_SAMPLES - self.memory.len()) as u64,
                MEMORY_SAMPLES as u64,
            ),
        };
        free >= RESUME_SAMPLES.min(all / 4) && self.holes.len() < HOLES_MAX
    }

    /// Returns the end of what was pushed.
    pub(super) fn end(&self) -> Time {
        self.end
    }

    /// Returns up to where it was read.
    pub(super) fn position(&self) -> Time {
        self.read
    }

    /// Returns how many samples wait in the file.
    pub(super) fn spilled(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::len)
    }

    /// Returns how much was dropped.
    pub(super) fn dropped(&self) -> Time {
        self.dropped
    }

    /// Returns what was dropped, in order.
    pub(super) fn lost(&self) -> &[Span] {
        &self.lost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::live::SPILL_BYTES_MIN;

    /// The sample at a place of the time line: never zero, and exact.
    #[expect(clippy::cast_precision_loss, reason = "whole numbers below 2^22")]
    fn ramp(at: u64) -> f32 {
        (at % 4_194_303 + 1) as f32 / 4_194_304.0
    }

    fn queue(spills: bool) -> Queue {
        let spill = || Spill::create(&std::env::temp_dir(), SPILL_BYTES_MIN).unwrap();
        Queue::new(spills.then(spill))
    }

    fn push(queue: &mut Queue, count: u64) {
        let from = queue.end().samples();
        let samples: Vec<f32> = (from..from + count).map(ramp).collect();
        queue.push(&samples);
    }

    /// Reads, and checks that each sample is at its place, or silence where audio is reported as lost.
    fn read(queue: &mut Queue, limit: usize) -> usize {
        let mut out = vec![0.0; limit];
        let from = queue.position().samples();
        let count = queue.read(&mut out);
        for (at, sample) in (from..).zip(&out[..count]) {
            let is_lost = |span: &Span| (span.start.samples()..span.end.samples()).contains(&at);
            if queue.lost().iter().any(is_lost) {
                assert_eq!(*sample, 0.0, "at {at}");
            } else {
                assert_eq!(*sample, ramp(at), "at {at}");
            }
        }
        count
    }

    #[test]
    fn what_has_no_room_is_silence_of_the_same_length() {
        for (spills, room) in [(false, 480_000), (true, 480_000 + 262_144)] {
            let mut queue = queue(spills);
            push(&mut queue, room + 1);
            push(&mut queue, 1_000);
            assert_eq!(queue.dropped().samples(), 1_001);
            let lost = Span::new(Time::from_samples(room), Time::from_samples(room + 1_001));
            assert_eq!(queue.lost(), [lost]);
            while read(&mut queue, 100_000) > 0 {}
            assert_eq!(queue.position(), queue.end());
            push(&mut queue, 10);
            assert_eq!(read(&mut queue, 100), 10);
        }
    }

    #[test]
    fn audio_is_taken_again_when_there_is_room_for_a_stretch_of_it() {
        let mut queue = queue(true);
        push(&mut queue, 480_000 + 262_144 + 1);
        // The memory is empty, the file full.
        while queue.position().samples() < 480_000 {
            read(&mut queue, 48_000);
        }
        let dropped = queue.dropped().samples();
        push(&mut queue, 10);
        assert_eq!(queue.dropped().samples(), dropped + 10, "no room yet");
        while queue.position().samples() < 480_000 + 262_144 / 4 {
            read(&mut queue, 4_096);
        }
        push(&mut queue, 10);
        assert_eq!(queue.dropped().samples(), dropped + 10, "there is room");
    }

    #[test]
    fn silence_takes_no_room_and_is_not_lost() {
        let mut queue = queue(false);
        push(&mut queue, 5);
        queue.silence(Time::from_seconds(3_600.0));
        queue.silence(Time::ZERO);
        queue.push(&[0.5]);
        assert_eq!(read(&mut queue, 10), 5);
        let mut out = [1.0; 16_000];
        for _ in 0..3_600 {
            assert_eq!(queue.read(&mut out), 16_000);
            assert!(out.iter().all(|sample| *sample == 0.0));
        }
        assert_eq!((queue.read(&mut out), out[0]), (1, 0.5));
        assert!(queue.lost().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..Default::default() })]

        /// Whatever is pushed, lost and read: every sample comes at its place of the time line, or is reported as lost.
        #[test]
        fn the_time_line_is_right(
            spills in any::<bool>(),
            steps in prop::collection::vec((0_u64..300_000, 0_u64..3_000, 0_usize..300_000), 1..30),
        ) {
            let mut queue = queue(spills);
            let mut pushed = 0;
            for (count, lost, limit) in steps {
                push(&mut queue, count);
                queue.lose(Time::from_samples(lost));
                pushed += count + lost;
                prop_assert_eq!(queue.end().samples(), pushed);
                read(&mut queue, limit);
            }
            while read(&mut queue, 50_000) > 0 {}
            prop_assert_eq!(queue.position().samples(), pushed);
            let lost: u64 = queue.lost().iter().map(|span| span.length().samples()).sum();
            prop_assert_eq!(queue.dropped().samples(), lost);
            prop_assert!(queue.lost().windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
