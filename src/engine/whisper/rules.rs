//! Which tokens may follow: OpenAI's rules for Whisper's text and timestamps.
//!
//! Source: openai/whisper, `whisper/decoding.py`: `SuppressBlank`, `SuppressTokens`,
//! `ApplyTimestampRules`.

use super::vocabulary::Vocabulary;

/// The first timestamp lies at most this many steps of 20 ms behind the window's start: 1 s.
const FIRST_TIME_STEPS_MAX: usize = 50;

/// Logits this far below the largest count as zero probability. Together they change a logarithm by
/// at most 1e-4 (52,000 x e^-20), and nearly all of a vocabulary is that improbable.
const LOGIT_RANGE: f32 = 20.0;

const NEVER: f32 = f32::NEG_INFINITY;

/// Sets the logits of all tokens that may not follow `sampled` to minus infinity.
///
/// With `timestamps`, times come in pairs around text, never decrease, begin within a second, and
/// are taken when together they are more probable than the most probable text.
pub(super) fn apply(
    logits: &mut [f32],
    vocabulary: &Vocabulary,
    sampled: &[u32],
    timestamps: bool,
) {
    for &token in &vocabulary.suppressed {
        logits[token as usize] = NEVER;
    }
    logits[vocabulary.no_timestamps as usize] = NEVER;
    if sampled.is_empty() {
        for &token in &vocabulary.blank {
            logits[token as usize] = NEVER;
        }
    }
    let time_zero = vocabulary.time_zero as usize;
    if !timestamps {
        // OpenAI's rules do not suppress times here either. They are rare without the token that
        // asks for them.
        return;
    }
    pair_times(logits, vocabulary, sampled);
    if sampled.is_empty() {
        logits[..time_zero].fill(NEVER);
        let end = (time_zero + FIRST_TIME_STEPS_MAX + 1).min(logits.len());
        logits[end..].fill(NEVER);
    }
    let (text, times) = logits.split_at_mut(time_zero);
    let (text_max, time_max) = (largest(text), largest(times));
    if time_max > NEVER && log_sum_exp(times, time_max) > text_max {
        text.fill(NEVER);
    }
}

/// Makes times come in pairs and never go back.
fn pair_times(logits: &mut [f32], vocabulary: &Vocabulary, sampled: &[u32]) {
    let time_zero = vocabulary.time_zero as usize;
    let is_time = |at: usize| {
        sampled
            .get(at)
            .is_some_and(|&token| vocabulary.is_time(token))
    };
    let after_time = sampled.len().checked_sub(1).is_some_and(is_time);
    let after_pair = after_time && sampled.len().checked_sub(2).is_none_or(is_time);
    if after_pair {
        logits[time_zero..].fill(NEVER);
    } else if after_time {
        logits[..vocabulary.end as usize].fill(NEVER);
    }
    if let Some(last) = sampled
        .iter()
        .rev()
        .find(|&&token| vocabulary.is_time(token))
    {
        // A segment may start when the one before it ends, but an open one needs a length:
        // otherwise decoding could repeat empty segments until the text context is full.
        let closed = after_time && !after_pair;
        let first_allowed = (*last as usize + usize::from(!closed)).min(logits.len());
        logits[time_zero..first_allowed].fill(NEVER);
    }
}

/// Returns the largest logit, minus infinity if there is none.
pub(super) fn largest(logits: &[f32]) -> f32 {
    // Eight at a time, which the compiler turns into vector instructions.
    let mut lanes = [NEVER; 8];
    let (chunks, rest) = logits.as_chunks::<8>();
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(NEVER, f32::max)
}

/// Returns the logarithm of the sum of the exponentials of `logits`, the largest of which is `max`.
pub(super) fn log_sum_exp(logits: &[f32], max: f32) -> f32 {
    let floor = max - LOGIT_RANGE;
    let sum: f32 = logits
        .iter()
        .filter(|&&logit| logit > floor)
        .map(|&logit| (logit - max).exp())
        .sum();
    max + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten text tokens, then the specials of an English model in their order, then ten times.
    fn vocabulary() -> Vocabulary {
        Vocabulary {
            size: 30,
            end: 10,
            start: 11,
            previous: 12,
            no_speech: 13,
            no_timestamps: 14,
            transcribe: 15,
            translate: 16,
            time_zero: 20,
            languages: None,
            suppressed: vec![3, 11, 12, 13, 15, 16],
            blank: vec![10, 4],
        }
    }

    /// Tokens that may follow `sampled` when the logits of `likely` are 5 and all others 0.
    fn allowed(sampled: &[u32], timestamps: bool, likely: &[usize]) -> Vec<usize> {
        let mut logits = [0.0; 30];
        likely.iter().for_each(|&token| logits[token] = 5.0);
        apply(&mut logits, &vocabulary(), sampled, timestamps);
        (0..30).filter(|&token| logits[token] > NEVER).collect()
    }

    #[test]
    fn the_first_token_is_a_time() {
        assert_eq!(allowed(&[], true, &[1]), (20..30).collect::<Vec<_>>());
    }

    #[test]
    fn without_timestamps_the_first_token_is_text() {
        let text = [0, 1, 2, 5, 6, 7, 8, 9];
        assert!(allowed(&[], false, &[])[..8] == text);
        assert!(
            allowed(&[1], false, &[]).contains(&10),
            "the end may follow text"
        );
    }

    #[test]
    fn text_follows_an_opening_time() {
        assert_eq!(allowed(&[22], true, &[1])[..4], [0, 1, 2, 4]);
        assert!(allowed(&[22], true, &[1]).iter().all(|&token| token < 20));
        assert!(
            allowed(&[20, 1, 24, 24], true, &[1])
                .iter()
                .all(|&token| token < 20)
        );
    }

    #[test]
    fn a_time_or_the_end_follows_a_closing_time() {
        assert_eq!(
            allowed(&[20, 1, 24], true, &[10]),
            [10, 14, 17, 18, 19, 24, 25, 26, 27, 28, 29]
                .into_iter()
                .filter(|t| *t != 14)
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn times_do_not_go_back_and_segments_have_a_length() {
        let after_text = allowed(&[22, 1], true, &[1]);
        assert_eq!(
            after_text
                .iter()
                .copied()
                .filter(|t| *t >= 20)
                .collect::<Vec<_>>(),
            [23, 24, 25, 26, 27, 28, 29]
        );
    }

    #[test]
    fn times_that_are_together_more_probable_are_taken() {
        // Ten times at 0 sum up to ln 10 = 2.3: a text token at 5 is above that, one at 0 is not.
        assert!(allowed(&[20, 1], true, &[2]).contains(&2));
        assert!(allowed(&[20, 1], true, &[]).iter().all(|&token| token > 20));
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        let logits: Vec<f32> = (0..1_003_u16)
            .map(|n| f32::from(n % 37) / 3.0 - 4.0)
            .collect();
        let exact = logits.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
        let max = largest(&logits);
        assert_eq!(max, 8.0);
        assert!((f64::from(log_sum_exp(&logits, max)) - exact).abs() < 1e-4);
        assert_eq!(largest(&[]), NEVER);
    }
}
