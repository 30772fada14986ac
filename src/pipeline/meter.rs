//! What the pipeline holds, as gauges for the monitor and as peaks for the summary.

use steadyscribe_monitor::gauge::Unit;
use steadyscribe_monitor::{Component, Gauge, Gauges, RatioGauge, reader};

use crate::budget::Plan;
use crate::engine::Held;
use crate::pool::Pool;
use crate::report::MemoryReport;

/// The pipeline's gauges and the highest memory of the process that was seen.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) gauges: Gauges,
    pool: Gauge,
    window: Gauge,
    model: Gauge,
    state: Gauge,
    private: Gauge,
    blocks_queued: Gauge,
    segments_queued: Gauge,
    rtf: RatioGauge,
    /// What the process held when the engine was warm, or after the first window.
    warm_private_bytes: Option<u64>,
    peak_private_bytes: u64,
    peak_rss_bytes: u64,
}

impl Meter {
    pub(super) fn new() -> Self {
        let gauges = Gauges::new(Component::Audio);
        // A registry of its own has room for these and knows no other gauge of these names.
        let gauge = |name, unit| {
            gauges
                .gauge(name, unit)
                .expect("a new registry takes its gauges")
        };
        Self {
            pool: gauge("pool", Unit::HeldBytes),
            window: gauge("window", Unit::HeldBytes),
            model: gauge("model", Unit::HeldBytes),
            state: gauge("state", Unit::HeldBytes),
            private: gauge("process_private", Unit::Bytes),
            blocks_queued: gauge("blocks_queued", Unit::Count),
            segments_queued: gauge("segments_queued", Unit::Count),
            rtf: gauges
                .ratio("rtf")
                .expect("a new registry takes its gauges"),
            warm_private_bytes: None,
            peak_private_bytes: 0,
            peak_rss_bytes: 0,
            gauges,
        }
    }

    /// Publishes what the pool and the window hold.
    pub(super) fn allocated(&self, pool_bytes: u64, window_bytes: u64) {
        self.pool.set(pool_bytes);
        self.window.set(window_bytes);
    }

    /// Publishes what the engine holds.
    pub(super) fn engine(&self, held: Held) {
        self.model.set(held.model_bytes);
        self.state.set(held.state_bytes);
    }

    /// Publishes how much waits in the queues, and how fast the pipeline is.
    pub(super) fn flowing(&self, blocks: usize, segments: usize, rtf: f64) {
        self.blocks_queued.set(blocks as u64);
        self.segments_queued.set(segments as u64);
        self.rtf.set(rtf);
    }

    /// Reads what the process holds; 20 µs, once for each window. Where the system does not say, the peaks stay zero.
    pub(super) fn sample(&mut self) {
        let Ok(memory) = reader::own() else { return };
        self.private.set(memory.private_bytes);
        self.warm_private_bytes.get_or_insert(memory.private_bytes);
        self.peak_private_bytes = self.peak_private_bytes.max(memory.private_bytes);
        let rss = memory.peak_resident_bytes.unwrap_or(memory.resident_bytes);
        self.peak_rss_bytes = self.peak_rss_bytes.max(rss);
    }

    /// Takes what the process holds now for what it holds when warm.
    pub(super) fn warm(&mut self) {
        self.warm_private_bytes = None;
        self.peak_private_bytes = 0;
        self.sample();
    }

    /// Returns what was planned, what is held and what was measured.
    pub(super) fn report(&self, plan: &Plan, pool: &Pool) -> MemoryReport {
        let warm = self.warm_private_bytes.unwrap_or(self.peak_private_bytes);
        MemoryReport {
            plan_bytes: plan.peak_bytes(),
            model_bytes: plan.chosen().model_bytes,
            state_bytes: plan.chosen().state_bytes,
            pool_bytes: pool.held_bytes(),
            pool_blocks_peak: pool.stats().lent_peak,
            peak_private_bytes: self.peak_private_bytes,
            peak_rss_bytes: self.peak_rss_bytes,
            over_model_and_state_bytes: self.peak_private_bytes - warm,
        }
    }
}
