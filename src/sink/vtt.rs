//! WebVTT subtitles.

use std::io::{self, Write};

use super::cue::{ChannelMark, Cue};
use super::subtitles::CueFormat;

/// Writes [`Format::Vtt`](super::Format::Vtt).
#[derive(Debug)]
pub(super) struct Vtt;

impl CueFormat for Vtt {
    const MARK: ChannelMark = ChannelMark::Voice;

    const HEADER: &'static str = "WEBVTT\n\n";

    fn write(out: &mut dyn Write, _: u64, cue: &Cue) -> io::Result<()> {
        let (start, end) = (clock(cue.start_ms), clock(cue.end_ms));
        // The standard forbids `&`, `<` and `-->` in text.
        let text = cue
            .text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        writeln!(out, "{start} --> {end}")?;
        if let Some(channel) = cue.channel {
            write!(out, "<v channel {channel}>")?;
        }
        write!(out, "{text}\n\n")
    }
}

/// Formats `hh:mm:ss.mmm`.
fn clock(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000)
}
