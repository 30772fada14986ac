//! A transcription as an iterator of segments, for callers that pull.

use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, bounded};

use super::error::Error;
use super::transcriber::Transcriber;
use crate::cancel::Cancel;
use crate::config::InputOptions;
use crate::engine::EngineError;
use crate::report::Summary;
use crate::sink;
use crate::source::Source;
use crate::transcript::Segment;

/// Segments that wait for the caller: the transcription is at most this far ahead.
const SEGMENTS_AHEAD_MAX: usize = 1;

/// The segments of one input, as they come: see [`Transcriber::into_segments`].
///
/// Dropping it cancels the transcription and waits for its end, at most one encoding of a window.
#[derive(Debug)]
pub struct Segments {
    /// `None` when the caller wants no more.
    segments: Option<Receiver<Segment>>,
    cancel: Cancel,
    thread: Option<JoinHandle<(Transcriber, Result<Summary, Error>)>>,
}

impl Transcriber {
    /// Transcribes an input in a thread of its own, for callers that pull segments.
    ///
    /// The iterator ends with the input, or with an error: [`Segments::finish`] distinguishes the
    /// two and returns the transcriber.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] when no thread can be started.
    ///
    /// # Examples
    ///
    /// ```
    /// use steadyscribe::engine::{Scripted, ScriptedUtterance};
    /// use steadyscribe::{Config, Ended, FileSource, InputOptions, Span, Time, Transcriber};
    ///
    /// let span = Span::new(Time::ZERO, Time::from_seconds(1.0));
    /// let engine = Scripted::new(vec![ScriptedUtterance::new(span, "Good morning.")]);
    /// let scribe = Transcriber::new(Config::default(), engine)?;
    /// let source = FileSource::open("fixtures/standup.opus")?;
    /// let mut segments = scribe.into_segments(source, InputOptions::default())?;
    /// for segment in &mut segments {
    ///     println!("{}", segment.text);
    /// }
    /// let (scribe, summary) = segments.finish()?;
    /// assert_eq!(summary?.ended, Ended::Complete);
    /// # let _ = scribe;
    /// # Ok::<(), steadyscribe::Error>(())
    /// ```
    pub fn into_segments(
        mut self,
        source: impl Source + 'static,
        options: InputOptions,
    ) -> Result<Segments, Error> {
        let (send, segments) = bounded(SEGMENTS_AHEAD_MAX);
        let cancel = self.cancel();
        let work = move || {
            let mut sink = sink::from_fn(move |segment| Ok(send.send(segment.clone()).is_ok()));
            let summary = self.transcribe_with(source, &options, &mut sink);
            drop(sink);
            (self, summary)
        };
        let thread = thread::Builder::new().name("scribe-segments".into());
        Ok(Segments {
            segments: Some(segments),
            cancel,
            thread: Some(thread.spawn(work).map_err(Error::Sink)?),
        })
    }
}

impl Segments {
    /// Ends the transcription if it still runs, and returns the transcriber and how it ended.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] when the transcription panicked.
    pub fn finish(mut self) -> Result<(Transcriber, Result<Summary, Error>), Error> {
        self.segments = None;
        let panicked = || EngineError::Panicked("the transcription panicked".into());
        let thread = self.thread.take().ok_or_else(panicked)?;
        Ok(thread.join().map_err(|_| panicked())?)
    }
}

impl Iterator for Segments {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        self.segments.as_ref()?.recv().ok()
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        self.segments = None;
        if let Some(thread) = self.thread.take() {
            self.cancel.cancel();
            // A panic has been printed by the panic hook.
            let _ = thread.join();
        }
    }
}
