//! From sampled tokens to segments with times, and to the boundaries between them.

use super::sampling::SampledToken;
use super::token_times::{STEP_SAMPLES, texts, times};
use super::vocabulary::Vocabulary;
use crate::engine::Boundary;
use crate::time::Time;
use crate::transcript::{Segment, Token};

/// Returns the bytes that a token stands for.
pub(super) type Spelling<'a> = dyn Fn(u32) -> &'a [u8] + 'a;

/// A window's tokens as segments.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Segmented {
    pub(super) segments: Vec<Segment>,
    pub(super) boundaries: Vec<Boundary>,
}

/// Divides the tokens of a window of `length` samples into segments.
///
/// Two times in a row end a segment and start the next one, so there is a boundary between them. A
/// single time at the end means that nothing follows: the window is complete. Text behind the last
/// pair without a time of its own may have been cut by the window's end: it is a segment, but no
/// boundary follows it. Without any pair the window is one segment, which is complete.
///
/// Source: openai/whisper, `transcribe()`, which discards the text behind the last pair itself, and
/// takes the single time for the end also where the window's end cut an utterance.
pub(super) fn segment(
    spelling: &Spelling<'_>,
    vocabulary: &Vocabulary,
    tokens: &[SampledToken],
    length: usize,
) -> Segmented {
    let count = tokens.len();
    let length = Time::from_samples(length as u64);
    let is_time = |at: usize| vocabulary.is_time(tokens[at].id);
    let time = |at: usize| {
        let steps = u64::from(tokens[at].id.saturating_sub(vocabulary.time_zero));
        Time::from_samples(steps * STEP_SAMPLES).min(length)
    };
    let mut segmented = Segmented::default();
    let mut from = 0;
    for to in (1..count).filter(|&at| is_time(at) && is_time(at - 1)) {
        let (start, end) = (time(from), time(to - 1));
        segmented.push(build(spelling, vocabulary, &tokens[from..to], start, end));
        segmented.close(end, to);
        from = to;
    }
    let has_pair = from > 0;
    let mut times = (from..count).filter(|&at| is_time(at)).map(time);
    let start = times.next().unwrap_or(Time::ZERO);
    let end = times.next_back().unwrap_or(length);
    segmented.push(build(spelling, vocabulary, &tokens[from..], start, end));
    let ends_with_single_time = count >= 2 && is_time(count - 1) && !is_time(count - 2);
    if !has_pair || ends_with_single_time {
        segmented.close(length, count);
    }
    segmented
}

impl Segmented {
    fn push(&mut self, segment: Option<Segment>) {
        self.segments.extend(segment);
    }

    /// Adds a boundary behind everything so far.
    fn close(&mut self, at: Time, tokens: usize) {
        let segments = self.segments.len();
        self.boundaries.push(Boundary::new(at, segments, tokens));
    }
}

/// Makes a segment of a stretch of tokens, `None` if it has no text or no length.
fn build(
    spelling: &Spelling<'_>,
    vocabulary: &Vocabulary,
    tokens: &[SampledToken],
    start: Time,
    end: Time,
) -> Option<Segment> {
    let tokens: Vec<SampledToken> = tokens
        .iter()
        .copied()
        .filter(|token| vocabulary.is_text(token.id))
        .collect();
    let texts = texts(tokens.iter().map(|token| spelling(token.id)));
    let whole = texts.concat();
    if whole.trim().is_empty() || start >= end {
        return None;
    }
    let mut segment = Segment::new(start, end, whole.trim());
    let lengths: Vec<usize> = tokens.iter().map(|t| spelling(t.id).len()).collect();
    let mut starts = times(&tokens, &lengths, start, end);
    starts.push(end);
    segment.tokens = (tokens.iter().zip(texts).zip(starts.windows(2)))
        .map(|((token, text), times)| Token::new(token.id, text, token.p, times[0], times[1]))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "at most 224 tokens")]
    let mean = tokens.iter().map(|token| token.p).sum::<f32>() / tokens.len() as f32;
    segment.quality.confidence = Some(mean.clamp(0.0, 1.0));
    Some(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u32 = 300;
    const ZERO: u32 = 1_000;

    fn vocabulary() -> Vocabulary {
        Vocabulary {
            size: 3_000,
            end: END,
            start: END + 1,
            previous: END + 2,
            no_speech: END + 3,
            no_timestamps: END + 4,
            transcribe: END + 5,
            translate: END + 6,
            time_zero: ZERO,
            languages: None,
            suppressed: Vec::new(),
            blank: Vec::new(),
        }
    }

    /// Checks segments as (start, end, text), and boundaries as (time, segments, tokens before it).
    ///
    /// Tokens below 256 are bytes in this test; `@` in front of a number of steps makes a time.
    fn check(
        said: &[&str],
        length: usize,
        segments: &[(f64, f64, &str)],
        boundaries: &[(f64, usize, usize)],
    ) {
        let table: Vec<u8> = (0..=255).collect();
        let mut ids = Vec::new();
        for part in said {
            match part.strip_prefix('@') {
                Some(steps) => ids.push(ZERO + steps.parse::<u32>().expect("a number of steps")),
                None => ids.extend(part.bytes().map(u32::from)),
            }
        }
        let token = |id| SampledToken {
            id,
            p: 0.5,
            time: None,
        };
        let tokens: Vec<SampledToken> = ids.into_iter().map(token).collect();
        let spelling = |id: u32| &table[id as usize..=id as usize];
        let segmented = segment(&spelling, &vocabulary(), &tokens, length);
        let found: Vec<_> = segmented
            .segments
            .iter()
            .map(|s| (s.start.seconds(), s.end.seconds(), s.text.as_str()))
            .collect();
        assert_eq!(found, segments, "{said:?}");
        let found: Vec<_> = segmented
            .boundaries
            .iter()
            .map(|b| (b.at.seconds(), b.segments, b.context))
            .collect();
        assert_eq!(found, boundaries, "{said:?}");
    }

    #[test]
    fn pairs_of_times_divide_segments() {
        check(
            &["@0", " Hello.", "@100", "@120", " You.", "@200"],
            480_000,
            &[(0.0, 2.0, "Hello."), (2.4, 4.0, "You.")],
            &[(2.0, 1, 9), (30.0, 2, 16)],
        );
    }

    #[test]
    fn no_boundary_follows_text_that_the_windows_end_may_have_cut() {
        check(
            &["@0", " Hello.", "@100", "@120", " And th"],
            480_000,
            &[(0.0, 2.0, "Hello."), (2.4, 30.0, "And th")],
            &[(2.0, 1, 9)],
        );
        check(
            &["@0", " Hello.", "@100", "@100"],
            480_000,
            &[(0.0, 2.0, "Hello.")],
            &[(2.0, 1, 9)],
        );
    }

    #[test]
    fn without_a_pair_the_window_is_one_segment() {
        check(
            &["@10", " Hello.", "@100"],
            480_000,
            &[(0.2, 2.0, "Hello.")],
            &[(30.0, 1, 9)],
        );
        check(
            &["@10", " Hello."],
            64_000,
            &[(0.2, 4.0, "Hello.")],
            &[(4.0, 1, 8)],
        );
        check(
            &[" Hello."],
            64_000,
            &[(0.0, 4.0, "Hello.")],
            &[(4.0, 1, 7)],
        );
        check(&[], 64_000, &[], &[(4.0, 0, 0)]);
        check(&["@0", "@50"], 64_000, &[], &[(0.0, 0, 1)]);
    }

    #[test]
    fn times_lie_inside_the_window() {
        check(
            &["@0", " Hello.", "@1500"],
            64_000,
            &[(0.0, 4.0, "Hello.")],
            &[(4.0, 1, 9)],
        );
        // The end of the window may have cut what follows, but not this text.
        check(
            &["@0", " Hello.", "@1500", "@1500"],
            64_000,
            &[(0.0, 4.0, "Hello.")],
            &[(4.0, 1, 9)],
        );
    }

    #[test]
    fn text_without_length_or_letters_is_no_segment() {
        check(
            &["@0", "  ", "@50", "@50", " Yes.", "@50"],
            64_000,
            &[],
            &[(1.0, 0, 4), (4.0, 0, 11)],
        );
    }
}
