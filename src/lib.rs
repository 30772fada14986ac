//! Transcribes audio of any length in a fixed amount of memory.
//!
//! ```text
//!  bytes          packets        blocks of 16 kHz mono      windows <= 30 s         text
//!  source ──▶ decode ──▶ resample ──▶ (pool) ──▶ vad · window ──▶ engine ──▶ transcript ──▶ sink
//!  └──────── scribe-decode ────────┘            └──────── scribe-engine ────────┘   caller
//! ```
//!
//! [`Transcriber`] runs it: one thread decodes, one runs the engine, the caller's hands segments to
//! a [`sink`]. [`budget::Plan`] states in advance what all of it will hold, and [`EnginePool`] owns
//! the model and its working memory.
//!
//! | question | module |
//! |---|---|
//! | which inputs are read, and how is damage handled? | [`decode`] |
//! | where is memory bounded? | [`budget`], `pool`, `window`, limits in `config` |
//! | where does a window end, and what is skipped? | `pipeline/schedule`, `window`, `vad` |
//! | which text is retried, which is kept? | `pipeline/attempt`, `pipeline/stitch` |
//! | who loads, lends and frees the model? | [`EnginePool`] |
//! | which tokens may follow, and when is text doubtful? | `engine/whisper` |
//! | how do I use an engine of my own? | [`engine`], `examples/own_engine.rs` |
//! | what is written, and when? | [`sink`] |
//! | what may an audio callback do, and where does a backlog go? | [`live`] |
//! | how does a killed transcription resume? | [`Journal`] |
//! | how do threads start, stop and fail? | `pipeline` |
//! | which models are published, and how are they downloaded? | [`models`] |
//! | what does the rest of the app hold? | [`monitor`] |
//!
//! Invariants: every queue and buffer has a named limit; nothing of ours grows with the input;
//! blocks that were acquired are released, however a transcription ends; segments come in order and
//! do not overlap; speech that has no text is reported.

// Values.
pub mod audio;
mod cancel;
mod config;
mod error;
mod file_lock;
mod folder;
#[cfg(feature = "whisper")]
mod ggml;
mod time;

// What engines load.
pub mod models;

// Memory.
pub mod budget;
pub mod memory;
mod pool;

// Stages, in the order in which audio flows through them.
pub mod source;

pub mod decode;

mod resample;

mod vad;

mod window;

mod transcript;

pub mod engine;

pub mod sink;

// What passes from window to window, and from run to run.
mod carried;

mod journal;

// Recording: the entrance for audio that is pushed.
pub mod live;

// Everything together.
mod report;

mod pipeline;

#[cfg(doctest)]
mod doc_tests;

pub use cancel::Cancel;
pub use config::{
    Config, InputOptions, POOL_BLOCKS_MAX, POOL_BLOCKS_MIN, SPANS_MAX, Vad, WINDOW_S_MIN,
};
pub use decode::{MediaInfo, probe};
#[cfg(feature = "whisper")]
pub use engine::whisper::{ModelHeader, Whisper, WhisperOptions};
pub use engine::{Engine, EngineError, EnginePool};
pub use error::{ConfigError, InputError};
#[cfg(feature = "whisper")]
pub use ggml::ModelError;
pub use journal::{Journal, JournalError};
pub use live::{Feed, Live, LiveError, LiveOptions};
pub use pipeline::{Channels, Controls, Error, Progress, Segments, Transcriber};
pub use report::{BlockCounts, Ended, MemoryReport, Summary};
pub use source::FileSource;
pub use time::{Span, Time};
pub use transcript::{Ending, Quality, Segment, Token};

pub use steadyscribe_monitor as monitor;

/// Stages for this repository's benches and tests. Not part of the public interface: anything here
/// may change in any version.
#[doc(hidden)]
pub mod internals {
    pub use crate::pool::{Block, Pool};
    pub use crate::resample::Resampler;
    pub use crate::vad::{HOP_SAMPLES, HopDetector, LAG_SAMPLES_MAX, SpeechMap};
    pub use crate::window::Window;
}
