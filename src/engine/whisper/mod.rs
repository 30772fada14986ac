//! Whisper: whisper.cpp's encoder and decoder under a decoding loop of our own. It encodes a window
//! once, follows OpenAI's rules, and samples with a seed.
//!
//! | question | file |
//! |---|---|
//! | what can be set, and for which models? | `options.rs` |
//! | which model files are accepted? | `model/mod.rs`, `model/tensors.rs` |
//! | how much memory will a model take? | `model/footprint.rs`, `model/published.rs` |
//! | what is loaded, and what runs on a GPU? | `loaded.rs`, `gpu.rs` |
//! | what happens to one window? | `state.rs` |
//! | which language is it? | `language.rs` |
//! | how are tokens generated? | `decoder.rs`, `sampling.rs` |
//! | which tokens may follow? | `rules.rs`, `vocabulary.rs` |
//! | when is a text doubtful, and what is tried instead? | `fallback.rs` |
//! | where do segments begin and end? | `segments.rs`, `token_times.rs` |
//! | how many threads does a decoding step use? | `pace.rs` |
//! | is the text that of OpenAI's decoder? | `parity.rs`, `multilingual.rs` (tests) |
//!
//! `whisper_full` is not used. In the linked whisper.cpp 1.8.3 it reads the no-speech probability
//! from the wrong row, encodes a window again for each retry of a caller, samples beams from a
//! generator that cannot be seeded by position, and makes its key-value cache seven times larger
//! for good at `best_of` 5.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::loaded::WhisperModel;
use super::{Engine, EngineError, Limits, Model};
use crate::audio::WINDOW_SAMPLES_MAX;
use crate::budget::Variant;
use crate::ggml::ModelError;

mod decoder;
mod fallback;
mod gpu;
mod language;
mod loaded;
mod model;
#[cfg(test)]
mod multilingual;
mod options;
mod pace;
#[cfg(test)]
mod parity;
mod rules;
mod sampling;
mod segments;
mod state;
mod token_times;
mod vocabulary;

pub use model::{Dimensions, Fingerprint, ModelHeader};
pub use options::WhisperOptions;

/// Most tokens of previous text, the user's prompt included. Source: openai/whisper, half of the
/// text context less one.
const PREVIOUS_TOKENS_MAX: usize = 223;

/// Most tokens of the user's prompt, so that previous text keeps half of the room.
const PROMPT_TOKENS_MAX: usize = 111;

/// The Whisper speech recognizer: a checked model file and options. The weights are loaded by
/// [`Engine::load`].
///
/// # Memory
///
/// Some hundred bytes. What model and states will hold is in [`Engine::variants`]: two variants,
/// `full attention`, which is faster, and `flash attention`, which is smaller.
///
/// # Examples
///
/// ```no_run
/// use steadyscribe::{Config, Transcriber, Whisper, WhisperOptions};
///
/// let engine = Whisper::open("ggml-base.en-q5_1.bin", WhisperOptions::default())?;
/// let mut scribe = Transcriber::new(Config::default(), engine)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Whisper {
    path: PathBuf,
    name: String,
    header: ModelHeader,
    options: WhisperOptions,
}

impl Whisper {
    /// Checks a model file in whisper.cpp's format. Its weights are not loaded.
    ///
    /// # Errors
    ///
    /// [`ModelError`] when the file is not such a model, is damaged, or does not support the
    /// language or task in `options`.
    pub fn open(path: impl AsRef<Path>, options: WhisperOptions) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let header = ModelHeader::read(path)?;
        options.check(language::count(header.dimensions.n_vocab))?;
        let options = WhisperOptions {
            threads: options.bounded_threads(),
            ..options
        };
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        Ok(Self {
            path: path.to_owned(),
            name: format!("whisper {}", stem.to_string_lossy()),
            header,
            options,
        })
    }

    /// Returns what the model file states about itself.
    #[must_use]
    pub fn header(&self) -> &ModelHeader {
        &self.header
    }

    fn load_model(&self, variant: &Variant) -> Result<Arc<WhisperModel>, EngineError> {
        let flash_attention = variant.id == model::FLASH_ATTENTION;
        WhisperModel::load(&self.path, flash_attention, &self.options)
            .map(Arc::new)
            .map_err(|error| EngineError::Failed(Box::new(error)))
    }
}

impl Engine for Whisper {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self, variant: &Variant) -> Vec<(String, String)> {
        let WhisperOptions {
            language,
            translate,
            prompt,
            timestamps,
            seed,
            // The number of threads does not change the order of any sum.
            threads: _,
            use_gpu,
        } = &self.options;
        let language = language.as_deref().unwrap_or("auto");
        [
            ("model", self.header.fingerprint.to_string()),
            ("variant", variant.id.clone()),
            ("language", language.to_owned()),
            ("translate", translate.to_string()),
            ("prompt", prompt.clone()),
            ("timestamps", timestamps.to_string()),
            ("seed", seed.to_string()),
            ("GPU", use_gpu.to_string()),
        ]
        .map(|(name, value)| (name.into(), value))
        .into()
    }

    fn limits(&self) -> Limits {
        Limits::new(WINDOW_SAMPLES_MAX, PREVIOUS_TOKENS_MAX)
    }

    fn variants(&self) -> Vec<Variant> {
        self.header.variants().into()
    }

    fn load(&self, variant: &Variant) -> Result<Arc<dyn Model>, EngineError> {
        Ok(self.load_model(variant)?)
    }
}
