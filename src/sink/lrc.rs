//! Timed lyrics.

use std::io::{self, Write};

use super::Sink;
use super::cue::{ChannelMark, Cue, Cues};
use crate::time::Time;
use crate::transcript::{Ending, Segment};

/// Writes [`Format::Lrc`](super::Format::Lrc).
#[derive(Debug)]
pub(super) struct Lrc<W> {
    out: W,
    cues: Cues,
}

impl<W: Write> Lrc<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            cues: Cues::new(ChannelMark::Prefix),
        }
    }

    fn write(&mut self, cues: &[Cue]) -> io::Result<()> {
        for cue in cues {
            let (minutes, seconds) = (cue.start_ms / 60_000, cue.start_ms / 1_000 % 60);
            let hundredths = cue.start_ms / 10 % 100;
            let mut text = cue.text.replace('\n', " ");
            if text.starts_with('[') {
                text = text.replacen('[', "(", 1).replacen(']', ")", 1);
            }
            write!(self.out, "[{minutes:02}:{seconds:02}.{hundredths:02}]")?;
            if let Some(channel) = cue.channel {
                write!(self.out, "({channel}) ")?;
            }
            writeln!(self.out, "{text}")?;
        }
        self.out.flush()
    }
}

impl<W: Write> Sink for Lrc<W> {
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
