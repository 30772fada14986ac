//! The monitor: samples in the background, and answers.

mod run;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::alert::channel::Channel;
use crate::alert::journal::{Journal, JournalError};
use crate::alert::{Delivery, Key, Notice, Timing};
use crate::component::Component;
use crate::gauge::{Gauges, Unit};
use crate::history::{self, History, HistoryError};
use crate::membership::{Membership, Rules, TooManyHanded};
use crate::model::Model;
use crate::pressure::{Level, Thresholds};
use crate::reader::{ProcessId, ReadError, System};
use crate::report::{ComponentMemoryUsage, MemoryAnalysisReport, MemoryMetrics, MemoryUsageReport};
use crate::sample::{Sampler, TooManyPublishers};
use crate::watcher::Watcher;

use run::{Background, Pace, Sampling, Shared, lock, recall};

/// Shortest interval: what the finest series can show.
pub const INTERVAL_MS_MIN: u64 = 100;

/// Interval while the pressure is High or Critical, if the set one is longer.
const INTERVAL_HIGH: Duration = Duration::from_secs(1);

/// Least time between two records of the history.
const RECORD_MS: u64 = 10_000;

/// The steady clock starts here, so that a week of history lies before it.
const STEADY_START_MS: u64 = 8 * 24 * 3_600_000;

/// Bytes of the series and buffers, which the monitor attributes to itself.
const OWN_BYTES: u64 = 1_600_000;

/// How a monitor works. Every field has a default.
#[derive(Debug)]
#[non_exhaustive]
pub struct Options {
    /// The system that is read.
    pub system: System,
    /// First process of the app; `None`: this one.
    pub app: Option<ProcessId>,
    /// By what else than descent processes are known.
    pub rules: Rules,
    /// What the app may use in all.
    pub budget_bytes: Option<u64>,
    /// File of the critical alerts; `None`: they do not outlive the program.
    pub journal: Option<PathBuf>,
    /// File of the history; `None`: none is kept.
    pub history: Option<PathBuf>,
    /// Who is told of alerts.
    pub channels: Vec<Box<dyn Channel>>,
    /// How long alerts wait.
    pub timing: Timing,
}

impl std::fmt::Debug for dyn Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            system: System::host(),
            app: None,
            rules: Rules::default(),
            budget_bytes: None,
            journal: None,
            history: None,
            channels: vec![Box::new(crate::alert::channel::Log::default())],
            timing: Timing::default(),
        }
    }
}

/// Why a monitor cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// This process cannot be identified, so nothing could be attributed.
    #[error("cannot identify this process")]
    Own(#[source] ReadError),
    /// The journal of critical alerts: name another path, or none.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The history: name another path, or none.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// Measures the app and tells who must know.
///
/// Clones of the handle are not needed: share it in an [`Arc`]. Dropping it stops the background thread.
#[derive(Debug)]
pub struct Monitor {
    shared: Arc<Shared>,
    background: Mutex<Option<Background>>,
}

impl Monitor {
    /// Makes a monitor that samples on demand; [`Monitor::start_continuous_monitoring`] lets it run.
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
    /// let parts: u64 = usage.component_breakdown.iter().map(|c| c.current_usage).sum();
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
        let _ = sampler.watch(gauges);
        let journal = options.journal.as_deref().map(Journal::open).transpose()?;
        let first_notice = journal
            .iter()
            .flat_map(|j| j.unacknowledged())
            .map(|notice| notice.id + 1)
            .max()
            .unwrap_or(1);
        let mut watcher = Watcher::new(options.timing, first_notice);
        watcher
            .pressure_mut()
            .set_budget_bytes(options.budget_bytes);
        let history = options.history.as_deref().map(History::open).transpose()?;
        if let Some(path) = &options.history {
            recall(&mut watcher, history::read(path)?);
        }
        let delivery = Delivery::start(options.channels, journal).map_err(StartError::Thread)?;
        let shared = Shared {
            started: Instant::now(),
            sampling: Mutex::new(Sampling {
                sampler,
                history,
                recorded_ms: None,
            }),
            watcher: Mutex::new(watcher),
            delivery,
            pace: Mutex::new(Pace::default()),
            wake: Condvar::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            background: Mutex::new(None),
        })
    }

    /// Samples now and returns the app's memory.
    #[must_use]
    pub fn get_current_usage(&self) -> MemoryUsageReport {
        self.tick();
        self.with(MemoryUsageReport::new)
    }

    /// Samples now and returns the app's memory with the proportional shares of all its processes, which takes 12 ms per GiB
    /// of them and holds a lock of each meanwhile. Other samples bring shares along, one process at a time.
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
        self.with(|watcher| ComponentMemoryUsage::new(watcher, component))
    }

    /// Samples now and returns the app's memory as one flat record.
    #[must_use]
    pub fn get_metrics(&self) -> MemoryMetrics {
        self.tick();
        self.with(MemoryMetrics::new)
    }

    /// Returns everything known as of the last sample, or of now where there is none yet.
    #[must_use]
    pub fn generate_memory_report(&self) -> MemoryAnalysisReport {
        if self.ticks() == 0 {
            self.tick();
        }
        self.with(MemoryAnalysisReport::new)
    }

    /// Samples in the background from now on, every `interval` (at least [`INTERVAL_MS_MIN`]), every second while the
    /// pressure is High, and on Linux at once when the kernel says that tasks wait for memory. Called again, it changes the interval at once.
    ///
    /// # Errors
    ///
    /// An [`std::io::Error`] where the thread cannot be started.
    pub fn start_continuous_monitoring(&self, interval: Duration) -> std::io::Result<()> {
        let interval = interval.max(Duration::from_millis(INTERVAL_MS_MIN));
        lock(&self.shared.watcher).set_measures_faster(interval > INTERVAL_HIGH);
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
        lock(&self.shared.watcher).set_measures_faster(false);
        if let Some(background) = lock(&self.background).take() {
            background.join();
        }
    }

    /// Takes the next sample in the background now, without waiting for it: something has happened.
    pub fn sample_soon(&self) {
        self.shared.sample_soon();
    }

    /// Sets below how much available memory the levels begin; `None`: by the size of the machine. Effective with the
    /// next sample.
    pub fn set_memory_thresholds(&self, thresholds: Option<Thresholds>) {
        lock(&self.shared.watcher)
            .pressure_mut()
            .set_thresholds(thresholds);
    }

    /// Sets what the app may use in all.
    pub fn set_budget_bytes(&self, budget_bytes: Option<u64>) {
        lock(&self.shared.watcher)
            .pressure_mut()
            .set_budget_bytes(budget_bytes);
    }

    /// Sets what a component may use.
    pub fn set_limit_bytes(&self, component: Component, limit_bytes: Option<u64>) {
        lock(&self.shared.watcher).set_limit_bytes(component, limit_bytes);
    }

    /// Starts a component's leak verdicts anew: it has loaded or unloaded something large on purpose.
    pub fn event(&self, component: Component) {
        lock(&self.shared.watcher).event(component);
    }

    /// Sets what a component says its caches hold: growth of a declared cache is no leak.
    pub fn declare_cache_bytes(&self, component: Component, bytes: u64) {
        lock(&self.shared.watcher).declare_cache_bytes(component, bytes);
    }

    /// Sets what a component's allocator says that the program has allocated, which tells a leak from fragmentation. Good
    /// for three minutes: say it at least once a minute.
    pub fn declare_allocated_bytes(&self, component: Component, bytes: u64) {
        lock(&self.shared.watcher).declare_allocated_bytes(component, bytes);
    }

    /// A meeting begins, or whatever else the app does that should leave nothing behind. What each component
    /// holds between meetings is compared. Meetings may overlap.
    pub fn meeting_began(&self) {
        lock(&self.shared.watcher).meeting_began();
    }

    /// A meeting has ended.
    pub fn meeting_ended(&self) {
        lock(&self.shared.watcher).meeting_ended();
    }

    /// Sets which models a component has loaded, instead of those that it said before; at most
    /// [`MODELS_MAX`](crate::model::MODELS_MAX).
    pub fn report_models(&self, component: Component, models: impl IntoIterator<Item = Model>) {
        lock(&self.shared.watcher).report_models(component, models);
    }

    /// Notes what was done about an alert, in a few words such as "unloaded llama3.2:3b". It is told with the alert until
    /// that ends. Returns whether the alert is open or about to be.
    pub fn acted(&self, key: Key, what: &str) -> bool {
        lock(&self.shared.watcher).acted(key, what)
    }

    /// Takes a process, and what it starts from now on, as part of a component.
    ///
    /// # Errors
    ///
    /// [`TooManyHanded`]: take back one that has ended.
    pub fn hand_over(&self, id: ProcessId, component: Component) -> Result<(), TooManyHanded> {
        lock(&self.shared.sampling)
            .sampler
            .membership()
            .hand_over(id, component)
    }

    /// Reads a pipeline's gauges from now on.
    ///
    /// # Errors
    ///
    /// [`TooManyPublishers`]: let pipelines share a registry.
    pub fn watch(&self, gauges: Gauges) -> Result<(), TooManyPublishers> {
        lock(&self.shared.sampling).sampler.watch(gauges)
    }

    /// Returns the registries of gauges that are read.
    #[must_use]
    pub fn publishers(&self) -> Vec<Gauges> {
        lock(&self.shared.sampling).sampler.publishers().to_vec()
    }

    /// Notes that the user has seen an alert: it is neither repeated nor sent again until it becomes worse. Returns whether
    /// it was open.
    pub fn acknowledge(&self, key: Key) -> bool {
        self.shared.delivery.acknowledge_alert(key);
        lock(&self.shared.watcher).acknowledge(key)
    }

    /// Notes that somebody has received a notice by a way that is no channel.
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
        self.with(|watcher| watcher.pressure().level())
    }

    /// Returns how many samples were taken.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        lock(&self.shared.pace).ticks
    }

    /// Looks at everything known, without a sample. Samples wait until `f` returns.
    pub fn with<T>(&self, f: impl FnOnce(&Watcher) -> T) -> T {
        f(&lock(&self.shared.watcher))
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
