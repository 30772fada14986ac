//! SubRip subtitles.

use std::io::{self, Write};

use super::cue::{ChannelMark, Cue};
use super::subtitles::CueFormat;

/// Writes [`Format::Srt`](super::Format::Srt).
#[derive(Debug)]
pub(super) struct Srt;

impl CueFormat for Srt {
    const MARK: ChannelMark = ChannelMark::Prefix;

    fn write(out: &mut dyn Write, number: u64, cue: &Cue) -> io::Result<()> {
        let (start, end) = (clock(cue.start_ms), clock(cue.end_ms));
        write!(out, "{number}\n{start} --> {end}\n")?;
        if let Some(channel) = cue.channel {
            write!(out, "[{channel}] ")?;
        }
        write!(out, "{}\n\n", plain(&cue.text))
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
