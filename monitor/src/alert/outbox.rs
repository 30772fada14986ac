//! Critical notices that are not acknowledged yet, and the time of their next attempt. Pure.

use super::key::{Key, Severity};
use super::notice::{Event, Notice};

/// Waits before the first retries; the last is repeated.
const RETRY_MS: [u64; 4] = [5_000, 15_000, 60_000, 300_000];

/// Holds at most one notice for each alert: a newer one replaces the older.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    waiting: Vec<Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    notice: Notice,
    attempts: usize,
    next_ms: u64,
}

impl Outbox {
    /// Returns whether a notice is sent again until it is acknowledged.
    #[must_use]
    pub(crate) fn must_arrive(notice: &Notice) -> bool {
        notice.severity == Severity::Critical && notice.event != Event::Resolved
    }

    /// Takes a notice that is being sent for the first time. Returns the number of the notice that
    /// it replaces. A notice that repeats an alert keeps the retries of the one before, which would
    /// begin again at every repetition otherwise.
    pub fn submit(&mut self, notice: &Notice, now_ms: u64) -> Option<u64> {
        if !Self::must_arrive(notice) {
            return None;
        }
        let old = self.waiting.iter().position(|w| w.notice.key == notice.key);
        let old = old.map(|at| self.waiting.swap_remove(at));
        let kept = old.as_ref().filter(|_| notice.event == Event::Repeated);
        let first = (1, now_ms.saturating_add(RETRY_MS[0]));
        let (attempts, next_ms) = kept.map_or(first, |old| (old.attempts, old.next_ms));
        self.waiting.push(Waiting {
            notice: notice.clone(),
            attempts,
            next_ms,
        });
        old.map(|old| old.notice.id)
    }

    /// Takes the acknowledgement of a notice. Returns whether the notice was waiting for it.
    pub fn acknowledge(&mut self, id: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|w| w.notice.id != id);
        self.waiting.len() < before
    }

    /// Takes the acknowledgement of an alert. Returns the number of its notice, if that was
    /// waiting.
    pub fn acknowledge_alert(&mut self, key: Key) -> Option<u64> {
        let at = self.waiting.iter().position(|w| w.notice.key == key)?;
        Some(self.waiting.swap_remove(at).notice.id)
    }

    /// Returns the notices to be sent again now, and the time of the next attempt.
    pub fn due(&mut self, now_ms: u64) -> (Vec<Notice>, Option<u64>) {
        let mut due = Vec::new();
        for waiting in self.waiting.iter_mut().filter(|w| w.next_ms <= now_ms) {
            let wait_ms = RETRY_MS[waiting.attempts.min(RETRY_MS.len() - 1)];
            waiting.attempts += 1;
            waiting.next_ms = now_ms.saturating_add(wait_ms);
            due.push(waiting.notice.clone());
        }
        (due, self.waiting.iter().map(|w| w.next_ms).min())
    }

    /// Returns the notices that are not acknowledged.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &Notice> {
        self.waiting.iter().map(|w| &w.notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::condition::Facts;
    use crate::alert::key::Kind;

    fn notice(id: u64, event: Event) -> Notice {
        Notice {
            id,
            key: Key::new(Kind::Pressure, None),
            event,
            severity: Severity::Critical,
            unix_ms: 0,
            loud: true,
            facts: Facts::default(),
        }
    }

    /// An alert that goes on is repeated every 300 s, which must not start the short waits again.
    #[test]
    fn repeated_alert_keeps_the_long_waits() {
        let mut outbox = Outbox::default();
        outbox.submit(&notice(1, Event::Raised), 0);
        let mut retries_s = Vec::new();
        for second in 1..1_200 {
            if second % 300 == 0 {
                outbox.submit(&notice(1 + second / 300, Event::Repeated), second * 1_000);
            }
            let due = outbox.due(second * 1_000).0.len();
            retries_s.extend(std::iter::repeat_n(second, due));
        }
        assert_eq!(retries_s, [5, 20, 80, 380, 680, 980]);
        outbox.submit(&notice(9, Event::Raised), 2_000_000);
        assert_eq!(
            outbox.due(2_000_000).1,
            Some(2_005_000),
            "a worse alert is urgent again"
        );
    }
}
