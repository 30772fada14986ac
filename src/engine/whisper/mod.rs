//! whisper.cpp with our own decoding loop: one encoding for each window, OpenAI's rules, seeded sampling.
//!
//! `whisper_full` is not used: in the linked whisper.cpp 1.8.3 it reads the no-speech probability from the wrong row, encodes a window
//! again for each caller's retry, samples beams from a generator that cannot be seeded by position, and makes its key-value
//! cache seven times larger for good at `best_of` 5.

use std::path::{Path, PathBuf};

use whisper_rs::WhisperState;

use self::decoder::{Decoder, Odds, Task};
use self::fallback::{Judged, Repetition};
use self::vocabulary::Vocabulary;
use self::weights::{Shelf, Weights};
use super::{Engine, EngineCounts, EngineError, Heard, Held, Language, Request};
use crate::audio::WINDOW_SAMPLES_MAX;
use crate::budget::Footprint;
use crate::ggml::ModelError;

mod decoder;
mod fallback;
mod language;
mod model;
#[cfg(test)]
mod multilingual;
mod options;
mod pace;
#[cfg(test)]
mod parity;
mod rules;
mod segments;
mod several;
mod vocabulary;
mod weights;

pub use model::{Dimensions, Fingerprint, ModelHeader};
pub use options::WhisperOptions;
pub use several::Crew;

/// Most tokens of previous text, the user's prompt included. Source: openai/whisper, half of the text context less one.
const PREVIOUS_TOKENS_MAX: usize = 223;

/// Most tokens of the user's prompt, so that previous text keeps half of the room.
const PROMPT_TOKENS_MAX: usize = 111;

/// The Whisper speech recognizer.
///
/// # Memory
///
/// Weights from [`Engine::prepare`] to [`Engine::unload`], which [others](Self::another) may share, one state from there or from the first window to
/// [`Engine::release_state`], and about 3 MB of our own for the engine's life. What they add up to is said beforehand by
/// [`Engine::footprints`].
///
/// # Examples
///
/// ```no_run
/// use steadyscribe::{Config, Transcriber, Whisper, WhisperOptions};
///
/// let engine = Whisper::load("ggml-base.en-q5_1.bin", WhisperOptions::default())?;
/// let mut scribe = Transcriber::new(Config::default(), engine)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Whisper {
    path: PathBuf,
    name: String,
    header: ModelHeader,
    options: WhisperOptions,
    /// The one way to run, where other engines have chosen it.
    only: Option<Footprint>,
    chosen: Footprint,
    shelf: Shelf,
    /// Before the model, which is freed when nothing uses it any more.
    state: Option<WhisperState>,
    model: Option<Loaded>,
    /// One window of samples, behind which zeros stand: whisper.cpp's buffers keep one size.
    padded: Box<[f32]>,
    best: Judged,
    spare: Judged,
    repetition: Repetition,
    /// Which language the window that was encoded last may be of, where the model is to find out.
    odds: Option<Odds>,
    counts: EngineCounts,
}

/// What belongs to the loaded weights.
#[derive(Debug)]
struct Loaded {
    weights: Weights,
    vocabulary: Vocabulary,
    decoder: Decoder,
    prompt: Vec<u32>,
}

impl Whisper {
    /// Checks a model file in whisper.cpp's format and loads it.
    ///
    /// # Errors
    ///
    /// [`ModelError`] when the file is not such a model, is damaged, or does not know the language.
    pub fn load(path: impl AsRef<Path>, options: WhisperOptions) -> Result<Self, ModelError> {
        let mut whisper = Self::open(path, options)?;
        whisper.load_model()?;
        Ok(whisper)
    }

    /// Checks a model file in whisper.cpp's format, and leaves its weights to [`Engine::prepare`]: for callers that want to plan
    /// first.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn open(path: impl AsRef<Path>, options: WhisperOptions) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let header = ModelHeader::read(path)?;
        options.check(language::count(header.dimensions.n_vocab))?;
        Ok(Self::new(path, header, options))
    }

    fn new(path: &Path, header: ModelHeader, options: WhisperOptions) -> Self {
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        Self {
            path: path.to_owned(),
            name: format!("whisper {}", stem.to_string_lossy()),
            header,
            options,
            only: None,
            chosen: Footprint::default(),
            shelf: Shelf::default(),
            state: None,
            model: None,
            padded: vec![0.0; WINDOW_SAMPLES_MAX].into_boxed_slice(),
            best: Judged::new(),
            spare: Judged::new(),
            repetition: Repetition::new(),
            odds: None,
            counts: EngineCounts::default(),
        }
    }

    /// Returns what the model file says of itself.
    #[must_use]
    pub fn header(&self) -> &ModelHeader {
        &self.header
    }

    fn load_model(&mut self) -> Result<(), ModelError> {
        if self.model.is_some() {
            return Ok(());
        }
        let refused = |source| ModelError::Refused {
            path: self.path.clone(),
            source,
        };
        let (flash_attention, use_gpu) = (self.chosen.flash_attention, self.options.use_gpu);
        let weights = self.shelf.take(&self.path, flash_attention, use_gpu);
        let weights = weights.map_err(refused)?;
        let context = weights.context();
        let vocabulary = Vocabulary::of(context);
        let text_context = usize::try_from(context.n_text_ctx()).unwrap_or_default();
        let decoder = Decoder::new(&vocabulary, text_context, self.options.threads);
        let prompt = self.options.prompt.trim();
        let mut tokens = Vec::new();
        if !prompt.is_empty() {
            let found = context
                .tokenize(&format!(" {prompt}"), prompt.len() + 1)
                .map_err(refused)?;
            tokens.extend(
                found
                    .into_iter()
                    .filter_map(|token| u32::try_from(token).ok()),
            );
            tokens.drain(..tokens.len().saturating_sub(PROMPT_TOKENS_MAX));
        }
        self.model = Some(Loaded {
            weights,
            vocabulary,
            decoder,
            prompt: tokens,
        });
        Ok(())
    }

    /// The model and its state, made if they are not there.
    fn ready(&mut self) -> Result<(), EngineError> {
        self.load_model()
            .map_err(|error| EngineError::Failed(Box::new(error)))?;
        if let (Some(model), None) = (&self.model, &self.state) {
            self.state = Some(
                model
                    .weights
                    .context()
                    .create_state()
                    .map_err(decoder::failed)?,
            );
        }
        Ok(())
    }

    fn encode(&mut self, window: &[f32]) -> Result<(), EngineError> {
        let length = window.len().min(WINDOW_SAMPLES_MAX);
        self.padded[..length].copy_from_slice(&window[..length]);
        self.padded[length..].fill(0.0);
        let threads = self.options.threads;
        if let Some(state) = &mut self.state {
            state
                .pcm_to_mel(&self.padded, threads)
                .map_err(decoder::failed)?;
            state.encode(0, threads).map_err(decoder::failed)?;
        }
        self.counts.encodes += 1;
        Ok(())
    }

    /// Listens for the language of the window that was encoded last, unless it is given.
    fn listen_for_language(&mut self) -> Result<(), EngineError> {
        self.odds = None;
        if let (Some(model), Some(state), None) =
            (&mut self.model, &mut self.state, &self.options.language)
            && let Some(languages) = model.vocabulary.languages
        {
            let odds = model
                .decoder
                .language(state, &model.vocabulary, languages)?;
            self.odds = Some(odds);
        }
        Ok(())
    }

    /// The number of the language that a window is taken to be of, and how probable it is. English-only models have one.
    fn language_of(&self, request: &Request<'_>) -> (u32, f32) {
        let count = language::count(self.header.dimensions.n_vocab);
        let number = |name: &str| language::number(name, count);
        match &self.odds {
            Some(odds) => {
                let heard = language::heard(request.language.and_then(number), odds);
                (heard, odds.probability(heard))
            }
            None => (
                self.options
                    .language
                    .as_deref()
                    .and_then(number)
                    .unwrap_or(0),
                1.0,
            ),
        }
    }

    /// Decodes the window that was encoded last into `self.best`. Returns whether previous text was used.
    fn decode(&mut self, request: &Request<'_>, language: u32) -> Result<bool, EngineError> {
        let (Some(model), Some(state)) = (&mut self.model, &mut self.state) else {
            return Ok(false);
        };
        let Loaded {
            weights,
            vocabulary,
            decoder,
            prompt,
        } = model;
        let context = weights.context();
        let task = Task {
            language: vocabulary.languages.map(|(first, _)| first + language),
            translate: self.options.translate,
            timestamps: self.options.timestamps,
        };
        let room = PREVIOUS_TOKENS_MAX - prompt.len();
        // Text of another language would have this window written in it.
        let is_known = request
            .language
            .is_none_or(|before| language::code(language) == Some(before));
        let previous = if is_known { request.previous } else { &[] };
        let previous = &previous[previous.len().saturating_sub(room)..];
        // A token that the model does not know ends the process in whisper.cpp.
        let known = |token: &u32| (*token as usize) < vocabulary.size;
        let all = prompt.iter().chain(previous).copied().filter(known);
        let all: Vec<u32> = all.collect();
        let repetition = &mut self.repetition;
        let (mut prompted, mut no_speech_prob) = (None, 0.0);
        let (used_previous, extra) = fallback::climb(
            !all.is_empty(),
            self.options.seed ^ request.at.samples(),
            &mut self.best,
            &mut self.spare,
            &mut |with_previous, sampling, judged| {
                if prompted != Some(with_previous) {
                    let previous = if with_previous { &all[..] } else { &[] };
                    no_speech_prob =
                        decoder.prompt(state, vocabulary, previous, task, request.cancel)?;
                    prompted = Some(with_previous);
                }
                decoder.draft(
                    state,
                    vocabulary,
                    task,
                    sampling,
                    request.cancel,
                    &mut judged.draft,
                )?;
                judged.no_speech_prob = no_speech_prob;
                let text = judged
                    .draft
                    .tokens()
                    .filter(|&token| vocabulary.is_text(token));
                judged.compression_ratio =
                    repetition.ratio(text.map(|token| vocabulary::bytes(context, token)));
                Ok(())
            },
        )?;
        self.counts.fallbacks += extra;
        self.counts.decode_steps += std::mem::take(&mut decoder.steps);
        Ok(used_previous && !previous.is_empty())
    }

    fn heard(&self, length: usize, is_cut: bool, used_previous: bool) -> Heard {
        let Some(model) = &self.model else {
            return Heard::default();
        };
        let Judged {
            draft,
            compression_ratio,
            no_speech_prob,
        } = &self.best;
        let mut heard = Heard {
            consumed: length,
            doubtful: self.best.is_doubtful(),
            silent: self.best.is_silent(),
            used_previous,
            avg_logprob: draft.avg_logprob(),
            compression_ratio: *compression_ratio,
            temperature: draft.temperature,
            ..Heard::default()
        };
        if heard.silent {
            return heard;
        }
        let cut = segments::cut(
            model.weights.context(),
            &model.vocabulary,
            &draft.words,
            length,
            is_cut,
        );
        heard.segments = cut.segments;
        heard.consumed = cut.consumed;
        heard.context = draft.tokens().take(cut.used).collect();
        for segment in &mut heard.segments {
            segment.no_speech_prob = *no_speech_prob;
            segment.avg_logprob = heard.avg_logprob;
            segment.compression_ratio = *compression_ratio;
            segment.temperature = draft.temperature;
        }
        heard
    }
}

impl Engine for Whisper {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> Vec<(String, String)> {
        let WhisperOptions {
            language,
            translate,
            prompt,
            timestamps,
            seed,
            // On one machine neither changes a sum's order.
            threads: _,
            use_gpu,
        } = &self.options;
        [
            ("model", self.header.fingerprint.to_string()),
            (
                "language",
                language.clone().unwrap_or_else(|| "auto".into()),
            ),
            ("translate", translate.to_string()),
            ("prompt", prompt.clone()),
            ("timestamps", timestamps.to_string()),
            ("seed", seed.to_string()),
            ("GPU", use_gpu.to_string()),
            ("flash attention", self.chosen.flash_attention.to_string()),
        ]
        .map(|(name, value)| (name.into(), value))
        .into()
    }

    fn footprints(&self) -> Vec<Footprint> {
        let all = || self.header.footprints().to_vec();
        self.only.map_or_else(all, |only| vec![only])
    }

    fn prepare(&mut self, chosen: &Footprint) -> Result<(), EngineError> {
        if chosen.flash_attention != self.chosen.flash_attention {
            self.unload();
        }
        self.chosen = *chosen;
        self.load_model()
            .map_err(|error| EngineError::Failed(Box::new(error)))
    }

    fn warm_up(&mut self) -> Result<(), EngineError> {
        self.ready()?;
        // Not zeros: memory that is only read as zero may never become private.
        let noise: Vec<f32> = (0..WINDOW_SAMPLES_MAX)
            .map(|n| ((n * 7_919) % 201) as f32 / 1e5)
            .collect();
        self.encode(&noise)?;
        if let (Some(model), Some(state)) = (&mut self.model, &mut self.state) {
            model.decoder.warm_up(state, &model.vocabulary)?;
        }
        Ok(())
    }

    fn transcribe(&mut self, window: &[f32], request: &Request<'_>) -> Result<Heard, EngineError> {
        if request.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        self.ready()?;
        if !request.again {
            self.encode(window)?;
            if request.cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            self.listen_for_language()?;
        }
        let (language, probability) = self.language_of(request);
        let used_previous = self.decode(request, language)?;
        let length = window.len().min(WINDOW_SAMPLES_MAX);
        let mut heard = self.heard(length, request.cut, used_previous);
        heard.language = language::code(language).map(|code| Language::new(code, probability));
        Ok(heard)
    }

    fn release_state(&mut self) -> bool {
        self.state.take().is_some()
    }

    fn unload(&mut self) -> bool {
        self.state = None;
        self.model.take().is_some()
    }

    fn held(&self) -> Held {
        let way = self.header.footprints()[usize::from(self.chosen.flash_attention)];
        // Of weights that several hold each has a share, so that all of them add up.
        let share = |model: &Loaded| way.model_bytes.div_ceil(model.weights.holders());
        Held {
            model_bytes: self.model.as_ref().map_or(0, share),
            state_bytes: self.state.as_ref().map_or(0, |_| way.state_bytes),
        }
    }

    fn counts(&self) -> EngineCounts {
        self.counts
    }
}
