//! The sink behind every format of subtitles: segments in, cues out, in the order of their starts.

use std::io::{self, Write};

use super::Sink;
use super::cue::{ChannelMark, Cue, Cues};
use crate::time::Time;
use crate::transcript::{Ending, Segment};

/// How a format writes cues.
pub(super) trait CueFormat {
    /// How it marks the channel of a cue.
    const MARK: ChannelMark;

    /// What a file starts with.
    const HEADER: &'static str = "";

    /// Writes one cue; `number` counts from 1.
    fn write(out: &mut dyn Write, number: u64, cue: &Cue) -> io::Result<()>;
}

/// Writes a transcript as subtitles.
#[derive(Debug)]
pub(super) struct Subtitles<W, F> {
    out: W,
    cues: Cues,
    written: u64,
    has_begun: bool,
    format: std::marker::PhantomData<F>,
}

impl<W: Write, F: CueFormat> Subtitles<W, F> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            cues: Cues::new(F::MARK),
            written: 0,
            has_begun: false,
            format: std::marker::PhantomData,
        }
    }

    fn write(&mut self, cues: &[Cue]) -> io::Result<()> {
        if !self.has_begun {
            self.has_begun = true;
            self.out.write_all(F::HEADER.as_bytes())?;
        }
        for cue in cues {
            self.written += 1;
            F::write(&mut self.out, self.written, cue)?;
        }
        self.out.flush()
    }
}

impl<W: Write, F: CueFormat> Sink for Subtitles<W, F> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        let cues = self.cues.take(segment);
        self.write(&cues)?;
        Ok(true)
    }

    fn reached(&mut self, time: Time) -> io::Result<()> {
        let cues = self.cues.take_until(time);
        if cues.is_empty() {
            return Ok(());
        }
        self.write(&cues)
    }

    fn finish(&mut self, _: &Ending) -> io::Result<()> {
        let cues = self.cues.take_rest();
        self.write(&cues)
    }
}
