//! Generates tokens for an encoded window: prompt in, one hypothesis at a time out.

use std::time::Instant;

use super::language::LanguageProbabilities;
use super::pace::Pace;
use super::rules;
use super::sampling::{self, Hypothesis, Rng, SAMPLED_TOKENS_MAX, SampledToken, argmax};
use super::vocabulary::Vocabulary;
use crate::cancel::Cancel;
use crate::engine::EngineError;

/// Most tokens that are fed at once. whisper.cpp keeps the logits of every token of a piece: 3 MB
/// for this many, 93 MB for a whole prompt, at the same speed.
pub(super) const PIECE_TOKENS: usize = 16;

/// Decodes windows that the state has encoded.
///
/// # Memory
///
/// Two rows of logits and the last hypothesis's tokens; nothing is allocated after the first
/// window.
#[derive(Debug)]
pub(super) struct Decoder {
    threads: usize,
    pace: Pace,
    text_context: usize,
    /// Logits behind the prompt, from which every hypothesis of a window starts.
    prompted: Vec<f32>,
    logits: Vec<f32>,
    /// Numbers of the sampled tokens, as the rules need them.
    sampled: Vec<u32>,
    /// Tokens in the key-value cache that belong to the prompt.
    prompt_len: usize,
    /// Tokens that the model was fed, prompts included. The caller resets it.
    pub(super) steps: u64,
}

/// What is asked of the model besides the previous text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    /// Language token, none in an English-only model.
    pub(super) language: Option<u32>,
    pub(super) translate: bool,
    pub(super) timestamps: bool,
}

impl Task {
    /// Returns the tokens behind the start token: language and task in a multilingual model, and
    /// the one that turns timestamps off.
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

    /// Returns how probable each of the model's languages is in the window. The next prompt
    /// overwrites what was fed.
    pub(super) fn detect_language(
        &mut self,
        state: &mut whisper_rs::WhisperState,
        vocabulary: &Vocabulary,
        (first, count): (u32, u32),
    ) -> Result<LanguageProbabilities, EngineError> {
        self.prompt_len = 0;
        self.step(state, vocabulary.start)?;
        let logits = state.get_logits().map_err(failed)?;
        let logits = &logits[first as usize..(first + count) as usize];
        Ok(LanguageProbabilities::of_logits(logits))
    }

    /// Feeds previous text and the start sequence. Returns the probability that nobody speaks in
    /// the window, 0 to 1. [`generate`](Self::generate) continues from here, any number of times.
    pub(super) fn prompt(
        &mut self,
        state: &mut whisper_rs::WhisperState,
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
        // The start token goes alone: the probability of silence is read in its row of logits.
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

    /// Samples tokens behind the prompt until the model ends, at `temperature`; 0 takes the most
    /// probable token each time.
    pub(super) fn generate(
        &mut self,
        state: &mut whisper_rs::WhisperState,
        vocabulary: &Vocabulary,
        task: Task,
        (temperature, rng): (f32, &mut Rng),
        cancel: &Cancel,
        hypothesis: &mut Hypothesis,
    ) -> Result<(), EngineError> {
        hypothesis.restart(temperature);
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
                // Only a broken model has no finite logit. The tokens so far stay, improbable.
                hypothesis.sum_logprob = f64::from(f32::MIN);
                return Ok(());
            }
            let chosen = if temperature == 0.0 {
                argmax(&self.logits)
            } else {
                sampling::sample(&self.logits, max, temperature, rng)
            };
            let total = rules::log_sum_exp(&self.logits, max);
            let logprob = self.logits[chosen] - total;
            hypothesis.sum_logprob += f64::from(logprob);
            let token = u32::try_from(chosen).unwrap_or(vocabulary.end);
            if token == vocabulary.end {
                return Ok(());
            }
            let is_text = vocabulary.is_text(token);
            hypothesis.tokens.push(SampledToken {
                id: token,
                p: logprob.exp(),
                time: is_text.then(|| self.time_here(vocabulary, total)).flatten(),
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

    /// Returns the most probable time in place of the text token that was chosen, and its
    /// probability.
    fn time_here(&self, vocabulary: &Vocabulary, total: f32) -> Option<(u16, f32)> {
        let times = &self.logits[vocabulary.time_zero as usize..];
        let max = rules::largest(times);
        let steps = u16::try_from(argmax(times)).ok()?;
        max.is_finite().then(|| (steps, (max - total).exp()))
    }

    fn step(
        &mut self,
        state: &mut whisper_rs::WhisperState,
        token: u32,
    ) -> Result<(), EngineError> {
        self.feed(state, &[id(token)])
    }

    fn feed(
        &mut self,
        state: &mut whisper_rs::WhisperState,
        tokens: &[i32],
    ) -> Result<(), EngineError> {
        state
            .decode(tokens, self.prompt_len, self.threads)
            .map_err(failed)?;
        self.prompt_len += tokens.len();
        self.steps += tokens.len() as u64;
        Ok(())
    }

    /// Touches the memory of the longest text: every position of the text context, in every piece
    /// size.
    pub(super) fn warm_up(
        &mut self,
        state: &mut whisper_rs::WhisperState,
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

/// Returns a token as whisper.cpp counts it. Vocabularies end far below `i32::MAX`.
fn id(token: u32) -> i32 {
    i32::try_from(token).unwrap_or_default()
}

pub(super) fn failed(error: whisper_rs::WhisperError) -> EngineError {
    EngineError::Failed(Box::new(error))
}
