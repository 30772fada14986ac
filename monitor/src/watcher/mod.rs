//! What is known of the app from all samples so far. Pure: it is given samples and returns the notices that are due.

mod conditions;

use serde::Serialize;

use crate::alert::{Alert, Alerts, Key, Notice, Timing};
use crate::component::Component;
use crate::leak::{self, Finding};
use crate::model::{MODELS_MAX, Model};
use crate::pressure::Pressure;
use crate::reader::ProcessId;
use crate::sample::Sample;
use crate::series::Series;
use crate::trend::{self, Trend};

/// How long a trend is good for: it looks at 5-minute steps.
const TREND_MS: u64 = 30_000;

/// Components.
const COMPONENTS: usize = Component::ALL.len();

/// Rate of a leak that is worth finding, in MB (1,000,000 bytes) per hour.
pub const LEAK_TARGET_MB_PER_HOUR: f64 = 10.0;

/// What a meeting must leave behind to be worth finding, in MB (1,000,000 bytes).
pub const MEETING_TARGET_MB: f64 = 20.0;

/// How long a component's word on what it has allocated is good for.
const ALLOCATED_MS_MAX: u64 = 180_000;

/// Series, pressure, leak verdicts and alerts of the app.
///
/// # Memory
///
/// 1.5 MB, most of it allocated at the start.
#[derive(Debug)]
pub struct Watcher {
    series: [Series; COMPONENTS],
    total: Series,
    available: Series,
    pressure: Pressure,
    leaks: [leak::Watch; COMPONENTS],
    meetings: [leak::Meetings; COMPONENTS],
    /// Meetings that run now.
    meetings_open: u32,
    roots: [Option<ProcessId>; COMPONENTS],
    declared_bytes: [u64; COMPONENTS],
    /// With the time of the sample before it was said.
    allocated: [Option<(u64, u64)>; COMPONENTS],
    limits_bytes: [Option<u64>; COMPONENTS],
    models: [Vec<Model>; COMPONENTS],
    trends: [Trend; COMPONENTS],
    trends_ms: Option<u64>,
    alerts: Alerts,
    measures_faster: bool,
    last: Sample,
}

/// What is known of one component.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ComponentView {
    /// Which.
    pub component: Component,
    /// Private bytes now.
    pub current_bytes: u64,
    /// Most private bytes ever.
    pub peak_bytes: u64,
    /// Mean of the last two hours.
    pub average_bytes: u64,
    /// Direction of the last hour.
    pub trend: Trend,
    /// Whether it leaks.
    pub leak: Finding,
    /// Whether meetings leave memory behind in it.
    pub meeting_leak: Finding,
    /// Its own limit.
    pub limit_bytes: Option<u64>,
    /// Bytes that it is known to need: what its models and its pipelines say they hold, or what its allocator says is in
    /// use, whichever is more. `None`: nothing of it says so.
    pub needed_bytes: Option<u64>,
}

impl Watcher {
    /// Starts without a sample. `first_notice` is the number of the first notice.
    #[must_use]
    pub fn new(timing: Timing, first_notice: u64) -> Self {
        Self {
            series: std::array::from_fn(|_| Series::new()),
            total: Series::new(),
            available: Series::new(),
            pressure: Pressure::new(),
            leaks: std::array::from_fn(|_| leak::Watch::new(LEAK_TARGET_MB_PER_HOUR)),
            meetings: std::array::from_fn(|_| leak::Meetings::new(MEETING_TARGET_MB)),
            meetings_open: 0,
            roots: [None; COMPONENTS],
            declared_bytes: [0; COMPONENTS],
            allocated: [None; COMPONENTS],
            limits_bytes: [None; COMPONENTS],
            models: std::array::from_fn(|_| Vec::new()),
            trends: [Trend::Stable; COMPONENTS],
            trends_ms: None,
            alerts: Alerts::new(timing, first_notice),
            measures_faster: false,
            last: Sample::default(),
        }
    }

    /// Takes a sample and returns the notices that are due.
    pub fn observe(&mut self, sample: Sample) -> Vec<Notice> {
        let now_ms = sample.at.steady_ms;
        self.fill_series(&sample);
        self.pressure.update(&sample);
        for component in Component::ALL {
            self.follow_leak(component, &sample);
        }
        if self
            .trends_ms
            .is_none_or(|then| now_ms.saturating_sub(then) >= TREND_MS)
        {
            self.trends_ms = Some(now_ms);
            self.trends = std::array::from_fn(|at| trend::of(&self.series[at], now_ms));
        }
        self.last = sample;
        let conditions = conditions::of(self);
        self.alerts.update(conditions, now_ms, self.last.at.unix_ms)
    }

    /// Takes a sample of the past, for the series alone.
    pub fn recall(&mut self, sample: &Sample) {
        self.fill_series(sample);
    }

    /// Starts the leak verdicts of a component anew: it has loaded or unloaded something large on purpose.
    pub fn event(&mut self, component: Component) {
        self.leaks[component.index()].event();
        self.meetings[component.index()].event();
    }

    /// A meeting begins, or whatever else the app does that should leave nothing behind. Meetings may overlap.
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

    /// Sets what a component says its caches hold: growth of a declared cache is no leak.
    pub fn declare_cache_bytes(&mut self, component: Component, bytes: u64) {
        self.declared_bytes[component.index()] = bytes;
    }

    /// Sets what a component's allocator says that the program has allocated, which tells a leak from fragmentation. Good
    /// for three minutes: say it at least once a minute.
    pub fn declare_allocated_bytes(&mut self, component: Component, bytes: u64) {
        self.allocated[component.index()] = Some((bytes, self.last.at.steady_ms));
    }

    /// Sets whether samples are taken more often while the pressure is High, which its alert then says.
    pub fn set_measures_faster(&mut self, faster: bool) {
        self.measures_faster = faster;
    }

    /// Sets a component's own limit.
    pub fn set_limit_bytes(&mut self, component: Component, limit_bytes: Option<u64>) {
        self.limits_bytes[component.index()] = limit_bytes;
    }

    /// Sets which models a component has loaded, instead of those that it said before. More than [`MODELS_MAX`] are left
    /// out.
    pub fn report_models(&mut self, component: Component, models: impl IntoIterator<Item = Model>) {
        let kept = &mut self.models[component.index()];
        kept.clear();
        kept.extend(models.into_iter().take(MODELS_MAX));
    }

    /// Returns the models that a component has loaded, as it says.
    #[must_use]
    pub fn models(&self, component: Component) -> &[Model] {
        &self.models[component.index()]
    }

    /// Returns the pressure, to set its thresholds and the budget.
    pub fn pressure_mut(&mut self) -> &mut Pressure {
        &mut self.pressure
    }

    /// Returns the pressure.
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
    #[must_use]
    pub fn series(&self, component: Component) -> &Series {
        &self.series[component.index()]
    }

    /// Returns the series of the app's total.
    #[must_use]
    pub fn total(&self) -> &Series {
        &self.total
    }

    /// Returns the series of available memory.
    #[must_use]
    pub fn available(&self) -> &Series {
        &self.available
    }

    /// Returns the alerts that are open, the worst first.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.alerts.open()
    }

    /// Notes that the user has seen an alert. Returns whether it was open.
    pub fn acknowledge(&mut self, key: Key) -> bool {
        self.alerts.acknowledge(key)
    }

    /// Notes what was done about an alert that is open or about to be, in a few words; it is told with the alert. Returns
    /// whether there is such an alert.
    pub fn acted(&mut self, key: Key, what: &str) -> bool {
        self.alerts.acted(key, what)
    }

    /// Returns what is known of a component.
    #[must_use]
    pub fn component(&self, component: Component) -> ComponentView {
        let (at, now_ms) = (component.index(), self.last.at.steady_ms);
        ComponentView {
            component,
            current_bytes: self.last.parts[at].private_bytes,
            peak_bytes: self.series[at].peak_bytes(),
            average_bytes: self.series[at].average_bytes(crate::series::Span::TwoHours, now_ms),
            trend: self.trends[at],
            leak: self.leaks[at].finding().clone(),
            meeting_leak: self.meetings[at].finding().clone(),
            limit_bytes: self.limits_bytes[at],
            needed_bytes: self.needed_bytes(component),
        }
    }

    fn fill_series(&mut self, sample: &Sample) {
        let now_ms = sample.at.steady_ms;
        for (series, part) in self.series.iter_mut().zip(&sample.parts) {
            series.push(now_ms, part.private_bytes);
        }
        self.total.push(now_ms, sample.total_bytes);
        if let Some(bytes) = sample.available_bytes() {
            self.available.push(now_ms, bytes);
        }
    }

    fn follow_leak(&mut self, component: Component, sample: &Sample) {
        let at = component.index();
        let part = &sample.parts[at];
        if part.oldest != self.roots[at] {
            self.roots[at] = part.oldest;
            self.event(component);
            // Another process has another allocator.
            self.allocated[at] = None;
        }
        let now_ms = sample.at.steady_ms;
        let bytes = part.private_bytes.saturating_sub(self.declared_bytes[at]);
        self.leaks[at].push(now_ms, bytes, self.allocated_bytes(component, now_ms));
        self.meetings[at].push(bytes);
    }

    /// What the component has allocated, as far as it says so.
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
