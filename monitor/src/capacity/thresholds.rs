//! The available memory below which each pressure level begins.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;

/// Available bytes below which a level begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Thresholds {
    /// Medium below this.
    pub medium_bytes: u64,
    /// High below this.
    pub high_bytes: u64,
    /// Critical below this.
    pub critical_bytes: u64,
}

/// The thresholds do not fall from Medium over High to Critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "thresholds of {}, {} and {} bytes do not fall from medium over high to critical; \
     order them so",
    asked.medium_bytes, asked.high_bytes, asked.critical_bytes
)]
#[non_exhaustive]
pub struct ThresholdsError {
    /// What was asked for.
    pub asked: Thresholds,
}

impl Thresholds {
    /// Makes thresholds.
    ///
    /// # Errors
    ///
    /// [`ThresholdsError`] unless `medium_bytes > high_bytes > critical_bytes > 0`.
    pub fn new(
        medium_bytes: u64,
        high_bytes: u64,
        critical_bytes: u64,
    ) -> Result<Self, ThresholdsError> {
        let asked = Self {
            medium_bytes,
            high_bytes,
            critical_bytes,
        };
        if medium_bytes > high_bytes && high_bytes > critical_bytes && critical_bytes > 0 {
            Ok(asked)
        } else {
            Err(ThresholdsError { asked })
        }
    }

    /// Returns what suits a machine with this much memory, which acts earlier where there is no
    /// swap to fall back on.
    #[must_use]
    pub(crate) fn for_machine(total_bytes: u64, has_swap: bool) -> Self {
        let part = |percent: u64| total_bytes / 100 * percent;
        if has_swap {
            Self {
                medium_bytes: part(20).max(1_536 * MIB),
                high_bytes: part(12).max(1_024 * MIB),
                critical_bytes: part(6).max(400 * MIB),
            }
        } else {
            Self {
                medium_bytes: part(25).max(2_048 * MIB),
                high_bytes: part(16).max(1_229 * MIB),
                critical_bytes: part(11).max(600 * MIB),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn thresholds_must_follow_one_upon_the_other() {
        assert!(Thresholds::new(3, 2, 1).is_ok());
        for (medium, high, critical) in [(2, 2, 1), (3, 1, 1), (1, 2, 3), (2, 1, 0)] {
            assert!(Thresholds::new(medium, high, critical).is_err());
        }
    }

    proptest! {
        /// Whatever the size of the machine, a worse level begins at less available memory.
        ///
        /// Feature: meetily-memory-optimization, Property 1: Memory Monitoring Completeness
        #[test]
        fn thresholds_are_ordered_on_every_machine(total in 0..1_u64 << 50, swap: bool) {
            let t = Thresholds::for_machine(total, swap);
            prop_assert!(Thresholds::new(t.medium_bytes, t.high_bytes, t.critical_bytes).is_ok());
        }
    }
}
