//! Memory.

#[cfg(feature = "ollama")]
pub mod ollama;
