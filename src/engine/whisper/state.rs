//! One window: encode it, detect its language, decode it, answer.

use std::sync::Arc;

use super::decoder::{Decoder, Task, failed};
use super::fallback::{Candidate, Decoded, Repetition, decode_with_fallback};
use super::language::LanguageProbabilities;
use super::loaded::WhisperModel;
use super::{PREVIOUS_TOKENS_MAX, language, segments, vocabulary};
use crate::audio::WINDOW_SAMPLES_MAX;
use crate::engine::{
    Boundary, EngineCounts, EngineError, Language, Model, Request, State, Transcription,
};
use crate::time::Time;
use crate::transcript::Quality;

/// The working memory of one run.
///
/// # Memory
///
/// whisper.cpp's caches and compute buffers, one padded window, two candidates, and what
/// [`Decoder`] and [`Repetition`] hold. Allocated once; whisper.cpp touches most of it at the first
/// window.
#[derive(Debug)]
pub(super) struct WhisperState {
    /// Declared before the model, so that it is freed first.
    inner: whisper_rs::WhisperState,
    model: Arc<WhisperModel>,
    decoder: Decoder,
    /// One window of samples followed by zeros: whisper.cpp's buffers then keep one size.
    padded: Box<[f32]>,
    best: Candidate,
    spare: Candidate,
    repetition: Repetition,
    /// The audio that was encoded last, if all of its encoding succeeded.
    encoded: Option<Encoded>,
}

/// What is known of the audio that was encoded last.
#[derive(Debug)]
struct Encoded {
    audio_id: u64,
    /// `None` where the language is given or the model knows only one.
    languages: Option<LanguageProbabilities>,
}

impl Model for WhisperModel {
    fn new_state(self: Arc<Self>) -> Result<Box<dyn State>, EngineError> {
        Ok(Box::new(WhisperState::new(self)?))
    }
}

impl WhisperState {
    pub(super) fn new(model: Arc<WhisperModel>) -> Result<Self, EngineError> {
        let inner = model.context.create_state().map_err(failed)?;
        let threads = model.options.threads;
        Ok(Self {
            inner,
            decoder: Decoder::new(&model.vocabulary, model.text_context(), threads),
            padded: vec![0.0; WINDOW_SAMPLES_MAX].into_boxed_slice(),
            best: Candidate::new(),
            spare: Candidate::new(),
            repetition: Repetition::new(),
            encoded: None,
            model,
        })
    }

    /// Encodes a window and detects its language, unless that was the last thing this state did.
    /// Returns how many encodings it took.
    fn encode_once(&mut self, window: &[f32], request: &Request<'_>) -> Result<u64, EngineError> {
        let last = self.encoded.as_ref().map(|encoded| encoded.audio_id);
        if last == Some(request.audio_id) {
            return Ok(0);
        }
        // Until all has succeeded, nothing of this window may serve a later request.
        self.encoded = None;
        self.encode(window)?;
        if request.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        self.encoded = Some(Encoded {
            audio_id: request.audio_id,
            languages: self.detect_language()?,
        });
        Ok(1)
    }

    pub(super) fn encode(&mut self, window: &[f32]) -> Result<(), EngineError> {
        let length = window.len().min(WINDOW_SAMPLES_MAX);
        self.padded[..length].copy_from_slice(&window[..length]);
        self.padded[length..].fill(0.0);
        let threads = self.model.options.threads;
        self.inner
            .pcm_to_mel(&self.padded, threads)
            .map_err(failed)?;
        self.inner.encode(0, threads).map_err(failed)
    }

    /// Returns how probable each language is in the window that was encoded last, unless the
    /// language is given.
    fn detect_language(&mut self) -> Result<Option<LanguageProbabilities>, EngineError> {
        let vocabulary = &self.model.vocabulary;
        match (vocabulary.languages, &self.model.options.language) {
            (Some(languages), None) => self
                .decoder
                .detect_language(&mut self.inner, vocabulary, languages)
                .map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the number of the language in which the window is transcribed, and its probability.
    fn language_of(&self, request: &Request<'_>) -> (u32, f32) {
        let count = language::count(u32::try_from(self.model.vocabulary.size).unwrap_or_default());
        let number = |name: &str| language::number(name, count);
        let detected = self
            .encoded
            .as_ref()
            .and_then(|last| last.languages.as_ref());
        if let Some(probabilities) = detected {
            let before = request.language.and_then(number);
            let language = language::choose(before, probabilities);
            return (language, probabilities.of(language));
        }
        let given = self.model.options.language.as_deref();
        // An English-only model knows the first language alone.
        (given.and_then(number).unwrap_or(0), 1.0)
    }

    /// Decodes the window that was encoded last into `self.best`. Returns whether previous text was
    /// used, and how many decodings there were besides the first.
    fn decode(&mut self, request: &Request<'_>, language: u32) -> Result<Decoded, EngineError> {
        let Self {
            inner,
            model,
            decoder,
            best,
            spare,
            repetition,
            ..
        } = self;
        let WhisperModel {
            context,
            vocabulary,
            prompt,
            options,
        } = &**model;
        let task = Task {
            language: vocabulary.languages.map(|(first, _)| first + language),
            translate: options.translate,
            timestamps: options.timestamps,
        };
        let previous = previous_text(request, language, PREVIOUS_TOKENS_MAX - prompt.len());
        // whisper.cpp ends the process at a token that the model does not know.
        let is_known = |token: &u32| (*token as usize) < vocabulary.size;
        let before: Vec<u32> = prompt
            .iter()
            .chain(previous)
            .copied()
            .filter(is_known)
            .collect();
        let (mut prompted, mut no_speech_prob) = (None, 0.0);
        let mut decoded = decode_with_fallback(
            !before.is_empty(),
            options.seed ^ request.at.samples(),
            best,
            spare,
            &mut |with_previous, (temperature, rng), candidate| {
                // Candidates of one prompt start from the same logits: it is fed only once.
                if prompted != Some(with_previous) {
                    let before = if with_previous { &before[..] } else { &[] };
                    no_speech_prob =
                        decoder.prompt(inner, vocabulary, before, task, request.cancel)?;
                    prompted = Some(with_previous);
                }
                let hypothesis = &mut candidate.hypothesis;
                let sampling = (temperature, rng);
                decoder.generate(
                    inner,
                    vocabulary,
                    task,
                    sampling,
                    request.cancel,
                    hypothesis,
                )?;
                let text = hypothesis.ids().filter(|&token| vocabulary.is_text(token));
                candidate.compression_ratio =
                    repetition.ratio(text.map(|token| vocabulary::bytes(context, token)));
                candidate.no_speech_prob = no_speech_prob;
                Ok(())
            },
        )?;
        decoded.used_previous &= !previous.is_empty();
        Ok(decoded)
    }

    /// Makes the answer for a window of `length` samples out of `self.best`.
    fn answer(&self, length: usize) -> Transcription {
        let hypothesis = &self.best.hypothesis;
        let mut answer = Transcription {
            doubtful: self.best.is_doubtful(),
            silent: self.best.is_silent(),
            quality: quality(&self.best),
            ..Transcription::default()
        };
        if answer.silent {
            answer.boundaries = vec![Boundary::new(Time::from_samples(length as u64), 0, 0)];
            return answer;
        }
        let WhisperModel {
            context,
            vocabulary,
            ..
        } = &*self.model;
        let text = |token| vocabulary::bytes(context, token);
        let segmented = segments::segment(&text, vocabulary, &hypothesis.tokens, length);
        answer.segments = segmented.segments;
        answer.boundaries = segmented.boundaries;
        answer.context = hypothesis.ids().collect();
        for segment in &mut answer.segments {
            segment.quality = Quality {
                confidence: segment.quality.confidence,
                ..answer.quality
            };
        }
        answer
    }
}

#[cfg(test)]
impl WhisperState {
    /// Returns what decoding needs, for tests that compare tokens.
    pub(super) fn parts(&mut self) -> (&mut whisper_rs::WhisperState, &mut Decoder, &WhisperModel) {
        (&mut self.inner, &mut self.decoder, &self.model)
    }
}

impl State for WhisperState {
    fn transcribe(
        &mut self,
        window: &[f32],
        request: &Request<'_>,
    ) -> Result<Transcription, EngineError> {
        if request.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        self.decoder.steps = 0;
        let encodes = self.encode_once(window, request)?;
        let (language, probability) = self.language_of(request);
        let decoded = self.decode(request, language)?;
        let mut answer = self.answer(window.len().min(WINDOW_SAMPLES_MAX));
        answer.used_previous = decoded.used_previous;
        answer.language = language::code(language).map(|code| Language::new(code, probability));
        answer.counts = EngineCounts {
            encodes,
            decode_steps: self.decoder.steps,
            fallbacks: decoded.fallbacks,
        };
        Ok(answer)
    }

    fn warm_up(&mut self) -> Result<(), EngineError> {
        self.encoded = None;
        // Not zeros: memory that is only read as zero may never become private.
        let noise: Vec<f32> = (0..WINDOW_SAMPLES_MAX)
            .map(|n| ((n * 7_919) % 201) as f32 / 1e5)
            .collect();
        self.encode(&noise)?;
        self.decoder
            .warm_up(&mut self.inner, &self.model.vocabulary)
    }
}

/// Returns the last `room` tokens of the previous text, none if it is of another language: the
/// window would be written in that one.
fn previous_text<'a>(request: &Request<'a>, language: u32, room: usize) -> &'a [u32] {
    let is_same = request
        .language
        .is_none_or(|before| language::code(language) == Some(before));
    let previous = if is_same { request.previous } else { &[] };
    &previous[previous.len().saturating_sub(room)..]
}

/// Returns the figures of a candidate. One that a broken model made infinite or not a number is
/// unknown.
fn quality(candidate: &Candidate) -> Quality {
    let finite = |figure: f32| Some(figure).filter(|figure| figure.is_finite());
    Quality {
        confidence: None,
        no_speech_prob: finite(candidate.no_speech_prob),
        avg_logprob: finite(candidate.hypothesis.avg_logprob()),
        compression_ratio: finite(candidate.compression_ratio),
        temperature: finite(candidate.hypothesis.temperature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_are_not_numbers_are_unknown() {
        let mut candidate = Candidate::new();
        candidate.no_speech_prob = f32::NAN;
        candidate.compression_ratio = f32::INFINITY;
        candidate.hypothesis.sum_logprob = f64::NEG_INFINITY;
        let expected = Quality {
            temperature: Some(0.0),
            ..Quality::default()
        };
        assert_eq!(quality(&candidate), expected);
    }
}
