//! What a component keeps from one meeting to the next.

use std::collections::VecDeque;

use super::{Finding, judge_meetings};

/// Idle windows that are looked back on: a few days of meetings.
pub const WINDOWS_MAX: usize = 48;

/// Follows what one component holds while no meeting runs. A meeting may be anything that begins and ends and should
/// leave nothing behind.
///
/// What is held before the first meeting does not count: models and caches are first filled by it.
#[derive(Clone, Debug)]
pub struct Meetings {
    target_mb: f64,
    /// The least value of each time between two meetings, oldest first.
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
    /// Follows a component. `target_mb` is what a meeting must leave behind to be worth finding, in MB (1,000,000 bytes).
    #[must_use]
    pub fn new(target_mb: f64) -> Self {
        Self {
            target_mb,
            idle_mb: VecDeque::with_capacity(WINDOWS_MAX),
            now: Now::Busy,
            finding: judge_meetings(&[], target_mb),
        }
    }

    /// A meeting begins: what was held since the last one is judged.
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

    /// Takes what the component holds now, less what it declares as its cache.
    pub fn push(&mut self, bytes: u64) {
        if let Now::Idle(least) = &mut self.now {
            let mb = bytes as f64 / 1e6;
            *least = Some(least.map_or(mb, |least| least.min(mb)));
        }
    }

    /// Starts anew: the component was restarted, or loaded or unloaded something large on purpose. A time between
    /// meetings goes on.
    pub fn event(&mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leak::Verdict;

    /// Meetings of 300 MB; `left_mb` says what remains after so many.
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
    fn what_meetings_leave_behind_is_told() {
        let mut meetings = Meetings::new(20.0);
        run(&mut meetings, 6, |n| n * 40);
        assert_eq!(meetings.finding().verdict, Verdict::None, "too few of them");
        run(&mut meetings, 4, |n| (n + 6) * 40);
        assert_eq!(meetings.finding().verdict, Verdict::Confirmed);
        assert!(meetings.finding().evidence.ends_with("left 40 MB behind"));
        meetings.event();
        assert_eq!(meetings.finding().verdict, Verdict::None);
    }

    #[test]
    fn what_the_first_meeting_loads_is_no_leak() {
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
