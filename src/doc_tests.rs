//! Runs the Rust code of the README and of `docs/` as documentation tests.

#[cfg(feature = "whisper")]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(feature = "whisper")]
#[doc = include_str!("../docs/memory.md")]
mod memory {}

#[doc = include_str!("../docs/formats.md")]
mod formats {}

#[cfg(feature = "whisper")]
#[doc = include_str!("../docs/live.md")]
mod live {}

#[cfg(feature = "whisper")]
#[doc = include_str!("../docs/resume.md")]
mod resume {}

#[doc = include_str!("../docs/own-engine.md")]
mod own_engine {}
