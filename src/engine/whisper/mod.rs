//! whisper.cpp with our own decoding loop: one encoding for each window, OpenAI's rules, seeded sampling.
//!
//! `whisper_full` is not used: in the linked whisper.cpp 1.8.3 it reads the no-speech probability from the wrong row, encodes a window
//! again for each caller's retry, samples beams from a generator that cannot be seeded by position, and makes its key-value
//! cache seven times larger for good at `best_of` 5.

use std::path::{Path, PathBuf};

use whisper_rs::{WhisperContext, WhisperContextParameters, WhisperState};

use self::decoder::{Decoder, Odds, Task};
use self::fallback::{Judged, Repetition};
use self::vocabulary::Vocabulary;
use super::{Engine, EngineCounts, EngineError, Heard, Held, Language, Request};
use crate::audio::WINDOW_SAMPLES_MAX;
use crate::budget::Footprint;
use crate::ggml::{ModelError, quiet_logs};
use crate::models::Model;

mod decoder;
mod fallback;
mod language;
mod model;
#[cfg(test)]
mod multilingual;
mod pace;
#[cfg(test)]
mod parity;
mod rules;
mod segments;
mod vocabulary;

pub use model::{Dimensions, Fingerprint, ModelHeader};

/// Most tokens of previous text, the user's prompt included. Source: openai/whisper, half of the text context less one.
const PREVIOUS_TOKENS_MAX: usize = 223;

/// Most tokens of the user's prompt, so that previous text keeps half of the room.
const PROMPT_TOKENS_MAX: usize = 111;

/// Most threads that are used unless the caller says otherwise: more gain little on laptops.
const THREADS_DEFAULT_MAX: usize = 4;

/// How Whisper decodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WhisperOptions {
    /// Language as a code ("de") or an English name ("german"), or `None`: a multilingual model listens for itself, to each window, and
    /// changes over when it is sure of another language. English-only models take "en" and nothing else.
    pub language: Option<String>,
    /// Translate into English instead of writing what was said. Multilingual models only.
    pub translate: bool,
    /// Text in front of every window's previous text, for names and spelling. At most 111 tokens of it are used.
    pub prompt: String,
    /// Threads for encoding and decoding, 1 to 64. By default one for each core that this process may use, at most 4. Steps of the
    /// decoder take one where that is faster.
    pub threads: usize,
    /// Whether the model is asked for times. Without them each window is one segment.
    pub timestamps: bool,
    /// Seed of the sampling at temperatures above zero: equal seeds give equal texts.
    pub seed: u64,
    /// Whether a GPU is used, where one is compiled in.
    pub use_gpu: bool,
}

impl Default for WhisperOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            language: None,
            translate: false,
            prompt: String::new(),
            threads: cores.min(THREADS_DEFAULT_MAX),
            timestamps: true,
            seed: 0,
            use_gpu: true,
        }
    }
}

impl WhisperOptions {
    /// Checks whether a published model, whose file need not be here, knows the language and can do the task.
    ///
    /// # Errors
    ///
    /// [`ModelError::Language`] and [`ModelError::EnglishOnly`], with a hint.
    pub fn check_for(&self, model: &Model) -> Result<(), ModelError> {
        self.check(model.languages())
    }

    /// Checks the same for a model of so many languages.
    fn check(&self, count: u32) -> Result<(), ModelError> {
        let unknown = |name: &&str| language::number(name, count).is_none();
        if let Some(name) = self.language.as_deref().filter(unknown) {
            return Err(ModelError::Language {
                asked: name.to_owned(),
                hint: language::hint(name, count),
            });
        }
        if self.translate && count == 1 {
            return Err(ModelError::EnglishOnly);
        }
        Ok(())
    }
}

/// The Whisper speech recognizer.
///
/// # Memory
///
/// Weights from [`Engine::prepare`] to [`Engine::unload`], one state from there or from the first window to
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
    chosen: Footprint,
    model: Option<Loaded>,
    state: Option<WhisperState>,
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
    context: WhisperContext,
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
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        Ok(Self {
            path: path.to_owned(),
            name: format!("whisper {}", stem.to_string_lossy()),
            header,
            options,
            chosen: Footprint::default(),
            model: None,
            state: None,
            padded: vec![0.0; WINDOW_SAMPLES_MAX].into_boxed_slice(),
            best: Judged::new(),
            spare: Judged::new(),
            repetition: Repetition::new(),
            odds: None,
            counts: EngineCounts::default(),
        })
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
        quiet_logs();
        let mut parameters = WhisperContextParameters::default();
        parameters
            .use_gpu(self.options.use_gpu)
            .flash_attn(self.chosen.flash_attention);
        let refused = |source| ModelError::Refused {
            path: self.path.clone(),
            source,
        };
        let context = WhisperContext::new_with_params(&self.path, parameters).map_err(refused)?;
        let vocabulary = Vocabulary::of(&context);
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
            context,
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
            self.state = Some(model.context.create_state().map_err(decoder::failed)?);
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
            context,
            vocabulary,
            decoder,
            prompt,
            ..
        } = model;
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
        let all: Vec<u32> = prompt.iter().chain(previous).copied().collect();
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
                    no_speech_prob = decoder.prompt(state, vocabulary, previous, task)?;
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
            &model.context,
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
        self.header.footprints().to_vec()
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
        let bytes = |there: bool, bytes| if there { bytes } else { 0 };
        Held {
            model_bytes: bytes(self.model.is_some(), self.chosen.model_bytes),
            state_bytes: bytes(self.state.is_some(), self.chosen.state_bytes),
        }
    }

    fn counts(&self) -> EngineCounts {
        self.counts
    }
}
