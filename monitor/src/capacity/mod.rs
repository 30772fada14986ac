//! How much memory there is, how much of it can still be had, and how much the app may use.
//!
//! Everything that decides by memory asks here: pressure, the budget alert, the forecast of a leak,
//! and the admission of models. Each of these words has one meaning:
//!
//! | word | means |
//! |---|---|
//! | total | memory of the machine or the limit of the control group, whichever is less |
//! | available | what a new allocation of this process can still have without swapping |
//! | reserve | what should stay available after a load, so that it does not cause High pressure |
//! | budget | what the app allows itself in all; exceeding it is no emergency of the machine |
//! | headroom | what the app may still allocate: within available less reserve, and the budget |

mod thresholds;

use crate::reader::{Cgroup, Machine, System};
use crate::reading::Reading;

pub use thresholds::{Thresholds, ThresholdsError};

/// Largest reserve, as a divisor of the total. On a small machine the threshold of High pressure
/// would leave no room for any model.
const RESERVE_DIVISOR: u64 = 3;

/// The app's memory limits at one moment, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// Memory of the machine or the limit of its control group, whichever is less.
    pub total_bytes: Reading<u64>,
    /// What this process can still have: the machine's available memory or the room in its control
    /// group, whichever is less.
    pub available_bytes: Reading<u64>,
    /// What should stay available after a load, so that it does not cause High pressure; at most a
    /// third of the total.
    pub reserve_bytes: Reading<u64>,
    /// What the app may use in all. `None`: as much as there is.
    pub budget_bytes: Option<u64>,
    thresholds: Reading<Thresholds>,
}

/// The user's settings, from which capacity is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Available memory below which the pressure levels begin. `None`: by the size of the machine.
    pub(crate) thresholds: Option<Thresholds>,
    /// What the app may use in all.
    pub(crate) budget_bytes: Option<u64>,
}

impl Capacity {
    /// Computes the capacity from one look at the machine and the control group.
    pub(crate) fn new(
        machine: &Reading<Machine>,
        cgroup: &Reading<Option<Cgroup>>,
        settings: Settings,
    ) -> Self {
        // An unreadable group may limit more tightly than the machine, so nothing is known then.
        let limit = |of_machine: fn(&Machine) -> u64, of_group: fn(&Cgroup) -> Option<u64>| {
            machine
                .as_ref()
                .zip_with(cgroup.as_ref(), |machine, group| {
                    let group = group.as_ref().and_then(of_group);
                    of_machine(machine).min(group.unwrap_or(u64::MAX))
                })
        };
        let total_bytes = limit(|m| m.total_bytes, |g| g.limit_bytes);
        let available_bytes = limit(|m| m.available_bytes, |g| g.headroom_bytes);
        let by_size = machine
            .as_ref()
            .zip_with(total_bytes.clone(), |machine, total| {
                Thresholds::for_machine(total, has_free_swap(machine))
            });
        let thresholds = settings.thresholds.map_or(by_size, Reading::Known);
        let reserve_bytes = thresholds
            .clone()
            .zip_with(total_bytes.clone(), |thresholds, total| {
                thresholds.high_bytes.min(total / RESERVE_DIVISOR)
            });
        Self {
            total_bytes,
            available_bytes,
            reserve_bytes,
            budget_bytes: settings.budget_bytes.filter(|bytes| *bytes > 0),
            thresholds,
        }
    }

    /// Reads the capacity of a system now, without a budget.
    #[must_use]
    pub fn read(system: &System) -> Self {
        let machine = match system.machine() {
            Ok(machine) => Reading::Known(machine),
            Err(error) => Reading::unknown(error.explain()),
        };
        let cgroup = match system.cgroup() {
            Ok(group) => Reading::Known(group),
            Err(error) => Reading::unknown(error.explain()),
        };
        Self::new(&machine, &cgroup, Settings::default())
    }

    /// Returns the available memory below which each pressure level begins.
    #[must_use]
    pub fn thresholds(&self) -> Reading<Thresholds> {
        self.thresholds.clone()
    }

    /// Returns how much more the app may allocate while it holds `held_bytes`: what is available
    /// above the reserve, and what is left of the budget, whichever is less.
    #[must_use]
    pub fn headroom_bytes(&self, held_bytes: Reading<u64>) -> Reading<u64> {
        let of_machine = self
            .available_bytes
            .clone()
            .zip_with(self.reserve_bytes.clone(), u64::saturating_sub);
        match self.budget_bytes {
            None => of_machine,
            Some(budget) => {
                let of_budget = held_bytes.map(|held| budget.saturating_sub(held));
                of_machine.zip_with(of_budget, u64::min)
            }
        }
    }
}

/// Whether there is swap to fall back on: a swap that is nearly full helps no more than none.
fn has_free_swap(machine: &Machine) -> bool {
    machine.swap_total_bytes > 0 && machine.swap_free_bytes > machine.swap_total_bytes / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn group(limit: u64, room: u64) -> Reading<Option<Cgroup>> {
        Reading::Known(Some(Cgroup {
            limit_bytes: Some(limit),
            headroom_bytes: Some(room),
            ..Cgroup::default()
        }))
    }

    fn machine() -> Reading<Machine> {
        Reading::Known(Machine::new(8 * GIB, 4 * GIB, 2 * GIB, 2 * GIB))
    }

    fn budget(bytes: u64) -> Settings {
        Settings {
            budget_bytes: Some(bytes),
            ..Settings::default()
        }
    }

    #[test]
    fn tighter_of_machine_and_group_counts() {
        let alone = Capacity::new(&machine(), &Reading::Known(None), Settings::default());
        assert_eq!(alone.total_bytes, Reading::Known(8 * GIB));
        assert_eq!(alone.available_bytes, Reading::Known(4 * GIB));
        let inside = Capacity::new(&machine(), &group(2 * GIB, GIB), Settings::default());
        assert_eq!(inside.total_bytes, Reading::Known(2 * GIB));
        assert_eq!(inside.available_bytes, Reading::Known(GIB));
    }

    #[test]
    fn group_that_cannot_be_read_leaves_everything_unknown() {
        let blind = Reading::unknown("cannot read /sys/fs/cgroup");
        let capacity = Capacity::new(&machine(), &blind, Settings::default());
        for figure in [&capacity.total_bytes, &capacity.available_bytes] {
            assert_eq!(figure.why(), Some("cannot read /sys/fs/cgroup"));
        }
        assert!(!capacity.headroom_bytes(Reading::Known(0)).is_known());
    }

    #[test]
    fn headroom_is_within_the_budget_and_above_the_reserve() {
        let none = Reading::Known(None);
        let held = || Reading::Known(600 * MIB);
        let free = Capacity::new(&machine(), &none, Settings::default());
        let reserve = free.reserve_bytes.get().unwrap();
        assert_eq!(
            free.headroom_bytes(held()),
            Reading::Known(4 * GIB - reserve)
        );
        let tight = Capacity::new(&machine(), &none, budget(GIB));
        assert_eq!(tight.headroom_bytes(held()), Reading::Known(424 * MIB));
        assert_eq!(
            tight.headroom_bytes(Reading::Known(2 * GIB)),
            Reading::Known(0)
        );
        let unknown = tight.headroom_bytes(Reading::unknown("blind"));
        assert_eq!(unknown.why(), Some("blind"));
        let unset = Capacity::new(&machine(), &none, budget(0));
        assert_eq!(unset.budget_bytes, None, "a budget of 0 is none");
    }
}
