//! Tests of the parts together, in one program.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(
    clippy::print_stdout,
    reason = "tests say what they measured, and processes of their own say it to them"
)]
#![expect(clippy::cast_possible_truncation, reason = "what tests make is small")]

mod cancel;
#[cfg(feature = "whisper")]
mod channels;
mod decode;
#[cfg(all(feature = "whisper", feature = "download"))]
mod docs;
#[cfg(feature = "download")]
mod download;
#[cfg(feature = "whisper")]
mod endurance;
#[cfg(all(feature = "whisper", feature = "download"))]
mod example;
mod foreign;
mod journal;
#[cfg(feature = "whisper")]
mod language;
mod layers;
mod live;
mod memory;
#[cfg(feature = "whisper")]
mod memory_plan;
#[cfg(feature = "whisper")]
mod model_header;
#[cfg(all(target_os = "linux", feature = "whisper", feature = "download"))]
mod ollama_cycle;
mod pipe;
mod pipeline;
#[cfg(all(feature = "whisper", feature = "download"))]
mod program;
#[cfg(all(feature = "whisper", feature = "download"))]
mod program_channels;
#[cfg(all(feature = "whisper", feature = "download"))]
mod program_models;
#[cfg(all(feature = "whisper", feature = "download"))]
mod program_pipe;
#[cfg(feature = "whisper")]
mod silero;
mod support;
#[cfg(all(unix, feature = "whisper", feature = "download"))]
mod terminal;
#[cfg(feature = "whisper")]
mod text;
#[cfg(feature = "whisper")]
mod widened;
