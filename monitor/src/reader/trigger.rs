//! The kernel's trigger for tasks that begin to wait for memory, so that samples may be rare.
//!
//! Source: Linux Documentation/accounting/psi.rst. Without privileges the window must be a multiple
//! of 2 s.

use std::fs::{File, OpenOptions};
use std::io::{PipeReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::error::ReadError;

/// At least one task waited for 300 ms within 2 s: 15 %, between the thresholds of Medium and High.
/// The zero at the end is what the kernel expects.
const TRIGGER: &[u8] = b"some 300000 2000000\0";

/// `O_NONBLOCK`, as the kernel's own example opens the file.
const NONBLOCK: i32 = 0o4000;

/// A trigger that is armed as long as it lives. The kernel fires it at most once in 2 s.
#[derive(Debug)]
pub(crate) struct StallTrigger {
    file: File,
}

impl StallTrigger {
    /// Arms a trigger on the machine's memory.
    pub(super) fn arm(proc_root: &Path) -> Result<Self, ReadError> {
        let path = proc_root.join("pressure/memory");
        let armed = || {
            let mut options = OpenOptions::new();
            let mut file = options
                .read(true)
                .write(true)
                .custom_flags(NONBLOCK)
                .open(&path)?;
            file.write_all(TRIGGER)?;
            Ok(file)
        };
        match armed() {
            Ok(file) => Ok(Self { file }),
            Err(source) => Err(ReadError::Unreadable { path, source }),
        }
    }

    /// Waits until tasks stall. `false`: the other end of `stop` was closed, or the kernel has
    /// given the trigger up.
    pub(crate) fn wait(&self, stop: &PipeReader) -> bool {
        let mut files = [
            PollFd::new(&self.file, PollFlags::PRI),
            PollFd::new(stop, PollFlags::IN),
        ];
        loop {
            match poll(&mut files, None) {
                Err(Errno::INTR) => {}
                Err(_) => return false,
                Ok(_) => {
                    let [trigger, stop] = [files[0].revents(), files[1].revents()];
                    return stop.is_empty() && !trigger.contains(PollFlags::ERR);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trigger_is_armed_and_ends_with_its_pipe() {
        let Ok(trigger) = StallTrigger::arm(Path::new("/proc")) else {
            // A kernel without stall information, or a container without the right to it.
            return;
        };
        let (stop, stopper) = std::io::pipe().unwrap();
        let waiting = std::thread::spawn(move || while trigger.wait(&stop) {});
        drop(stopper);
        waiting.join().unwrap();
    }

    #[test]
    fn kernel_without_stall_information_is_an_error() {
        let error = StallTrigger::arm(Path::new("/nowhere")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/pressure/memory");
    }
}
