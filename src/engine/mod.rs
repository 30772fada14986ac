//! What turns a window of audio into text.

use serde::{Deserialize, Serialize};

use crate::budget::Footprint;
use crate::cancel::Cancel;
use crate::time::Time;
use crate::transcript::Segment;

mod scripted;
mod shared;
#[cfg(feature = "whisper")]
pub mod whisper;

pub use scripted::{Scripted, ScriptedUtterance};
pub use shared::Shared;

/// A speech recognizer that works on windows of at most 30 s.
///
/// The pipeline owns the loop: it chooses windows, hands previous text on, and asks again where speech was left
/// without text. The engine sees one window at a time and keeps no audio.
///
/// See `examples/own_engine.rs` for a whole one.
pub trait Engine: Send {
    /// Returns the engine's name and model, for reports.
    fn name(&self) -> &str;

    /// Says what its text depends on besides the audio and the [`Request`]: names and values of the model, of options, of how it was
    /// prepared. A [`Journal`](crate::Journal) is resumed only when all are as they were.
    fn identity(&self) -> Vec<(String, String)> {
        vec![("engine".into(), self.name().into())]
    }

    /// Says what the engine will hold in memory, before it holds it: the ways in which it can run, the preferred one
    /// first. The plan picks the first that fits the budget.
    fn footprints(&self) -> Vec<Footprint> {
        vec![Footprint::default()]
    }

    /// Loads what is needed to run as the plan chose. Called again after [`unload`](Engine::unload), and cheap when there is
    /// nothing to do.
    ///
    /// # Errors
    ///
    /// [`EngineError::Failed`] when the model cannot be loaded.
    fn prepare(&mut self, chosen: &Footprint) -> Result<(), EngineError> {
        let _ = chosen;
        Ok(())
    }

    /// Touches all memory that the engine will ever use: one full window, the longest prompt, every piece size.
    ///
    /// # Errors
    ///
    /// As [`transcribe`](Engine::transcribe).
    fn warm_up(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Turns a window into segments.
    ///
    /// `window` holds 1 to 480,000 samples of 16 kHz mono, -1 to 1. The segments of the answer count their times from the
    /// window's start.
    ///
    /// # Errors
    ///
    /// [`EngineError::Cancelled`] when `request.cancel` was raised, else [`EngineError::Failed`]; both end the transcript.
    fn transcribe(&mut self, window: &[f32], request: &Request<'_>) -> Result<Heard, EngineError>;

    /// Gives back the memory of one run; the next window allocates it again. Returns whether there was any.
    fn release_state(&mut self) -> bool {
        false
    }

    /// Gives back the model's weights as well; [`prepare`](Engine::prepare) loads them again.
    fn unload(&mut self) -> bool {
        false
    }

    /// Returns what the engine holds now, as planned.
    fn held(&self) -> Held {
        Held::default()
    }

    /// Returns what was counted so far.
    fn counts(&self) -> EngineCounts {
        EngineCounts::default()
    }
}

/// What the pipeline asks of one window.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// Tokens of the text before the window, oldest first, as [`Heard::context`] gave them. Empty: no previous text.
    pub previous: &'a [u32],
    /// Code of the language that was spoken before the window, once it is known. `previous` is of this language.
    pub language: Option<&'a str>,
    /// Where the window starts on the input's time line. Random numbers of a window depend on it and on nothing else.
    pub at: Time,
    /// The window's end may lie inside an utterance: the last segment is better left to the next window.
    pub cut: bool,
    /// The window is the same as at the last call: what was computed from its audio can be used again.
    pub again: bool,
    /// Raised when the answer is no longer wanted; looked at between decoding steps.
    pub cancel: &'a Cancel,
}

impl<'a> Request<'a> {
    /// Makes a request without previous text for a new window.
    #[must_use]
    pub fn new(cancel: &'a Cancel) -> Self {
        Self {
            previous: &[],
            language: None,
            at: Time::ZERO,
            cut: false,
            again: false,
            cancel,
        }
    }
}

/// What an engine made of one window.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Heard {
    /// The text, in the order of time, with times counted from the window's start.
    pub segments: Vec<Segment>,
    /// Samples from the window's start that need not be heard again: the end of the last closed segment, or the
    /// window's length. At most the window's length.
    pub consumed: usize,
    /// Tokens to hand to the next window as previous text.
    pub context: Vec<u32>,
    /// The text is unlikely to be right (it repeats itself or is improbable): worth asking again without previous text.
    pub doubtful: bool,
    /// Previous text was used for this answer.
    pub used_previous: bool,
    /// The engine holds that the window has no speech, and gave no segments for that reason.
    pub silent: bool,
    /// The language that the window was taken to be of. Where it is another than that of [`Request::language`], previous text was not
    /// used.
    pub language: Option<Language>,
    /// Mean natural logarithm of the probability of all tokens.
    pub avg_logprob: f32,
    /// Bytes of the text / bytes of the same compressed by zlib.
    pub compression_ratio: f32,
    /// The temperature at which the text was sampled.
    pub temperature: f32,
}

impl Heard {
    /// Makes an answer of segments and of how many samples of the window are done with; every other field is zero.
    #[must_use]
    pub fn new(segments: Vec<Segment>, consumed: usize) -> Self {
        Self {
            segments,
            consumed,
            ..Self::default()
        }
    }
}

/// A language, and how sure it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Language {
    /// Its code, such as `en`.
    pub code: String,
    /// Probability that it is spoken, 0 to 1; 1 where nobody had to listen for it.
    pub probability: f32,
}

impl Language {
    /// Names a language.
    #[must_use]
    pub fn new(code: impl Into<String>, probability: f32) -> Self {
        Self {
            code: code.into(),
            probability,
        }
    }
}

/// What an engine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// Bytes of the model's weights, zero while they are not loaded.
    pub model_bytes: u64,
    /// Bytes of working memory, zero while there is none.
    pub state_bytes: u64,
}

impl Held {
    /// Makes an account.
    #[must_use]
    pub fn new(model_bytes: u64, state_bytes: u64) -> Self {
        Self {
            model_bytes,
            state_bytes,
        }
    }
}

/// What an engine counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineCounts {
    /// Windows whose audio was encoded.
    pub encodes: u64,
    /// Tokens that were decoded, prompts included.
    pub decode_steps: u64,
    /// Decodings that were repeated at a higher temperature.
    pub fallbacks: u64,
}

impl EngineCounts {
    /// Adds what was counted elsewhere.
    pub(crate) fn add(&mut self, more: Self) {
        self.encodes += more.encodes;
        self.decode_steps += more.decode_steps;
        self.fallbacks += more.fallbacks;
    }

    /// Returns what was counted since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            encodes: self.encodes - earlier.encodes,
            decode_steps: self.decode_steps - earlier.decode_steps,
            fallbacks: self.fallbacks - earlier.fallbacks,
        }
    }
}

/// Why an engine gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The request was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The engine cannot go on.
    #[error("the speech engine failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The engine panicked: report it to its author.
    #[error("the speech engine panicked: {0}")]
    Panicked(String),
}
