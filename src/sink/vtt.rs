//! WebVTT subtitles.

use std::io::{self, Write};

use super::{Sink, cue};
use crate::transcript::{Ending, Segment};

/// Writes WebVTT subtitles, divided as [`Srt`](super::Srt) divides them.
///
/// Where a segment has a channel, it is the cues' voice: `<v channel 1>`.
///
/// Source: W3C, WebVTT: The Web Video Text Tracks Format, section 4.1 (syntax) and 4.2.2 (cue text).
#[derive(Debug)]
pub struct Vtt<W> {
    out: W,
    cues: cue::Cues,
    begun: bool,
}

impl<W: Write> Vtt<W> {
    /// Makes a sink that writes to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            cues: cue::Cues::default(),
            begun: false,
        }
    }

    /// Returns what was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        self.out.write_all(b"WEBVTT\n\n")
    }
}

impl<W: Write> Sink for Vtt<W> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.begin()?;
        for cue in self.cues.divide(segment) {
            let (start, end) = (clock(cue.start_ms), clock(cue.end_ms));
            // The standard forbids the first two, and the arrow, which the third undoes.
            let text = cue
                .text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            writeln!(self.out, "{start} --> {end}")?;
            if let Some(channel) = segment.channel {
                write!(self.out, "<v channel {channel}>")?;
            }
            write!(self.out, "{text}\n\n")?;
        }
        self.out.flush()?;
        Ok(true)
    }

    fn finish(&mut self, _: &Ending) -> io::Result<()> {
        self.begin()?;
        self.out.flush()
    }
}

/// Writes `hh:mm:ss.mmm`.
fn clock(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000)
}
