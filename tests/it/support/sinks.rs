//! Sinks that end a transcription.

use std::io;

use steadyscribe::sink::Sink;
use steadyscribe::{Ending, Segment, Time};

/// Takes a number of segments and then has enough. Fails the test if it is called in a way that
/// [`Sink`] does not allow.
pub(crate) struct Enough {
    left: usize,
    ending: Option<Ending>,
}

impl Enough {
    /// Takes `count` segments, at least one.
    pub(crate) fn after(count: usize) -> Self {
        Self {
            left: count,
            ending: None,
        }
    }

    fn check_open(&self) {
        assert!(self.left > 0, "called after it had enough");
        assert!(self.ending.is_none(), "called after its end");
    }

    /// Checks that it had enough and was ended once, as a transcript that is not complete.
    pub(crate) fn check_stopped(&self) {
        assert_eq!(self.left, 0);
        assert!(self.ending.as_ref().unwrap().cancelled);
    }
}

impl Sink for Enough {
    fn segment(&mut self, _: &Segment) -> io::Result<bool> {
        self.check_open();
        self.left -= 1;
        Ok(self.left > 0)
    }

    fn reached(&mut self, _: Time) -> io::Result<()> {
        self.check_open();
        Ok(())
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        assert!(self.ending.is_none(), "ended twice");
        self.ending = Some(ending.clone());
        Ok(())
    }
}
