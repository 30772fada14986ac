//! The same file through this library, with an engine that takes no time and no memory.

use std::io;
use std::path::Path;

use steadyscribe::sink::Sink;
use steadyscribe::{Config, FileSource, Segment, Transcriber, memory};

use crate::Took;
use crate::instantly::instantly;
use crate::meter::{Meter, Stage};

/// Reads the memory with each segment, and keeps none.
struct Reading<'a>(&'a Meter);

impl Sink for Reading<'_> {
    fn segment(&mut self, _: &Segment) -> io::Result<bool> {
        self.0.read();
        Ok(true)
    }
}

/// Decodes, resamples, finds speech and cuts windows, all at once.
pub(crate) fn transcribe(path: &Path, meter: &Meter) -> Took {
    // As the example program does.
    memory::return_large_blocks();
    let mut scribe = Transcriber::new(Config::default(), instantly()).unwrap();
    meter.stage(Stage::Transcribe);
    let source = FileSource::open(path).unwrap();
    let summary = scribe.transcribe(source, &mut Reading(meter)).unwrap();
    Took {
        audio_s: summary.audio_s,
        speech_s: summary.speech_s,
    }
}
