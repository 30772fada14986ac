//! Several sinks for one transcript.

use std::io;

use super::Sink;
use crate::time::Time;
use crate::transcript::{Ending, Segment};

/// Hands each segment to several sinks, as to write one transcript in several formats.
pub struct Tee {
    sinks: Vec<Box<dyn Sink>>,
}

impl Tee {
    /// Makes a sink that hands on to `sinks`, in their order. It has enough when one of them has.
    #[must_use]
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> Self {
        Self { sinks }
    }

    /// Calls all sinks, even if one fails, so that all have the same text. Returns the first error.
    fn each(&mut self, mut call: impl FnMut(&mut dyn Sink) -> io::Result<()>) -> io::Result<()> {
        let mut done = Ok(());
        for sink in &mut self.sinks {
            let called = call(sink.as_mut());
            done = done.and(called);
        }
        done
    }
}

impl Sink for Tee {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        let mut takes_more = true;
        self.each(|sink| {
            takes_more &= sink.segment(segment)?;
            Ok(())
        })?;
        Ok(takes_more)
    }

    fn reached(&mut self, time: Time) -> io::Result<()> {
        self.each(|sink| sink.reached(time))
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        self.each(|sink| sink.finish(ending))
    }
}

impl std::fmt::Debug for Tee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tee")
            .field("sinks", &self.sinks.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::sink::from_fn;

    #[test]
    fn all_sinks_take_a_segment_that_one_refuses() {
        let segment = Segment::new(Time::ZERO, Time::from_seconds(1.0), "Hello.");
        let check = |refusal: fn() -> io::Result<bool>, expected: Result<bool, io::ErrorKind>| {
            let taken = Rc::new(Cell::new(0));
            let counter = Rc::clone(&taken);
            let count = from_fn(move |_| {
                counter.set(counter.get() + 1);
                Ok(true)
            });
            let mut tee = Tee::new(vec![Box::new(from_fn(move |_| refusal())), Box::new(count)]);
            let outcome = tee.segment(&segment).map_err(|error| error.kind());
            assert_eq!((outcome, taken.get()), (expected, 1));
        };
        check(|| Ok(true), Ok(true));
        check(|| Ok(false), Ok(false));
        let full = io::ErrorKind::StorageFull;
        check(|| Err(io::ErrorKind::StorageFull.into()), Err(full));
    }
}
