//! Audio of a live input that was dropped: how much, and where.

use crate::config::SPANS_MAX;
use crate::time::{Span, Time};

/// Bytes of memory that the list holds.
pub(super) const LOST_BYTES: usize = SPANS_MAX * size_of::<Span>();

/// Spans in order, apart from each other; at most [`SPANS_MAX`]. Their length is counted beyond.
///
/// # Memory
///
/// [`LOST_BYTES`], allocated when it is made.
#[derive(Debug)]
pub(super) struct Lost {
    spans: Vec<Span>,
    length: Time,
}

impl Lost {
    pub(super) fn new() -> Self {
        Self {
            spans: Vec::with_capacity(SPANS_MAX),
            length: Time::ZERO,
        }
    }

    /// Adds a span. What of it is in the list already counts once: audio that cannot be read may
    /// fail to be read again after a rewind.
    pub(super) fn add(&mut self, span: Span) {
        let from = self.spans.partition_point(|known| known.end < span.start);
        let (mut count, mut joined, mut counted) = (0, span, Time::ZERO);
        for known in self.spans[from..]
            .iter()
            .take_while(|known| known.start <= span.end)
        {
            count += 1;
            counted += known.overlap(span).length();
            joined = Span::new(joined.start.min(known.start), joined.end.max(known.end));
        }
        self.length += span.length() - counted;
        if count > 0 {
            self.spans[from] = joined;
            self.spans.drain(from + 1..from + count);
        } else if !span.is_empty() && self.spans.len() < SPANS_MAX {
            self.spans.insert(from, span);
        }
    }

    /// Returns the spans, in order.
    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Returns the length of all spans together.
    pub(super) fn length(&self) -> Time {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spans: &[(u64, u64)], expected: &[(u64, u64)]) {
        let mut lost = Lost::new();
        let span = |&(start, end)| Span::new(Time::from_samples(start), Time::from_samples(end));
        spans.iter().for_each(|pair| lost.add(span(pair)));
        let expected: Vec<Span> = expected.iter().map(span).collect();
        assert_eq!(lost.spans(), expected, "{spans:?}");
        let length: u64 = expected.iter().map(|span| span.length().samples()).sum();
        assert_eq!(lost.length().samples(), length, "{spans:?}");
    }

    #[test]
    fn spans_are_joined_and_counted_once() {
        check(&[], &[]);
        check(&[(3, 3)], &[]);
        check(&[(1, 3), (5, 7)], &[(1, 3), (5, 7)]);
        check(&[(5, 7), (1, 3)], &[(1, 3), (5, 7)]);
        check(&[(1, 3), (3, 7)], &[(1, 7)]);
        check(&[(1, 3), (1, 3)], &[(1, 3)]);
        check(&[(1, 3), (5, 7), (8, 9), (2, 8)], &[(1, 9)]);
        check(
            &[(1, 3), (5, 7), (9, 11), (4, 8)],
            &[(1, 3), (4, 8), (9, 11)],
        );
    }

    #[test]
    fn beyond_the_limit_only_the_length_is_kept() {
        let mut lost = Lost::new();
        for n in 0..=SPANS_MAX as u64 {
            lost.add(Span::new(
                Time::from_samples(2 * n),
                Time::from_samples(2 * n + 1),
            ));
        }
        assert_eq!(lost.spans().len(), SPANS_MAX);
        assert_eq!(lost.length().samples(), SPANS_MAX as u64 + 1);
    }
}
