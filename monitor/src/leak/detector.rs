//! The leak verdict of one component, followed over a day.

use std::collections::VecDeque;

use super::cause::cause;
use super::finding::{Finding, Verdict};
use super::floor::{GUARD_MINUTES, SKIP_MINUTES, WINDOW_MINUTES, floor};
use super::judge::judge;

/// The allocator's figures are used if at most one minute in this many lacks one.
const UNKNOWN_PART_MAX: usize = 10;

#[derive(Clone, Copy, Debug)]
struct Minute {
    least_mb: f32,
    /// Bytes that the program itself has allocated; not a number where it does not report them.
    allocated_mb: f32,
}

/// Follows one component and judges it every hour; a verdict needs two positive hours in a row.
///
/// # Memory
///
/// 12 KB, and three buffers of 12 KB while it judges.
#[derive(Clone, Debug)]
pub struct Detector {
    target_mb_per_hour: f64,
    minutes: VecDeque<Minute>,
    minute: u64,
    judged_minute: u64,
    previous: Verdict,
    finding: Finding,
}

impl Detector {
    /// Follows a component. `target_mb_per_hour` is the rate worth finding.
    #[must_use]
    pub fn new(target_mb_per_hour: f64) -> Self {
        Self {
            target_mb_per_hour,
            minutes: VecDeque::with_capacity(WINDOW_MINUTES),
            minute: 0,
            judged_minute: 0,
            previous: Verdict::None,
            finding: judge(&[], target_mb_per_hour),
        }
    }

    /// Takes the bytes that the component holds now, less its declared cache, and the bytes that
    /// the program has allocated according to its allocator, where it reports them. Judges at each
    /// full hour. An unknown reading is left out.
    pub fn push(&mut self, steady_ms: u64, bytes: u64, allocated_bytes: Option<u64>) {
        let minute = steady_ms / 60_000;
        let now = Minute {
            least_mb: bytes as f32 / 1e6,
            allocated_mb: allocated_bytes.map_or(f32::NAN, |bytes| bytes as f32 / 1e6),
        };
        match self.minutes.back_mut() {
            Some(last) if minute <= self.minute => {
                last.least_mb = last.least_mb.min(now.least_mb);
                // The minimum of a number and NaN is the number.
                last.allocated_mb = last.allocated_mb.min(now.allocated_mb);
            }
            // A gap neither grows nor shrinks, so its minutes repeat the one before.
            Some(last) => {
                let (last, missing) = (*last, minute - self.minute - 1);
                (0..missing.min(WINDOW_MINUTES as u64)).for_each(|_| self.keep(last));
                self.keep(now);
            }
            None => {
                self.judged_minute = minute;
                self.keep(now);
            }
        }
        self.minute = self.minute.max(minute);
        if self.minute >= self.judged_minute + 60 {
            self.judged_minute = self.minute;
            self.judge();
        }
    }

    /// Starts from scratch: the component was restarted, or it loaded or unloaded something large
    /// on purpose.
    pub fn reset(&mut self) {
        *self = Self::new(self.target_mb_per_hour);
    }

    /// Returns the last finding.
    #[must_use]
    pub fn finding(&self) -> &Finding {
        &self.finding
    }

    fn keep(&mut self, minute: Minute) {
        if self.minutes.len() == WINDOW_MINUTES {
            self.minutes.pop_front();
        }
        self.minutes.push_back(minute);
    }

    fn judge(&mut self) {
        let least: Vec<f64> = self.minutes.iter().map(|m| f64::from(m.least_mb)).collect();
        let mut finding = judge(&least, self.target_mb_per_hour);
        let now = finding.verdict;
        finding.verdict = now.min(self.previous);
        self.previous = now;
        if finding.verdict > Verdict::None
            && let Some(grown_mb) = self.allocated_grown_mb()
        {
            finding.cause = Some(cause(finding.grown_mb, grown_mb));
            let allocated = format!("; its allocations grew by {grown_mb:.0} MB");
            finding.evidence.push_str(&allocated);
        }
        self.finding = finding;
    }

    /// Growth of the floor of the allocated bytes over the judged minutes; `None`: too many of them
    /// are unknown.
    fn allocated_grown_mb(&self) -> Option<f64> {
        let allocated: Vec<f64> = self
            .minutes
            .iter()
            .map(|m| f64::from(m.allocated_mb))
            .collect();
        let judged = allocated.get(SKIP_MINUTES..allocated.len().checked_sub(GUARD_MINUTES)?)?;
        let unknown = judged.iter().filter(|mb| !mb.is_finite()).count();
        if unknown * UNKNOWN_PART_MAX > judged.len() {
            return None;
        }
        let floor = floor(&allocated)?;
        Some(floor[floor.len() - 1] - floor[0])
    }
}
