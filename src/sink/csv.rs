//! Comma-separated values.

use std::io::{self, Write};

use super::Sink;
use crate::transcript::{Ending, Segment};

/// The first record.
const HEADER: &str =
    "id,start_s,end_s,text,confidence,no_speech_prob,avg_logprob,compression_ratio,temperature";

/// Writes [`Format::Csv`](super::Format::Csv).
#[derive(Debug)]
pub(super) struct Csv<W> {
    out: W,
    begun: bool,
    has_channels: bool,
}

impl<W: Write> Csv<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            begun: false,
            has_channels: false,
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        let channel = if self.has_channels { ",channel" } else { "" };
        write!(self.out, "{HEADER}{channel}\r\n")
    }
}

impl<W: Write> Sink for Csv<W> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.has_channels |= !self.begun && segment.channel.is_some();
        self.begin()?;
        let (start_s, end_s) = (segment.start.seconds(), segment.end.seconds());
        write!(self.out, "{},{start_s},{end_s},\"", segment.id)?;
        for (n, piece) in segment.text.split('"').enumerate() {
            let quote = if n > 0 { "\"\"" } else { "" };
            write!(self.out, "{quote}{piece}")?;
        }
        let quality = &segment.quality;
        write!(self.out, "\"")?;
        for figure in [
            quality.confidence,
            quality.no_speech_prob,
            quality.avg_logprob,
            quality.compression_ratio,
            quality.temperature,
        ] {
            match figure {
                Some(figure) => write!(self.out, ",{figure}")?,
                None => write!(self.out, ",")?,
            }
        }
        if self.has_channels {
            write!(self.out, ",")?;
            segment
                .channel
                .map_or(Ok(()), |channel| write!(self.out, "{channel}"))?;
        }
        write!(self.out, "\r\n")?;
        self.out.flush()?;
        Ok(true)
    }

    fn finish(&mut self, _: &Ending) -> io::Result<()> {
        self.begin()?;
        self.out.flush()
    }
}
