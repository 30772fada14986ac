//! Timed lyrics.

use std::io::{self, Write};

use super::{Sink, cue};
use crate::transcript::Segment;

/// Writes timed lyrics (LRC): lines with a start in hundredths of a second. Each line is what one subtitle of
/// [`Srt`](super::Srt) would show.
///
/// The format has no ends and no way to quote: readers take brackets at the start of a text for times or tags and leave
/// them out, so such a text begins with round ones.
#[derive(Debug)]
pub struct Lrc<W> {
    out: W,
    cues: cue::Cues,
}

impl<W: Write> Lrc<W> {
    /// Makes a sink that writes to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            cues: cue::Cues::default(),
        }
    }

    /// Returns what was written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Sink for Lrc<W> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        for cue in self.cues.divide(segment) {
            let (minutes, seconds) = (cue.start_ms / 60_000, cue.start_ms / 1_000 % 60);
            let hundredths = cue.start_ms / 10 % 100;
            let mut text = cue.text.replace('\n', " ");
            if text.starts_with('[') {
                text = text.replacen('[', "(", 1).replacen(']', ")", 1);
            }
            writeln!(
                self.out,
                "[{minutes:02}:{seconds:02}.{hundredths:02}]{text}"
            )?;
        }
        self.out.flush()?;
        Ok(true)
    }
}
