//! Waiting for a writer, without deafness for a cancel.

use std::fs::File;
use std::io::{self, Read};

use crate::cancel::Cancel;

/// How often a read that waits for its writer looks whether it was cancelled, in milliseconds: often enough that
/// nobody notices, rarely enough to cost nothing.
#[cfg(unix)]
const CANCEL_SEEN_MS: i64 = 50;

/// Reads what is there, and waits for it until `cancel` is raised. A read that is cancelled is the end of the input.
///
/// A read that blocks cannot be interrupted soundly from another thread, and a thread of its own for reading would be
/// left behind blocked. So it is asked first whether there is something to read.
#[cfg(unix)]
pub(super) fn read(file: &mut File, cancel: &Cancel, buffer: &mut [u8]) -> io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: CANCEL_SEEN_MS * 1_000_000,
    };
    while !cancel.is_cancelled() {
        let ready = poll(&mut [PollFd::new(&*file, PollFlags::IN)], Some(&wait));
        match ready.map_err(io::Error::from) {
            Ok(0) => continue,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        match file.read(buffer) {
            // Whoever shares the handle may have made it non-blocking, and may have read first.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
    Ok(0)
}

/// Reads what is there, and waits for it. Here, a cancel is seen when something was read.
#[cfg(not(unix))]
pub(super) fn read(file: &mut File, cancel: &Cancel, buffer: &mut [u8]) -> io::Result<usize> {
    if cancel.is_cancelled() {
        return Ok(0);
    }
    file.read(buffer)
}
