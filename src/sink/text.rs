//! Plain text: one segment on each line.

use std::io::{self, Write};

use super::{Sink, cue};
use crate::transcript::Segment;

/// Writes [`Format::Text`](super::Format::Text).
#[derive(Debug)]
pub(super) struct Text<W> {
    out: W,
}

impl<W: Write> Text<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
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
