//! Readers: what the operating system says of memory.
//!
//! Linux is read from `/proc` and the cgroup files, whose root is a parameter so that tests run on captured text. Other
//! systems are read through sysinfo and say what they measure.

pub mod process;

mod text;

use std::path::PathBuf;

#[cfg(any(target_os = "macos", windows))]
mod other;

pub use process::{Basis, ProcessId, ProcessMemory, own};

/// Why a figure could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The process has ended, perhaps during the read: forget it.
    #[error("process {pid} is gone")]
    Gone {
        /// Its number.
        pid: u32,
    },
    /// The kernel does not offer this file, or this user may not read it: do without the figure.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file does not hold what its name promises: do without the figure.
    #[error("{} holds no {field}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        field: &'static str,
    },
    /// This system has no such figure: do without it.
    #[error("{what} cannot be read on this system")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
}
