//! What is known of the app from all samples so far. Pure: it is given samples and returns the notices that are due.

use serde::Serialize;

use crate::alert::{Alert, Alerts, Condition, Facts, Key, Kind, Notice, Severity, Timing};
use crate::component::Component;
use crate::leak::{self, Finding, Verdict};
use crate::pressure::{DEAD_BAND, Level, Pressure};
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
    roots: [Option<ProcessId>; COMPONENTS],
    declared_bytes: [u64; COMPONENTS],
    limits_bytes: [Option<u64>; COMPONENTS],
    trends: [Trend; COMPONENTS],
    trends_ms: Option<u64>,
    alerts: Alerts,
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
    /// Its own limit.
    pub limit_bytes: Option<u64>,
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
            roots: [None; COMPONENTS],
            declared_bytes: [0; COMPONENTS],
            limits_bytes: [None; COMPONENTS],
            trends: [Trend::Stable; COMPONENTS],
            trends_ms: None,
            alerts: Alerts::new(timing, first_notice),
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
        let conditions = self.conditions();
        self.alerts.update(conditions, now_ms, self.last.at.unix_ms)
    }

    /// Takes a sample of the past, for the series alone.
    pub fn recall(&mut self, sample: &Sample) {
        self.fill_series(sample);
    }

    /// Starts the leak verdict of a component anew: it has loaded or unloaded something large on purpose.
    pub fn event(&mut self, component: Component) {
        self.leaks[component.index()].event();
    }

    /// Sets what a component says its caches hold: growth of a declared cache is no leak.
    pub fn declare_cache_bytes(&mut self, component: Component, bytes: u64) {
        self.declared_bytes[component.index()] = bytes;
    }

    /// Sets a component's own limit.
    pub fn set_limit_bytes(&mut self, component: Component, limit_bytes: Option<u64>) {
        self.limits_bytes[component.index()] = limit_bytes;
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
            limit_bytes: self.limits_bytes[at],
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
            self.leaks[at].event();
        }
        let bytes = part.private_bytes.saturating_sub(self.declared_bytes[at]);
        self.leaks[at].push(sample.at.steady_ms, bytes);
    }

    fn conditions(&self) -> Vec<Condition> {
        let mut conditions = vec![self.pressure_condition(), self.blind_condition()];
        for component in Component::ALL {
            let view = self.component(component);
            conditions.push(limit_condition(&view));
            conditions.push(growing_condition(&view));
            conditions.push(self.leak_condition(&view));
        }
        conditions
    }

    fn pressure_condition(&self) -> Condition {
        let level = self.pressure.level();
        let raised = match level {
            Level::Low => None,
            Level::Medium => Some(Severity::Info),
            Level::High => Some(Severity::Warning),
            Level::Critical => Some(Severity::Critical),
        };
        let reason = match self.pressure.reason() {
            Some(vote) => format!("memory pressure is {}: {}", level.name(), vote.reason),
            None => format!("memory pressure is {}", level.name()),
        };
        let largest = self.largest();
        let advice = match level {
            Level::Low => String::new(),
            Level::Medium => format!("Close what you do not need; {largest} holds most"),
            Level::High => format!("Unload idle models or close programs; {largest} holds most"),
            Level::Critical => {
                format!("Save your work, then restart or reconfigure {largest}, which holds most")
            }
        };
        let thresholds = self.pressure.thresholds(&self.last);
        let threshold = thresholds.map_or(0, |t| match level {
            Level::Critical => t.critical_bytes,
            Level::High => t.high_bytes,
            Level::Medium | Level::Low => t.medium_bytes,
        });
        let value = self.last.available_bytes().unwrap_or(0) as f64;
        let facts = Facts {
            value,
            threshold: threshold as f64,
            reason,
            done: String::new(),
            advice,
        };
        Condition::new(
            Key::new(Kind::Pressure, None),
            raised,
            level == Level::Low,
            facts,
        )
    }

    fn blind_condition(&self) -> Condition {
        let blind = self.last.machine.is_none() && !self.last.reasons.is_empty();
        let facts = Facts {
            reason: match self.last.reasons.first() {
                Some(reason) if blind => format!("memory cannot be measured: {reason}"),
                _ => "memory can be measured".to_owned(),
            },
            advice: "Check that this user may read the system's memory figures".to_owned(),
            ..Facts::default()
        };
        let raised = blind.then_some(Severity::Warning);
        Condition::new(Key::new(Kind::Blind, None), raised, !blind, facts)
    }

    fn leak_condition(&self, view: &ComponentView) -> Condition {
        let raised = match view.leak.verdict {
            Verdict::None => None,
            Verdict::Suspected => Some(Severity::Info),
            Verdict::Confirmed => Some(Severity::Warning),
        };
        let rate = view.leak.rate_mb_per_hour.unwrap_or(0.0);
        let free_bytes = self
            .pressure
            .budget_bytes()
            .map(|budget| budget.saturating_sub(self.last.total_bytes))
            .or_else(|| self.last.available_bytes());
        let left = free_bytes.and_then(|free| view.leak.hours_left(free));
        let until = left.map_or_else(String::new, |h| format!(", enough for {h:.0} h"));
        let facts = Facts {
            value: rate,
            threshold: LEAK_TARGET_MB_PER_HOUR,
            reason: format!(
                "does not give memory back: {rate:.0} MB/h{until}; {}",
                view.leak.evidence
            ),
            done: String::new(),
            advice: format!(
                "Restart {} when it is idle, and report the figures",
                view.component
            ),
        };
        let clear = view.leak.verdict == Verdict::None;
        Condition::new(
            Key::new(Kind::Leak, Some(view.component)),
            raised,
            clear,
            facts,
        )
    }

    fn largest(&self) -> Component {
        let bytes = |c: &Component| self.last.part(*c).private_bytes;
        Component::ALL
            .into_iter()
            .max_by_key(bytes)
            .unwrap_or(Component::Unattributed)
    }
}

fn limit_condition(view: &ComponentView) -> Condition {
    let key = Key::new(Kind::Limit, Some(view.component));
    let Some(limit_bytes) = view.limit_bytes.filter(|l| *l > 0) else {
        return Condition::new(key, None, true, Facts::default());
    };
    let part = view.current_bytes as f64 / limit_bytes as f64;
    let raised = if part > 1.1 {
        Some(Severity::Critical)
    } else if part > 1.0 {
        Some(Severity::Warning)
    } else if part > 0.9 {
        Some(Severity::Info)
    } else {
        None
    };
    let (has, limit) = (view.current_bytes >> 20, limit_bytes >> 20);
    let facts = Facts {
        value: view.current_bytes as f64,
        threshold: limit_bytes as f64,
        reason: format!("holds {has} MiB, {:.0} % of its {limit} MiB", part * 100.0),
        done: String::new(),
        advice: format!("Restart {} or raise its limit", view.component),
    };
    Condition::new(key, raised, part < 0.9 / DEAD_BAND, facts)
}

fn growing_condition(view: &ComponentView) -> Condition {
    let growing = view.trend == Trend::Growing;
    let facts = Facts {
        value: view.current_bytes as f64,
        threshold: view.average_bytes as f64,
        reason: format!(
            "grew over the last hour to {} MiB",
            view.current_bytes >> 20
        ),
        done: String::new(),
        advice: "Watch whether it goes on; a leak verdict needs six hours".to_owned(),
    };
    let key = Key::new(Kind::Growing, Some(view.component));
    Condition::new(key, growing.then_some(Severity::Info), !growing, facts)
}
