//! Critical notices that nobody has acknowledged yet, and when to try again. Pure.

use super::{Event, Key, Notice, Severity};

/// Waits between the first attempts; after them the last is repeated.
pub const RETRY_MS: [u64; 4] = [5_000, 15_000, 60_000, 300_000];

/// Holds at most one notice for each alert: a newer one of the same alert replaces the older.
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
    /// Returns whether a notice must reach somebody.
    #[must_use]
    pub fn must_arrive(notice: &Notice) -> bool {
        notice.severity == Severity::Critical && notice.event != Event::Resolved
    }

    /// Takes a notice that is being sent for the first time. Returns the number of the notice that it replaces.
    pub fn submit(&mut self, notice: &Notice, now_ms: u64) -> Option<u64> {
        if !Self::must_arrive(notice) {
            return None;
        }
        let old = self.waiting.iter().position(|w| w.notice.key == notice.key);
        let replaced = old.map(|at| self.waiting.swap_remove(at).notice.id);
        let next_ms = now_ms.saturating_add(RETRY_MS[0]);
        self.waiting.push(Waiting {
            notice: notice.clone(),
            attempts: 1,
            next_ms,
        });
        replaced
    }

    /// Notes that somebody received a notice. Returns whether it was waited for.
    pub fn acknowledge(&mut self, id: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|w| w.notice.id != id);
        self.waiting.len() < before
    }

    /// Notes that the user has seen an alert. Returns the number of its notice, if that was waited for.
    pub fn acknowledge_alert(&mut self, key: Key) -> Option<u64> {
        let at = self.waiting.iter().position(|w| w.notice.key == key)?;
        Some(self.waiting.swap_remove(at).notice.id)
    }

    /// Returns the notices to be sent again now, and when to look next.
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

    /// Returns the notices that nobody has acknowledged.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &Notice> {
        self.waiting.iter().map(|w| &w.notice)
    }
}
