//! Takes segments as they come, and writes transcripts in several formats.
//!
//! | question | file |
//! |---|---|
//! | which formats are there? | `format.rs` |
//! | how does a transcript look in one of them? | `text.rs`, `srt.rs`, `vtt.rs`, `json.rs`, … |
//! | how is a segment divided into subtitles? | `cue` |
//! | how does a file appear only when it is complete? | `output.rs` |
//! | how is one transcript written in several formats? | `tee.rs` |
//! | how do I use a closure? | `from_fn.rs` |
//!
//! Every format writes to any [`Write`](std::io::Write) and flushes it after each segment. Only
//! subtitles of several channels wait, until they can be written in order.

use std::io;

use crate::time::Time;
use crate::transcript::{Ending, Segment};

mod csv;
mod cue;
mod format;
mod from_fn;
mod json;
mod jsonl;
mod lrc;
mod output;
mod srt;
mod subtitles;
mod tee;
mod text;
mod vtt;

#[cfg(test)]
mod tests;

pub use format::{Format, UnknownFormat};
pub use from_fn::from_fn;
pub use output::{Output, OutputError};
pub use tee::Tee;

/// Takes the segments of one transcript in order.
///
/// All methods are called on the thread that called
/// [`Transcriber::transcribe`](crate::Transcriber::transcribe). Segments that wait are bounded, so
/// a slow sink slows the transcription down.
///
/// | outcome of a call | next call |
/// |---|---|
/// | `segment` returns `Ok(true)` | `segment`, `reached`, or `finish` at the end of the input |
/// | `segment` returns `Ok(false)` | `finish`, and nothing after it |
/// | `reached` returns `Ok(())` | as after `Ok(true)` |
/// | any method returns an error | none: neither `segment` nor `finish` |
///
/// A function can be a sink: see [`from_fn`].
pub trait Sink {
    /// Takes one segment. Its output should reach the reader at once: segments come seconds apart.
    ///
    /// Returns whether the sink takes more. `Ok(false)` stops the transcription without an error:
    /// the sink has enough. No further window is transcribed, [`finish`](Self::finish) is called
    /// with [`Ending::cancelled`], and the summary says [`Ended::Stopped`](crate::Ended::Stopped).
    ///
    /// # Errors
    ///
    /// The error of the output, such as a full disk or a closed pipe. It stops the transcription,
    /// which returns it as [`Error::Sink`](crate::Error::Sink). `finish` is not called.
    fn segment(&mut self, segment: &Segment) -> io::Result<bool>;

    /// Takes note that no later segment starts before `time`. Called after the segments of each
    /// window, and after skipped silence. A sink that merges or shows transcripts needs it to know
    /// that everything up to `time` has arrived.
    ///
    /// # Errors
    ///
    /// As [`segment`](Self::segment).
    fn reached(&mut self, time: Time) -> io::Result<()> {
        let _ = time;
        Ok(())
    }

    /// Ends the transcript: no segment follows. Called once, also if the transcription was
    /// cancelled or stopped, or the input is damaged. Not called after an error, of the sink or of
    /// the engine.
    ///
    /// # Errors
    ///
    /// As [`segment`](Self::segment).
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

/// Collects the segments. It grows with the transcript, so it suits short inputs and tests.
impl Sink for Vec<Segment> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.push(segment.clone());
        Ok(true)
    }
}
