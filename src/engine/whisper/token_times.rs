//! The texts of a segment's tokens, and when each of them begins.

use super::sampling::SampledToken;
use crate::time::Time;

/// Samples in one step of a timestamp: 20 ms.
pub(super) const STEP_SAMPLES: u64 = 320;

/// A time that is less probable than this does not show when its token begins. Source: whisper.cpp,
/// `thold_pt`.
const TOKEN_TIME_P_MIN: f32 = 0.01;

/// Returns when each token begins: at the time that was probable in its place; between such tokens
/// in proportion to the bytes of text.
///
/// Source: whisper.cpp, `whisper_exp_compute_token_level_timestamps`, without its use of loudness.
pub(super) fn times(
    tokens: &[SampledToken],
    lengths: &[usize],
    start: Time,
    end: Time,
) -> Vec<Time> {
    let mut known = vec![(0, start)];
    for (at, token) in tokens.iter().enumerate().skip(1) {
        if let Some((steps, p)) = token.time {
            let time = Time::from_samples(u64::from(steps) * STEP_SAMPLES);
            let is_later = known.last().is_some_and(|&(_, last)| time > last);
            if p > TOKEN_TIME_P_MIN && is_later && time < end {
                known.push((at, time));
            }
        }
    }
    known.push((tokens.len(), end));
    let mut starts = Vec::with_capacity(tokens.len());
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

/// Returns the texts of tokens. A character whose bytes several tokens share stands in the first of
/// them.
pub(super) fn texts<'a>(tokens: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for token in tokens {
        bytes.extend_from_slice(token);
        ends.push(bytes.len());
    }
    let mut texts = vec![String::new(); ends.len()];
    let (mut at, mut owner) = (0, 0);
    let mut assign = |letter: char, length: usize| {
        while ends[owner] <= at {
            owner += 1;
        }
        texts[owner].push(letter);
        at += length;
    };
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            assign(letter, letter.len_utf8());
        }
        if !chunk.invalid().is_empty() {
            assign(char::REPLACEMENT_CHARACTER, chunk.invalid().len());
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_begin_at_probable_times_and_by_letters_between_them() {
        let token = |time| SampledToken {
            id: 65,
            p: 0.5,
            time,
        };
        let tokens = [
            token(None),
            token(None),
            token(Some((100, 0.5))),
            token(Some((101, 0.001))),
        ];
        let end = Time::from_seconds(3.0);
        let starts = times(&tokens, &[1, 3, 1, 1], Time::ZERO, end);
        let seconds: Vec<f64> = starts.iter().map(|time| time.seconds()).collect();
        assert_eq!(seconds, [0.0, 0.5, 2.0, 2.5]);
    }

    #[test]
    fn characters_that_tokens_share_stand_in_the_first() {
        let check = |pieces: &[&[u8]], expected: &[&str]| {
            assert_eq!(texts(pieces.iter().copied()), expected, "{pieces:?}");
        };
        check(&[b" caf", b"\xC3", b"\xA9s"], &[" caf", "é", "s"]);
        check(&[b"\xE2\x99", b"\xAA"], &["♪", ""]);
        check(&[b"a\xC3", b"b"], &["a\u{FFFD}", "b"]);
        check(&[b"\xFFx", b"\xE2\x99"], &["\u{FFFD}x", "\u{FFFD}"]);
        check(&[], &[]);
    }
}
