//! What a transcriber holds, as gauges for the monitor and as peaks for the summary.

use steadyscribe_monitor::gauge::Unit;
use steadyscribe_monitor::{Gauge, Gauges, RatioGauge, reader};

use crate::budget::Plan;
use crate::pool::Pool;
use crate::report::MemoryReport;

/// The gauges of a transcriber, and the highest memory of the process that was seen.
///
/// Transcribers of one engine pool share their gauges: bytes and queues add up.
#[derive(Debug)]
pub(super) struct Meter {
    /// Counted for as long as the transcriber exists.
    _window: Share,
    blocks_queued: Share,
    segments_queued: Share,
    private: Gauge,
    rtf: RatioGauge,
    /// What the process held when the engine was warm, or after the first window.
    warm_private_bytes: Option<u64>,
    peak_private_bytes: u64,
    peak_rss_bytes: u64,
}

/// One transcriber's part of a gauge. It is taken out when the transcriber is dropped.
#[derive(Debug)]
struct Share {
    gauge: Gauge,
    value: u64,
}

impl Share {
    fn set(&mut self, value: u64) {
        self.gauge.add(value);
        self.gauge.sub(self.value);
        self.value = value;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.gauge.sub(self.value);
    }
}

impl Meter {
    /// Publishes in the registry of an engine pool what the pool of blocks and the window hold, and
    /// later the rest.
    pub(super) fn new(gauges: &Gauges, pool: &Pool, window_bytes: u64) -> Self {
        // The registry has room for these, and all transcribers ask for them alike.
        let gauge = |name, unit| {
            gauges
                .gauge(name, unit)
                .expect("the registry of an engine pool takes these gauges")
        };
        let share = |name, unit| Share {
            gauge: gauge(name, unit),
            value: 0,
        };
        pool.publish(gauge("pool", Unit::HeldBytes));
        let mut window = share("window", Unit::HeldBytes);
        window.set(window_bytes);
        Self {
            _window: window,
            blocks_queued: share("blocks_queued", Unit::Count),
            segments_queued: share("segments_queued", Unit::Count),
            private: gauge("process_private", Unit::Bytes),
            rtf: gauges
                .ratio("rtf")
                .expect("the registry of an engine pool takes these gauges"),
            warm_private_bytes: None,
            peak_private_bytes: 0,
            peak_rss_bytes: 0,
        }
    }

    /// Publishes how much waits in the queues, and how fast the pipeline is.
    pub(super) fn flowing(&mut self, blocks: usize, segments: usize, rtf: f64) {
        self.blocks_queued.set(blocks as u64);
        self.segments_queued.set(segments as u64);
        self.rtf.set(rtf);
    }

    /// Nothing waits in the queues any more.
    pub(super) fn ended(&mut self) {
        self.blocks_queued.set(0);
        self.segments_queued.set(0);
    }

    /// Reads what the process holds; 20 µs, once for each window. Where the system does not say,
    /// the peaks stay zero.
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
        let footprint = plan.variant().footprint;
        MemoryReport {
            plan_bytes: plan.peak_bytes(),
            model_bytes: footprint.model_bytes,
            state_bytes: footprint.state_bytes,
            pool_bytes: pool.held_bytes(),
            pool_blocks_peak: pool.stats().lent_peak,
            peak_private_bytes: self.peak_private_bytes,
            peak_rss_bytes: self.peak_rss_bytes,
            over_model_and_state_bytes: self.peak_private_bytes - warm,
        }
    }
}
