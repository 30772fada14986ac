//! Plain text: one segment on each line.

use std::io::{self, Write};

use super::{Sink, cue};
use crate::transcript::Segment;

/// Writes only the text, each segment on a line of its own. White space within a segment becomes
/// single spaces. Control characters are left out, so that a transcript cannot control the terminal
/// that shows it. The channel of a segment precedes the text: `[1] Good morning.`
///
/// # Examples
///
/// ```
/// use steadyscribe::sink::{Sink, Text};
/// use steadyscribe::{Segment, Time};
///
/// let mut sink = Text::new(Vec::new());
/// sink.segment(&Segment::new(Time::ZERO, Time::from_seconds(2.0), "Good morning."))?;
/// assert_eq!(sink.into_inner(), b"Good morning.\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Text<W> {
    out: W,
}

impl<W: Write> Text<W> {
    /// Makes a sink that writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Sink for Text<W> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        let mut words = cue::words(&segment.text);
        let Some(first) = words.next() else {
            return Ok(true);
        };
        if let Some(channel) = segment.channel {
            write!(self.out, "[{channel}] ")?;
        }
        self.out.write_all(first.as_bytes())?;
        for word in words {
            write!(self.out, " {word}")?;
        }
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        Ok(true)
    }
}
