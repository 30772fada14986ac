//! Memory that a component keeps from one meeting to the next.

use std::collections::VecDeque;

use super::finding::{Finding, Verdict};
use super::floor::retained;
use super::judge::{JUMP_PART_MAX, TARGET_PART};

/// Idle windows between meetings that a per-meeting verdict needs.
const IDLE_WINDOWS_MIN: usize = 6;

/// Most idle windows that are compared: a few days of meetings.
const WINDOWS_MAX: usize = 48;

/// Follows the memory of one component while no meeting runs. A meeting may be anything that begins
/// and ends and should leave nothing behind.
///
/// Memory before the first meeting does not count, because that meeting fills models and caches.
#[derive(Clone, Debug)]
pub struct Meetings {
    target_mb: f64,
    /// The least value of each idle window, oldest first.
    idle_mb: VecDeque<f64>,
    now: Now,
    finding: Finding,
}

#[derive(Clone, Copy, Debug)]
enum Now {
    /// In a meeting, or before the first.
    Busy,
    /// Between meetings; the least value so far.
    Idle(Option<f64>),
}

impl Meetings {
    /// Follows a component. A meeting that leaves `target_mb` behind, in MB (1,000,000 bytes), is
    /// worth finding.
    #[must_use]
    pub fn new(target_mb: f64) -> Self {
        Self {
            target_mb,
            idle_mb: VecDeque::with_capacity(WINDOWS_MAX),
            now: Now::Busy,
            finding: judge_meetings(&[], target_mb),
        }
    }

    /// A meeting begins: the memory since the last one is judged.
    pub fn began(&mut self) {
        if let Now::Idle(Some(least_mb)) = self.now {
            if self.idle_mb.len() == WINDOWS_MAX {
                self.idle_mb.pop_front();
            }
            self.idle_mb.push_back(least_mb);
            self.finding = judge_meetings(self.idle_mb.make_contiguous(), self.target_mb);
        }
        self.now = Now::Busy;
    }

    /// A meeting has ended.
    pub fn ended(&mut self) {
        self.now = Now::Idle(None);
    }

    /// Takes the bytes that the component holds now, less its declared cache.
    pub fn push(&mut self, bytes: u64) {
        if let Now::Idle(least) = &mut self.now {
            let mb = bytes as f64 / 1e6;
            *least = Some(least.map_or(mb, |least| least.min(mb)));
        }
    }

    /// Starts from scratch: the component was restarted, or it loaded or unloaded something large
    /// on purpose. A time between meetings goes on.
    pub fn reset(&mut self) {
        let idle = matches!(self.now, Now::Idle(_));
        *self = Self::new(self.target_mb);
        if idle {
            self.ended();
        }
    }

    /// Returns the last finding. Its verdict is `none` or `confirmed`; it has no rate.
    #[must_use]
    pub fn finding(&self) -> &Finding {
        &self.finding
    }
}

/// Judges by the memory between meetings: the least value of each idle window, in MB, oldest first.
///
/// A meeting that leaves `target_mb` behind is worth finding.
#[must_use]
pub fn judge_meetings(idle_mb: &[f64], target_mb: f64) -> Finding {
    if idle_mb.len() < IDLE_WINDOWS_MIN {
        return Finding {
            evidence: "too few meetings to judge".to_owned(),
            ..Finding::default()
        };
    }
    let floor = retained(idle_mb.iter().copied());
    let steps: Vec<f64> = floor.windows(2).map(|w| w[1] - w[0]).collect();
    // The last window may still give something back.
    let judged = &steps[..steps.len() - 1];
    let grown_mb: f64 = judged.iter().sum();
    let whole: f64 = steps.iter().sum();
    let grew = judged
        .iter()
        .filter(|step| **step >= 0.25 * target_mb)
        .count();
    let largest = steps.iter().copied().fold(0.0, f64::max);
    let steady = grew as f64 >= 0.6 * judged.len() as f64 && largest <= JUMP_PART_MAX * whole;
    let leaks = steady && grown_mb >= TARGET_PART * target_mb * judged.len() as f64;
    let each = grown_mb / judged.len() as f64;
    Finding {
        verdict: if leaks {
            Verdict::Confirmed
        } else {
            Verdict::None
        },
        grown_mb,
        evidence: format!("each of {} meetings left {each:.0} MB behind", judged.len()),
        ..Finding::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Meetings of 300 MB; `left_mb` returns the memory that remains after the given number of
    /// them.
    fn run(meetings: &mut Meetings, count: u64, left_mb: impl Fn(u64) -> u64) {
        for n in 0..count {
            meetings.began();
            meetings.push((500 + left_mb(n) + 300) * 1_000_000);
            meetings.ended();
            meetings.push((500 + left_mb(n + 1) + 15) * 1_000_000);
            meetings.push((500 + left_mb(n + 1)) * 1_000_000);
        }
    }

    #[test]
    fn memory_that_meetings_leave_behind_is_found() {
        let mut meetings = Meetings::new(20.0);
        run(&mut meetings, 6, |n| n * 40);
        assert_eq!(meetings.finding().verdict, Verdict::None, "too few of them");
        run(&mut meetings, 4, |n| (n + 6) * 40);
        assert_eq!(meetings.finding().verdict, Verdict::Confirmed);
        assert!(meetings.finding().evidence.ends_with("left 40 MB behind"));
        meetings.reset();
        assert_eq!(meetings.finding().verdict, Verdict::None);
    }

    #[test]
    fn first_meeting_may_load_models() {
        let mut meetings = Meetings::new(20.0);
        meetings.push(100_000_000);
        run(&mut meetings, 12, |_| 0);
        assert_eq!(meetings.finding().verdict, Verdict::None);
        assert_eq!(meetings.finding().grown_mb, 0.0);
    }

    #[test]
    fn windows_are_bounded() {
        let mut meetings = Meetings::new(20.0);
        run(&mut meetings, 3 * WINDOWS_MAX as u64, |n| n);
        assert_eq!(meetings.idle_mb.len(), WINDOWS_MAX);
        assert_eq!(
            meetings.finding().verdict,
            Verdict::None,
            "1 MB each is not worth finding"
        );
    }
}
