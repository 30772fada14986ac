//! macOS and Windows through sysinfo, with the basis of its figures.

use sysinfo::{
    MemoryRefreshKind, Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System as Sysinfo,
};

use super::error::ReadError;
use super::machine::Machine;
use super::process::{Basis, ProcessId, ProcessMemory};
use super::table::{Entry, PROCESSES_MAX};

/// Reads this process. Keeps no state; sysinfo allocates a few KB that are freed on return.
pub(super) fn own() -> Result<ProcessMemory, ReadError> {
    memory(std::process::id())
}

pub(super) fn memory(pid: u32) -> Result<ProcessMemory, ReadError> {
    with_process(pid, describe)
}

pub(super) fn identify(pid: u32) -> Result<ProcessId, ReadError> {
    with_process(pid, |process| ProcessId::new(pid, process.start_time()))
}

/// Between looking at its start and ending it there is a moment in which it could end by itself and
/// another could take its number; neither system gives a handle through sysinfo that would close
/// it.
#[cfg(feature = "ollama")]
pub(super) fn kill(id: ProcessId) -> std::io::Result<()> {
    let killed = with_process(id.pid, |process| {
        (process.start_time() == id.start_time).then(|| process.kill())
    });
    match killed.map_err(std::io::Error::other)? {
        Some(true) => Ok(()),
        Some(false) => Err(std::io::ErrorKind::PermissionDenied.into()),
        None => Err(std::io::ErrorKind::NotFound.into()),
    }
}

pub(super) fn fill(entries: &mut Vec<Entry>) -> Result<(), ReadError> {
    let mut system = Sysinfo::new();
    let kind = ProcessRefreshKind::nothing();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    entries.extend(
        system
            .processes()
            .iter()
            .take(PROCESSES_MAX)
            .map(|(pid, process)| {
                let parent_pid = process.parent().map_or(0, Pid::as_u32);
                let id = ProcessId::new(pid.as_u32(), process.start_time());
                Entry::new(id, parent_pid, &process.name().to_string_lossy())
            }),
    );
    entries.sort_unstable_by_key(|e| e.id);
    Ok(())
}

/// sysinfo's available memory counts what macOS could still compress, so it is an estimate there.
pub(super) fn machine() -> Result<Machine, ReadError> {
    let mut system = Sysinfo::new();
    system.refresh_memory_specifics(MemoryRefreshKind::everything());
    let mut machine = Machine::new(
        system.total_memory(),
        system.available_memory(),
        system.total_swap(),
        system.free_swap(),
    );
    machine.estimated = cfg!(target_os = "macos");
    Ok(machine)
}

fn with_process<T>(pid: u32, f: impl Fn(&Process) -> T) -> Result<T, ReadError> {
    let mut system = Sysinfo::new();
    let kind = ProcessRefreshKind::nothing().with_memory();
    let pids = [Pid::from_u32(pid)];
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind);
    system
        .process(pids[0])
        .map(f)
        .ok_or(ReadError::Gone { pid })
}

/// On Windows sysinfo's virtual memory is the private commit; on macOS the footprint is not to be
/// had from it.
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
