//! How Whisper decodes, and whether a model supports it.

use super::language;
use crate::ggml::ModelError;
use crate::models::Model;

/// Most threads that are used by default: more gain little on laptops.
const THREADS_DEFAULT_MAX: usize = 4;

/// Most threads: whisper.cpp divides rows among them, and no encoder has more work for them.
const THREADS_MAX: usize = 64;

/// How Whisper decodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WhisperOptions {
    /// Language as a code ("de") or an English name ("german"). With `None` a multilingual model
    /// detects it in each window, and changes when another language is probable enough.
    /// English-only models accept `None` and "en".
    pub language: Option<String>,
    /// Whether the text is translated into English. Multilingual models only.
    pub translate: bool,
    /// Text that every window is given before its previous text, for names and spelling. Its last
    /// 111 tokens are used.
    pub prompt: String,
    /// Threads for encoding and decoding, 1 to 64; other numbers become the nearest of these. By
    /// default one for each physical core that this process may use, at most 4. Steps of the
    /// decoder use a single one where that is faster.
    ///
    /// Several transcribers compute at the same time: their threads together should not exceed the
    /// cores.
    pub threads: usize,
    /// Whether the model generates times. Without them each window is one segment.
    pub timestamps: bool,
    /// Seed of the sampling at temperatures above zero. Equal seeds give equal texts.
    pub seed: u64,
    /// Whether a GPU is used, in a build for GPUs (features `cuda`, `metal`, `vulkan`). If none is
    /// found, Whisper runs on the CPU, and a warning is logged when the model is loaded.
    ///
    /// Plan and account count weights and states as if they were in the host's memory. With a GPU
    /// that is an upper bound: most of them are in its own memory, which is neither planned nor
    /// accounted for.
    pub use_gpu: bool,
}

impl Default for WhisperOptions {
    fn default() -> Self {
        // Two threads of one core compute no more than one: they share its arithmetic units.
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
    /// Checks whether a published model, whose file need not be there, knows the language and
    /// supports the task.
    ///
    /// # Errors
    ///
    /// [`ModelError::Language`] and [`ModelError::EnglishOnly`], with a hint.
    pub fn check_for(&self, model: &Model) -> Result<(), ModelError> {
        self.check(model.languages())
    }

    /// Returns the threads that are used: within their limits.
    pub(super) fn bounded_threads(&self) -> usize {
        self.threads.clamp(1, THREADS_MAX)
    }

    /// Checks the same for a model that knows `count` languages.
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
