//! Timed lyrics.

use std::io::{self, Write};

use super::cue::{ChannelMark, Cue};
use super::subtitles::CueFormat;

/// Writes [`Format::Lrc`](super::Format::Lrc).
#[derive(Debug)]
pub(super) struct Lrc;

impl CueFormat for Lrc {
    const MARK: ChannelMark = ChannelMark::Prefix;

    fn write(out: &mut dyn Write, _: u64, cue: &Cue) -> io::Result<()> {
        let (minutes, seconds) = (cue.start_ms / 60_000, cue.start_ms / 1_000 % 60);
        let hundredths = cue.start_ms / 10 % 100;
        let mut text = cue.text.replace('\n', " ");
        // Readers take brackets at the start of a line for a time.
        if text.starts_with('[') {
            text = text.replacen('[', "(", 1).replacen(']', ")", 1);
        }
        write!(out, "[{minutes:02}:{seconds:02}.{hundredths:02}]")?;
        if let Some(channel) = cue.channel {
            write!(out, "({channel}) ")?;
        }
        writeln!(out, "{text}")
    }
}
