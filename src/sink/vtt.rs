//! WebVTT subtitles.

use std::io::{self, Write};

use super::Sink;
use super::cue::{ChannelMark, Cue, Cues};
use crate::time::Time;
use crate::transcript::{Ending, Segment};

/// Writes [`Format::Vtt`](super::Format::Vtt).
#[derive(Debug)]
pub(super) struct Vtt<W> {
    out: W,
    cues: Cues,
    begun: bool,
}

impl<W: Write> Vtt<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            cues: Cues::new(ChannelMark::Voice),
            begun: false,
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        self.out.write_all(b"WEBVTT\n\n")
    }

    fn write(&mut self, cues: &[Cue]) -> io::Result<()> {
        self.begin()?;
        for cue in cues {
            let (start, end) = (clock(cue.start_ms), clock(cue.end_ms));
            // The standard forbids `&`, `<` and `-->` in text.
            let text = cue
                .text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            writeln!(self.out, "{start} --> {end}")?;
            if let Some(channel) = cue.channel {
                write!(self.out, "<v channel {channel}>")?;
            }
            write!(self.out, "{text}\n\n")?;
        }
        self.out.flush()
    }
}

impl<W: Write> Sink for Vtt<W> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        let cues = self.cues.take(segment);
        self.write(&cues)?;
        Ok(true)
    }

    fn reached(&mut self, time: Time) -> io::Result<()> {
        let cues = self.cues.take_until(time);
        self.write(&cues)
    }

    fn finish(&mut self, _: &Ending) -> io::Result<()> {
        let cues = self.cues.take_rest();
        self.write(&cues)
    }
}

/// Formats `hh:mm:ss.mmm`.
fn clock(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000)
}
