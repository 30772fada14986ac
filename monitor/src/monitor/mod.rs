//! The monitor: samples in the background and answers questions.

mod background;
mod options;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::alert::journal::Journal;
use crate::alert::{Delivery, Key, Notice};
use crate::capacity::Thresholds;
use crate::component::Component;
use crate::gauge::{Gauges, Unit};
use crate::history::{self, History};
use crate::membership::{Membership, TooManyHandedOver};
use crate::model::Model;
use crate::pressure::Level;
use crate::reader::{ProcessId, System};
use crate::report::{ComponentMemoryUsage, MemoryAnalysisReport, MemoryMetrics, MemoryUsageReport};
use crate::sampler::{Sampler, TooManyPublishers};
use crate::tracker::Tracker;

pub use background::INTERVAL_MS_MIN;
use background::{Background, INTERVAL_HIGH, Shared, backfill, lock};
pub use options::{Options, StartError};

/// Bytes of the series and buffers, which the monitor attributes to itself.
const OWN_BYTES: u64 = 1_600_000;

/// Measures the app, judges the figures, and sends alerts.
///
/// Share it in an [`Arc`]. Dropping it stops the background thread.
#[derive(Debug)]
pub struct Monitor {
    shared: Arc<Shared>,
    background: Mutex<Option<Background>>,
    /// Its own figures, which are read as long as it keeps them.
    _gauges: Gauges,
}

impl Monitor {
    /// Makes a monitor that samples on demand; [`Monitor::start_continuous_monitoring`] lets it
    /// run.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use steadyscribe_monitor::monitor::{Monitor, Options};
    ///
    /// let monitor = Monitor::new(Options::default())?;
    /// let usage = monitor.get_current_usage();
    /// let parts: Option<u64> = usage.component_breakdown.iter().map(|c| c.current_usage).sum();
    /// assert_eq!(parts, usage.meetily_total_usage);
    /// # Ok::<(), steadyscribe_monitor::monitor::StartError>(())
    /// ```
    pub fn new(options: Options) -> Result<Self, StartError> {
        let own = System::host()
            .identify(std::process::id())
            .map_err(StartError::Own)?;
        let membership = Membership::new(options.app.unwrap_or(own), options.rules);
        let mut sampler = Sampler::new(options.system, own, membership);
        let gauges = Gauges::new(Component::Monitor);
        if let Ok(gauge) = gauges.gauge("series", Unit::HeldBytes) {
            gauge.set(OWN_BYTES);
        }
        // A new sampler has room for the first publisher.
        let _ = sampler.register(&gauges);
        let journal = options.journal.as_deref().map(Journal::open).transpose()?;
        let first_notice = journal
            .iter()
            .flat_map(|j| j.unacknowledged())
            .map(|notice| notice.id + 1)
            .max()
            .unwrap_or(1);
        let mut tracker = Tracker::new(options.timing, first_notice);
        tracker.set_budget_bytes(options.budget_bytes);
        let history = options.history.as_deref().map(History::open).transpose()?;
        if let Some(path) = &options.history {
            backfill(&mut tracker, history::read(path)?);
        }
        let delivery = Delivery::start(options.channels, journal).map_err(StartError::Thread)?;
        let shared = Shared::new(Instant::now(), sampler, history, tracker, delivery);
        Ok(Self {
            shared: Arc::new(shared),
            background: Mutex::new(None),
            _gauges: gauges,
        })
    }

    /// Samples now and returns the app's memory.
    #[must_use]
    pub fn get_current_usage(&self) -> MemoryUsageReport {
        self.tick();
        self.with(MemoryUsageReport::new)
    }

    /// Samples now and returns the app's memory with the proportional shares of all its processes.
    /// This takes 12 ms per GiB of them and holds a lock of each meanwhile. Other samples read the
    /// shares of one process at a time.
    #[must_use]
    pub fn get_proportional_usage(&self) -> MemoryUsageReport {
        self.tick();
        let now_ms = self.shared.now().steady_ms;
        lock(&self.shared.sampling).sampler.read_shares(now_ms);
        self.get_current_usage()
    }

    /// Samples now and returns one component's memory.
    #[must_use]
    pub fn get_component_usage(&self, component: Component) -> ComponentMemoryUsage {
        self.tick();
        self.with(|tracker| ComponentMemoryUsage::new(tracker, component))
    }

    /// Samples now and returns the app's memory as one flat record.
    #[must_use]
    pub fn get_metrics(&self) -> MemoryMetrics {
        self.tick();
        self.with(MemoryMetrics::new)
    }

    /// Returns the state, alerts and history as of the last sample, or of now where there is none
    /// yet.
    #[must_use]
    pub fn generate_memory_report(&self) -> MemoryAnalysisReport {
        if self.ticks() == 0 {
            self.tick();
        }
        self.with(MemoryAnalysisReport::new)
    }

    /// Samples in the background from now on, every `interval` (at least [`INTERVAL_MS_MIN`]),
    /// every second while the pressure is High, and on Linux at once when tasks begin to wait for
    /// memory. Called again, it changes the interval at once.
    ///
    /// # Errors
    ///
    /// An [`std::io::Error`] where the thread cannot be started.
    pub fn start_continuous_monitoring(&self, interval: Duration) -> std::io::Result<()> {
        let interval = interval.max(Duration::from_millis(INTERVAL_MS_MIN));
        lock(&self.shared.tracker).set_samples_faster(interval > INTERVAL_HIGH);
        lock(&self.shared.pace).interval = Some(interval);
        self.shared.wake.notify_all();
        let mut background = lock(&self.background);
        if background.is_none() {
            *background = Some(Background::start(&self.shared)?);
        }
        Ok(())
    }

    /// Ends the sampling in the background.
    pub fn stop_continuous_monitoring(&self) {
        lock(&self.shared.pace).interval = None;
        self.shared.wake.notify_all();
        lock(&self.shared.tracker).set_samples_faster(false);
        if let Some(background) = lock(&self.background).take() {
            background.join();
        }
    }

    /// Requests the next sample of the background at once, without waiting for it.
    pub fn sample_soon(&self) {
        self.shared.sample_soon();
    }

    /// Sets the available memory below which the pressure levels begin. `None`: by the size of the
    /// machine. Effective with the next sample.
    pub fn set_memory_thresholds(&self, thresholds: Option<Thresholds>) {
        lock(&self.shared.tracker).set_thresholds(thresholds);
    }

    /// Sets what the app may use in all. `None` and 0: as much as there is. Effective with the next
    /// sample.
    pub fn set_budget_bytes(&self, budget_bytes: Option<u64>) {
        lock(&self.shared.tracker).set_budget_bytes(budget_bytes);
    }

    /// Sets what a component may use.
    pub fn set_limit_bytes(&self, component: Component, limit_bytes: Option<u64>) {
        lock(&self.shared.tracker).set_limit_bytes(component, limit_bytes);
    }

    /// Starts a component's leak verdicts from scratch: it has loaded or unloaded something large
    /// on purpose.
    pub fn reset_leak_verdicts(&self, component: Component) {
        lock(&self.shared.tracker).reset_leak_verdicts(component);
    }

    /// Sets the bytes in a component's caches: growth of a declared cache is no leak.
    pub fn declare_cache_bytes(&self, component: Component, bytes: u64) {
        lock(&self.shared.tracker).declare_cache_bytes(component, bytes);
    }

    /// Sets the bytes that a component's program has allocated according to its allocator, which
    /// distinguish a leak from fragmentation. They are used for three minutes: call this at least
    /// once a minute.
    pub fn declare_allocated_bytes(&self, component: Component, bytes: u64) {
        lock(&self.shared.tracker).declare_allocated_bytes(component, bytes);
    }

    /// A meeting begins, or another activity that should leave nothing behind. The memory of each
    /// component between meetings is compared. Meetings may overlap.
    pub fn meeting_began(&self) {
        lock(&self.shared.tracker).meeting_began();
    }

    /// A meeting has ended.
    pub fn meeting_ended(&self) {
        lock(&self.shared.tracker).meeting_ended();
    }

    /// Sets the models that a component has loaded, in place of those before; at most
    /// [`MODELS_MAX`](crate::model::MODELS_MAX).
    pub fn report_models(&self, component: Component, models: impl IntoIterator<Item = Model>) {
        lock(&self.shared.tracker).report_models(component, models);
    }

    /// Records an action against an alert, in a few words such as "unloaded llama3.2:3b". Its
    /// notices mention it until the alert ends. Returns whether the alert is open or pending.
    pub fn record_action(&self, key: Key, action: &str) -> bool {
        lock(&self.shared.tracker).record_action(key, action)
    }

    /// Attributes a process, and every process that it starts from now on, to a component.
    ///
    /// # Errors
    ///
    /// [`TooManyHandedOver`]: hand over the parents of these processes instead.
    pub fn hand_over(&self, id: ProcessId, component: Component) -> Result<(), TooManyHandedOver> {
        lock(&self.shared.sampling)
            .sampler
            .membership()
            .hand_over(id, component)
    }

    /// Reads a pipeline's gauges from now on, as long as the pipeline keeps the registry or one of
    /// its gauges. A registry that is registered twice is read once.
    ///
    /// # Errors
    ///
    /// [`TooManyPublishers`]: let pipelines share a registry.
    pub fn register(&self, gauges: &Gauges) -> Result<(), TooManyPublishers> {
        lock(&self.shared.sampling).sampler.register(gauges)
    }

    /// Returns the registries of gauges that are read, each with its place, which it keeps.
    #[cfg(feature = "dashboard")]
    pub(crate) fn publishers(&self) -> Vec<(usize, Gauges)> {
        lock(&self.shared.sampling).sampler.publishers()
    }

    /// Records that the user has seen an alert: it is neither repeated nor sent again until it
    /// becomes worse. Returns whether it was open.
    pub fn acknowledge(&self, key: Key) -> bool {
        self.shared.delivery.acknowledge_alert(key);
        lock(&self.shared.tracker).acknowledge(key)
    }

    /// Records that a notice was received through no channel.
    pub fn received(&self, notice_id: u64) {
        self.shared.delivery.acknowledge(notice_id);
    }

    /// Sends a notice of the host's own through the channels.
    pub fn notify(&self, notice: Notice) {
        self.shared.delivery.submit(notice);
    }

    /// Returns the pressure as of the last sample.
    #[must_use]
    pub fn level(&self) -> Level {
        self.with(|tracker| tracker.pressure().level())
    }

    /// Returns how many samples were taken.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        lock(&self.shared.pace).ticks
    }

    /// Calls `f` with the state of the app as of the last sample. Samples wait until it returns.
    pub fn with<T>(&self, f: impl FnOnce(&Tracker) -> T) -> T {
        f(&lock(&self.shared.tracker))
    }

    /// Takes a sample now.
    pub fn tick(&self) {
        self.shared.tick();
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop_continuous_monitoring();
    }
}
