//! Events of a download, for people and progress bars.

use std::fmt;
use std::time::Duration;

/// An event of a download. Its `Display` is a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent {
    /// Another process is fetching the same model. Its result is awaited.
    Waiting,
    /// The file, or the part that an earlier download did not receive, is requested.
    Asking {
        /// The file's address.
        url: String,
        /// Bytes that were received before.
        have_bytes: u64,
    },
    /// More bytes were received. Reported after at most 64 KiB.
    Received {
        /// Bytes that were received in all.
        bytes: u64,
        /// Size of the file.
        total_bytes: u64,
    },
    /// The connection broke and will be retried.
    Retrying {
        /// The error.
        reason: String,
        /// The wait before the retry.
        wait: Duration,
    },
}

impl fmt::Display for FetchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => write!(f, "another process is fetching this model; waiting for it"),
            Self::Asking { url, have_bytes: 0 } => write!(f, "fetching {url}"),
            Self::Asking { url, have_bytes } => {
                write!(f, "fetching the rest of {url}; {have_bytes} bytes are here")
            }
            Self::Received { bytes, total_bytes } => write!(f, "{bytes} of {total_bytes} bytes"),
            Self::Retrying { reason, wait } => {
                write!(f, "{reason}; trying again in {:.1} s", wait.as_secs_f64())
            }
        }
    }
}
