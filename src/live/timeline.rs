//! Where on the time line samples are stored, where silence stands for some, and how far the line
//! was read and committed. It counts samples and holds none.

use std::collections::VecDeque;

use crate::time::{Span, Time};

/// Stretches of silence that are kept at most: one for each second of a backlog of two hours.
pub(super) const SILENCES_MAX: usize = 7_200;

/// Bytes of memory that a time line holds.
pub(super) const TIMELINE_BYTES: usize = SILENCES_MAX * size_of::<Silence>();

/// The positions of a live input.
///
/// Three of them move along the line: the end of what was pushed, before it what was read, and
/// before that what was committed. Samples have an index, which counts all that were ever stored.
///
/// # Memory
///
/// [`TIMELINE_BYTES`], allocated when it is made.
#[derive(Debug)]
pub(super) struct LiveTimeline {
    /// Silence that is not committed, in order.
    silences: VecDeque<Silence>,
    /// Samples that were ever stored.
    stored: u64,
    /// Of those, how many lie before the committed position.
    freed: u64,
    end: Time,
    read: Time,
    committed: Time,
}

/// A stretch of the time line that has no samples.
#[derive(Debug)]
struct Silence {
    span: Span,
    /// Index of the sample behind it.
    next: u64,
}

/// What lies at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Samples: how many stored ones lie before them, from the committed position on, and how many
    /// there are up to the next silence or the end.
    Stored { offset: u64, count: u64 },
    /// Silence: how much of it is left.
    Silent { count: u64 },
}

impl LiveTimeline {
    pub(super) fn new() -> Self {
        Self {
            silences: VecDeque::with_capacity(SILENCES_MAX),
            stored: 0,
            freed: 0,
            end: Time::ZERO,
            read: Time::ZERO,
            committed: Time::ZERO,
        }
    }

    /// Returns the end of what was pushed.
    pub(super) fn end(&self) -> Time {
        self.end
    }

    /// Returns the position up to which it was read.
    pub(super) fn read(&self) -> Time {
        self.read
    }

    /// Returns the position up to which it was committed.
    pub(super) fn committed(&self) -> Time {
        self.committed
    }

    /// Returns whether no other stretch of silence is taken behind a sample. The last one then lies
    /// at the end, where it can grow, as long as no sample is stored.
    pub(super) fn is_full(&self) -> bool {
        self.silences.len() == SILENCES_MAX
    }

    /// Appends samples.
    pub(super) fn store(&mut self, count: u64) {
        debug_assert!(
            count == 0 || !self.is_full(),
            "samples behind the last silence"
        );
        self.stored += count;
        self.end += Time::from_samples(count);
    }

    /// Appends silence, and returns where it lies.
    pub(super) fn silence(&mut self, length: Time) -> Span {
        let span = Span::new(self.end, self.end + length);
        self.end = span.end;
        match self.silences.back_mut() {
            Some(last) if last.next == self.stored => last.span.end = span.end,
            _ if !span.is_empty() => self.silences.push_back(Silence {
                span,
                next: self.stored,
            }),
            _ => {}
        }
        span
    }

    /// Finds what lies at the position up to which it was read.
    pub(super) fn next(&self) -> Place {
        let (first, silent) = self.locate(self.read);
        if silent > 0 {
            return Place::Silent { count: silent };
        }
        let later = self
            .silences
            .partition_point(|silence| silence.span.start <= self.read);
        let end = self
            .silences
            .get(later)
            .map_or(self.stored, |silence| silence.next);
        Place::Stored {
            offset: first - self.freed,
            count: end - first,
        }
    }

    /// Moves the read position forward.
    pub(super) fn advance(&mut self, count: u64) -> Span {
        let from = self.read;
        self.read = (from + Time::from_samples(count)).min(self.end);
        Span::new(from, self.read)
    }

    /// Moves the read position back to the committed one.
    pub(super) fn rewind(&mut self) {
        self.read = self.committed;
    }

    /// Moves the committed position to `time`, never back and never beyond the end, and the read
    /// position with it if that lies before. Returns how many stored samples lie between the old
    /// position and the new one.
    pub(super) fn commit(&mut self, time: Time) -> u64 {
        let time = time.clamp(self.committed, self.end);
        let (first, _) = self.locate(time);
        let count = first - self.freed;
        self.freed = first;
        self.committed = time;
        self.read = self.read.max(time);
        let is_past = |silence: &Silence| silence.span.end <= time;
        while self.silences.front().is_some_and(is_past) {
            self.silences.pop_front();
        }
        count
    }

    /// Returns the index of the first sample at or behind a time that is not committed, and how
    /// much silence comes before that sample.
    fn locate(&self, time: Time) -> (u64, u64) {
        let later = self
            .silences
            .partition_point(|silence| silence.span.start <= time);
        let before = later.checked_sub(1).and_then(|at| self.silences.get(at));
        match before {
            Some(silence) => (
                silence.next + (time - silence.span.end).samples(),
                (silence.span.end - time).samples(),
            ),
            None => (self.freed + (time - self.committed).samples(), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(samples: u64) -> Time {
        Time::from_samples(samples)
    }

    #[test]
    fn silence_is_found_again_after_a_rewind() {
        let mut line = LiveTimeline::new();
        line.store(5);
        line.silence(time(10));
        line.store(7);
        let stored = |offset, count| Place::Stored { offset, count };
        for _ in 0..2 {
            assert_eq!(line.next(), stored(0, 5));
            line.advance(5);
            assert_eq!(line.next(), Place::Silent { count: 10 });
            line.advance(4);
            assert_eq!(line.next(), Place::Silent { count: 6 });
            line.advance(6);
            assert_eq!(line.next(), stored(5, 7));
            line.advance(7);
            assert_eq!(line.next(), stored(12, 0));
            line.rewind();
        }
        // In the middle of the silence.
        assert_eq!(line.commit(time(9)), 5);
        assert_eq!(line.next(), Place::Silent { count: 6 });
        line.advance(6);
        assert_eq!(line.next(), stored(0, 7));
        assert_eq!(line.commit(time(20)), 5);
        assert_eq!(line.next(), stored(0, 2));
    }

    #[test]
    fn silence_at_the_end_grows() {
        let mut line = LiveTimeline::new();
        assert!(line.silence(Time::ZERO).is_empty());
        line.silence(time(3));
        line.advance(3);
        assert_eq!(line.silence(time(4)), Span::new(time(3), time(7)));
        assert_eq!(line.next(), Place::Silent { count: 4 });
        assert_eq!((line.commit(time(7)), line.silences.len()), (0, 0));
        line.silence(time(1));
        assert_eq!(line.next(), Place::Silent { count: 1 });
    }

    #[test]
    fn a_commit_moves_neither_back_nor_beyond_the_end() {
        let mut line = LiveTimeline::new();
        line.store(10);
        assert_eq!((line.commit(time(4)), line.read()), (4, time(4)));
        assert_eq!((line.commit(time(3)), line.committed()), (0, time(4)));
        assert_eq!((line.commit(time(99)), line.committed()), (6, time(10)));
    }

    #[test]
    fn a_full_list_ends_in_silence_that_grows() {
        let mut line = LiveTimeline::new();
        while !line.is_full() {
            line.store(1);
            line.silence(time(1));
        }
        line.silence(time(100));
        assert_eq!(line.silences.len(), SILENCES_MAX);
        line.commit(time(2));
        assert!(!line.is_full());
    }
}
