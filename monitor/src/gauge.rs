//! Gauges: the figures that a pipeline of this process publishes.
//!
//! A pipeline makes its gauges once and sets them from any thread without a lock; the monitor reads
//! them when it samples, for as long as any handle of the registry or of one of its gauges lives.
//!
//! # Examples
//!
//! ```
//! use steadyscribe_monitor::{Component, Gauges, gauge::Unit};
//!
//! let gauges = Gauges::new(Component::Audio);
//! let pool = gauges.gauge("pool", Unit::HeldBytes)?;
//! let rtf = gauges.ratio("rtf")?;
//! pool.set(4 << 20);
//! rtf.set(0.31);
//! assert_eq!(gauges.held_bytes(), 4 << 20);
//! # Ok::<(), steadyscribe_monitor::gauge::GaugeError>(())
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use serde::Serialize;

use crate::component::Component;

/// Most gauges of one registry. A pipeline needs about a dozen; the limit keeps a snapshot under 8
/// KB.
pub const GAUGES_MAX: usize = 64;

/// The unit of a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Unit {
    /// Private bytes of this process that the publisher holds now. They are attributed to its
    /// component, so no byte may be counted by two such gauges.
    HeldBytes,
    /// Any other bytes: planned, mapped, written.
    Bytes,
    /// Things: blocks, entries of a queue.
    Count,
    /// A quotient without a unit, such as the real-time factor. Made by [`Gauges::ratio`].
    Ratio,
}

/// A registry of gauges. Clones share it.
#[derive(Clone, Debug)]
pub struct Gauges {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    component: Component,
    entries: Mutex<Vec<Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: &'static str,
    unit: Unit,
    cell: Arc<AtomicU64>,
}

/// A figure in whole units. Clones share it; setting it takes no lock and allocates nothing.
#[derive(Clone, Debug)]
pub struct Gauge {
    cell: Arc<AtomicU64>,
    /// A pipeline may keep its gauges alone: they keep the registry, too.
    _registry: Arc<Shared>,
}

/// A quotient. Clones share it; setting it takes no lock and allocates nothing.
#[derive(Clone, Debug)]
pub struct RatioGauge {
    cell: Arc<AtomicU64>,
    _registry: Arc<Shared>,
}

/// A registry that is read as long as its pipeline keeps it or one of its gauges.
#[derive(Clone, Debug)]
pub(crate) struct WeakGauges {
    shared: Weak<Shared>,
}

impl WeakGauges {
    /// Returns the registry. `None`: its publisher is gone.
    pub(crate) fn upgrade(&self) -> Option<Gauges> {
        let shared = self.shared.upgrade()?;
        Some(Gauges { shared })
    }

    /// Whether this is that registry.
    pub(crate) fn is(&self, gauges: &Gauges) -> bool {
        std::ptr::eq(self.shared.as_ptr(), Arc::as_ptr(&gauges.shared))
    }
}

/// The value of one gauge at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GaugeValue {
    /// Name within the registry.
    pub name: &'static str,
    /// What the value counts.
    pub unit: Unit,
    /// The value.
    pub value: Value,
}

/// The number of a [`GaugeValue`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Value {
    /// Of a gauge in whole units.
    Whole(u64),
    /// Of a [`Unit::Ratio`].
    Ratio(f64),
}

/// Why a gauge could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GaugeError {
    /// The registry is full: publish fewer figures.
    #[error("the registry holds {limit} gauges already and has no room for {name}; publish fewer")]
    TooMany {
        /// The gauge that was asked for.
        name: &'static str,
        /// [`GAUGES_MAX`].
        limit: usize,
    },
    /// A ratio was asked for as a gauge in whole units: make it with [`Gauges::ratio`].
    #[error("gauge {name} is a ratio and has no whole units; make it with `Gauges::ratio`")]
    NotWhole {
        /// The gauge that was asked for.
        name: &'static str,
    },
    /// The name is taken by a gauge of another unit: choose another name.
    #[error("gauge {name} exists and counts {has:?}, not {asked:?}; choose another name")]
    UnitDiffers {
        /// The gauge that was asked for.
        name: &'static str,
        /// Unit of the gauge that exists.
        has: Unit,
        /// Unit that was asked for.
        asked: Unit,
    },
}

impl Gauges {
    /// Makes an empty registry for the figures of one component.
    #[must_use]
    pub fn new(component: Component) -> Self {
        // Reserved once, so that the registry never moves or grows.
        let entries = Mutex::new(Vec::with_capacity(GAUGES_MAX));
        Self {
            shared: Arc::new(Shared { component, entries }),
        }
    }

    /// Returns the component that publishes here.
    #[must_use]
    pub fn component(&self) -> Component {
        self.shared.component
    }

    /// Returns the gauge of that name, made with value 0 where it does not exist yet.
    ///
    /// A second pipeline that asks for the same name shares the gauge of the first.
    ///
    /// # Errors
    ///
    /// [`GaugeError`]: the registry is full, the name is taken by a gauge of another unit, or the
    /// unit is [`Unit::Ratio`], for which [`Gauges::ratio`] exists.
    pub fn gauge(&self, name: &'static str, unit: Unit) -> Result<Gauge, GaugeError> {
        if unit == Unit::Ratio {
            return Err(GaugeError::NotWhole { name });
        }
        Ok(Gauge {
            cell: self.cell(name, unit)?,
            _registry: Arc::clone(&self.shared),
        })
    }

    /// Returns the ratio of that name, made with value 0 where it does not exist yet.
    ///
    /// # Errors
    ///
    /// [`GaugeError`]: the registry is full, or the name is taken by a gauge that is no ratio.
    pub fn ratio(&self, name: &'static str) -> Result<RatioGauge, GaugeError> {
        Ok(RatioGauge {
            cell: self.cell(name, Unit::Ratio)?,
            _registry: Arc::clone(&self.shared),
        })
    }

    /// Returns a handle that does not keep the registry.
    pub(crate) fn downgrade(&self) -> WeakGauges {
        WeakGauges {
            shared: Arc::downgrade(&self.shared),
        }
    }

    /// Returns every gauge as it is now, in the order in which they were made.
    ///
    /// # Memory
    ///
    /// Allocates the returned list, at most [`GAUGES_MAX`] entries.
    #[must_use]
    pub fn snapshot(&self) -> Vec<GaugeValue> {
        self.entries().iter().map(Entry::read).collect()
    }

    /// Returns the sum of the [`Unit::HeldBytes`] gauges. Allocates nothing.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.entries()
            .iter()
            .filter(|e| e.unit == Unit::HeldBytes)
            .fold(0, |sum: u64, e| {
                sum.saturating_add(e.cell.load(Ordering::Relaxed))
            })
    }

    fn cell(&self, name: &'static str, unit: Unit) -> Result<Arc<AtomicU64>, GaugeError> {
        let mut entries = self.entries();
        if let Some(entry) = entries.iter().find(|e| e.name == name) {
            if entry.unit != unit {
                return Err(GaugeError::UnitDiffers {
                    name,
                    has: entry.unit,
                    asked: unit,
                });
            }
            return Ok(Arc::clone(&entry.cell));
        }
        if entries.len() == GAUGES_MAX {
            return Err(GaugeError::TooMany {
                name,
                limit: GAUGES_MAX,
            });
        }
        let cell = Arc::new(AtomicU64::new(0));
        entries.push(Entry {
            name,
            unit,
            cell: Arc::clone(&cell),
        });
        Ok(cell)
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        // The list is whole after every push, so a poisoned lock is as good as another.
        self.shared
            .entries
            .lock()
            .unwrap_or_else(|e| e.into_inner())
    }
}

impl Entry {
    fn read(&self) -> GaugeValue {
        let raw = self.cell.load(Ordering::Relaxed);
        let value = match self.unit {
            Unit::Ratio => Value::Ratio(f64::from_bits(raw)),
            Unit::HeldBytes | Unit::Bytes | Unit::Count => Value::Whole(raw),
        };
        GaugeValue {
            name: self.name,
            unit: self.unit,
            value,
        }
    }
}

// Relaxed is enough everywhere: a gauge is one number that stands for itself; no other memory is
// published through it.
impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: u64) {
        self.cell.store(value, Ordering::Relaxed);
    }

    /// Adds to the value, up to `u64::MAX`.
    pub fn add(&self, by: u64) {
        self.change(|value| value.saturating_add(by));
    }

    /// Takes from the value, down to 0.
    pub fn sub(&self, by: u64) {
        self.change(|value| value.saturating_sub(by));
    }

    /// Raises the value to `value` if it is below: a gauge of a peak.
    pub fn raise(&self, value: u64) {
        self.cell.fetch_max(value, Ordering::Relaxed);
    }

    /// Returns the value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.cell.load(Ordering::Relaxed)
    }

    fn change(&self, f: impl Fn(u64) -> u64) {
        // The closure never refuses, so neither does the update.
        let _ = self
            .cell
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| Some(f(value)));
    }
}

impl RatioGauge {
    /// Sets the value. Infinity and NaN count as 0, because JSON cannot carry them.
    pub fn set(&self, value: f64) {
        let value = if value.is_finite() { value } else { 0.0 };
        self.cell.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Returns the value.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.cell.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_of_one_name_share_the_value() {
        let gauges = Gauges::new(Component::Audio);
        let first = gauges.gauge("queue", Unit::Count).unwrap();
        let second = gauges.clone().gauge("queue", Unit::Count).unwrap();
        first.set(3);
        second.add(2);
        first.sub(9);
        second.raise(1);
        assert_eq!(first.get(), 1);
        assert_eq!(gauges.snapshot().len(), 1);
    }

    #[test]
    fn registry_is_bounded() {
        let gauges = Gauges::new(Component::Audio);
        for n in 0..GAUGES_MAX {
            gauges.gauge(format!("g{n}").leak(), Unit::Count).unwrap();
        }
        let error = gauges.ratio("one more").unwrap_err();
        assert_eq!(
            error,
            GaugeError::TooMany {
                name: "one more",
                limit: GAUGES_MAX
            }
        );
        assert!(
            gauges.gauge("g0", Unit::Count).is_ok(),
            "a gauge that exists is still found"
        );
    }

    #[test]
    fn another_unit_is_refused() {
        let gauges = Gauges::new(Component::Audio);
        gauges.ratio("rtf").unwrap();
        let error = gauges.gauge("rtf", Unit::Bytes).unwrap_err();
        assert_eq!(
            error,
            GaugeError::UnitDiffers {
                name: "rtf",
                has: Unit::Ratio,
                asked: Unit::Bytes
            }
        );
        let error = gauges.gauge("rtf", Unit::Ratio).unwrap_err();
        assert_eq!(error, GaugeError::NotWhole { name: "rtf" });
    }

    #[test]
    fn only_held_bytes_are_attributed() {
        let gauges = Gauges::new(Component::Audio);
        gauges.gauge("pool", Unit::HeldBytes).unwrap().set(10);
        gauges
            .gauge("state", Unit::HeldBytes)
            .unwrap()
            .set(u64::MAX);
        gauges.gauge("planned", Unit::Bytes).unwrap().set(7);
        assert_eq!(
            gauges.held_bytes(),
            u64::MAX,
            "a sum past the end stays at the end"
        );
        let rtf = gauges.ratio("rtf").unwrap();
        rtf.set(f64::NAN);
        assert_eq!(rtf.get(), 0.0);
        rtf.set(0.25);
        assert_eq!(gauges.snapshot()[3].value, Value::Ratio(0.25));
    }

    #[test]
    fn one_gauge_keeps_its_registry() {
        let gauges = Gauges::new(Component::Audio);
        let (weak, gauge) = (
            gauges.downgrade(),
            gauges.gauge("pool", Unit::Count).unwrap(),
        );
        drop(gauges);
        assert!(weak.upgrade().is_some());
        drop(gauge);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn threads_lose_no_addition() {
        let gauge = Gauges::new(Component::Audio)
            .gauge("blocks", Unit::Count)
            .unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| gauge.add(1)));
            }
        });
        assert_eq!(gauge.get(), 4_000);
    }
}
