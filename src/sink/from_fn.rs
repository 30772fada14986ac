//! The smallest sink: one function.

use std::io;

use super::Sink;
use crate::transcript::Segment;

/// Makes a sink of a function, which is called for each segment and returns what
/// [`Sink::segment`] returns.
///
/// # Examples
///
/// ```
/// use steadyscribe::sink::{self, Sink};
/// use steadyscribe::{Segment, Time};
///
/// // Stops at the first mention.
/// let mut found = None;
/// let mut search = sink::from_fn(|segment| {
///     if segment.text.contains("budget") {
///         found = Some(segment.start);
///     }
///     Ok(found.is_none())
/// });
/// let second = Time::from_seconds(1.0);
/// assert!(search.segment(&Segment::new(Time::ZERO, second, "Good morning."))?);
/// assert!(!search.segment(&Segment::new(second, second + second, "About the budget."))?);
/// drop(search);
/// assert_eq!(found, Some(second));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn from_fn(take: impl FnMut(&Segment) -> io::Result<bool>) -> impl Sink {
    FnSink(take)
}

struct FnSink<F>(F);

impl<F: FnMut(&Segment) -> io::Result<bool>> Sink for FnSink<F> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        (self.0)(segment)
    }
}
