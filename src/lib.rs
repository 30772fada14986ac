//! Transcribes audio of any length in a fixed amount of memory.

pub mod audio;
pub mod budget;
mod cancel;
mod config;
mod error;
mod time;

pub mod source;
pub mod decode;
pub mod resample;

pub mod engine;
mod report;
pub mod sink;
mod transcript;

pub use cancel::Cancel;
pub use config::{Config, Vad, POOL_BLOCKS_MAX, POOL_BLOCKS_MIN, WINDOW_S_MIN};
pub use error::{ConfigError, Error};
pub use report::{Blocks, Ended, MemoryReport, SPANS_MAX, SpanS, Summary};
pub use time::{Span, Time};
pub use transcript::{Ending, Segment, Token};

pub use steadyscribe_monitor as monitor;
