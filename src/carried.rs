//! The one state that a transcription carries from window to window, and a journal from run to run.

use serde::{Deserialize, Serialize};

use crate::config::SPANS_MAX;
use crate::engine::{EngineCounts, Language};
use crate::time::{Span, Time, samples};

/// No count of a transcription is larger: JSON's own limit for whole numbers.
const COUNT_MAX: u64 = 1 << 53;

/// Most tokens of previous text that are kept, whatever the engine accepts.
pub(crate) const PREVIOUS_TOKENS_MAX: usize = 1_024;

/// Everything that the next window depends on, and the figures so far.
///
/// A run that continues with a copy of this and the audio behind [`position`](Self::position)
/// writes the same text as one that was never interrupted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// Where the next window starts at the earliest.
    #[serde(with = "samples")]
    pub(crate) position: Time,
    /// Tokens of the text before the next window.
    pub(crate) previous: Vec<u32>,
    /// Code of the language of `previous`, once it is known.
    pub(crate) language: Option<String>,
    /// The language of the first text that could be trusted.
    pub(crate) first_language: Option<Language>,
    pub(crate) retries: RetryCredit,
    /// Number of the next segment: how many there are.
    pub(crate) next_id: u64,
    /// Windows that were given to the engine.
    pub(crate) windows: u64,
    /// Silence that no engine was given.
    #[serde(with = "samples")]
    pub(crate) skipped: Time,
    pub(crate) counts: EngineCounts,
    /// Speech that no segment covers.
    #[serde(with = "samples")]
    pub(crate) uncovered_total: Time,
    /// The first spans of it, in order, at most [`SPANS_MAX`]. In a record of a journal: those that
    /// its window added.
    pub(crate) uncovered: Vec<Span>,
}

impl Carried {
    /// Starts a transcription at `start`.
    pub(crate) fn at(start: Time) -> Self {
        Self {
            position: start,
            ..Self::default()
        }
    }

    /// Notes speech that stays without text.
    pub(crate) fn add_uncovered(&mut self, gap: Span) {
        self.uncovered_total += gap.length();
        if self.uncovered.len() < SPANS_MAX {
            self.uncovered.push(gap);
        }
    }

    /// Appends tokens to the previous text, of which the last `limit` are kept.
    pub(crate) fn add_previous(&mut self, tokens: &[u32], limit: usize) {
        self.previous.extend_from_slice(tokens);
        let limit = limit.min(PREVIOUS_TOKENS_MAX);
        let extra = self.previous.len().saturating_sub(limit);
        self.previous.drain(..extra);
    }

    /// Takes over the state after a further window, of which `next.uncovered` are the spans that
    /// the window added.
    pub(crate) fn advance(&mut self, next: Self) {
        let mut uncovered = std::mem::take(&mut self.uncovered);
        let room = SPANS_MAX.saturating_sub(uncovered.len());
        uncovered.extend(next.uncovered.iter().take(room));
        *self = Self { uncovered, ..next };
    }

    /// Returns whether a transcription can have come to this state. A line that something else
    /// wrote may have a right checksum all the same.
    pub(crate) fn is_possible(&self) -> bool {
        let counts = [
            self.position.samples(),
            self.next_id,
            self.windows,
            self.skipped.samples(),
            self.uncovered_total.samples(),
            self.counts.encodes,
            self.counts.decode_steps,
            self.counts.fallbacks,
        ];
        counts.iter().all(|count| *count <= COUNT_MAX)
            && self.previous.len() <= PREVIOUS_TOKENS_MAX
            && self.uncovered.len() <= SPANS_MAX
    }
}

/// What may be spent on windows whose text is doubtful: at most a fourth of all windows are
/// transcribed again, and two at the start.
///
/// Music is speech to a detector and has no text, so that without this bound every window of a
/// concert would be transcribed three times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RetryCredit(u32);

/// Cost of a retry, in windows.
const RETRY_COST: u32 = 4;

/// Most credit that windows can earn.
const CREDIT_MAX: u32 = 16;

impl Default for RetryCredit {
    fn default() -> Self {
        Self(2 * RETRY_COST)
    }
}

impl RetryCredit {
    /// Earns the credit of one window.
    pub(crate) fn earn(&mut self) {
        self.0 = (self.0 + 1).min(CREDIT_MAX);
    }

    /// Pays for a retry. Returns whether the credit sufficed.
    pub(crate) fn spend(&mut self) -> bool {
        let left = self.0.checked_sub(RETRY_COST);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> Span {
        Span::new(Time::from_samples(start), Time::from_samples(end))
    }

    #[test]
    fn two_retries_at_the_start_then_one_for_four_windows() {
        let mut credit = RetryCredit::default();
        assert_eq!(
            [credit.spend(), credit.spend(), credit.spend()],
            [true, true, false]
        );
        for _ in 0..RETRY_COST - 1 {
            credit.earn();
            assert!(!credit.spend());
        }
        credit.earn();
        assert!(credit.spend());
    }

    #[test]
    fn records_add_up_to_the_whole_state() {
        let mut whole = Carried::at(Time::ZERO);
        let mut resumed = whole.clone();
        for window in 0..3_u64 {
            let before = whole.uncovered.len();
            whole.windows += 1;
            whole.position += Time::from_samples(16_000);
            whole.add_uncovered(span(window * 100, window * 100 + 50));
            let mut record = whole.clone();
            record.uncovered.drain(..before);
            let json = serde_json::to_string(&record).expect("a state is plain data");
            resumed.advance(serde_json::from_str(&json).expect("it reads what it wrote"));
        }
        assert_eq!(resumed, whole);
        assert!(whole.is_possible());
    }

    #[test]
    fn previous_text_keeps_its_newest_tokens() {
        let mut carried = Carried::default();
        carried.add_previous(&[1, 2, 3], 4);
        carried.add_previous(&[4, 5], 4);
        assert_eq!(carried.previous, [2, 3, 4, 5]);
        carried.add_previous(&[6], 0);
        assert!(carried.previous.is_empty());
    }
}
