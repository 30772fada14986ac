//! Which text of a window is kept, and where the next window begins: a pure function.
//!
//! A window that ends inside an utterance has text that stops in the middle. That text is dropped
//! and its audio is transcribed again, with what follows. What an engine answers is not trusted:
//! times, order and figures are made valid first.

use crate::engine::{Boundary, Transcription};
use crate::time::Time;
use crate::transcript::Segment;

/// The least by which a window moves on, so that an engine that completes nothing cannot hold the
/// pipeline: 0.5 s.
pub(super) const ADVANCE_SAMPLES_MIN: u64 = 8_000;

/// The part of a window's text that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kept {
    /// Segments in order, with times from the window's start.
    pub(super) segments: Vec<Segment>,
    /// Tokens for the next window.
    pub(super) context: Vec<u32>,
    /// Where the next window begins, from the window's start; at least
    /// [`ADVANCE_SAMPLES_MIN`] or the window's length.
    pub(super) consumed: Time,
}

/// Takes what is complete out of the answer for a window of `length`, whose end may lie inside an
/// utterance if `is_cut`.
pub(super) fn keep(answer: &mut Transcription, length: Time, is_cut: bool) -> Kept {
    let segments = valid(std::mem::take(&mut answer.segments), length);
    answer.quality.drop_non_finite();
    let derived;
    let boundaries = if answer.boundaries.is_empty() {
        derived = after_each(&segments, length, answer.context.len());
        &derived
    } else {
        &answer.boundaries
    };
    // An engine may also end a segment right at the window's end, and then go on.
    let is_inside = |boundary: &&Boundary| {
        boundary.at < length
            || boundary.segments < segments.len()
            || boundary.context < answer.context.len()
    };
    let inside = boundaries.iter().rfind(is_inside);
    let last = boundaries.last();
    let chosen = if is_cut { inside.or(last) } else { last };
    let everything = Boundary::new(length, segments.len(), answer.context.len());
    let chosen = chosen.copied().unwrap_or(everything);
    let mut kept = Kept {
        segments,
        context: std::mem::take(&mut answer.context),
        consumed: advanced(chosen.at, length),
    };
    kept.segments.truncate(chosen.segments);
    kept.context.truncate(chosen.context);
    for segment in &mut kept.segments {
        segment.start = segment.start.min(kept.consumed);
        segment.end = segment.end.min(kept.consumed);
    }
    kept
}

/// Returns where the next window begins, at the earliest half a second on.
fn advanced(at: Time, length: Time) -> Time {
    at.max(Time::from_samples(ADVANCE_SAMPLES_MIN)).min(length)
}

/// Boundaries of an engine that knows none.
fn after_each(segments: &[Segment], length: Time, context: usize) -> Vec<Boundary> {
    let mut boundaries: Vec<Boundary> = (segments.iter().zip(1..))
        .map(|(segment, count)| Boundary::new(segment.end, count, 0))
        .filter(|boundary| boundary.segments < segments.len())
        .collect();
    boundaries.push(Boundary::new(length, segments.len(), context));
    boundaries
}

/// Makes segments valid: inside the window, in order, without overlap, with finite figures. No text
/// is dropped for its times.
fn valid(mut segments: Vec<Segment>, length: Time) -> Vec<Segment> {
    segments.sort_by_key(|segment| segment.start);
    let mut from = Time::ZERO;
    for segment in &mut segments {
        segment.start = segment.start.clamp(from, length);
        segment.end = segment.end.clamp(segment.start, length);
        from = segment.end;
        segment.quality.drop_non_finite();
        for token in &mut segment.tokens {
            token.start = token.start.clamp(segment.start, segment.end);
            token.end = token.end.clamp(token.start, segment.end);
            token.p = if token.p.is_finite() { token.p } else { 0.0 };
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transcript::Token;

    fn time(seconds: f64) -> Time {
        Time::from_seconds(seconds)
    }

    fn segments(times: &[(f64, f64)]) -> Vec<Segment> {
        let one = |&(start, end)| Segment::new(time(start), time(end), "word");
        times.iter().map(one).collect()
    }

    /// A window of 10 s: how many segments are kept, and to where it is consumed.
    fn check(
        times: &[(f64, f64)],
        boundaries: &[(f64, usize, usize)],
        is_cut: bool,
        expected: (usize, f64),
    ) {
        let mut answer = Transcription::new(segments(times));
        answer.boundaries = boundaries
            .iter()
            .map(|&(at, segments, context)| Boundary::new(time(at), segments, context))
            .collect();
        let kept = keep(&mut answer, time(10.0), is_cut);
        let found = (kept.segments.len(), kept.consumed.seconds());
        assert_eq!(found, expected, "{times:?}, {boundaries:?}, cut: {is_cut}");
    }

    #[test]
    fn a_window_that_ends_in_a_pause_is_kept_whole() {
        check(&[(0.0, 4.0), (4.0, 9.9)], &[], false, (2, 10.0));
        check(&[], &[], false, (0, 10.0));
    }

    #[test]
    fn the_last_segment_of_a_cut_window_is_left_to_the_next_one() {
        check(&[(0.0, 4.0), (4.0, 9.9)], &[], true, (1, 4.0));
        // Alone it is kept: nothing shows that it is not whole.
        check(&[(0.0, 9.9)], &[], true, (1, 10.0));
        check(&[], &[], true, (0, 10.0));
    }

    #[test]
    fn boundaries_of_the_engine_count() {
        let times = [(0.0, 4.0), (4.0, 9.0)];
        let both = [(4.0, 1, 7), (10.0, 2, 9)];
        check(&times, &both, false, (2, 10.0));
        check(&times, &both, true, (1, 4.0));
        // A segment that ends with the window, and is not the end of the text, is complete.
        check(&times, &[(4.0, 1, 7), (10.0, 1, 8)], true, (1, 10.0));
        // The last segment was not closed.
        check(&times, &both[..1], false, (1, 4.0));
    }

    #[test]
    fn an_engine_that_completes_nothing_does_not_hold_the_pipeline() {
        check(&[], &[(0.0, 0, 0)], true, (0, 0.5));
        let mut answer = Transcription {
            boundaries: vec![Boundary::default()],
            ..Transcription::default()
        };
        let kept = keep(&mut answer, Time::from_samples(1), false);
        assert_eq!(kept.consumed.samples(), 1);
    }

    #[test]
    fn figures_that_are_not_numbers_are_unknown() {
        let mut segment = Segment::new(time(0.0), time(1.0), "word");
        segment.quality.avg_logprob = Some(f32::NEG_INFINITY);
        segment.tokens = vec![Token::new(1, "word", f32::NAN, time(0.0), time(99.0))];
        let mut answer = Transcription::new(vec![segment]);
        answer.quality.no_speech_prob = Some(f32::NAN);
        let kept = keep(&mut answer, time(10.0), false);
        assert_eq!(kept.segments[0].quality.avg_logprob, None);
        assert_eq!(kept.segments[0].tokens[0].p, 0.0);
        assert_eq!(kept.segments[0].tokens[0].end, time(1.0));
        assert_eq!(answer.quality.no_speech_prob, None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Whatever an engine answers, segments are ordered, disjoint and inside the window, and
        /// the window moves on.
        #[test]
        fn any_answer_is_made_valid(
            times in prop::collection::vec((0_u64..400_000, 0_u64..400_000), 0..8),
            at in prop::collection::vec((0_u64..400_000, 0_usize..10, 0_usize..10), 0..4),
            length in 1_u64..320_000,
            is_cut: bool,
        ) {
            let time = Time::from_samples;
            let mut answer = Transcription::new(
                times.iter().map(|&(a, b)| Segment::new(time(a), time(b), "x")).collect(),
            );
            let boundary = |&(at, s, c): &_| Boundary::new(time(at), s, c);
            answer.boundaries = at.iter().map(boundary).collect();
            let kept = keep(&mut answer, time(length), is_cut);
            let mut from = Time::ZERO;
            for segment in &kept.segments {
                prop_assert!(segment.start >= from && segment.end >= segment.start);
                from = segment.end;
            }
            prop_assert!(from <= kept.consumed);
            prop_assert!(kept.consumed <= time(length));
            prop_assert!(kept.consumed >= time(ADVANCE_SAMPLES_MIN.min(length)));
        }
    }
}
