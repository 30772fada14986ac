//! SubRip subtitles.

use std::io::{self, Write};

use super::{Sink, cue};
use crate::transcript::Segment;

/// Writes SubRip subtitles: at most two lines of 42 characters, 5/6 s to 7 s each, never two at once.
///
/// A segment that is too long for that becomes several subtitles, timed by its tokens. SubRip has no way to quote, so what a reader
/// could take for a line of times, a style or a position is written with look-alikes: `-->` as `→`, `<i>` as `‹i>`, `{\an8}` as
/// `(\an8}`.
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
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        for cue in self.cues.divide(segment) {
            self.written += 1;
            let (start, end) = (clock(cue.start_ms), clock(cue.end_ms));
            let text = plain(&cue.text);
            write!(self.out, "{}\n{start} --> {end}\n{text}\n\n", self.written)?;
        }
        self.out.flush()?;
        Ok(true)
    }
}

/// Writes what readers would not show with look-alikes.
fn plain(text: &str) -> String {
    let text = text.replace("-->", "→").replace("{\\", "(\\");
    let behind = text.chars().skip(1).chain([' ']);
    let chars = text.chars().zip(behind);
    let plain = chars.map(|(c, next)| match c {
        '<' if next.is_ascii_alphabetic() || next == '/' => '‹',
        c => c,
    });
    plain.collect()
}

/// Writes `hh:mm:ss,mmm`.
fn clock(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02},{:03}", ms % 1_000)
}
