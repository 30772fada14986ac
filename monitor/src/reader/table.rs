//! The table of processes: identity, name and parent of each.

use std::io::ErrorKind;
use std::path::Path;

use super::error::ReadError;
use super::process::{self, ProcessId};
use super::text::{Text, leading_number};

/// Most processes that are looked at. A desktop runs 200 to 600; beyond the limit the parts still
/// add up, but processes with the highest numbers are not seen.
pub const PROCESSES_MAX: usize = 4_096;

/// Longest name that the kernel keeps of a process.
const NAME_BYTES_MAX: usize = 15;

/// A process as the table shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Which process.
    pub id: ProcessId,
    /// Number of its parent now; 1 once the parent has ended.
    pub parent_pid: u32,
    name: [u8; NAME_BYTES_MAX],
}

impl Entry {
    /// Describes a process. A name longer than 15 bytes is cut, as the kernel does.
    #[must_use]
    pub fn new(id: ProcessId, parent_pid: u32, name: &str) -> Self {
        Self {
            id,
            parent_pid,
            name: cut(name.as_bytes()),
        }
    }

    /// Returns the name, at most 15 bytes; empty where it is not UTF-8.
    #[must_use]
    pub fn name(&self) -> &str {
        let len = self
            .name
            .iter()
            .position(|&b| b == 0)
            .unwrap_or(NAME_BYTES_MAX);
        std::str::from_utf8(&self.name[..len]).unwrap_or("")
    }

    /// Returns whether the process has this name, which is cut as the kernel cuts names.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == cut(name.as_bytes())
    }
}

fn cut(name: &[u8]) -> [u8; NAME_BYTES_MAX] {
    let mut bytes = [0; NAME_BYTES_MAX];
    let len = name.len().min(NAME_BYTES_MAX);
    bytes[..len].copy_from_slice(&name[..len]);
    bytes
}

/// Reads `/proc/<number>/stat` of every process. Threads have no folder here and are not counted.
pub(super) fn fill(proc_root: &Path, entries: &mut Vec<Entry>) -> Result<(), ReadError> {
    entries.clear();
    refresh(proc_root, entries)
}

/// Drops the processes that are gone and reads only those whose numbers are new: a tenth of the
/// cost.
pub(super) fn refresh(proc_root: &Path, entries: &mut Vec<Entry>) -> Result<(), ReadError> {
    let unreadable = |source| ReadError::Unreadable {
        path: proc_root.to_path_buf(),
        source,
    };
    let known = entries.len();
    for folder in std::fs::read_dir(proc_root).map_err(unreadable)? {
        let Some(pid) = folder
            .ok()
            .and_then(|f| f.file_name().to_str()?.parse().ok())
        else {
            continue;
        };
        let entry = match entries[..known].binary_search_by_key(&pid, |e: &Entry| e.id.pid) {
            Ok(at) => entries[at],
            Err(_) => match entry(proc_root, pid) {
                Ok(entry) => entry,
                Err(error) if is_passed_over(&error) => continue,
                Err(error) => return Err(error),
            },
        };
        entries.push(entry);
        if entries.len() - known == PROCESSES_MAX {
            break;
        }
    }
    entries.drain(..known);
    entries.sort_unstable_by_key(|e| e.id);
    Ok(())
}

/// A process that has ended, a damaged line, and another user's process that is hidden are left
/// out. Any other failure, such as too many open files, would make every component look empty.
fn is_passed_over(error: &ReadError) -> bool {
    match error {
        ReadError::Gone { .. } | ReadError::Missing { .. } => true,
        ReadError::Unreadable { source, .. } => source.kind() == ErrorKind::PermissionDenied,
        ReadError::Unsupported { .. } => false,
    }
}

pub(super) fn identify(proc_root: &Path, pid: u32) -> Result<ProcessId, ReadError> {
    entry(proc_root, pid).map(|e| e.id)
}

fn entry(proc_root: &Path, pid: u32) -> Result<Entry, ReadError> {
    let path = proc_root.join(pid.to_string()).join("stat");
    let text = process::read(&path, pid)?;
    parse(&text, pid).ok_or(ReadError::Missing {
        path,
        field: "start time",
    })
}

/// `pid (name) state parent … start`: the name may hold blanks and parentheses, so its end is the
/// last one.
///
/// Source: proc_pid_stat(5); the start time is field 22.
fn parse(text: &Text, pid: u32) -> Option<Entry> {
    let bytes = text.bytes();
    let open = bytes.iter().position(|&b| b == b'(')?;
    let close = bytes.iter().rposition(|&b| b == b')')?;
    let name = bytes.get(open + 1..close)?;
    let mut fields = bytes.get(close + 2..)?.split(|&b| b == b' ');
    let parent_pid = u32::try_from(leading_number(fields.nth(1)?)?).ok()?;
    let start_time = leading_number(fields.nth(17)?)?;
    Some(Entry {
        id: ProcessId::new(pid, start_time),
        parent_pid,
        name: cut(name),
    })
}
