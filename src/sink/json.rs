//! One JSON document.

use std::io::{self, Write};

use super::Sink;
use crate::transcript::{Ending, Segment};

/// Writes [`Format::Json`](super::Format::Json).
#[derive(Debug)]
pub(super) struct Json<W> {
    out: W,
    file: String,
    begun: bool,
    /// A segment was written, so that a comma precedes the next.
    has_segments: bool,
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W, file: impl Into<String>) -> Self {
        Self {
            out,
            file: file.into(),
            begun: false,
            has_segments: false,
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        self.out.write_all(b"{\"file\":")?;
        serde_json::to_writer(&mut self.out, &self.file)?;
        self.out.write_all(b",\"segments\":[")
    }
}

impl<W: Write> Sink for Json<W> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.begin()?;
        self.out
            .write_all(if self.has_segments { b",\n" } else { b"\n" })?;
        self.has_segments = true;
        serde_json::to_writer(&mut self.out, segment)?;
        self.out.flush()?;
        Ok(true)
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        self.begin()?;
        self.out.write_all(b"\n],\"uncovered\":")?;
        serde_json::to_writer(&mut self.out, &ending.uncovered)?;
        self.out.write_all(b",\"language\":")?;
        serde_json::to_writer(&mut self.out, &ending.language)?;
        self.out.write_all(b",\"duration_s\":")?;
        serde_json::to_writer(&mut self.out, &ending.duration.seconds())?;
        self.out.write_all(b"}\n")?;
        self.out.flush()
    }
}
