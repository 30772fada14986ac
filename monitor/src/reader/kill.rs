//! Kills exactly one process, and never a later one with its number.
//!
//! Source: Linux pidfd_open(2), pidfd_send_signal(2); since Linux 5.3.

use std::io;

use super::process::ProcessId;
use super::system::System;

impl System {
    /// Kills a process of this machine. Its unwritten data is lost.
    ///
    /// # Errors
    ///
    /// Not found: it has ended. Permission denied: it is another user's. Unsupported: the system
    /// cannot distinguish it from a later process with its number.
    pub(crate) fn kill(&self, id: ProcessId) -> io::Result<()> {
        if self.is_captured() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.kill_on_host(id)
    }

    #[cfg(target_os = "linux")]
    fn kill_on_host(&self, id: ProcessId) -> io::Result<()> {
        use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

        let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw);
        let process = pidfd_open(pid.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
        // From here on the descriptor stands for one process; whether it is the one that is meant,
        // its start shows.
        let now = self.identify(id.pid).map_err(io::Error::other)?;
        if now != id {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(pidfd_send_signal(process, Signal::KILL)?)
    }

    #[cfg(any(target_os = "macos", windows))]
    fn kill_on_host(&self, id: ProcessId) -> io::Result<()> {
        super::other::kill(id)
    }

    #[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
    fn kill_on_host(&self, _: ProcessId) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
