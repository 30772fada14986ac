//! A figure that was measured, or the reason why it is unknown.

use std::borrow::Cow;

/// A measured figure: known, or unknown for a reason.
///
/// A figure that cannot be read is never 0. Sums with an unknown part are unknown, no alert is
/// raised or resolved by them, and JSON shows `null` beside the reason.
///
/// # Examples
///
/// ```
/// use steadyscribe_monitor::Reading;
///
/// let held = Reading::Known(4_u64 << 20);
/// let blind = Reading::unknown("cannot read /proc/77/status");
/// assert_eq!(held.clone().known(), Some(4 << 20));
/// assert_eq!(held.plus(blind).why(), Some("cannot read /proc/77/status"));
/// ```
#[expect(clippy::exhaustive_enums, reason = "there is no third state")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// It was measured.
    Known(T),
    /// It could not be measured.
    Unknown {
        /// Why, in words for a report.
        why: Cow<'static, str>,
    },
}

impl<T> Reading<T> {
    /// Makes an unknown figure. `why` is shown in reports.
    #[must_use]
    pub fn unknown(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// Returns the figure, if it is known.
    #[must_use]
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// Returns whether the figure is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// Returns why the figure is unknown, if it is.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown { why } => Some(why),
        }
    }

    /// Borrows the figure.
    pub(crate) fn as_ref(&self) -> Reading<&T> {
        match self {
            Self::Known(value) => Reading::Known(value),
            Self::Unknown { why } => Reading::Unknown { why: why.clone() },
        }
    }

    /// Computes another figure from this one.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(f(value)),
            Self::Unknown { why } => Reading::Unknown { why },
        }
    }

    /// Computes a figure from two. The reason of the first that is unknown is kept.
    pub(crate) fn zip_with<U, V>(self, other: Reading<U>, f: impl FnOnce(T, U) -> V) -> Reading<V> {
        match (self, other) {
            (Self::Known(a), Reading::Known(b)) => Reading::Known(f(a, b)),
            (Self::Unknown { why }, _) | (_, Reading::Unknown { why }) => Reading::Unknown { why },
        }
    }
}

impl Reading<u64> {
    /// Adds two figures, up to `u64::MAX`.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.zip_with(other, u64::saturating_add)
    }
}

impl<T: Copy> Reading<T> {
    /// Returns a copy of the figure, if it is known.
    #[must_use]
    pub fn get(&self) -> Option<T> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Unknown { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_with_an_unknown_part_is_unknown() {
        let known = || Reading::Known(1_u64);
        assert_eq!(
            known().plus(Reading::Known(u64::MAX)),
            Reading::Known(u64::MAX)
        );
        for sum in [
            known().plus(Reading::unknown("a")),
            Reading::unknown("a").plus(known()),
        ] {
            assert_eq!(sum.why(), Some("a"));
        }
        let first = Reading::<u64>::unknown("a").plus(Reading::unknown("b"));
        assert_eq!((first.why(), first.get()), (Some("a"), None));
    }
}
