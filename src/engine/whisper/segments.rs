//! From sampled tokens to segments with times.

use whisper_rs::WhisperContext;

use super::decoder::Sampled;
use super::vocabulary::{self, Vocabulary};
use crate::time::Time;
use crate::transcript::{Segment, Token};

/// Samples in one step of a timestamp: 20 ms.
const STEP_SAMPLES: u64 = 320;

/// A time that is less probable in a token's place says nothing of when the token begins. Source: whisper.cpp, `thold_pt`.
const TOKEN_TIME_P_MIN: f32 = 0.01;

/// What a window's tokens say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Cut {
    pub(super) segments: Vec<Segment>,
    /// Samples up to which the window is done.
    pub(super) consumed: usize,
    /// Sampled tokens that belong to the segments.
    pub(super) used: usize,
}

/// Cuts the tokens of a window of `length` samples into segments.
///
/// Two times in a row close a segment and open the next. What stands behind the last such pair was cut by the window's end:
/// it is left out, and the window is done up to where it begins. A single time at the end closes the last segment and says that
/// nothing follows; it is not believed where the window's end may cut an utterance. Source: openai/whisper, `transcribe()`, which believes it always and
/// so loses the utterance.
pub(super) fn cut(
    context: &WhisperContext,
    vocabulary: &Vocabulary,
    words: &[Sampled],
    length: usize,
    is_cut: bool,
) -> Cut {
    let text = |token| vocabulary::bytes(context, token);
    cut_with(&text, vocabulary, words, length, is_cut)
}

fn cut_with<'a>(
    text: &dyn Fn(u32) -> &'a [u8],
    vocabulary: &Vocabulary,
    words: &[Sampled],
    length: usize,
    is_cut: bool,
) -> Cut {
    let is_time = |at: usize| vocabulary.is_time(words[at].token);
    let steps = |at: usize| u64::from(words[at].token.saturating_sub(vocabulary.time_zero));
    let within = |steps: u64| Time::from_samples((steps * STEP_SAMPLES).min(length as u64));
    let count = words.len();
    let closed = !is_cut && count >= 2 && is_time(count - 1) && !is_time(count - 2);
    let mut ends: Vec<usize> = (1..count)
        .filter(|&at| is_time(at) && is_time(at - 1))
        .collect();
    let mut cut = Cut {
        consumed: length,
        used: count,
        ..Cut::default()
    };
    if ends.is_empty() {
        let mut times = (0..count).filter(|&at| is_time(at)).map(steps);
        let start = times.next().map_or(Time::ZERO, within);
        let end = times
            .next_back()
            .map_or(Time::from_samples(length as u64), within);
        cut.segments
            .extend(segment(text, vocabulary, words, start, end));
        return cut;
    }
    if closed {
        ends.push(count);
    }
    let mut from = 0;
    for &to in &ends {
        let (start, end) = (within(steps(from)), within(steps(to - 1)));
        cut.segments
            .extend(segment(text, vocabulary, &words[from..to], start, end));
        from = to;
    }
    if !closed {
        let done = usize::try_from(steps(from - 1) * STEP_SAMPLES).unwrap_or(length);
        (cut.consumed, cut.used) = (done.min(length), from);
    }
    cut
}

/// Makes a segment of one stretch of tokens; `None` if it has no text or no length.
fn segment<'a>(
    text: &dyn Fn(u32) -> &'a [u8],
    vocabulary: &Vocabulary,
    words: &[Sampled],
    start: Time,
    end: Time,
) -> Option<Segment> {
    let words: Vec<Sampled> = words
        .iter()
        .copied()
        .filter(|word| vocabulary.is_text(word.token))
        .collect();
    let texts = token_texts(words.iter().map(|word| text(word.token)));
    let whole = texts.concat();
    if whole.trim().is_empty() || start >= end {
        return None;
    }
    let mut segment = Segment::new(start, end, whole.trim());
    let lengths: Vec<usize> = words.iter().map(|word| text(word.token).len()).collect();
    let mut starts = token_starts(&words, &lengths, start, end);
    starts.push(end);
    segment.tokens = (words.iter().zip(texts).zip(starts.windows(2)))
        .map(|((word, text), times)| Token::new(word.token, text, word.p, times[0], times[1]))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "at most 224 tokens")]
    let mean = words.iter().map(|word| word.p).sum::<f32>() / words.len() as f32;
    segment.confidence = mean.clamp(0.0, 1.0);
    Some(segment)
}

/// When each token begins: where the model held a time probable in its place, that time; between such tokens in
/// proportion to the letters.
///
/// Source: whisper.cpp, `whisper_exp_compute_token_level_timestamps`, without its look at the loudness.
fn token_starts(words: &[Sampled], lengths: &[usize], start: Time, end: Time) -> Vec<Time> {
    let mut known = vec![(0, start)];
    for (at, word) in words.iter().enumerate().skip(1) {
        if let Some((steps, p)) = word.time {
            let time = Time::from_samples(u64::from(steps) * STEP_SAMPLES);
            let after = known.last().is_some_and(|&(_, last)| time > last);
            if p > TOKEN_TIME_P_MIN && after && time < end {
                known.push((at, time));
            }
        }
    }
    known.push((words.len(), end));
    let mut starts = Vec::with_capacity(words.len());
    for pair in known.windows(2) {
        let ((from, begins), (to, ends)) = (pair[0], pair[1]);
        let total: usize = lengths[from..to].iter().sum::<usize>().max(1);
        let span = (ends - begins).samples();
        let mut before = 0;
        for length in &lengths[from..to] {
            starts.push(begins + Time::from_samples(span * before as u64 / total as u64));
            before += length;
        }
    }
    starts
}

/// The texts of tokens; a character whose bytes several tokens share stands in the first of them.
fn token_texts<'a>(tokens: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for token in tokens {
        bytes.extend_from_slice(token);
        ends.push(bytes.len());
    }
    let mut texts = vec![String::new(); ends.len()];
    let (mut at, mut owner) = (0, 0);
    let mut give = |letter: char, length: usize| {
        while ends[owner] <= at {
            owner += 1;
        }
        texts[owner].push(letter);
        at += length;
    };
    for chunk in bytes.utf8_chunks() {
        chunk
            .valid()
            .chars()
            .for_each(|letter| give(letter, letter.len_utf8()));
        if !chunk.invalid().is_empty() {
            give(char::REPLACEMENT_CHARACTER, chunk.invalid().len());
        }
    }
    texts
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

    /// Tokens below 256 are bytes in this test; `@` in front of a number of steps makes a time.
    fn check(
        said: &[&str],
        length: usize,
        expected: &[(f64, f64, &str)],
        consumed: f64,
        used: usize,
    ) {
        let table: Vec<u8> = (0..=255).collect();
        let mut words = Vec::new();
        for part in said {
            match part.strip_prefix('@') {
                Some(steps) => words.push(ZERO + steps.parse::<u32>().unwrap()),
                None => words.extend(part.bytes().map(u32::from)),
            }
        }
        let words: Vec<Sampled> = words
            .into_iter()
            .map(|token| Sampled {
                token,
                p: 0.5,
                time: None,
            })
            .collect();
        let text = |token: u32| &table[token as usize..=token as usize];
        let cut = cut_with(&text, &vocabulary(), &words, length, false);
        let found: Vec<_> = cut
            .segments
            .iter()
            .map(|s| (s.start.seconds(), s.end.seconds(), s.text.as_str()))
            .collect();
        assert_eq!(found, expected, "{said:?}");
        assert_eq!(cut.consumed as f64 / 16_000.0, consumed, "{said:?}");
        assert_eq!(cut.used, used, "{said:?}");
    }

    #[test]
    fn pairs_of_times_cut_segments() {
        let said = ["@0", " Hello.", "@100", "@120", " You.", "@200"];
        check(
            &said,
            480_000,
            &[(0.0, 2.0, "Hello."), (2.4, 4.0, "You.")],
            30.0,
            16,
        );
    }

    #[test]
    fn what_the_windows_end_cut_is_left_for_the_next() {
        let said = ["@0", " Hello.", "@100", "@120", " And th"];
        check(&said, 480_000, &[(0.0, 2.0, "Hello.")], 2.0, 9);
        check(
            &["@0", " Hello.", "@100", "@100"],
            480_000,
            &[(0.0, 2.0, "Hello.")],
            2.0,
            9,
        );
    }

    #[test]
    fn without_a_pair_the_window_is_one_segment() {
        check(
            &["@10", " Hello.", "@100"],
            480_000,
            &[(0.2, 2.0, "Hello.")],
            30.0,
            9,
        );
        check(&["@10", " Hello."], 64_000, &[(0.2, 4.0, "Hello.")], 4.0, 8);
        check(&[" Hello."], 64_000, &[(0.0, 4.0, "Hello.")], 4.0, 7);
        check(&[], 64_000, &[], 4.0, 0);
        check(&["@0", "@50"], 64_000, &[], 0.0, 1);
    }

    #[test]
    fn times_lie_inside_the_window() {
        check(
            &["@0", " Hello.", "@1500"],
            64_000,
            &[(0.0, 4.0, "Hello.")],
            4.0,
            9,
        );
    }

    #[test]
    fn text_without_length_or_letters_is_no_segment() {
        check(
            &["@0", "  ", "@50", "@50", " Yes.", "@50"],
            64_000,
            &[],
            4.0,
            11,
        );
    }

    #[test]
    fn tokens_begin_at_probable_times_and_by_letters_between_them() {
        let word = |time| Sampled {
            token: 65,
            p: 0.5,
            time,
        };
        let words = [
            word(None),
            word(None),
            word(Some((100, 0.5))),
            word(Some((101, 0.001))),
        ];
        let end = Time::from_seconds(3.0);
        let starts = token_starts(&words, &[1, 3, 1, 1], Time::ZERO, end);
        let seconds: Vec<f64> = starts.iter().map(|time| time.seconds()).collect();
        assert_eq!(seconds, [0.0, 0.5, 2.0, 2.5]);
    }

    #[test]
    fn characters_that_tokens_share_stand_in_the_first() {
        let check = |pieces: &[&[u8]], expected: &[&str]| {
            assert_eq!(token_texts(pieces.iter().copied()), expected, "{pieces:?}");
        };
        check(&[b" caf", b"\xC3", b"\xA9s"], &[" caf", "é", "s"]);
        check(&[b"\xE2\x99", b"\xAA"], &["♪", ""]);
        check(&[b"a\xC3", b"b"], &["a\u{FFFD}", "b"]);
        check(&[b"\xFFx", b"\xE2\x99"], &["\u{FFFD}x", "\u{FFFD}"]);
        check(&[], &[]);
    }
}
