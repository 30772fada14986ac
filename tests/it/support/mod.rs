//! Helpers of several tests: signals, files made in memory, inputs that misbehave, sinks that stop,
//! and a heap that counts.

pub(crate) mod files;
pub(crate) mod heap;
pub(crate) mod input;
#[cfg(feature = "whisper")]
pub(crate) mod score;
#[cfg(feature = "download")]
pub(crate) mod server;
pub(crate) mod signal;
pub(crate) mod sinks;
