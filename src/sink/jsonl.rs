//! JSON, one segment on each line.

use std::io::{self, Write};

use super::Sink;
use crate::transcript::Segment;

/// Writes [`Format::JsonLines`](super::Format::JsonLines).
#[derive(Debug)]
pub(super) struct JsonLines<W> {
    out: W,
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
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
