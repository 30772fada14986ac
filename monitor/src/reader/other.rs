//! macOS and Windows through sysinfo, named as what it measures there.

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};

use super::ReadError;
use super::process::{Basis, ProcessMemory};

/// Reads this process. Keeps no state; sysinfo allocates a few KB that are freed on return.
pub(super) fn own() -> Result<ProcessMemory, ReadError> {
    memory(std::process::id())
}

/// Reads one process.
pub(super) fn memory(pid: u32) -> Result<ProcessMemory, ReadError> {
    let mut system = System::new();
    let kind = ProcessRefreshKind::nothing().with_memory();
    let pids = [Pid::from_u32(pid)];
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind);
    system
        .process(pids[0])
        .map(describe)
        .ok_or(ReadError::Gone { pid })
}

/// On Windows sysinfo's virtual memory is the private commit; on macOS the footprint is not to be had from it.
fn describe(process: &Process) -> ProcessMemory {
    let resident_bytes = process.memory();
    let (private_bytes, basis) = if cfg!(windows) {
        (process.virtual_memory(), Basis::PrivateCommit)
    } else {
        (resident_bytes, Basis::Resident)
    };
    ProcessMemory {
        private_bytes,
        resident_bytes,
        reclaimable_bytes: None,
        swap_bytes: None,
        peak_resident_bytes: None,
        basis,
    }
}
