//! The memory of one process.
//!
//! # Which figure
//!
//! RSS counts shared pages in every process, counts mapped files that the kernel takes back at
//! will, and falls when pages are swapped out. So the cost of a process is `private`: `RssAnon +
//! RssShmem + VmSwap`, the pages that only this process keeps alive. `resident` and `reclaimable`
//! stand beside it for display.
//!
//! Source: proc(5); a published case in which RSS showed 70 MiB of 9.35 GiB: ollama issue 18106.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ReadError;
use super::text::Text;

/// A process, identified by its number and start time, since numbers are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessId {
    /// Number of the process.
    pub pid: u32,
    /// When it started: clock ticks since boot on Linux, seconds since 1970 elsewhere.
    pub start_time: u64,
}

impl ProcessId {
    /// Names a process.
    #[must_use]
    pub fn new(pid: u32, start_time: u64) -> Self {
        Self { pid, start_time }
    }
}

/// Memory of one process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProcessMemory {
    /// What only this process keeps alive: the cost that budgets, alerts and leak verdicts use. See
    /// `basis`.
    pub private_bytes: u64,
    /// Bytes in RAM now, shared pages and mapped files included. For display.
    pub resident_bytes: u64,
    /// Mapped files in RAM, which the kernel can drop without writing. `None`: the system does not
    /// report it.
    pub reclaimable_bytes: Option<u64>,
    /// Swapped out. Part of `private_bytes`. `None`: the system does not report it.
    pub swap_bytes: Option<u64>,
    /// Most that was ever resident. `None`: the system does not report it.
    pub peak_resident_bytes: Option<u64>,
    /// Composition of `private_bytes`.
    pub basis: Basis,
}

/// Composition of the private figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Basis {
    /// Linux: anonymous + shared memory + swap. Exact.
    AnonShmemSwap,
    /// Linux before 4.5: resident minus shared pages, plus swap. Estimated: shared memory that only
    /// this process holds is missing.
    ResidentLessShared,
    /// macOS: resident size, which misses compressed pages and counts freed ones. Estimated.
    Resident,
    /// Windows: private commit. Exact, and may exceed what was ever touched.
    PrivateCommit,
}

impl Basis {
    /// Returns the composition in words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::AnonShmemSwap => "private memory: anonymous, shared and swapped",
            Self::ResidentLessShared => "an estimate: resident pages without shared ones, and swap",
            Self::Resident => {
                "an estimate: resident memory, which misses compressed pages, since this system \
                 does not report the footprint"
            }
            Self::PrivateCommit => {
                "private commit: the bytes that the system has promised, touched or not"
            }
        }
    }

    /// Returns whether the figure is an estimate.
    #[must_use]
    pub fn is_estimated(self) -> bool {
        matches!(self, Self::ResidentLessShared | Self::Resident)
    }
}

/// Reads the memory of a process below a `/proc`-like root.
///
/// The number may have passed to another process since it was learned:
/// [`memory_of`](super::System::memory_of) makes sure.
///
/// # Errors
///
/// [`ReadError::Gone`] where the process has ended, another where the file cannot be read.
pub(super) fn memory(proc_root: &Path, pid: u32) -> Result<ProcessMemory, ReadError> {
    memory_at(&proc_root.join(pid.to_string()).join("status"), pid)
}

/// A process's share of pages, each page divided by the number of its users. In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Proportional {
    /// Share of everything resident.
    pub pss_bytes: u64,
    /// Share of anonymous pages. `None`: kernel before 5.4.
    pub pss_anon_bytes: Option<u64>,
    /// Share of mapped files.
    pub pss_file_bytes: Option<u64>,
    /// Share of swap.
    pub swap_pss_bytes: Option<u64>,
}

/// Reads `smaps_rollup`. Source: Linux Documentation/ABI/testing/procfs-smaps_rollup.
pub(super) fn proportional(proc_root: &Path, pid: u32) -> Result<Proportional, ReadError> {
    let path = proc_root.join(pid.to_string()).join("smaps_rollup");
    let text = read(&path, pid)?;
    let pss_bytes = text
        .kib("Pss:")
        .ok_or(ReadError::Missing { path, field: "Pss" })?;
    Ok(Proportional {
        pss_bytes,
        pss_anon_bytes: text.kib("Pss_Anon:"),
        pss_file_bytes: text.kib("Pss_File:"),
        swap_pss_bytes: text.kib("SwapPss:"),
    })
}

pub(super) fn memory_at(path: &Path, pid: u32) -> Result<ProcessMemory, ReadError> {
    let text = read(path, pid)?;
    // A zombie and a kernel thread have no memory and no Vm lines: nothing of theirs can be freed.
    let Some(resident_bytes) = text.kib("VmRSS:") else {
        return if text.field("State:").is_some() {
            Ok(ProcessMemory {
                private_bytes: 0,
                resident_bytes: 0,
                reclaimable_bytes: Some(0),
                swap_bytes: Some(0),
                peak_resident_bytes: None,
                basis: Basis::AnonShmemSwap,
            })
        } else {
            Err(ReadError::Missing {
                path: path.to_path_buf(),
                field: "VmRSS",
            })
        };
    };
    let swap_bytes = text.kib("VmSwap:");
    let peak_resident_bytes = text.kib("VmHWM:");
    let swapped = swap_bytes.unwrap_or(0);
    if let (Some(anon), Some(shmem)) = (text.kib("RssAnon:"), text.kib("RssShmem:")) {
        return Ok(ProcessMemory {
            private_bytes: anon.saturating_add(shmem).saturating_add(swapped),
            resident_bytes,
            reclaimable_bytes: text.kib("RssFile:"),
            swap_bytes,
            peak_resident_bytes,
            basis: Basis::AnonShmemSwap,
        });
    }
    let shared_bytes = shared_bytes(path, pid)?;
    Ok(ProcessMemory {
        private_bytes: resident_bytes
            .saturating_sub(shared_bytes)
            .saturating_add(swapped),
        resident_bytes,
        reclaimable_bytes: None,
        swap_bytes,
        peak_resident_bytes,
        basis: Basis::ResidentLessShared,
    })
}

/// Third figure of `statm`: resident pages that are backed by a file or by shared memory.
fn shared_bytes(status: &Path, pid: u32) -> Result<u64, ReadError> {
    // Kernels before 4.5 with pages of another size than 4 KiB are not worth a system call here.
    const PAGE_BYTES: u64 = 4096;
    let path: PathBuf = status.with_file_name("statm");
    let text = read(&path, pid)?;
    let pages = text
        .bytes()
        .split(|&b| b == b' ')
        .nth(2)
        .and_then(super::text::leading_number);
    pages
        .map(|n| n.saturating_mul(PAGE_BYTES))
        .ok_or(ReadError::Missing {
            path,
            field: "shared",
        })
}

/// Reads a file of a process; that it is not there any more means that the process is gone.
pub(super) fn read(path: &Path, pid: u32) -> Result<Text, ReadError> {
    Text::read(path).map_err(|source| {
        // ESRCH: the process ended between opening and reading.
        const ESRCH: i32 = 3;
        if source.kind() == std::io::ErrorKind::NotFound || source.raw_os_error() == Some(ESRCH) {
            ReadError::Gone { pid }
        } else {
            ReadError::Unreadable {
                path: path.to_path_buf(),
                source,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fixtures/proc")
            .join(name)
    }

    #[test]
    fn swapped_out_process_keeps_its_cost() {
        let memory = memory(&fixture("swapped"), 4242).unwrap();
        assert_eq!(memory.private_bytes, (49_152 + 1_024 + 9_765_432) << 10);
        assert_eq!(memory.resident_bytes, 71_680 << 10);
        assert_eq!(memory.reclaimable_bytes, Some(21_504 << 10));
        assert_eq!(memory.swap_bytes, Some(9_765_432 << 10));
        assert_eq!(memory.peak_resident_bytes, Some(9_820_000 << 10));
        assert!(!memory.basis.is_estimated());
    }

    #[test]
    fn kernel_without_rss_parts_is_estimated() {
        let memory = memory(&fixture("kernel-3.10"), 811).unwrap();
        assert_eq!(memory.private_bytes, (20_480 - 2_048 * 4 + 100) << 10);
        assert_eq!(memory.basis, Basis::ResidentLessShared);
        assert_eq!(memory.reclaimable_bytes, None);
        assert!(memory.basis.is_estimated());
    }

    #[test]
    fn zombie_costs_nothing() {
        let memory = memory(&fixture("swapped"), 77).unwrap();
        assert_eq!((memory.private_bytes, memory.resident_bytes), (0, 0));
    }

    #[test]
    fn missing_process_is_gone() {
        let error = memory(&fixture("swapped"), 5).unwrap_err();
        assert!(matches!(error, ReadError::Gone { pid: 5 }), "{error}");
    }

    #[test]
    fn damaged_status_names_the_file() {
        let error = memory(&fixture("swapped"), 66).unwrap_err();
        assert!(
            error.to_string().ends_with("status holds no VmRSS"),
            "{error}"
        );
    }
}
