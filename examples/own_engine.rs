//! A complete engine of one's own: it writes how loud each second is.
//!
//! `cargo run --example own_engine -- FILE`
//!
//! An engine answers one window of at most 30 s at a time with segments whose times count from the
//! window's start. Everything else is the pipeline's work: decoding, choosing windows, skipping
//! silence, memory, cancelling, progress. An engine with a model announces in `variants` what the
//! model will hold, loads it in `load`, and allocates working memory in `new_state`; it is freed
//! when it is dropped. This engine has none.
//!
//! A recognizer that is a single function needs none of this: see `steadyscribe::engine::from_fn`.

#![allow(clippy::print_stderr, reason = "a program on a terminal")]

use std::error::Error;
use std::io;
use std::sync::Arc;

use steadyscribe::budget::Variant;
use steadyscribe::engine::{Boundary, Engine, EngineError, Model, Request, State, Transcription};
use steadyscribe::sink::Format;
use steadyscribe::{Config, FileSource, Segment, Time, Transcriber};

/// One second of 16 kHz audio: the engine's unit of text.
const SECOND: usize = 16_000;

/// Seconds that are quieter than this get no text: -60 dB of full scale.
const RMS_MIN: f32 = 0.001;

/// What the engine is. Cheap to make: nothing is loaded yet.
struct Loudness;

/// What `load` returns: here nothing but the threshold, else the weights.
struct Threshold(f32);

/// The working memory of one run, which keeps its model.
struct Meter(Arc<Threshold>);

impl Engine for Loudness {
    fn name(&self) -> &str {
        "loudness"
    }

    fn load(&self, _: &Variant) -> Result<Arc<dyn Model>, EngineError> {
        Ok(Arc::new(Threshold(RMS_MIN)))
    }
}

impl Model for Threshold {
    fn new_state(self: Arc<Self>) -> Result<Box<dyn State>, EngineError> {
        Ok(Box::new(Meter(self)))
    }
}

impl State for Meter {
    fn transcribe(
        &mut self,
        window: &[f32],
        request: &Request<'_>,
    ) -> Result<Transcription, EngineError> {
        let mut answer = Transcription::default();
        let mut end = Time::ZERO;
        for samples in window.chunks(SECOND) {
            // A long computation has to check this now and then, so that Ctrl-C does not wait for
            // the whole window.
            if request.cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            let start = end;
            end = start + Time::from_samples(samples.len() as u64);
            if let Some(text) = describe(samples, self.0.0) {
                answer.segments.push(Segment::new(start, end, text));
            }
            // The next window may begin here. Where the window's end cuts through sound, the
            // pipeline takes the last boundary before it, and leaves an incomplete second to the
            // next window.
            let boundary = Boundary::new(end, answer.segments.len(), 0);
            answer.boundaries.push(boundary);
        }
        Ok(answer)
    }
}

/// Returns how loud a second is, unless it is below the threshold.
fn describe(samples: &[f32], rms_min: f32) -> Option<String> {
    let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
    let rms = (energy / samples.len() as f32).sqrt();
    (rms >= rms_min).then(|| format!("{:.0} dB", 20.0 * rms.log10()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: own_engine FILE")?;
    let mut scribe = Transcriber::new(Config::default(), Loudness)?;
    let mut sink = Format::Srt.sink(io::stdout(), &path);
    let summary = scribe.transcribe(FileSource::open(&path)?, &mut sink)?;
    eprintln!(
        "{} segments from {:.1} s of audio, {:.1} s of silence skipped",
        summary.segments, summary.audio_s, summary.skipped_silence_s,
    );
    Ok(())
}
