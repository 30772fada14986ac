//! Transcribes audio of any length in a fixed amount of memory.
//!
//! ```text
//!  bytes          packets         blocks of 16 kHz mono     windows <= 30 s         text
//!  source ──▶ decode ──▶ resample ──▶ (pool) ──▶ vad · window ──▶ engine ──▶ transcript ──▶ sink
//!  └──────── scribe-decode ────────┘            └───────── scribe-engine ─────────┘   caller
//! ```
//!
//! [`Transcriber`] runs it: one thread decodes, one listens, the caller's writes. [`budget::Plan`] says beforehand what all of it will hold.
//!
//! | question | module |
//! |---|---|
//! | which inputs are read, and what becomes of damage? | `decode` |
//! | where is memory bounded? | `budget`, `pool`, `window`, limits in `config` |
//! | where does a window end, and what is skipped? | `window`, `vad`, `pipeline/listen` |
//! | which tokens may follow, and when is a text not believed? | `engine/whisper/{rules,fallback}` |
//! | how do I bring an engine of my own? | `engine`, `examples/own_engine.rs` |
//! | what is written, and when? | `sink` |
//! | what may an audio callback do, and where does a backlog go? | `live` |
//! | when is live speech transcribed? | `pipeline/edge` |
//! | what becomes of channels that are transcribed apart? | `pipeline/channels` |
//! | what does a killed transcription leave, and how does it go on? | `journal` |
//! | how do threads start, stop and fail? | `pipeline` |
//! | which models are published, and how do they come here? | `models` |
//! | what does the rest of the app hold? | `monitor` |
//!
//! Invariants: every queue and buffer has a named limit; nothing of ours grows with the input; blocks that were acquired are
//! released, however a transcription ends; segments come in order and do not overlap; what is without text although somebody speaks is reported.

// Values.
pub mod audio;
mod cancel;
mod config;
mod error;
#[cfg(feature = "whisper")]
mod ggml;
mod time;

// What engines load.
pub mod models;

// Memory.
pub mod budget;
pub mod memory;
pub mod pool;

// Stages, in the order in which audio flows through them.
pub mod source;

pub mod decode;

pub mod resample;

pub mod vad;

pub mod window;

pub mod engine;

mod transcript;

pub mod sink;

mod journal;

// Recording: the stages' door for audio that is pushed.
pub mod live;

// Everything together.
mod report;

mod pipeline;

pub use cancel::Cancel;
pub use config::{Config, POOL_BLOCKS_MAX, POOL_BLOCKS_MIN, SPANS_MAX, Vad, WINDOW_S_MIN};
pub use decode::{MediaInfo, probe};
#[cfg(feature = "whisper")]
pub use engine::whisper::{ModelHeader, Whisper, WhisperOptions};
pub use error::{ConfigError, Error, InputError};
#[cfg(feature = "whisper")]
pub use ggml::ModelError;
pub use journal::{Journal, JournalError};
pub use live::{Feed, Live, LiveOptions};
pub use pipeline::{Channels, Controls, Progress, Transcriber};
pub use report::{Blocks, Ended, MemoryReport, SpanS, Summary};
pub use source::FileSource;
pub use time::{Span, Time};
pub use transcript::{Ending, Segment, Token};

pub use steadyscribe_monitor as monitor;
