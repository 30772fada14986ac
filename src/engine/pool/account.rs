//! What the pool holds, readable at any time without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use steadyscribe_monitor::gauge::Unit;
use steadyscribe_monitor::{Component, Gauge, Gauges};

use super::slots::{ModelSlot, Slots};
use crate::budget::Footprint;

/// What an engine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// Bytes of the model's weights, zero while they are not loaded.
    pub model_bytes: u64,
    /// Bytes of the states that exist.
    pub state_bytes: u64,
}

impl Held {
    /// Returns the bytes of model and states.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.model_bytes + self.state_bytes
    }
}

/// What a request to free memory achieved, in bytes as planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Released {
    /// Freed already.
    pub freed_bytes: u64,
    /// Freed when the windows in progress end.
    pub pending_bytes: u64,
}

/// The account, and the gauges that publish it.
#[derive(Debug)]
pub(super) struct Account {
    footprint: Footprint,
    model_bytes: AtomicU64,
    state_bytes: AtomicU64,
    gauges: Gauges,
    model: Gauge,
    states: Gauge,
}

impl Account {
    pub(super) fn new(footprint: Footprint) -> Self {
        let gauges = Gauges::new(Component::Audio);
        // A new registry has room for these and knows no other gauge of these names.
        let gauge = |name| {
            gauges
                .gauge(name, Unit::HeldBytes)
                .expect("a new registry takes its gauges")
        };
        Self {
            footprint,
            model_bytes: AtomicU64::new(0),
            state_bytes: AtomicU64::new(0),
            model: gauge("model"),
            states: gauge("state"),
            gauges,
        }
    }

    pub(super) fn gauges(&self) -> Gauges {
        self.gauges.clone()
    }

    pub(super) fn held(&self) -> Held {
        Held {
            model_bytes: self.model_bytes.load(Ordering::Relaxed),
            state_bytes: self.state_bytes.load(Ordering::Relaxed),
        }
    }

    /// Counts what `slots` hold, publishes it and returns it.
    pub(super) fn update(&self, slots: &Slots) -> Held {
        let free = slots.free.iter().filter(|slot| slot.state.is_some());
        let states = (free.count() + slots.users) as u64;
        // A model that is unloaded stays as long as a window uses it.
        let is_there = !matches!(slots.model, ModelSlot::Absent) || slots.retired > 0;
        let held = Held {
            model_bytes: u64::from(is_there) * self.footprint.model_bytes,
            state_bytes: states * self.footprint.state_bytes,
        };
        self.model_bytes.store(held.model_bytes, Ordering::Relaxed);
        self.state_bytes.store(held.state_bytes, Ordering::Relaxed);
        self.model.set(held.model_bytes);
        self.states.set(held.state_bytes);
        held
    }
}
