//! JSON, one segment on each line.

use std::io::{self, Write};

use super::Sink;
use crate::transcript::Segment;

/// Writes each segment as one JSON object on a line of its own: the objects in `segments` of
/// [`Json`](super::Json). The file is valid after every line.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: W,
}

impl<W: Write> JsonLines<W> {
    /// Makes a sink that writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        serde_json::to_writer(&mut self.out, segment)?;
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        Ok(true)
    }
}
