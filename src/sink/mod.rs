//! Where segments go, as they come.
//!
//! | question | file |
//! |---|---|
//! | which formats are there? | `format.rs` |
//! | how does a transcript look in one of them? | `text.rs`, `srt.rs`, `vtt.rs`, `json.rs`, `jsonl.rs`, `csv.rs`, `lrc.rs` |
//! | how is a segment divided into subtitles? | `cue.rs` |
//! | how does a file appear only when it is whole? several formats at once? | `output.rs` |
//!
//! Every format writes to any [`Write`](std::io::Write), flushes it after each segment, and holds nothing of a segment
//! that it has written.

use std::io;

use crate::time::Time;
use crate::transcript::{Ending, Segment};

mod csv;
mod cue;
mod format;
mod json;
mod jsonl;
mod lrc;
mod output;
mod srt;
mod text;
mod vtt;

#[cfg(test)]
mod tests;

pub use csv::Csv;
pub use format::{Format, UnknownFormat};
pub use json::Json;
pub use jsonl::JsonLines;
pub use lrc::Lrc;
pub use output::{Output, OutputError, Tee};
pub use srt::Srt;
pub use text::Text;
pub use vtt::Vtt;

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
    fn segment(&mut self, segment: &Segment) -> io::Result<bool>;

    /// Takes notice that no later segment starts before `time`: called behind the segments of each window, and behind silence that
    /// was skipped. What shows or merges transcripts knows by it that nothing more comes for what was said until then.
    ///
    /// # Errors
    ///
    /// Whatever the output says.
    fn reached(&mut self, time: Time) -> io::Result<()> {
        let _ = time;
        Ok(())
    }

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
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        (**self).segment(segment)
    }

    fn reached(&mut self, time: Time) -> io::Result<()> {
        (**self).reached(time)
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        (**self).finish(ending)
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        (**self).segment(segment)
    }

    fn reached(&mut self, time: Time) -> io::Result<()> {
        (**self).reached(time)
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        (**self).finish(ending)
    }
}

/// Collects the segments: for short inputs and for tests, since it grows with the transcript.
impl Sink for Vec<Segment> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.push(segment.clone());
        Ok(true)
    }
}
