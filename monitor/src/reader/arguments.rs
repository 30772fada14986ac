//! The arguments of a process.

use super::error::ReadError;
use super::process::{self, ProcessId};
use super::system::System;

impl System {
    /// Returns the arguments of a process, its program first; a list beyond 8 KiB is cut.
    ///
    /// # Errors
    ///
    /// [`ReadError::Gone`] where it has ended, [`ReadError::Unsupported`] where the system is not
    /// Linux: attribute by other means.
    pub fn arguments(&self, id: ProcessId) -> Result<Vec<String>, ReadError> {
        let root = self.proc_root("arguments of a process")?;
        let path = root.join(id.pid.to_string()).join("cmdline");
        let text = process::read(&path, id.pid)?;
        if self.identify(id.pid)? != id {
            return Err(ReadError::Gone { pid: id.pid });
        }
        let bytes = text.bytes();
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        Ok(bytes
            .split(|&byte| byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn own_arguments_are_read() {
        let system = System::host();
        let id = system.identify(std::process::id()).unwrap();
        let arguments = system.arguments(id).unwrap();
        assert_eq!(arguments, std::env::args().collect::<Vec<_>>());
    }

    #[test]
    fn later_process_of_the_same_number_is_not_taken() {
        let system = System::host();
        let mut id = system.identify(std::process::id()).unwrap();
        id.start_time += 1;
        assert!(matches!(system.arguments(id), Err(ReadError::Gone { .. })));
    }
}
