//! An engine of one's own, whole: it writes how loud each second is. `cargo run --example own_engine -- FILE`
//!
//! An engine sees one window of at most 30 s at a time and answers with segments whose times count from the window's
//! start. Everything else is the pipeline's: decoding, windows, silence, memory, cancelling, progress. A model that must be
//! loaded is announced in `footprints`, loaded in `prepare` and given back in `unload`; this engine has none.

#![allow(clippy::print_stderr, reason = "a program on a terminal")]

use std::error::Error;
use std::io;

use steadyscribe::engine::{Engine, EngineCounts, EngineError, Heard, Request};
use steadyscribe::sink::Format;
use steadyscribe::{Config, FileSource, Segment, Time, Transcriber};

/// One second of 16 kHz audio: the engine's unit of text.
const SECOND: usize = 16_000;

/// Seconds that are quieter than this get no text: -60 dB of full scale.
const RMS_MIN: f32 = 0.001;

#[derive(Debug, Default)]
struct Loudness {
    counts: EngineCounts,
}

impl Engine for Loudness {
    fn name(&self) -> &str {
        "loudness"
    }

    fn transcribe(&mut self, window: &[f32], request: &Request<'_>) -> Result<Heard, EngineError> {
        // The same window again: the answer would be the same, so nothing is counted as new work.
        if !request.again {
            self.counts.encodes += 1;
        }
        let mut heard = Heard::default();
        for (second, samples) in window.chunks(SECOND).enumerate() {
            // A long step must look at this now and then, so that Ctrl-C does not wait for the whole window.
            if request.cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            // At a window's end that cuts through sound, what is incomplete is left to the next window.
            if request.cut && samples.len() < SECOND && second > 0 {
                break;
            }
            let start = Time::from_samples((second * SECOND) as u64);
            let end = start + Time::from_samples(samples.len() as u64);
            heard.consumed += samples.len();
            if let Some(text) = describe(samples) {
                heard.segments.push(Segment::new(start, end, text));
            }
        }
        Ok(heard)
    }

    fn counts(&self) -> EngineCounts {
        self.counts
    }
}

/// Says how loud a second is, if it can be heard.
fn describe(samples: &[f32]) -> Option<String> {
    let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
    let rms = (energy / samples.len() as f32).sqrt();
    (rms >= RMS_MIN).then(|| format!("{:.0} dB", 20.0 * rms.log10()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: own_engine FILE")?;
    let mut scribe = Transcriber::new(Config::default(), Loudness::default())?;
    let mut sink = Format::Srt.sink(io::stdout(), &path);
    let summary = scribe.transcribe(FileSource::open(&path)?, &mut sink)?;
    eprintln!(
        "{} segments from {:.1} s of audio, {:.1} s of silence skipped",
        summary.segments, summary.audio_s, summary.skipped_silence_s,
    );
    Ok(())
}
