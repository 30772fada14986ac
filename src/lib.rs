//! Transcribes audio of any length in a fixed amount of memory.

// Values.
pub mod audio;
mod cancel;
mod config;
mod error;
#[cfg(feature = "whisper")]
mod ggml;
mod time;

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

// Everything together.
mod report;

mod pipeline;

pub use cancel::Cancel;
pub use config::{Config, POOL_BLOCKS_MAX, POOL_BLOCKS_MIN, Vad, WINDOW_S_MIN};
pub use decode::{MediaInfo, probe};
#[cfg(feature = "whisper")]
pub use engine::whisper::{ModelHeader, Whisper, WhisperOptions};
pub use error::{ConfigError, Error};
#[cfg(feature = "whisper")]
pub use ggml::ModelError;
pub use pipeline::{Controls, Progress, Transcriber};
pub use report::{Blocks, Ended, MemoryReport, SPANS_MAX, SpanS, Summary};
pub use source::FileSource;
pub use time::{Span, Time};
pub use transcript::{Ending, Segment, Token};

pub use steadyscribe_monitor as monitor;
