//! How Whisper decodes, and what of that a model can do.

use super::language;
use crate::ggml::ModelError;
use crate::models::Model;

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
    /// Threads for encoding and decoding, 1 to 64. By default one for each physical core that this process may use, at most 4. Steps of the
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
        // What two threads of one core compute at once is no more than one would: both wait for the same units.
        let allowed = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = num_cpus::get_physical().clamp(1, allowed);
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
    pub(super) fn check(&self, count: u32) -> Result<(), ModelError> {
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
