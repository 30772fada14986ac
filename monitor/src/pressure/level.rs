//! The levels of pressure.

use serde::{Deserialize, Serialize};

use crate::capacity::Thresholds;

/// How short the machine's memory is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[non_exhaustive]
pub enum Level {
    /// Available memory cannot be read: neither free anything nor take it for recovered.
    #[default]
    Unknown,
    /// Enough.
    Low,
    /// Free what costs nothing to free.
    Medium,
    /// Reduce: unload what is idle, refuse large loads.
    High,
    /// The next allocation may fail: free at once.
    Critical,
}

impl Level {
    /// The known levels, the lowest first.
    pub const KNOWN: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Returns the name that reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }

    /// Returns 0 for Low to 3 for Critical; `None` for Unknown.
    #[must_use]
    pub(crate) fn rank(self) -> Option<u8> {
        let at = Self::KNOWN.iter().position(|level| *level == self)?;
        u8::try_from(at).ok()
    }

    /// The next better level.
    pub(super) fn below(self) -> Self {
        match self {
            Self::Unknown | Self::Low | Self::Medium => Self::Low,
            Self::High => Self::Medium,
            Self::Critical => Self::High,
        }
    }

    /// The level of this much available memory.
    pub(super) fn of_available(available_bytes: f64, thresholds: &Thresholds) -> Self {
        if available_bytes < thresholds.critical_bytes as f64 {
            Self::Critical
        } else if available_bytes < thresholds.high_bytes as f64 {
            Self::High
        } else if available_bytes < thresholds.medium_bytes as f64 {
            Self::Medium
        } else {
            Self::Low
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn one_gibibyte_available_is_high_on_every_machine() {
        for total_gib in [4, 8, 16, 32] {
            for has_swap in [true, false] {
                let thresholds = Thresholds::for_machine(total_gib * GIB, has_swap);
                let level = Level::of_available((GIB - 1) as f64, &thresholds);
                assert!(
                    level >= Level::High,
                    "{total_gib} GiB, swap {has_swap}: {level:?}"
                );
            }
        }
    }

    #[test]
    fn known_levels_have_ranks() {
        assert_eq!(Level::KNOWN.map(Level::rank), [0, 1, 2, 3].map(Some));
        assert_eq!(Level::Unknown.rank(), None);
    }
}
