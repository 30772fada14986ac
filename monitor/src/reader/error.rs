//! Why a figure could not be read.

use std::io::ErrorKind;
use std::path::PathBuf;

/// Why a figure could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The process has ended, perhaps during the read: forget it.
    #[error("process {pid} is gone")]
    Gone {
        /// Its number.
        pid: u32,
    },
    /// The kernel does not offer this file, or this user may not read it: do without the figure.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file does not hold what its name promises: do without the figure.
    #[error("{} holds no {field}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The missing field.
        field: &'static str,
    },
    /// This system has no such figure: do without it.
    #[error("{what} cannot be read on this system")]
    Unsupported {
        /// The requested figure.
        what: &'static str,
    },
}

impl ReadError {
    /// Whether there is no such file.
    pub(super) fn is_missing_file(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound)
    }

    /// Returns the error and its cause on one line.
    pub(crate) fn explain(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}
