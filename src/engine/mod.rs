//! Turns a window of audio into text: the contract between the pipeline and a speech recognizer.
//!
//! ```text
//!  Engine ─ load(variant) ─▶ Model ─ new_state() ─▶ State ─ transcribe(window) ─▶ Transcription
//!  describes itself          weights                working memory
//! ```
//!
//! An engine only recognizes. The pipeline chooses windows, keeps the text before them, retries,
//! and decides which text of a cut window to keep. [`EnginePool`] owns the model and its states.
//!
//! | question | file |
//! |---|---|
//! | what does an engine have to implement? | this one |
//! | what does it answer? | `transcription.rs` |
//! | who loads, lends and frees models and states, and when? | `pool.rs` |
//! | how does Whisper decode? | `whisper/` |
//! | how do I test without a model? | `scripted.rs`, `from_fn.rs` |

use std::sync::Arc;

use crate::audio::WINDOW_SAMPLES_MAX;
use crate::budget::Variant;
use crate::cancel::Cancel;
use crate::time::Time;

mod from_fn;
mod pool;
mod scripted;
mod transcription;
#[cfg(feature = "whisper")]
pub mod whisper;

pub use from_fn::{FnEngine, from_fn};
pub use pool::{EnginePool, Held, Released};
pub use scripted::{Scripted, ScriptedUtterance};
pub use transcription::{Boundary, EngineCounts, Language, Transcription};

/// A speech recognizer: what it is, what it will hold, and how its model is loaded.
///
/// The value itself is small. Weights are in the [`Model`] that [`load`](Self::load) returns, and
/// working memory is in the [`State`]s of that model, so that their owner, an [`EnginePool`], can
/// free either at any time.
///
/// `examples/own_engine.rs` is a complete one.
pub trait Engine: Send + Sync {
    /// Returns the engine's name and model, for reports.
    fn name(&self) -> &str;

    /// Returns what the text depends on besides the audio and the [`Request`], as names and values:
    /// the model, options, the variant that runs. A [`Journal`](crate::Journal) is resumed only
    /// when all of them are unchanged.
    fn identity(&self, variant: &Variant) -> Vec<(String, String)> {
        vec![
            ("engine".into(), self.name().into()),
            ("variant".into(), variant.id.clone()),
        ]
    }

    /// Returns the largest window and the longest previous text that the engine accepts.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Returns the ways in which the engine can run, with what each will hold, the preferred one
    /// first. The plan picks the first that fits the budget.
    fn variants(&self) -> Vec<Variant> {
        vec![Variant::default()]
    }

    /// Loads the weights to run as `variant`, which is one of [`variants`](Self::variants).
    ///
    /// # Errors
    ///
    /// [`EngineError::Failed`] when the model cannot be loaded.
    fn load(&self, variant: &Variant) -> Result<Arc<dyn Model>, EngineError>;
}

/// Loaded weights. They are freed when the last reference is dropped.
pub trait Model: Send + Sync {
    /// Allocates the working memory of one run. The state keeps the model loaded.
    ///
    /// # Errors
    ///
    /// [`EngineError::Failed`] when the memory cannot be allocated.
    fn new_state(self: Arc<Self>) -> Result<Box<dyn State>, EngineError>;
}

/// The working memory of one run. Windows of any number of transcripts may pass through it, one at
/// a time and in any order: nothing of a window may influence the text of another one.
pub trait State: Send {
    /// Transcribes a window.
    ///
    /// `window` holds 1 to [`Limits::window_samples_max`] samples of 16 kHz mono in −1.0..=1.0.
    /// Times in the answer count from the window's start.
    ///
    /// # Errors
    ///
    /// [`EngineError::Cancelled`] when `request.cancel` was raised, else [`EngineError::Failed`].
    /// Both end the transcript.
    fn transcribe(
        &mut self,
        window: &[f32],
        request: &Request<'_>,
    ) -> Result<Transcription, EngineError>;

    /// Touches all memory that the state will ever use: one full window, the longest prompt.
    ///
    /// # Errors
    ///
    /// As [`transcribe`](Self::transcribe).
    fn warm_up(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl Engine for Box<dyn Engine> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn identity(&self, variant: &Variant) -> Vec<(String, String)> {
        (**self).identity(variant)
    }

    fn limits(&self) -> Limits {
        (**self).limits()
    }

    fn variants(&self) -> Vec<Variant> {
        (**self).variants()
    }

    fn load(&self, variant: &Variant) -> Result<Arc<dyn Model>, EngineError> {
        (**self).load(variant)
    }
}

/// The largest inputs that an engine accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest window, in samples of 16 kHz: 80,000 (5 s) to 480,000 (30 s).
    pub window_samples_max: usize,
    /// Most tokens of previous text; 0 for an engine that takes none.
    pub previous_tokens_max: usize,
}

impl Limits {
    /// Makes limits of a window in samples and of previous text in tokens.
    #[must_use]
    pub fn new(window_samples_max: usize, previous_tokens_max: usize) -> Self {
        Self {
            window_samples_max,
            previous_tokens_max,
        }
    }
}

/// Windows of 30 s, no previous text.
impl Default for Limits {
    fn default() -> Self {
        Self::new(WINDOW_SAMPLES_MAX, 0)
    }
}

/// What the pipeline asks of one window.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// Tokens of the text before the window, oldest first, as [`Transcription::context`] had them.
    /// At most [`Limits::previous_tokens_max`]; empty: no previous text.
    pub previous: &'a [u32],
    /// Code of the language that was spoken before the window, once it is known. `previous` is of
    /// this language.
    pub language: Option<&'a str>,
    /// Where the window starts on the input's time line. Random numbers of a window depend on it
    /// and on nothing else.
    pub at: Time,
    /// Number of the window's audio. A request with the number of the state's last one is for the
    /// same samples, so that what was computed from them can be used again.
    pub audio_id: u64,
    /// Raised when the answer is no longer wanted. Engines check it between decoding steps.
    pub cancel: &'a Cancel,
}

impl<'a> Request<'a> {
    /// Makes a request without previous text for the window with number `audio_id`.
    #[must_use]
    pub fn new(audio_id: u64, cancel: &'a Cancel) -> Self {
        Self {
            previous: &[],
            language: None,
            at: Time::ZERO,
            audio_id,
            cancel,
        }
    }
}

/// Why an engine gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The request was cancelled.
    #[error("the transcription was cancelled")]
    Cancelled,
    /// The engine cannot continue: see the source.
    #[error("the speech engine failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The engine panicked: report it to the engine's author.
    #[error("the speech engine panicked: {0}")]
    Panicked(String),
}
