//! Waits for the writer of a pipe, and notices a cancel meanwhile.

use std::fs::File;
use std::io::{self, Read};

use crate::cancel::Cancel;

/// How often a waiting read checks for a cancel, in milliseconds: too short to be noticed by a
/// person, too long to cost processor time.
#[cfg(unix)]
const CANCEL_POLL_MS: i64 = 50;

/// Waits for data and reads it. If `cancel` is raised, the input ends.
///
/// Another thread cannot safely interrupt a read that blocks, and a separate reading thread would
/// stay behind blocked. So the handle is polled before each read.
#[cfg(unix)]
pub(super) fn read(file: &mut File, cancel: &Cancel, buffer: &mut [u8]) -> io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: CANCEL_POLL_MS * 1_000_000,
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
            // Another owner of the handle may have made it non-blocking, and may have read first.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
    Ok(0)
}

/// Waits for data and reads it. On this system a cancel is noticed only after a read.
#[cfg(not(unix))]
pub(super) fn read(file: &mut File, cancel: &Cancel, buffer: &mut [u8]) -> io::Result<usize> {
    if cancel.is_cancelled() {
        return Ok(0);
    }
    file.read(buffer)
}
