//! Transcribes audio of any length in a fixed amount of memory.

pub mod audio;
pub mod budget;
mod cancel;
mod config;
pub mod engine;
mod error;
pub mod pool;
mod report;
pub mod sink;
pub mod source;
mod time;
mod transcript;
pub mod vad;
pub mod window;

pub use cancel::Cancel;
pub use config::{Config, POOL_BLOCKS_MAX, POOL_BLOCKS_MIN, Vad, WINDOW_S_MIN};
#[cfg(feature = "whisper")]
pub use engine::whisper::{ModelError, ModelHeader, Whisper, WhisperOptions};
pub use error::{ConfigError, Error};
pub use report::{Blocks, Ended, MemoryReport, SPANS_MAX, SpanS, Summary};
pub use time::{Span, Time};
pub use transcript::{Ending, Segment, Token};

pub use steadyscribe_monitor as monitor;
