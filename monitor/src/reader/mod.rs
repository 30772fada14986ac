//! Readers: what the operating system says of memory.
//!
//! Linux is read from `/proc` and the cgroup files, whose roots are parameters so that tests run on captured text. Other
//! systems are read through sysinfo and say what they measure.

pub mod cgroup;
pub mod machine;
pub mod ports;
pub mod process;
pub mod psi;
pub mod table;

mod arguments;
#[cfg(feature = "ollama")]
mod kill;
#[cfg(any(target_os = "macos", windows))]
mod other;
mod text;
#[cfg(target_os = "linux")]
mod trigger;

use std::path::{Path, PathBuf};

pub use cgroup::Cgroup;
pub use machine::Machine;
pub use process::{Basis, ProcessId, ProcessMemory, Proportional, own};
pub use psi::Psi;
pub use table::{Entry, PROCESSES_MAX};
#[cfg(target_os = "linux")]
pub(crate) use trigger::StallTrigger;

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

/// The system whose memory is read: this one, or captured text of another.
#[derive(Clone, Debug)]
pub struct System {
    /// `None`: not Linux.
    files: Option<Files>,
}

#[derive(Clone, Debug)]
struct Files {
    proc: PathBuf,
    cgroup: PathBuf,
}

impl System {
    /// Reads this machine.
    #[must_use]
    pub fn host() -> Self {
        if cfg!(target_os = "linux") {
            Self::at("/proc", "/sys/fs/cgroup")
        } else {
            Self { files: None }
        }
    }

    /// Reads Linux files below other roots than `/proc` and `/sys/fs/cgroup`.
    #[must_use]
    pub fn at(proc_root: impl Into<PathBuf>, cgroup_root: impl Into<PathBuf>) -> Self {
        Self {
            files: Some(Files {
                proc: proc_root.into(),
                cgroup: cgroup_root.into(),
            }),
        }
    }

    /// Whether this is captured text of another system.
    #[cfg(feature = "ollama")]
    fn is_captured(&self) -> bool {
        self.files
            .as_ref()
            .is_some_and(|files| files.proc != Path::new("/proc"))
    }

    /// Reads the memory of the machine.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: report that the machine's memory is unknown, and judge by the budget alone.
    pub fn machine(&self) -> Result<Machine, ReadError> {
        match &self.files {
            Some(files) => machine::read(&files.proc),
            #[cfg(any(target_os = "macos", windows))]
            None => other::machine(),
            #[cfg(not(any(target_os = "macos", windows)))]
            None => Err(ReadError::Unsupported {
                what: "memory of the machine",
            }),
        }
    }

    /// Fills `entries` with the processes, up to [`PROCESSES_MAX`], in the order of their numbers.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where the list itself cannot be read; a process that ends meanwhile is left out.
    pub fn processes(&self, entries: &mut Vec<Entry>) -> Result<(), ReadError> {
        entries.clear();
        match &self.files {
            Some(files) => table::fill(&files.proc, entries),
            #[cfg(any(target_os = "macos", windows))]
            None => other::fill(entries),
            #[cfg(not(any(target_os = "macos", windows)))]
            None => Err(ReadError::Unsupported {
                what: "list of processes",
            }),
        }
    }

    /// Brings `entries` of an earlier [`System::processes`] up to date. A number that has passed to another process since
    /// then keeps its old entry, so read all of them again now and then.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where the list itself cannot be read.
    pub fn refresh_processes(&self, entries: &mut Vec<Entry>) -> Result<(), ReadError> {
        match &self.files {
            Some(files) => table::refresh(&files.proc, entries),
            None => self.processes(entries),
        }
    }

    /// Returns the identity of the process that has this number now.
    ///
    /// # Errors
    ///
    /// [`ReadError::Gone`] where there is none.
    pub fn identify(&self, pid: u32) -> Result<ProcessId, ReadError> {
        match &self.files {
            Some(files) => table::identify(&files.proc, pid),
            #[cfg(any(target_os = "macos", windows))]
            None => other::identify(pid),
            #[cfg(not(any(target_os = "macos", windows)))]
            None => Err(ReadError::Unsupported {
                what: "start of a process",
            }),
        }
    }

    /// Reads the memory of exactly this process, not of a later one with its number.
    ///
    /// # Errors
    ///
    /// [`ReadError::Gone`] where it has ended, another where its files cannot be read.
    pub fn memory_of(&self, id: ProcessId) -> Result<ProcessMemory, ReadError> {
        let memory = match &self.files {
            Some(files) => process::memory(&files.proc, id.pid)?,
            #[cfg(any(target_os = "macos", windows))]
            None => other::memory(id.pid)?,
            #[cfg(not(any(target_os = "macos", windows)))]
            None => {
                return Err(ReadError::Unsupported {
                    what: "memory of a process",
                });
            }
        };
        // Numbers are used again. Whoever still has the number after the read had it during the read.
        if self.identify(id.pid)? == id {
            Ok(memory)
        } else {
            Err(ReadError::Gone { pid: id.pid })
        }
    }

    /// Reads a process's proportional share of pages. It walks every page: 12 ms per GiB, holding a lock of the
    /// process, so ask at most once a minute and never under pressure.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: do without.
    pub fn proportional(&self, pid: u32) -> Result<Proportional, ReadError> {
        process::proportional(self.proc_root("proportional share")?, pid)
    }

    /// Reads how long tasks wait for memory.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where the kernel does not account for it: do without.
    pub fn psi(&self) -> Result<Psi, ReadError> {
        psi::read(
            &self
                .proc_root("pressure stall information")?
                .join("pressure/memory"),
        )
    }

    /// Asks this machine's kernel to say when tasks begin to wait for memory; never of captured text, which it would
    /// write to.
    #[cfg(target_os = "linux")]
    pub(crate) fn stall_trigger(&self) -> Result<StallTrigger, ReadError> {
        match self.files.as_ref().map(|files| files.proc.as_path()) {
            Some(proc) if proc == Path::new("/proc") => StallTrigger::arm(proc),
            _ => Err(ReadError::Unsupported {
                what: "the kernel's word on stalls",
            }),
        }
    }

    /// Reads the control group that this process is in.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where there is none: do without.
    pub fn cgroup(&self) -> Result<Cgroup, ReadError> {
        let Some(files) = &self.files else {
            return Err(ReadError::Unsupported {
                what: "control group",
            });
        };
        cgroup::read(&files.proc, &files.cgroup)
    }

    /// Returns which of `entries` listens on a TCP port.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where sockets cannot be read: attribute by other means.
    pub fn listener(&self, port: u16, entries: &[Entry]) -> Result<Option<ProcessId>, ReadError> {
        ports::listener(self.proc_root("owner of a port")?, port, entries)
    }

    fn proc_root(&self, what: &'static str) -> Result<&Path, ReadError> {
        self.files
            .as_ref()
            .map(|f| f.proc.as_path())
            .ok_or(ReadError::Unsupported { what })
    }
}

/// Reads a file that is not a process's.
fn read(path: &Path) -> Result<text::Text, ReadError> {
    text::Text::read(path).map_err(|source| ReadError::Unreadable {
        path: path.to_path_buf(),
        source,
    })
}
