//! SubRip subtitles.

use std::io::{self, Write};

use super::Sink;
use super::cue::{ChannelMark, Cue, Cues};
use crate::time::Time;
use crate::transcript::{Ending, Segment};

/// Writes [`Format::Srt`](super::Format::Srt).
#[derive(Debug)]
pub(super) struct Srt<W> {
    out: W,
    cues: Cues,
    written: u64,
}

impl<W: Write> Srt<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            cues: Cues::new(ChannelMark::Prefix),
            written: 0,
        }
    }

    fn write(&mut self, cues: &[Cue]) -> io::Result<()> {
        for cue in cues {
            self.written += 1;
            let (start, end) = (clock(cue.start_ms), clock(cue.end_ms));
            write!(self.out, "{}\n{start} --> {end}\n", self.written)?;
            if let Some(channel) = cue.channel {
                write!(self.out, "[{channel}] ")?;
            }
            write!(self.out, "{}\n\n", plain(&cue.text))?;
        }
        self.out.flush()
    }
}

impl<W: Write> Sink for Srt<W> {
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

/// Replaces markup, which readers would not show, by look-alikes.
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

/// Formats `hh:mm:ss,mmm`.
fn clock(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02},{:03}", ms % 1_000)
}
