//! What can go wrong, one variant for each thing that a caller can do about it.

use std::io;

use crate::engine::EngineError;
use crate::journal::JournalError;

/// Why a transcription could not be made or finished.
///
/// Damage inside an input is no error: what is readable is transcribed, and
/// [`Summary::damage`](crate::Summary) says what was not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot work on this machine or with this budget: change it.
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// The input cannot be opened or read: check path, permission and disk.
    #[error("cannot read {name}")]
    Unreadable {
        /// The input, as the source names it.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The input is of a format that is not supported: convert it as `remedy` says.
    #[error("{name}: {what} is not supported; {remedy}")]
    Unsupported {
        /// The input, as the source names it.
        name: String,
        /// The container or codec.
        what: String,
        /// What makes it readable.
        remedy: &'static str,
    },

    /// The input's container was recognized, but no audio could be decoded from it.
    #[error("no audio can be decoded from {name}: {reason}")]
    Undecodable {
        /// The input, as the source names it.
        name: String,
        /// What the decoder met.
        reason: String,
    },

    /// The detector's model cannot be used: give another file.
    #[cfg(feature = "whisper")]
    #[error(transparent)]
    Model(#[from] crate::ggml::ModelError),

    /// The engine failed. Segments that the sink took before stay valid.
    #[error(transparent)]
    Engine(#[from] EngineError),

    /// The journal cannot be used. What was transcribed before stays valid.
    #[error(transparent)]
    Journal(#[from] JournalError),

    /// The sink failed: disk full, closed pipe.
    #[error("cannot write the transcript")]
    Sink(#[source] io::Error),
}

/// Why a configuration is refused, before anything is allocated or loaded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value lies outside its range.
    #[error("{what} is {asked}, must be {min} to {max}")]
    OutOfRange {
        /// The field and its unit.
        what: &'static str,
        /// The value that was asked for.
        asked: f64,
        /// The lowest value that works.
        min: f64,
        /// The highest value that works.
        max: f64,
    },

    /// The plan needs more memory than the budget gives.
    #[error(
        "the plan needs {} MB, the budget is {} MB; largest parts: {largest_parts}; {remedy}",
        needed_bytes.div_ceil(1_000_000), budget_bytes / 1_000_000
    )]
    Budget {
        /// Bytes that the smallest plan needs.
        needed_bytes: u64,
        /// Bytes that are allowed.
        budget_bytes: u64,
        /// The plan's largest parts with their bytes.
        largest_parts: String,
        /// What would fit.
        remedy: String,
    },
}
