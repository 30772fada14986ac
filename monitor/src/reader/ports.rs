//! The listener on a TCP port.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::error::ReadError;
use super::process::ProcessId;
use super::table::Entry;

/// Most sockets that are looked at in one table.
const SOCKETS_MAX: usize = 16_384;

/// Most open files of one process that are looked at.
const FILES_MAX: usize = 4_096;

/// The state "listening" in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Finds the socket in `/proc/net/tcp{,6}` and its holder in the processes' open files. Files of
/// other users cannot be read and are passed over. The lowest number wins: a server that forks its
/// workers holds the socket first.
pub(super) fn listener(
    proc_root: &Path,
    port: u16,
    entries: &[Entry],
) -> Result<Option<ProcessId>, ReadError> {
    let v4 = inode(&proc_root.join("net/tcp"), port)?;
    // A kernel without IPv6 has no second table.
    let v6 = inode(&proc_root.join("net/tcp6"), port).unwrap_or(None);
    let sockets = [v4, v6].map(|inode| inode.map(|n| format!("socket:[{n}]")));
    if sockets.iter().all(Option::is_none) {
        return Ok(None);
    }
    let holds = |entry: &&Entry| {
        let folder = proc_root.join(entry.id.pid.to_string()).join("fd");
        let Ok(files) = std::fs::read_dir(folder) else {
            return false;
        };
        files.take(FILES_MAX).flatten().any(|file| {
            let Ok(target) = std::fs::read_link(file.path()) else {
                return false;
            };
            sockets
                .iter()
                .flatten()
                .any(|socket| target.as_os_str() == socket.as_str())
        })
    };
    Ok(entries.iter().find(holds).map(|entry| entry.id))
}

/// Source: proc_pid_net(5): `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout
/// inode`.
fn inode(path: &Path, port: u16) -> Result<Option<u64>, ReadError> {
    let unreadable = |source| ReadError::Unreadable {
        path: path.to_path_buf(),
        source,
    };
    let lines = BufReader::new(File::open(path).map_err(unreadable)?).lines();
    let wanted = format!(":{port:04X}");
    for line in lines.take(SOCKETS_MAX) {
        let line = line.map_err(unreadable)?;
        let mut fields = line.split_ascii_whitespace();
        let listens = fields.nth(1).is_some_and(|local| local.ends_with(&wanted))
            && fields.nth(1) == Some(LISTEN);
        if listens {
            return Ok(fields.nth(5).and_then(|inode| inode.parse().ok()));
        }
    }
    Ok(None)
}
