//! Errors of inputs and of configurations, one variant for each reaction of a caller.

use std::io;

/// Why an input cannot be read at all.
///
/// Damage inside an input is not an error: [`DecodeStats`](crate::decode::DecodeStats) lists it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The operating system refused to open or read the input: check path, permissions and disk.
    #[error("cannot read {name}")]
    Unreadable {
        /// The input's name, as its source gives it.
        name: String,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },

    /// No decoder is built in for the input's container or codec: follow `remedy`.
    #[error("cannot decode {name}: {what} is not supported; {remedy}")]
    Unsupported {
        /// The input's name, as its source gives it.
        name: String,
        /// The container or codec that is not supported.
        what: String,
        /// The steps that make the input readable, usually a command of ffmpeg.
        remedy: &'static str,
    },

    /// The container may be known, but no audio could be decoded from it: check the file.
    #[error("cannot decode {name}: {reason}")]
    Undecodable {
        /// The input's name, as its source gives it.
        name: String,
        /// What the decoder met, and what to do about it where something can be done.
        reason: String,
    },
}

/// Why a configuration is refused, before anything is allocated or loaded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value lies outside its range.
    #[error("{what} is {asked}, which is out of range; set {min} to {max}")]
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

impl ConfigError {
    /// Makes the error for a value outside `min..=max`. `what` names the field and its unit.
    pub(crate) const fn out_of_range(what: &'static str, asked: f64, min: f64, max: f64) -> Self {
        Self::OutOfRange {
            what,
            asked,
            min,
            max,
        }
    }

    /// Checks that `asked` lies in `min..=max`. `what` names the field and its unit.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] when it does not. A NaN lies in no range.
    pub(crate) fn check_range(
        what: &'static str,
        asked: f64,
        min: f64,
        max: f64,
    ) -> Result<(), Self> {
        if (min..=max).contains(&asked) {
            return Ok(());
        }
        Err(Self::out_of_range(what, asked, min, max))
    }
}
