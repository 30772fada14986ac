//! What an engine answers.

use serde::{Deserialize, Serialize};

use crate::time::Time;
use crate::transcript::{Quality, Segment};

/// The text that an engine recognized in one window.
///
/// Segments are in the order of time, do not overlap and lie inside the window. The pipeline
/// repairs answers that break this: see `pipeline/stitch.rs`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Transcription {
    /// All text of the window, also what its end may have cut. Times count from the window's start.
    pub segments: Vec<Segment>,
    /// Where the next window may begin, in the order of time. Empty: after each segment, and at the
    /// window's end.
    pub boundaries: Vec<Boundary>,
    /// Tokens to use as previous text of the next window; empty for an engine that takes none.
    pub context: Vec<u32>,
    /// Figures about the text as a whole.
    pub quality: Quality,
    /// The text is unlikely to be right, because it repeats itself or is improbable: the pipeline
    /// retries without previous text.
    pub doubtful: bool,
    /// The engine used the previous text.
    pub used_previous: bool,
    /// The engine holds that nobody speaks in the window, and returns no segments for that reason.
    pub silent: bool,
    /// The language of the window. If it differs from [`Request::language`](super::Request), the
    /// engine did not use the previous text.
    pub language: Option<Language>,
    /// The work that this answer took.
    pub counts: EngineCounts,
}

impl Transcription {
    /// Makes an answer of segments. Every other field is empty, zero or unknown.
    #[must_use]
    pub fn new(segments: Vec<Segment>) -> Self {
        Self {
            segments,
            ..Self::default()
        }
    }
}

/// A position in a window at which the text before it is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Boundary {
    /// The position, from the window's start. The window's length: nothing is left.
    pub at: Time,
    /// Segments before it.
    pub segments: usize,
    /// Tokens of [`Transcription::context`] before it.
    pub context: usize,
}

impl Boundary {
    /// Makes a boundary at a position, behind a number of segments and of context tokens.
    #[must_use]
    pub fn new(at: Time, segments: usize, context: usize) -> Self {
        Self {
            at,
            segments,
            context,
        }
    }
}

/// A language, and how probable it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Language {
    /// Its code, such as `en`.
    pub code: String,
    /// Probability that it is spoken, 0 to 1; 1 where the caller set it.
    pub probability: f32,
}

impl Language {
    /// Makes a language of a code and a probability.
    #[must_use]
    pub fn new(code: impl Into<String>, probability: f32) -> Self {
        Self {
            code: code.into(),
            probability,
        }
    }
}

/// Work that an engine did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Adds the work of another answer.
    pub(crate) fn add(&mut self, more: Self) {
        self.encodes = self.encodes.saturating_add(more.encodes);
        self.decode_steps = self.decode_steps.saturating_add(more.decode_steps);
        self.fallbacks = self.fallbacks.saturating_add(more.fallbacks);
    }
}
