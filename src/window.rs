//! The part of the time line that the engine sees next, as one slice that slides, and the choice of
//! its end.

use crate::config::PAUSE_SAMPLES_MIN;
use crate::error::ConfigError;
use crate::time::{Span, Time};

/// A pause longer than this, 1 s, is no better than one of this length.
const PAUSE_SAMPLES_ENOUGH: u64 = 16_000;

/// Shorter pauses, below 0.3 s, also occur within utterances.
const PAUSE_SAMPLES_CERTAIN: u64 = 4_800;

/// A window ends at most this long after speech, 0.3 s, or in the middle of a shorter pause.
const TAIL_SAMPLES: u64 = 4_800;

/// The pause that ends a window is sought in its last third first.
///
/// Source: word error rate with / without previous text, measured on three sets of scenes, 4,713
/// words (`cargo bench --bench text`): last fifth 3.33 / 3.29 %, last third 2.74 / 2.80 %.
const SEARCH_PART: u64 = 3;

/// If the last third has no pause, the second half is searched.
const SEARCH_PART_WIDE: u64 = 2;

/// Samples of 16 kHz mono that were received and not yet consumed, as one slice.
///
/// # Memory
///
/// One allocation of `capacity` samples, made in [`Window::new`].
#[derive(Debug)]
pub struct Window {
    samples: Box<[f32]>,
    /// Index of the first sample.
    head: usize,
    len: usize,
    start: Time,
}

impl Window {
    /// Makes an empty window at the start of the time line, with room for `capacity` samples.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for a capacity of zero.
    pub fn new(capacity: usize) -> Result<Self, ConfigError> {
        if capacity == 0 {
            let (what, max) = ("capacity of a window (samples)", f64::MAX);
            return Err(ConfigError::out_of_range(what, 0.0, 1.0, max));
        }
        let samples = vec![0.0; capacity].into_boxed_slice();
        Ok(Self {
            samples,
            head: 0,
            len: 0,
            start: Time::ZERO,
        })
    }

    /// Discards all samples and starts at `start`.
    pub fn reset(&mut self, start: Time) {
        (self.head, self.len, self.start) = (0, 0, start);
    }

    /// Appends as many of `samples` as there is room for, and returns how many.
    pub fn push(&mut self, samples: &[f32]) -> usize {
        let taken = samples.len().min(self.room());
        if self.head + self.len + taken > self.samples.len() {
            self.samples.copy_within(self.head..self.head + self.len, 0);
            self.head = 0;
        }
        let end = self.head + self.len;
        self.samples[end..end + taken].copy_from_slice(&samples[..taken]);
        self.len += taken;
        taken
    }

    /// Removes the first `count` samples, at most all; the window then starts behind them.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        self.head += count;
        self.len -= count;
        self.start += Time::from_samples(count as u64);
        if self.len == 0 {
            self.head = 0;
        }
    }

    /// Removes everything before `time`.
    pub(crate) fn consume_to(&mut self, time: Time) {
        self.consume(time.samples_since(self.start));
    }

    /// Returns the samples of `span`, as far as the window holds it.
    #[must_use]
    pub fn slice(&self, span: Span) -> &[f32] {
        let from = span.start.samples_since(self.start).min(self.len);
        let to = span.end.samples_since(self.start).min(self.len);
        &self.samples[self.head + from..self.head + to.max(from)]
    }

    /// Returns for how many samples there is room.
    #[must_use]
    pub(crate) fn room(&self) -> usize {
        self.samples.len() - self.len
    }

    /// Returns the stretch of time that the window holds.
    #[must_use]
    pub fn span(&self) -> Span {
        Span::new(self.start, self.start + Time::from_samples(self.len as u64))
    }
}

/// The end of a window, as it is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct WindowEnd {
    /// Its position on the time line.
    pub(crate) at: Time,
    /// Whether it may lie within an utterance: there is no pause, or one that is as short as those
    /// between two words.
    pub(crate) is_cut: bool,
}

/// Chooses where a window that starts at `start` ends, so that it cuts no word: in a pause near
/// `latest`, else at `latest`. Of several pauses the longest wins, of equal ones the last.
///
/// `speech` holds the spans of speech in order, known up to `scored_to`.
#[must_use]
pub(crate) fn window_end(
    speech: impl DoubleEndedIterator<Item = Span> + Clone,
    start: Time,
    latest: Time,
    scored_to: Time,
) -> WindowEnd {
    let length = (latest - start).samples();
    let from = |part: u64| latest - Time::from_samples(length / part);
    let best = |from: Time| {
        pauses(speech.clone(), scored_to)
            .map(|pause| {
                (
                    pause_end(pause),
                    pause.length().samples().min(PAUSE_SAMPLES_ENOUGH),
                )
            })
            .filter(|(at, _)| *at > from && *at <= latest)
            .max_by_key(|(at, length)| (*length, *at))
    };
    match best(from(SEARCH_PART)).or_else(|| best(from(SEARCH_PART_WIDE))) {
        Some((at, length)) => WindowEnd {
            at,
            is_cut: length < PAUSE_SAMPLES_CERTAIN,
        },
        None => WindowEnd {
            at: latest,
            is_cut: true,
        },
    }
}

/// Returns the pauses between spans of speech, and the one behind the last span if it is long
/// enough to be one.
fn pauses(
    speech: impl DoubleEndedIterator<Item = Span> + Clone,
    scored_to: Time,
) -> impl Iterator<Item = Span> {
    let starts = speech.clone().skip(1).map(|span| span.start);
    speech
        .zip(starts.chain(std::iter::once(scored_to)))
        .map(|(before, next)| Span::new(before.end, next))
        .filter(|pause| pause.length().samples() >= PAUSE_SAMPLES_MIN as u64)
}

/// Returns the position in a pause at which a window ends.
pub(crate) fn pause_end(pause: Span) -> Time {
    let half = Time::from_samples(pause.length().samples() / 2);
    pause.start + half.min(Time::from_samples(TAIL_SAMPLES))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(start: f64, end: f64) -> Span {
        Span::new(Time::from_seconds(start), Time::from_seconds(end))
    }

    /// The end of a window from 0 s to at most 30 s, with speech known up to 31 s.
    fn end(speech: &[(f64, f64)]) -> WindowEnd {
        let spans: Vec<_> = speech.iter().map(|&(a, b)| seconds(a, b)).collect();
        let (latest, scored_to) = (Time::from_seconds(30.0), Time::from_seconds(31.0));
        window_end(spans.iter().copied(), Time::ZERO, latest, scored_to)
    }

    fn check_end(speech: &[(f64, f64)], expected: f64) {
        assert_eq!(end(speech).at.seconds(), expected, "{speech:?}");
    }

    fn check_cut(speech: &[(f64, f64)], expected: bool) {
        assert_eq!(end(speech).is_cut, expected, "{speech:?}");
    }

    #[test]
    fn a_window_ends_in_the_longest_pause_near_its_end() {
        check_end(
            &[(0.0, 19.0), (20.0, 25.0), (25.5, 28.0), (28.25, 31.0)],
            25.25,
        );
    }

    #[test]
    fn of_equal_pauses_the_last_ends_a_window() {
        check_end(&[(0.0, 25.0), (25.5, 28.0), (28.5, 31.0)], 28.25);
        check_end(&[(0.0, 25.0), (27.0, 28.0), (29.5, 31.0)], 28.3);
    }

    #[test]
    fn where_its_end_has_no_pause_the_second_half_is_searched() {
        check_end(&[(0.0, 16.0), (16.5, 31.0)], 16.25);
        check_end(&[(0.0, 14.0), (14.5, 31.0)], 30.0);
        check_end(&[], 30.0);
    }

    #[test]
    fn a_pause_counts_only_behind_the_start_of_the_part_that_is_searched() {
        // Positions behind 20 s belong to the last third, those behind 15 s to the second half.
        check_end(&[(0.0, 19.75), (20.25, 31.0)], 20.0); // of the half, not of the third
        check_end(&[(0.0, 19.75), (20.25, 25.0), (25.2, 31.0)], 25.1);
        check_end(&[(0.0, 14.75), (15.25, 31.0)], 30.0);
    }

    #[test]
    fn pauses_below_120_ms_end_no_window() {
        check_end(&[(0.0, 25.0), (25.12, 31.0)], 25.06);
        check_end(&[(0.0, 25.0), (25.1199, 31.0)], 30.0);
    }

    #[test]
    fn a_window_is_cut_unless_it_ends_in_a_pause_of_300_ms() {
        check_cut(&[(0.0, 25.0), (25.3, 31.0)], false);
        check_cut(&[(0.0, 25.0), (25.2999, 31.0)], true);
        check_cut(&[(0.0, 31.0)], true);
        check_cut(&[], true);
    }

    #[test]
    fn silence_at_the_end_is_a_pause() {
        check_end(&[(0.0, 29.0)], 29.3);
        check_end(&[(0.0, 29.9)], 30.0); // cut would lie at 30.2
    }

    #[test]
    fn a_capacity_of_zero_is_refused_and_one_works() {
        assert!(Window::new(0).is_err());
        let mut window = Window::new(1).expect("room for one sample");
        assert_eq!((window.push(&[0.5, 0.6]), window.push(&[0.7])), (1, 0));
        assert_eq!(window.slice(window.span()), [0.5]);
        window.consume(1);
        assert_eq!(window.push(&[0.7]), 1);
        assert_eq!(
            window.span(),
            Span::new(Time::from_samples(1), Time::from_samples(2))
        );
    }

    proptest! {
        /// Whatever is pushed and consumed: no sample is lost or comes twice, and the rest is one
        /// slice.
        #[test]
        fn holds_what_was_pushed_and_not_consumed(
            capacity in 1_usize..200,
            steps in prop::collection::vec((0_usize..120, 0_usize..120), 1..100),
        ) {
            let mut window = Window::new(capacity).expect("a capacity");
            let (mut pushed, mut consumed) = (0_usize, 0_usize);
            for (push, consume) in steps {
                let samples: Vec<f32> = (pushed..pushed + push).map(|n| n as f32).collect();
                let room = window.room();
                let taken = window.push(&samples);
                prop_assert_eq!(taken, push.min(room));
                pushed += taken;
                window.consume(consume);
                consumed = (consumed + consume).min(pushed);
                let expected: Vec<f32> = (consumed..pushed).map(|n| n as f32).collect();
                prop_assert_eq!(window.slice(window.span()), &expected[..]);
                prop_assert_eq!(window.room() + expected.len(), capacity);
                prop_assert_eq!(window.span().start.samples(), consumed as u64);
            }
        }

        /// A window never ends before its middle, never behind its latest end, and in speech only
        /// if no pause is near.
        #[test]
        fn a_window_has_at_least_half_its_length(
            lengths in prop::collection::vec((100_u64..80_000, 1_920_u64..80_000), 1..40),
        ) {
            let mut at = 0;
            let speech: Vec<Span> = lengths.iter().map(|(said, pause)| {
                let span = Span::new(Time::from_samples(at), Time::from_samples(at + said));
                at += said + pause;
                span
            }).collect();
            let latest = Time::from_seconds(30.0);
            let spans = speech.iter().copied();
            let end = window_end(spans, Time::ZERO, latest, Time::from_samples(at)).at;
            prop_assert!(end <= latest && end.seconds() >= 15.0);
            let inside = speech.iter().any(|s| s.start < end && end < s.end);
            prop_assert!(!inside || end == latest);
        }
    }
}
