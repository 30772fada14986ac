//! Tests of the monitor through its public interface.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a failed test panics, and the program under observation prints its answers"
)]

mod alerts;
mod app;
mod blind;
#[cfg(all(feature = "cli", unix))]
mod command;
mod corpus;
#[cfg(feature = "dashboard")]
mod dashboard;
#[cfg(all(feature = "desktop", target_os = "linux"))]
mod desktop;
#[cfg(all(feature = "cli", feature = "dashboard", feature = "ollama"))]
mod docs;
#[cfg(feature = "dashboard")]
mod http;
mod layers;
mod leaks;
#[cfg(feature = "ollama")]
mod models;
#[cfg(target_os = "linux")]
mod processes;
mod readers;
mod types;

use std::path::PathBuf;

use steadyscribe_monitor::reader::System;

/// A machine whose `/proc` and cgroup files were captured.
fn captured(name: &str) -> System {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/proc")
        .join(name);
    System::at(&root, root.join("cgroup"))
}
