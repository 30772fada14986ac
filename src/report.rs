//! The pipeline's report on itself, in plain numbers.

use serde::Serialize;

use crate::engine::Language;
use crate::time::Span;

/// How a transcription went.
///
/// Serializes to the report that `examples/transcribe` writes with `--report`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Whether the input was read to its end.
    #[serde(skip)]
    pub ended: Ended,
    /// The language of the first text that can be trusted, with its probability.
    pub language: Option<Language>,
    /// Segments that the sink took.
    pub segments: u64,
    /// Length of the audio that was read, in seconds.
    pub audio_s: f64,
    /// Speech in it as the detector found it, in seconds.
    pub speech_s: f64,
    /// Wall time from start to end, in seconds.
    pub processing_s: f64,
    /// Processing time / audio time of this run, without what a journal held: below 1 is faster
    /// than real time.
    pub rtf: f64,
    /// Time in which the engine waited for audio to be read and decoded, in seconds: for a file
    /// some milliseconds for each window, for a pipe or a live input as long as the writer takes.
    pub waited_s: f64,
    /// Windows that were given to the engine.
    pub windows: u64,
    /// Windows whose audio was encoded. Equal to `windows` unless an engine encodes a window twice.
    pub encodes: u64,
    /// Tokens that were decoded.
    pub decode_steps: u64,
    /// Decodings that were repeated at a higher temperature.
    pub fallbacks: u64,
    /// Silence that no engine was given, in seconds.
    pub skipped_silence_s: f64,
    /// Speech that no segment covers, in seconds.
    pub uncovered_s: f64,
    /// The first spans of such speech, at most [`SPANS_MAX`](crate::SPANS_MAX).
    pub uncovered: Vec<Span>,
    /// Packets that could not be decoded.
    pub damaged_packets: u64,
    /// Where audio is missing from the input and was replaced by silence, at most
    /// [`SPANS_MAX`](crate::SPANS_MAX) spans.
    pub damage: Vec<Span>,
    /// Why reading stopped before the input's end, if it did.
    pub stopped_early: Option<String>,
    /// Bytes.
    pub memory: MemoryReport,
    /// The pool's account.
    pub blocks: BlockCounts,
}

/// How a transcription ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The input was read to its end.
    #[default]
    Complete,
    /// It was cancelled: the transcript holds what was ready by then.
    Cancelled,
    /// The sink had enough: the transcript holds what it took.
    Stopped,
    /// Parts of the input could not be read: the transcript holds the rest.
    Damaged,
}

/// Bytes that the pipeline holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryReport {
    /// The most that the plan lets the whole process hold at once.
    pub plan_bytes: u64,
    /// The model's weights.
    pub model_bytes: u64,
    /// The engine's working memory.
    pub state_bytes: u64,
    /// The pool of decoded audio.
    pub pool_bytes: u64,
    /// Most slots of the pool that were in use at once.
    pub pool_blocks_peak: u64,
    /// Highest private memory of the process that was seen.
    pub peak_private_bytes: u64,
    /// Highest resident memory of the process.
    pub peak_rss_bytes: u64,
    /// Peak private memory less what the process held right after the engine was warm.
    pub over_model_and_state_bytes: u64,
}

/// The pool's account: equal after every transcription, however it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BlockCounts {
    /// Blocks that were taken.
    pub acquired: u64,
    /// Blocks that were given back.
    pub released: u64,
}
