//! Readers: the memory figures of the operating system.
//!
//! Linux is read from `/proc` and the cgroup files. Their roots are parameters, so that tests run
//! on captured text. Other systems are read through sysinfo, and each figure carries the basis it
//! was computed on.

mod arguments;
mod cgroup;
mod error;
#[cfg(feature = "ollama")]
mod kill;
mod machine;
#[cfg(any(target_os = "macos", windows))]
mod other;
mod own;
mod ports;
mod process;
mod psi;
mod system;
pub(crate) mod table;
mod text;
#[cfg(target_os = "linux")]
mod trigger;

pub use cgroup::Cgroup;
pub use error::ReadError;
pub use machine::Machine;
pub use own::own;
pub use process::{Basis, ProcessId, ProcessMemory, Proportional};
pub use psi::{Psi, Stall};
pub use system::System;
pub use table::{Entry, PROCESSES_MAX};
