//! The state of the app after all samples so far. Pure: it takes samples and returns the notices
//! that are due.

mod conditions;
mod view;

use crate::alert::{Alert, Alerts, Key, Notice, Timing};
use crate::capacity::{Capacity, Settings, Thresholds};
use crate::component::Component;
use crate::leak;
use crate::model::{MODELS_MAX, Model};
use crate::pressure::Pressure;
use crate::reader::ProcessId;
use crate::sample::Sample;
use crate::series::{Series, Span};
use crate::trend::{self, Trend};

use conditions::{LEAK_TARGET_MB_PER_HOUR, MEETING_TARGET_MB};
use view::AppView;
pub use view::ComponentView;

/// How long a computed trend is used: it looks at 5-minute steps.
const TREND_MS: u64 = 30_000;

const COMPONENTS: usize = Component::ALL.len();

/// How long a component's declared allocations are used.
const ALLOCATED_MS_MAX: u64 = 180_000;

/// Series, pressure, leak verdicts and alerts of the app.
///
/// # Memory
///
/// 1.5 MB, most of it allocated at the start.
#[derive(Debug)]
pub struct Tracker {
    series: [Series; COMPONENTS],
    total: Series,
    available: Series,
    settings: Settings,
    capacity: Capacity,
    pressure: Pressure,
    leaks: [leak::Detector; COMPONENTS],
    meetings: [leak::Meetings; COMPONENTS],
    /// Meetings that run now.
    meetings_open: u32,
    roots: [Option<ProcessId>; COMPONENTS],
    cache_bytes: [u64; COMPONENTS],
    /// With the time of the sample before the declaration.
    allocated: [Option<(u64, u64)>; COMPONENTS],
    limits_bytes: [Option<u64>; COMPONENTS],
    models: [Vec<Model>; COMPONENTS],
    trends: [Trend; COMPONENTS],
    trends_ms: Option<u64>,
    alerts: Alerts,
    samples_faster: bool,
    last: Sample,
}

impl Tracker {
    /// Starts without a sample: everything is unknown. `first_notice` is the number of the first
    /// notice.
    #[must_use]
    pub fn new(timing: Timing, first_notice: u64) -> Self {
        let last = Sample::none();
        Self {
            series: std::array::from_fn(|_| Series::new()),
            total: Series::new(),
            available: Series::new(),
            settings: Settings::default(),
            capacity: Capacity::new(&last.machine, &last.cgroup, Settings::default()),
            pressure: Pressure::new(),
            leaks: std::array::from_fn(|_| leak::Detector::new(LEAK_TARGET_MB_PER_HOUR)),
            meetings: std::array::from_fn(|_| leak::Meetings::new(MEETING_TARGET_MB)),
            meetings_open: 0,
            roots: [None; COMPONENTS],
            cache_bytes: [0; COMPONENTS],
            allocated: [None; COMPONENTS],
            limits_bytes: [None; COMPONENTS],
            models: std::array::from_fn(|_| Vec::new()),
            trends: [Trend::Unknown; COMPONENTS],
            trends_ms: None,
            alerts: Alerts::new(timing, first_notice),
            samples_faster: false,
            last,
        }
    }

    /// Takes a sample and returns the notices that are due.
    pub fn observe(&mut self, sample: Sample) -> Vec<Notice> {
        let now_ms = sample.at.steady_ms;
        self.fill_series(&sample);
        self.pressure.update(&sample, &self.capacity);
        for component in Component::ALL {
            self.follow_leak(component, &sample);
        }
        let age_ms = |then: u64| now_ms.saturating_sub(then);
        if self.trends_ms.is_none_or(|then| age_ms(then) >= TREND_MS) {
            self.trends_ms = Some(now_ms);
            self.trends = std::array::from_fn(|at| trend::of(&self.series[at], now_ms));
        }
        self.last = sample;
        let conditions = conditions::of(&AppView {
            capacity: &self.capacity,
            pressure: &self.pressure,
            total_bytes: self.last.total_bytes(),
            samples_faster: self.samples_faster,
            components: Component::ALL.map(|component| self.component(component)),
        });
        self.alerts.update(conditions, now_ms, self.last.at.unix_ms)
    }

    /// Takes a sample of the past, for the series alone.
    pub(crate) fn backfill(&mut self, sample: &Sample) {
        self.fill_series(sample);
    }

    /// Starts the leak verdicts of a component from scratch: it has loaded or unloaded something
    /// large on purpose.
    pub fn reset_leak_verdicts(&mut self, component: Component) {
        self.leaks[component.index()].reset();
        self.meetings[component.index()].reset();
    }

    /// A meeting begins, or another activity that should leave nothing behind. Meetings may
    /// overlap.
    pub fn meeting_began(&mut self) {
        self.meetings_open = self.meetings_open.saturating_add(1);
        if self.meetings_open == 1 {
            self.meetings.iter_mut().for_each(leak::Meetings::began);
        }
    }

    /// A meeting has ended.
    pub fn meeting_ended(&mut self) {
        if self.meetings_open == 1 {
            self.meetings.iter_mut().for_each(leak::Meetings::ended);
        }
        self.meetings_open = self.meetings_open.saturating_sub(1);
    }

    /// Sets the bytes in a component's caches: growth of a declared cache is no leak.
    pub fn declare_cache_bytes(&mut self, component: Component, bytes: u64) {
        self.cache_bytes[component.index()] = bytes;
    }

    /// Sets the bytes that a component's program has allocated according to its allocator, which
    /// distinguish a leak from fragmentation. They are used for three minutes.
    pub fn declare_allocated_bytes(&mut self, component: Component, bytes: u64) {
        self.allocated[component.index()] = Some((bytes, self.last.at.steady_ms));
    }

    /// Sets whether samples are taken more often while the pressure is High, which its alert
    /// mentions.
    pub fn set_samples_faster(&mut self, faster: bool) {
        self.samples_faster = faster;
    }

    /// Sets the available memory below which the pressure levels begin. `None`: by the size of the
    /// machine. Effective with the next sample.
    pub(crate) fn set_thresholds(&mut self, thresholds: Option<Thresholds>) {
        self.settings.thresholds = thresholds;
    }

    /// Sets what the app may use in all. `None` and 0: as much as there is. Effective with the next
    /// sample.
    pub fn set_budget_bytes(&mut self, budget_bytes: Option<u64>) {
        self.settings.budget_bytes = budget_bytes;
    }

    /// Sets a component's own limit.
    pub fn set_limit_bytes(&mut self, component: Component, limit_bytes: Option<u64>) {
        self.limits_bytes[component.index()] = limit_bytes;
    }

    /// Sets the models that a component has loaded, in place of those before. Models beyond
    /// [`MODELS_MAX`] are left out.
    pub fn report_models(&mut self, component: Component, models: impl IntoIterator<Item = Model>) {
        let kept = &mut self.models[component.index()];
        kept.clear();
        kept.extend(models.into_iter().take(MODELS_MAX));
    }

    /// Returns the models that a component has loaded, by its own account.
    #[must_use]
    pub fn models(&self, component: Component) -> &[Model] {
        &self.models[component.index()]
    }

    /// Returns the capacity as of the last sample.
    #[must_use]
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// Returns the pressure as of the last sample.
    #[must_use]
    pub fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// Returns the last sample.
    #[must_use]
    pub fn last(&self) -> &Sample {
        &self.last
    }

    /// Returns the series of a component.
    pub(crate) fn series(&self, component: Component) -> &Series {
        &self.series[component.index()]
    }

    /// Returns the series of the app's total.
    #[must_use]
    pub fn total(&self) -> &Series {
        &self.total
    }

    /// Returns the series of available memory.
    pub(crate) fn available(&self) -> &Series {
        &self.available
    }

    /// Returns the alerts that are open, the worst first.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.alerts.open()
    }

    /// Records that the user has seen an alert. Returns whether it was open.
    pub(crate) fn acknowledge(&mut self, key: Key) -> bool {
        self.alerts.acknowledge(key)
    }

    /// Records an action against an alert that is open or pending, in a few words; its notices
    /// mention it. Returns whether there is such an alert.
    pub fn record_action(&mut self, key: Key, action: &str) -> bool {
        self.alerts.record_action(key, action)
    }

    /// Returns the state of a component.
    #[must_use]
    pub fn component(&self, component: Component) -> ComponentView {
        let (at, now_ms) = (component.index(), self.last.at.steady_ms);
        ComponentView {
            component,
            current_bytes: self.last.parts[at].private_bytes.clone(),
            peak_bytes: self.series[at].peak_bytes(),
            average_bytes: self.series[at].average_bytes(Span::TwoHours, now_ms),
            trend: self.trends[at],
            leak: self.leaks[at].finding().clone(),
            meeting_leak: self.meetings[at].finding().clone(),
            limit_bytes: self.limits_bytes[at],
            needed_bytes: self.needed_bytes(component),
        }
    }

    /// Fills the series with the figures that are known, and computes the capacity.
    fn fill_series(&mut self, sample: &Sample) {
        let now_ms = sample.at.steady_ms;
        self.capacity = Capacity::new(&sample.machine, &sample.cgroup, self.settings);
        for (series, part) in self.series.iter_mut().zip(&sample.parts) {
            if let Some(bytes) = part.private_bytes.get() {
                series.push(now_ms, bytes);
            }
        }
        if let Some(bytes) = sample.total_bytes().get() {
            self.total.push(now_ms, bytes);
        }
        if let Some(bytes) = self.capacity.available_bytes.get() {
            self.available.push(now_ms, bytes);
        }
    }

    fn follow_leak(&mut self, component: Component, sample: &Sample) {
        let at = component.index();
        let part = &sample.parts[at];
        // A blind reading is no value, and a process that cannot be seen is no restart.
        let Some(private_bytes) = part.private_bytes.get() else {
            return;
        };
        if part.oldest != self.roots[at] {
            self.roots[at] = part.oldest;
            self.reset_leak_verdicts(component);
            // Another process has another allocator.
            self.allocated[at] = None;
        }
        let now_ms = sample.at.steady_ms;
        let bytes = private_bytes.saturating_sub(self.cache_bytes[at]);
        self.leaks[at].push(now_ms, bytes, self.allocated_bytes(component, now_ms));
        self.meetings[at].push(bytes);
    }

    /// Bytes that the component has allocated, if it has declared them lately.
    fn allocated_bytes(&self, component: Component, now_ms: u64) -> Option<u64> {
        self.allocated[component.index()]
            .filter(|(_, then)| now_ms.saturating_sub(*then) <= ALLOCATED_MS_MAX)
            .map(|(bytes, _)| bytes)
    }

    fn needed_bytes(&self, component: Component) -> Option<u64> {
        let models = self
            .models(component)
            .iter()
            .filter_map(|model| model.ram_bytes);
        let models = models.reduce(u64::saturating_add);
        let held = self.last.part(component).held_bytes;
        let allocated = self.allocated_bytes(component, self.last.at.steady_ms);
        [models, held, allocated].into_iter().flatten().max()
    }
}
