//! Audio that was pushed and whose text is not committed: in memory, then in the spill file, with
//! silence in place of what had no room.

use std::collections::VecDeque;
use std::io;

use super::lost::{LOST_BYTES, Lost};
use super::spill::Spill;
use super::timeline::{LiveTimeline, Place, TIMELINE_BYTES};
use crate::audio::WINDOW_SAMPLES_MAX;
use crate::config::{BLOCK_SAMPLES, LOOK_AHEAD_SAMPLES};
use crate::time::{Span, Time};

/// Samples that a transcription reads before it commits the first of them: a window, what is looked
/// at behind it, and the pool of [`Config::pool_blocks`](crate::Config::pool_blocks)'s default.
const READ_AHEAD_SAMPLES: usize = WINDOW_SAMPLES_MAX + LOOK_AHEAD_SAMPLES + 16 * BLOCK_SAMPLES;

/// Samples that memory holds: 69 s, 4.4 MB. That is what a transcription reads ahead, and 30 s, so
/// that an engine that is slow for one window and fast for the next never touches the disk.
pub(super) const MEMORY_SAMPLES: usize = READ_AHEAD_SAMPLES + 480_000;

/// After audio was dropped, it is taken again only when there is room for this much: 30 s, or a
/// quarter of all room if that is less. Otherwise, with an engine that stays behind, every commit
/// would let a shred of audio in.
const RESUME_SAMPLES: u64 = 480_000;

/// Samples that move from the file to memory at once: 32 KB on the stack, some microseconds.
const REFILL_SAMPLES: usize = 8_192;

/// Bytes of memory that a queue holds.
pub(super) const QUEUE_BYTES: usize =
    MEMORY_SAMPLES * size_of::<f32>() + TIMELINE_BYTES + LOST_BYTES;

/// Samples of 16 kHz mono on one time line without gaps, oldest out first.
///
/// Reading removes nothing, so that a transcription that ends early can be repeated from the
/// committed position; committing frees.
///
/// # Memory
///
/// [`QUEUE_BYTES`], allocated when it is made.
#[derive(Debug)]
pub(super) struct Queue {
    /// The oldest samples.
    memory: VecDeque<f32>,
    /// Those behind them.
    spill: Option<Spill>,
    timeline: LiveTimeline,
    lost: Lost,
    /// There was no room, and there is not enough yet.
    is_dropping: bool,
    /// The file could not be read, which was logged.
    is_damaged: bool,
}

impl Queue {
    pub(super) fn new(spill: Option<Spill>) -> Self {
        Self {
            memory: VecDeque::with_capacity(MEMORY_SAMPLES),
            spill,
            timeline: LiveTimeline::new(),
            lost: Lost::new(),
            is_dropping: false,
            is_damaged: false,
        }
    }

    /// Appends samples. What there is no room for becomes silence.
    pub(super) fn push(&mut self, samples: &[f32]) {
        let taken = if self.has_room() {
            self.store(samples)
        } else {
            0
        };
        self.timeline.store(taken as u64);
        if taken > 0 && self.is_dropping {
            self.is_dropping = false;
            tracing::warn!(
                at_s = self.timeline.end().seconds(),
                dropped_s = self.lost.length().seconds(),
                "live: there is room for audio again"
            );
        }
        let rest = Time::from_samples((samples.len() - taken) as u64);
        if rest > Time::ZERO {
            if !self.is_dropping {
                self.is_dropping = true;
                tracing::warn!(
                    at_s = self.timeline.end().seconds(),
                    "live: the backlog is full, new audio is dropped"
                );
            }
            self.lose(rest);
        }
    }

    /// Returns whether samples are taken: after some were dropped, only with room for a stretch.
    fn has_room(&self) -> bool {
        // Nothing but a silence at the end could stand for what is dropped next.
        if self.timeline.is_full() {
            return false;
        }
        let in_memory = (MEMORY_SAMPLES - self.memory.len()) as u64;
        let (in_file, limit) = self
            .spill
            .as_ref()
            .map_or((0, 0), |spill| (spill.free(), spill.capacity()));
        let room = if self.spilled() > 0 {
            in_file
        } else {
            in_memory + in_file
        };
        let all = MEMORY_SAMPLES as u64 + limit;
        !self.is_dropping || room >= RESUME_SAMPLES.min(all / 4)
    }

    /// Stores as many samples as there is room for, and returns how many.
    fn store(&mut self, samples: &[f32]) -> usize {
        if let Some(spill) = self.spill.as_mut().filter(|_| self.is_dropping) {
            // A disk that was full may have room again.
            spill.retry_growing();
        }
        let spilled = self.spilled();
        // While older samples wait in the file, newer ones go behind them.
        let now = if spilled > 0 {
            0
        } else {
            (MEMORY_SAMPLES - self.memory.len()).min(samples.len())
        };
        self.memory.extend(&samples[..now]);
        let Some(spill) = self.spill.as_mut().filter(|_| now < samples.len()) else {
            return now;
        };
        if let Err(error) = spill.push(&samples[now..])
            && !self.is_dropping
        {
            tracing::error!(%error, "live: the spill file cannot grow; make room on its disk");
        }
        let taken = spill.len() - spilled;
        if spilled == 0 && taken > 0 {
            tracing::info!(
                at_s = self.timeline.end().seconds(),
                "live: transcription is behind, audio goes to the spill file"
            );
        }
        now + usize::try_from(taken).unwrap_or(samples.len())
    }

    /// Appends silence in place of audio that was dropped.
    pub(super) fn lose(&mut self, length: Time) {
        let span = self.timeline.silence(length);
        self.lost.add(span);
    }

    /// Appends silence, which takes no room.
    pub(super) fn silence(&mut self, length: Time) {
        self.timeline.silence(length);
    }

    /// Copies the oldest audio that was not read into `out`, and returns how many samples there
    /// were. It stays in the queue until it is committed.
    pub(super) fn read(&mut self, out: &mut [f32]) -> usize {
        let limit = |count: u64| usize::try_from(count).map_or(out.len(), |n| n.min(out.len()));
        let count = match self.timeline.next() {
            Place::Silent { count } => {
                let count = limit(count);
                out[..count].fill(0.0);
                count
            }
            Place::Stored { offset, count } => {
                let count = limit(count);
                self.copy(offset, &mut out[..count])
            }
        };
        self.timeline.advance(count as u64);
        count
    }

    /// Starts reading at the committed position again.
    pub(super) fn rewind(&mut self) {
        self.timeline.rewind();
    }

    /// Frees everything before `time`. Times before the last commit change nothing.
    pub(super) fn commit(&mut self, time: Time) {
        let count = self.timeline.commit(time);
        let in_memory = count.min(self.memory.len() as u64);
        let front = usize::try_from(in_memory).unwrap_or(self.memory.len());
        self.memory.drain(..front);
        if count > in_memory {
            self.skip_spilled(count - in_memory);
        }
    }

    /// Moves a piece of the file to memory, if there is room. Returns whether one was moved.
    pub(super) fn refill(&mut self) -> bool {
        let room = (MEMORY_SAMPLES - self.memory.len()).min(REFILL_SAMPLES);
        let Some(spill) = self.spill.as_mut().filter(|_| room > 0) else {
            return false;
        };
        let mut piece = [0.0; REFILL_SAMPLES];
        // Samples that cannot be read stay where they are: the transcription that reads them
        // reports the error.
        let count = spill.read_at(0, &mut piece[..room]).unwrap_or(0);
        self.memory.extend(&piece[..count]);
        self.skip_spilled(count as u64);
        count > 0
    }

    fn skip_spilled(&mut self, count: u64) {
        let Some(spill) = self.spill.as_mut().filter(|_| count > 0) else {
            return;
        };
        spill.skip(count);
        if spill.len() == 0 {
            tracing::info!(
                at_s = self.timeline.end().seconds(),
                "live: the spill file is empty again"
            );
        }
    }

    /// Copies stored samples, `offset` of them behind the committed position, and returns how many
    /// lie in one place.
    fn copy(&mut self, offset: u64, out: &mut [f32]) -> usize {
        let in_memory = self.memory.len();
        let Some(at) = usize::try_from(offset).ok().filter(|at| *at < in_memory) else {
            return self.copy_spilled(offset - in_memory as u64, out);
        };
        let count = out.len().min(in_memory - at);
        let (front, back) = self.memory.as_slices();
        let (first, second) = out[..count].split_at_mut(count.min(front.len().saturating_sub(at)));
        first.copy_from_slice(front.get(at..at + first.len()).unwrap_or_default());
        let at = at.saturating_sub(front.len());
        second.copy_from_slice(&back[at..at + second.len()]);
        count
    }

    /// Copies samples of the file. Silence stands for those that cannot be read.
    fn copy_spilled(&mut self, offset: u64, out: &mut [f32]) -> usize {
        let Some(spill) = &mut self.spill else {
            return 0;
        };
        match spill.read_at(offset, out) {
            Ok(count) => count,
            Err(error) => {
                self.lose_unreadable(&error, out);
                out.len()
            }
        }
    }

    fn lose_unreadable(&mut self, error: &io::Error, out: &mut [f32]) {
        if !self.is_damaged {
            self.is_damaged = true;
            tracing::error!(
                %error,
                "live: the spill file cannot be read, silence stands for the audio in it"
            );
        }
        out.fill(0.0);
        let from = self.timeline.read();
        let length = Time::from_samples(out.len() as u64);
        self.lost.add(Span::new(from, from + length));
    }

    /// Returns the positions on the time line.
    pub(super) fn timeline(&self) -> &LiveTimeline {
        &self.timeline
    }

    /// Returns how many samples are in the file.
    pub(super) fn spilled(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::len)
    }

    /// Returns what was dropped.
    pub(super) fn lost(&self) -> &Lost {
        &self.lost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::live::SPILL_BYTES_MIN;

    const MEMORY: u64 = MEMORY_SAMPLES as u64;

    /// Samples in the smallest file.
    const FILE: u64 = SPILL_BYTES_MIN / 4;

    /// The sample at a place of the time line: never zero, and exact.
    #[expect(clippy::cast_precision_loss, reason = "whole numbers below 2^22")]
    fn ramp(at: u64) -> f32 {
        (at % 4_194_303 + 1) as f32 / 4_194_304.0
    }

    fn queue(segments: u64) -> Queue {
        let bytes = segments * SPILL_BYTES_MIN;
        let spill = || Spill::create(&std::env::temp_dir(), bytes).unwrap();
        Queue::new((segments > 0).then(spill))
    }

    fn end(queue: &Queue) -> u64 {
        queue.timeline().end().samples()
    }

    fn position(queue: &Queue) -> u64 {
        queue.timeline().read().samples()
    }

    fn push(queue: &mut Queue, count: u64) {
        let from = end(queue);
        let samples: Vec<f32> = (from..from + count).map(ramp).collect();
        queue.push(&samples);
    }

    /// Reads, and checks that each sample is at its place, with silence where none was stored.
    fn read(queue: &mut Queue, limit: usize, silent: &[Span]) -> usize {
        let mut out = vec![9.0; limit];
        let from = position(queue);
        let count = queue.read(&mut out);
        let to = from + count as u64;
        let mut expected: Vec<f32> = (from..to).map(ramp).collect();
        for span in silent.iter().chain(queue.lost().spans()) {
            let within = |at: Time| at.samples().clamp(from, to) - from;
            let within = |at| usize::try_from(within(at)).unwrap();
            expected[within(span.start)..within(span.end)].fill(0.0);
        }
        assert!(out[..count] == expected, "from {from} to {to}");
        count
    }

    /// Reads everything, in pieces.
    fn read_all(queue: &mut Queue) {
        while read(queue, 100_000, &[]) > 0 {}
        assert_eq!(position(queue), end(queue));
    }

    fn commit(queue: &mut Queue, at: u64) {
        queue.commit(Time::from_samples(at));
        while queue.refill() {}
    }

    #[test]
    fn memory_holds_what_a_transcription_reads_ahead_and_half_a_minute() {
        let config = Config::default();
        let window = Time::from_seconds(f64::from(config.window_s)).samples();
        let pool = config.pool_blocks * BLOCK_SAMPLES;
        assert_eq!(
            MEMORY,
            window + (LOOK_AHEAD_SAMPLES + pool) as u64 + 480_000
        );
    }

    #[test]
    fn what_has_no_room_is_silence_of_the_same_length() {
        for (segments, room) in [(0, MEMORY), (1, MEMORY + FILE)] {
            let mut queue = queue(segments);
            push(&mut queue, room + 1);
            push(&mut queue, 1_000);
            let lost = Span::new(Time::from_samples(room), Time::from_samples(room + 1_001));
            assert_eq!(queue.lost().spans(), [lost]);
            read_all(&mut queue);
            commit(&mut queue, room + 1_001);
            push(&mut queue, 10);
            assert_eq!(read(&mut queue, 100, &[]), 10);
            assert_eq!(queue.lost().length().samples(), 1_001);
        }
    }

    #[test]
    fn reading_makes_no_room_and_committing_does() {
        let mut queue = queue(0);
        push(&mut queue, MEMORY + 1);
        read_all(&mut queue);
        let dropped = |queue: &Queue| queue.lost().length().samples();
        push(&mut queue, 10);
        assert_eq!(dropped(&queue), 11);
        commit(&mut queue, MEMORY / 4 - 1);
        push(&mut queue, 10);
        assert_eq!(dropped(&queue), 21, "no room for a stretch of audio yet");
        commit(&mut queue, MEMORY / 4);
        push(&mut queue, 10);
        assert_eq!(dropped(&queue), 21, "there is room");
    }

    #[test]
    fn what_is_read_and_not_committed_is_read_again() {
        let mut queue = queue(2);
        push(&mut queue, MEMORY + 1_000);
        read_all(&mut queue);
        queue.rewind();
        assert_eq!(position(&queue), 0);
        read_all(&mut queue);
        commit(&mut queue, 300_000);
        queue.rewind();
        assert_eq!(position(&queue), 300_000);
        read_all(&mut queue);
    }

    #[test]
    fn the_file_is_empty_again_when_memory_holds_the_backlog() {
        let mut queue = queue(2);
        push(&mut queue, MEMORY + FILE + 5);
        assert_eq!(queue.spilled(), FILE + 5);
        commit(&mut queue, FILE);
        assert_eq!(queue.spilled(), 5);
        commit(&mut queue, FILE + 5);
        assert_eq!((queue.spilled(), queue.memory.len()), (0, MEMORY_SAMPLES));
        // What is pushed next goes to memory, behind what came from the file.
        commit(&mut queue, FILE + 20);
        push(&mut queue, 15);
        assert_eq!(queue.spilled(), 0);
        read_all(&mut queue);
    }

    #[test]
    fn silence_takes_no_room_and_is_not_lost() {
        let mut queue = queue(0);
        push(&mut queue, 5);
        queue.silence(Time::from_seconds(3_600.0));
        queue.silence(Time::ZERO);
        queue.push(&[0.5]);
        assert_eq!(read(&mut queue, 10, &[]), 5);
        let mut out = [1.0; 16_000];
        for _ in 0..3_600 {
            assert_eq!(queue.read(&mut out), 16_000);
            assert!(out.iter().all(|sample| *sample == 0.0));
        }
        assert_eq!((queue.read(&mut out), out[0]), (1, 0.5));
        assert!(queue.lost().spans().is_empty());
    }

    #[test]
    fn more_silences_than_the_list_holds_drop_audio_and_no_time() {
        let mut queue = queue(0);
        while !queue.timeline.is_full() {
            push(&mut queue, 1);
            queue.silence(Time::from_samples(1));
        }
        let full = end(&queue);
        push(&mut queue, 100);
        assert_eq!(
            (queue.lost().length().samples(), end(&queue)),
            (100, full + 100)
        );
        commit(&mut queue, full);
        push(&mut queue, 100);
        assert_eq!(queue.lost().length().samples(), 100);
        let behind_the_silence = [Span::new(
            Time::from_samples(full - 1),
            Time::from_samples(full),
        )];
        while read(&mut queue, 1_000, &behind_the_silence) > 0 {}
        assert_eq!(position(&queue), full + 200);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u64),
        Lose(u64),
        Silence(u64),
        Read(usize),
        /// Up to a part, in thousandths, of what was read and not committed.
        Commit(u64),
        Rewind,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0_u64..300_000).prop_map(Step::Push),
            1 => (0_u64..3_000).prop_map(Step::Lose),
            1 => (0_u64..3_000).prop_map(Step::Silence),
            4 => (0_usize..400_000).prop_map(Step::Read),
            3 => (0_u64..=1_000).prop_map(Step::Commit),
            1 => Just(Step::Rewind),
        ];
        prop::collection::vec(step, 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, cases: 48, ..Default::default()
        })]

        /// However pushing, reading, committing and rewinding are mixed, with and without a file:
        /// every sample behind the last commit is read at its place, or is reported as lost,
        /// nothing before it is read again, and nothing is dropped while there is room.
        #[test]
        fn no_sample_is_lost_and_none_comes_back(segments in 0_u64..3, steps in steps()) {
            let mut queue = queue(segments);
            let (mut silent, mut pushed, mut committed) = (Vec::new(), 0, 0);
            for step in steps {
                let dropped = queue.lost().length();
                let backlog = end(&queue) - committed;
                match step {
                    Step::Push(count) => {
                        push(&mut queue, count);
                        pushed += count;
                        let has_room = !queue.is_dropping && backlog + count <= MEMORY;
                        prop_assert!(!has_room || queue.lost().length() == dropped);
                    }
                    Step::Lose(count) => {
                        queue.lose(Time::from_samples(count));
                        pushed += count;
                    }
                    Step::Silence(count) => {
                        let from = Time::from_samples(pushed);
                        pushed += count;
                        silent.push(Span::new(from, Time::from_samples(pushed)));
                        queue.silence(Time::from_samples(count));
                    }
                    Step::Read(limit) => {
                        read(&mut queue, limit, &silent);
                    }
                    Step::Commit(part) => {
                        committed += (position(&queue) - committed) * part / 1_000;
                        commit(&mut queue, committed);
                        let stored = (end(&queue) - committed) <= MEMORY;
                        prop_assert!(!stored || queue.spilled() == 0);
                    }
                    Step::Rewind => {
                        queue.rewind();
                        prop_assert_eq!(position(&queue), committed);
                    }
                }
                prop_assert_eq!(end(&queue), pushed);
                prop_assert_eq!(queue.timeline().committed().samples(), committed);
                prop_assert!(position(&queue) >= committed);
            }
            queue.rewind();
            while read(&mut queue, 50_000, &silent) > 0 {}
            prop_assert_eq!(position(&queue), pushed);
            let lost = queue.lost();
            let sum: u64 = lost.spans().iter().map(|span| span.length().samples()).sum();
            prop_assert_eq!(lost.length().samples(), sum);
        }
    }
}
