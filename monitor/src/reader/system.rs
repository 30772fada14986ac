//! The operating system as it answers: the machine, its processes, the control group.

use std::path::{Path, PathBuf};

use super::cgroup::{self, Cgroup};
use super::error::ReadError;
use super::machine::{self, Machine};
#[cfg(any(target_os = "macos", windows))]
use super::other;
use super::ports;
use super::process::{self, ProcessId, ProcessMemory, Proportional};
use super::psi::{self, Psi};
use super::table::{self, Entry};
#[cfg(target_os = "linux")]
use super::trigger::StallTrigger;

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
    pub(super) fn is_captured(&self) -> bool {
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

    /// Fills `entries` with the processes, up to [`PROCESSES_MAX`](table::PROCESSES_MAX), in the
    /// order of their numbers.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where the list itself cannot be read; a process that ends meanwhile is left
    /// out.
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

    /// Brings `entries` of an earlier [`System::processes`] up to date. A number that has passed to
    /// another process since then keeps its old entry, so read all of them again now and then.
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
        // Numbers are used again: the process that has it after the read had it during the read.
        if self.identify(id.pid)? == id {
            Ok(memory)
        } else {
            Err(ReadError::Gone { pid: id.pid })
        }
    }

    /// Reads a process's proportional share of pages. It walks every page: 12 ms per GiB, holding a
    /// lock of the process, so ask at most once a minute and never under pressure.
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

    /// Arms a trigger of this machine's kernel that fires when tasks begin to wait for memory.
    /// Captured text has none, since arming would write to it.
    #[cfg(target_os = "linux")]
    pub(crate) fn stall_trigger(&self) -> Result<StallTrigger, ReadError> {
        match self.files.as_ref().map(|files| files.proc.as_path()) {
            Some(proc) if proc == Path::new("/proc") => StallTrigger::arm(proc),
            _ => Err(ReadError::Unsupported {
                what: "stall trigger",
            }),
        }
    }

    /// Reads the control group that this process is in. `None`: it is in none, so nothing but the
    /// machine limits it.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where the group exists and cannot be read: its limit is unknown.
    pub fn cgroup(&self) -> Result<Option<Cgroup>, ReadError> {
        match &self.files {
            Some(files) => cgroup::read(&files.proc, &files.cgroup),
            None => Ok(None),
        }
    }

    /// Returns which of `entries` listens on a TCP port.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where sockets cannot be read: attribute by other means.
    pub fn listener(&self, port: u16, entries: &[Entry]) -> Result<Option<ProcessId>, ReadError> {
        ports::listener(self.proc_root("owner of a port")?, port, entries)
    }

    pub(super) fn proc_root(&self, what: &'static str) -> Result<&Path, ReadError> {
        self.files
            .as_ref()
            .map(|f| f.proc.as_path())
            .ok_or(ReadError::Unsupported { what })
    }
}
