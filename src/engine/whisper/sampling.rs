//! Sampling: which token is taken, and random numbers that depend on the seed alone.

use super::rules;

/// Most tokens that one window may give. Source: openai/whisper, half of the text context.
pub(super) const SAMPLED_TOKENS_MAX: usize = 224;

/// Relative weights below e^-20 are not drawn: see `LOGIT_RANGE` in `rules.rs`.
const WEIGHT_RANGE: f32 = 20.0;

/// The tokens of one decoding.
#[derive(Clone, Debug, Default)]
pub(super) struct Hypothesis {
    pub(super) tokens: Vec<SampledToken>,
    /// Sum of the natural logarithms of the probabilities, the end token's included.
    pub(super) sum_logprob: f64,
    pub(super) temperature: f32,
}

/// A token that was sampled.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampledToken {
    pub(super) id: u32,
    /// Its probability under the rules, 0 to 1.
    pub(super) p: f32,
    /// For a text token: the time that was most probable in its place, in steps of 20 ms, and its
    /// probability.
    pub(super) time: Option<(u16, f32)>,
}

impl Hypothesis {
    /// Makes an empty hypothesis with room for the longest one.
    pub(super) fn new() -> Self {
        Self {
            tokens: Vec::with_capacity(SAMPLED_TOKENS_MAX),
            ..Self::default()
        }
    }

    pub(super) fn restart(&mut self, temperature: f32) {
        self.tokens.clear();
        self.sum_logprob = 0.0;
        self.temperature = temperature;
    }

    /// Returns the mean logarithm of the probability of a token. Source: openai/whisper: the end
    /// counts as a token.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "small"
    )]
    pub(super) fn avg_logprob(&self) -> f32 {
        (self.sum_logprob / (self.tokens.len() + 1) as f64) as f32
    }

    /// Returns the sampled tokens without their probabilities.
    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.tokens.iter().map(|token| token.id)
    }
}

/// Returns the first of the largest logits.
pub(super) fn argmax(logits: &[f32]) -> usize {
    let max = rules::largest(logits);
    logits
        .iter()
        .position(|&logit| logit == max)
        .unwrap_or_default()
}

/// Draws a token in proportion to `exp(logit / temperature)`.
pub(super) fn sample(logits: &[f32], max: f32, temperature: f32, rng: &mut Rng) -> usize {
    let weight = |logit: f32| {
        let x = (logit - max) / temperature;
        if x > -WEIGHT_RANGE {
            f64::from(x.exp())
        } else {
            0.0
        }
    };
    let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    let mut left = rng.unit() * total;
    let mut last = argmax(logits);
    for (at, &logit) in logits.iter().enumerate() {
        let weight = weight(logit);
        if weight > 0.0 {
            last = at;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
    }
    last
}

/// A small generator whose numbers depend on its seed alone, so that a resumed transcript is the
/// same as an uninterrupted one.
///
/// Source: `SplitMix64`, Steele, Lea and Flood 2014.
#[derive(Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns the next number, from 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_follows_the_probabilities() {
        let logits = [f32::NEG_INFINITY, 0.0, 3.0_f32.ln(), f32::NEG_INFINITY];
        let mut rng = Rng::new(7);
        let mut drawn = |temperature| {
            (0..20_000)
                .filter(|_| sample(&logits, logits[2], temperature, &mut rng) == 2)
                .count()
        };
        let at_one = drawn(1.0);
        assert!(
            (14_800..15_200).contains(&at_one),
            "3 of 4 expected, {at_one} of 20,000 drawn"
        );
        // At half the temperature the odds are squared: 9 of 10.
        let at_half = drawn(0.5);
        assert!(
            (17_800..18_200).contains(&at_half),
            "9 of 10 expected, {at_half} of 20,000 drawn"
        );
    }

    #[test]
    fn the_same_seed_draws_the_same_numbers() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            [rng.next(), rng.next(), rng.next()]
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }
}
