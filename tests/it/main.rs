//! Tests of the parts together, in one program.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

#[cfg(feature = "whisper")]
mod memory_plan;
#[cfg(feature = "whisper")]
mod model_header;
#[cfg(feature = "whisper")]
mod silero;
#[cfg(feature = "whisper")]
mod widened;
