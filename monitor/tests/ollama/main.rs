//! Tests the Ollama module against a fake server that behaves like a real one.

#![expect(unreachable_pub, reason = "a test program has no outside")]
#![expect(clippy::unwrap_used, reason = "the fake server is part of the tests")]

mod chaos;
mod client;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod command;
mod conformance;
mod fake;
#[cfg(target_os = "linux")]
mod helper;
mod lifecycle;
mod others;
mod property;
#[cfg(target_os = "linux")]
mod real;
mod unloading;
