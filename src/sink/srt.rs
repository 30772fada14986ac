//! SubRip subtitles.

use std::io::{self, Write};

use super::{Sink, cue};
use crate::transcript::Segment;

/// Writes SubRip subtitles: at most two lines of 42 characters, 5/6 s to 7 s each, never two at once.
///
/// A segment that is too long for that becomes several subtitles, timed by its tokens. SubRip has no way to quote: an
/// arrow in the text, which a reader could take for a line of times, is written as `→`.
#[derive(Debug)]
pub struct Srt<W> {
    out: W,
    cues: cue::Cues,
    written: u64,
}

impl<W: Write> Srt<W> {
    /// Makes a sink that writes to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            cues: cue::Cues::default(),
            written: 0,
        }
    }

    /// Returns what was written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Sink for Srt<W> {
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        for cue in self.cues.divide(segment) {
            self.written += 1;
            let (start, end) = (clock(cue.start_ms), clock(cue.end_ms));
            let text = cue.text.replace("-->", "→");
            write!(self.out, "{}\n{start} --> {end}\n{text}\n\n", self.written)?;
        }
        self.out.flush()
    }
}

/// Writes `hh:mm:ss,mmm`.
fn clock(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02},{:03}", ms % 1_000)
}
