//! One pass of the decoder over an encoded window: prompt in, tokens out.

use std::time::Instant;

use whisper_rs::{WhisperError, WhisperState};

use super::language::LANGUAGES_MAX;
use super::pace::Pace;
use super::rules;
use super::vocabulary::Vocabulary;
use crate::cancel::Cancel;
use crate::engine::EngineError;

/// Prompts are fed in pieces of this many tokens. whisper.cpp keeps the logits of every token of a piece: 3 MB of them here, 93 MB
/// for a whole prompt, at the same speed.
pub(super) const PIECE_TOKENS: usize = 16;

/// Most tokens that one window may give. Source: openai/whisper, half of the text context.
pub(super) const SAMPLED_TOKENS_MAX: usize = 224;

/// What one pass said.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) words: Vec<Sampled>,
    /// Sum of the natural logarithms of the probabilities, the end token's included.
    pub(super) sum_logprob: f64,
    pub(super) temperature: f32,
}

/// A token that was sampled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampled {
    pub(super) token: u32,
    /// Its probability under the rules, 0 to 1.
    pub(super) p: f32,
    /// For a text token: the time that was most probable in its place, in steps of 20 ms, and its probability.
    pub(super) time: Option<(u16, f32)>,
}

impl Draft {
    /// An empty draft with room for the longest one.
    pub(super) fn new() -> Self {
        Self {
            words: Vec::with_capacity(SAMPLED_TOKENS_MAX),
            ..Self::default()
        }
    }

    fn restart(&mut self, temperature: f32) {
        self.words.clear();
        self.sum_logprob = 0.0;
        self.temperature = temperature;
    }

    /// Mean logarithm of the probability of a token. Source: openai/whisper: the end counts as a token.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "small"
    )]
    pub(super) fn avg_logprob(&self) -> f32 {
        (self.sum_logprob / (self.words.len() + 1) as f64) as f32
    }

    /// The sampled tokens without their probabilities.
    pub(super) fn tokens(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.words.iter().map(|word| word.token)
    }
}

/// Decodes windows that the state has encoded.
///
/// # Memory
///
/// Two rows of logits and the last draft's tokens; nothing is allocated after the first window.
#[derive(Debug)]
pub(super) struct Decoder {
    threads: usize,
    pace: Pace,
    text_context: usize,
    /// Logits behind the prompt, from which every draft of a window starts.
    prompted: Vec<f32>,
    logits: Vec<f32>,
    /// Sampled tokens alone, as the rules want them.
    sampled: Vec<u32>,
    /// Tokens in the state's memory that belong to the prompt.
    prompt_len: usize,
    /// Tokens that the model was given, prompts included.
    pub(super) steps: u64,
}

/// How a pass begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    /// Language token, none in an English-only model.
    pub(super) language: Option<u32>,
    pub(super) translate: bool,
    pub(super) timestamps: bool,
}

impl Task {
    /// The tokens behind the start: language and task in a multilingual model, and that no times are wanted.
    pub(super) fn tokens(self, vocabulary: &Vocabulary) -> impl Iterator<Item = u32> + use<> {
        let task = if self.translate {
            vocabulary.translate
        } else {
            vocabulary.transcribe
        };
        let timeless = (!self.timestamps).then_some(vocabulary.no_timestamps);
        let task = self.language.map(|_| task);
        [self.language, task, timeless].into_iter().flatten()
    }
}

impl Decoder {
    pub(super) fn new(vocabulary: &Vocabulary, text_context: usize, threads: usize) -> Self {
        Self {
            threads,
            pace: Pace::new(threads),
            text_context,
            prompted: vec![0.0; vocabulary.size],
            logits: vec![0.0; vocabulary.size],
            sampled: Vec::with_capacity(SAMPLED_TOKENS_MAX),
            prompt_len: 0,
            steps: 0,
        }
    }

    /// Finds out which language is spoken in the window, and how probable it is among all that the model knows. What was fed is
    /// forgotten by the next prompt.
    pub(super) fn language(
        &mut self,
        state: &mut WhisperState,
        vocabulary: &Vocabulary,
        (first, count): (u32, u32),
    ) -> Result<Odds, EngineError> {
        self.prompt_len = 0;
        self.step(state, vocabulary.start)?;
        let logits = state.get_logits().map_err(failed)?;
        Ok(Odds::of(&logits[first as usize..(first + count) as usize]))
    }

    /// Feeds previous text and the start sequence, and returns how probable it is that the window has no speech, 0 to 1. Drafts
    /// follow with [`draft`](Self::draft).
    pub(super) fn prompt(
        &mut self,
        state: &mut WhisperState,
        vocabulary: &Vocabulary,
        previous: &[u32],
        task: Task,
        cancel: &Cancel,
    ) -> Result<f32, EngineError> {
        self.prompt_len = 0;
        self.pace.restart();
        if !previous.is_empty() {
            let (mut piece, mut filled) = ([0; PIECE_TOKENS], 0);
            for token in std::iter::once(vocabulary.previous).chain(previous.iter().copied()) {
                piece[filled] = id(token);
                filled += 1;
                if filled == PIECE_TOKENS {
                    if cancel.is_cancelled() {
                        return Err(EngineError::Cancelled);
                    }
                    self.feed(state, &piece)?;
                    filled = 0;
                }
            }
            if filled > 0 {
                self.feed(state, &piece[..filled])?;
            }
        }
        self.step(state, vocabulary.start)?;
        let logits = state.get_logits().map_err(failed)?;
        let total = rules::log_sum_exp(logits, rules::largest(logits));
        let no_speech_prob = (logits[vocabulary.no_speech as usize] - total).exp();
        for token in task.tokens(vocabulary) {
            self.step(state, token)?;
        }
        self.prompted
            .copy_from_slice(state.get_logits().map_err(failed)?);
        Ok(no_speech_prob)
    }

    /// Samples tokens behind the prompt until the model ends, at `temperature` (0: the most probable token each time).
    pub(super) fn draft(
        &mut self,
        state: &mut WhisperState,
        vocabulary: &Vocabulary,
        task: Task,
        (temperature, rng): (f32, &mut Rng),
        cancel: &Cancel,
        draft: &mut Draft,
    ) -> Result<(), EngineError> {
        draft.restart(temperature);
        self.sampled.clear();
        self.logits.copy_from_slice(&self.prompted);
        let mut past = self.prompt_len;
        loop {
            if cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            rules::apply(&mut self.logits, vocabulary, &self.sampled, task.timestamps);
            let max = rules::largest(&self.logits);
            if !max.is_finite() {
                // Only a broken model gives no number at all; what it said so far stands, improbable.
                draft.sum_logprob = f64::from(f32::MIN);
                return Ok(());
            }
            let chosen = if temperature == 0.0 {
                position_of_largest(&self.logits)
            } else {
                sample(&self.logits, max, temperature, rng)
            };
            let total = rules::log_sum_exp(&self.logits, max);
            let logprob = self.logits[chosen] - total;
            draft.sum_logprob += f64::from(logprob);
            let token = u32::try_from(chosen).unwrap_or(vocabulary.end);
            if token == vocabulary.end {
                return Ok(());
            }
            let is_text = vocabulary.is_text(token);
            let time = if is_text {
                self.time_here(vocabulary, total)
            } else {
                None
            };
            draft.words.push(Sampled {
                token,
                p: logprob.exp(),
                time,
            });
            self.sampled.push(token);
            // whisper.cpp aborts the process when the text context overflows.
            if self.sampled.len() == SAMPLED_TOKENS_MAX || past == self.text_context {
                return Ok(());
            }
            let began = Instant::now();
            state
                .decode(&[id(token)], past, self.pace.threads())
                .map_err(failed)?;
            self.pace.took(began.elapsed());
            (past, self.steps) = (past + 1, self.steps + 1);
            self.logits
                .copy_from_slice(state.get_logits().map_err(failed)?);
        }
    }

    /// The most probable time in place of the text token that was chosen, and its probability.
    fn time_here(&self, vocabulary: &Vocabulary, total: f32) -> Option<(u16, f32)> {
        let times = &self.logits[vocabulary.time_zero as usize..];
        let max = rules::largest(times);
        let steps = u16::try_from(position_of_largest(times)).ok()?;
        max.is_finite().then(|| (steps, (max - total).exp()))
    }

    fn step(&mut self, state: &mut WhisperState, token: u32) -> Result<(), EngineError> {
        self.feed(state, &[id(token)])
    }

    fn feed(&mut self, state: &mut WhisperState, tokens: &[i32]) -> Result<(), EngineError> {
        state
            .decode(tokens, self.prompt_len, self.threads)
            .map_err(failed)?;
        self.prompt_len += tokens.len();
        self.steps += tokens.len() as u64;
        Ok(())
    }

    /// Touches the memory of the longest text: every position of the text context, in every piece size.
    pub(super) fn warm_up(
        &mut self,
        state: &mut WhisperState,
        vocabulary: &Vocabulary,
    ) -> Result<(), EngineError> {
        self.prompt_len = 0;
        let tokens = [id(vocabulary.end); PIECE_TOKENS];
        for size in 1..=PIECE_TOKENS {
            self.feed(state, &tokens[..size])?;
        }
        while self.prompt_len + PIECE_TOKENS <= self.text_context {
            self.feed(state, &tokens)?;
        }
        while self.prompt_len < self.text_context {
            self.feed(state, &tokens[..1])?;
        }
        Ok(())
    }
}

/// How probable each language is.
#[derive(Clone, Debug)]
pub(super) struct Odds {
    /// By number, 0 to 1, 1 in sum.
    probabilities: [f32; LANGUAGES_MAX as usize],
    /// The number of the most probable one.
    pub(super) likeliest: u32,
}

impl Odds {
    pub(super) fn of(logits: &[f32]) -> Self {
        let total = rules::log_sum_exp(logits, rules::largest(logits));
        let mut probabilities = [0.0; LANGUAGES_MAX as usize];
        for (probability, logit) in probabilities.iter_mut().zip(logits) {
            *probability = (logit - total).exp();
        }
        Self {
            probabilities,
            likeliest: u32::try_from(position_of_largest(logits)).unwrap_or_default(),
        }
    }

    pub(super) fn probability(&self, language: u32) -> f32 {
        let found = self.probabilities.get(language as usize);
        found.copied().unwrap_or_default()
    }
}

pub(super) fn failed(error: WhisperError) -> EngineError {
    EngineError::Failed(Box::new(error))
}

/// A token as whisper.cpp counts it; vocabularies end far below `i32::MAX`.
fn id(token: u32) -> i32 {
    i32::try_from(token).unwrap_or_default()
}

/// The first of the largest.
fn position_of_largest(logits: &[f32]) -> usize {
    let max = rules::largest(logits);
    logits
        .iter()
        .position(|&logit| logit == max)
        .unwrap_or_default()
}

/// Draws a token in proportion to `exp(logit / temperature)`.
fn sample(logits: &[f32], max: f32, temperature: f32, rng: &mut Rng) -> usize {
    // Relative weights under e^-20 are not drawn: see `LOGIT_RANGE` in rules.rs.
    let weight = |logit: f32| {
        let x = (logit - max) / temperature;
        if x > -20.0 { f64::from(x.exp()) } else { 0.0 }
    };
    let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    let mut left = rng.unit() * total;
    let mut last = position_of_largest(logits);
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

/// A small generator whose numbers depend on its seed alone, so that a resumed transcript is the same as an uninterrupted one.
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

    /// The next number, 0 to 1, without 1.
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
        let drawn = (0..20_000)
            .filter(|_| sample(&logits, logits[2], 1.0, &mut rng) == 2)
            .count();
        assert!(
            (14_800..15_200).contains(&drawn),
            "3 of 4 expected, {drawn} of 20,000 drawn"
        );
        // At half the temperature the odds are squared: 9 of 10.
        let drawn = (0..20_000)
            .filter(|_| sample(&logits, logits[2], 0.5, &mut rng) == 2)
            .count();
        assert!(
            (17_800..18_200).contains(&drawn),
            "9 of 10 expected, {drawn} of 20,000 drawn"
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

    #[test]
    fn languages_share_one_probability() {
        let mut logits = [0.0; 99];
        logits[2] = 99.0_f32.ln();
        let odds = Odds::of(&logits);
        assert_eq!(odds.likeliest, 2);
        assert!((odds.probability(2) - 99.0 / 197.0).abs() < 1e-5);
        assert!((odds.probability(98) - 1.0 / 197.0).abs() < 1e-6);
        assert_eq!(odds.probability(99), 0.0);
    }
}
