//! Where segments go, as they come.

use std::io;

use crate::transcript::{Ending, Segment};

/// Takes the segments of one transcript in order.
///
/// Called on the thread that called [`Transcriber::transcribe`](crate::Transcriber::transcribe). An error stops the
/// pipeline and comes back as [`Error::Sink`](crate::Error::Sink).
pub trait Sink {
    /// Takes one segment. What it writes should reach its reader at once: segments come seconds apart.
    ///
    /// # Errors
    ///
    /// Whatever the output says: disk full, closed pipe.
    fn segment(&mut self, segment: &Segment) -> io::Result<()>;

    /// Ends the transcript: no segment follows. Called once, also when the transcript was cancelled or its input is
    /// damaged, but not after an error of the sink itself.
    ///
    /// # Errors
    ///
    /// Whatever the output says.
    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        let _ = ending;
        Ok(())
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        (**self).segment(segment)
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        (**self).finish(ending)
    }
}

/// Collects the segments: for short inputs and for tests, since it grows with the transcript.
impl Sink for Vec<Segment> {
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        self.push(segment.clone());
        Ok(())
    }
}
