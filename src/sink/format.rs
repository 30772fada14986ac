//! The formats of transcripts, and their names.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use super::Sink;
use super::csv::Csv;
use super::json::Json;
use super::jsonl::JsonLines;
use super::lrc::Lrc;
use super::srt::Srt;
use super::subtitles::Subtitles;
use super::text::Text;
use super::vtt::Vtt;

/// A format of transcripts.
///
/// # Examples
///
/// ```
/// use steadyscribe::sink::{Format, Sink};
/// use steadyscribe::{Segment, Time};
///
/// let format: Format = "txt".parse()?;
/// let mut out = Vec::new();
/// let mut sink = format.sink(&mut out, "talk.wav");
/// sink.segment(&Segment::new(Time::ZERO, Time::from_seconds(2.0), "Good morning."))?;
/// drop(sink);
/// assert_eq!(out, b"Good morning.\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Plain text: each segment on a line of its own.
    ///
    /// White space within a segment becomes single spaces. Control characters are left out, so that
    /// a transcript cannot control the terminal that shows it. The channel of a segment precedes
    /// the text: `[1] Good morning.`
    Text,
    /// SubRip subtitles: at most two lines of 42 characters, shown for 5/6 s to 7 s.
    ///
    /// A longer segment becomes several subtitles, timed by its tokens. A subtitle starts when its
    /// text is spoken. Subtitles overlap if two channels speak at once, or if one of them is
    /// shorter than 5/6 s. The channel of a segment precedes the text: `[1] Good morning.`
    ///
    /// SubRip has no way to quote, so text that a reader could take for a line of times, a style or
    /// a position is written with look-alikes: `-->` as `→`, `<i>` as `‹i>`, `{\an8}` as `(\an8}`.
    Srt,
    /// WebVTT subtitles, divided as those of SubRip. The channel of a segment is the voice of its
    /// cues: `<v channel 1>`.
    ///
    /// Source: W3C, WebVTT: The Web Video Text Tracks Format, sections 4.1 (syntax, order of cues)
    /// and 4.2.2 (cue text).
    Vtt,
    /// One JSON document:
    /// `{"file","segments":[{…}],"uncovered":[{"start_s","end_s"}],"language","duration_s"}`.
    ///
    /// It is written as segments come, so fields that are known only at the end follow them. Until
    /// then the file holds a readable prefix: the first line opens the document, and each segment
    /// is on a line of its own. The prefix followed by `]}` is valid JSON.
    Json,
    /// JSON lines: each segment as one object on a line of its own, the objects in `segments` of
    /// [`Json`](Self::Json). The file is valid after every line.
    JsonLines,
    /// Comma-separated values: a header, then one record for each segment.
    ///
    /// The text is always quoted and unchanged, line feeds included. Unknown figures are empty. If
    /// the first segment has a channel, the last column is `channel`.
    ///
    /// Source: RFC 4180 (records end with CR LF, a quote inside quotes is doubled).
    Csv,
    /// Timed lyrics (LRC): lines with a start in hundredths of a second. Each line has the text of
    /// one subtitle of SubRip.
    ///
    /// The format has no ends and no way to quote. Readers take square brackets at the start of a
    /// text for a time or a tag and do not show them, so they are written as round ones. This is
    /// also why the channel of a segment is in round brackets: `(1) Good morning.`
    Lrc,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 7] = [
        Self::Text,
        Self::Srt,
        Self::Vtt,
        Self::Json,
        Self::JsonLines,
        Self::Csv,
        Self::Lrc,
    ];

    /// Returns the extension of files in this format, which is also its name.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
            Self::Lrc => "lrc",
        }
    }

    /// Makes a sink of this format that writes to `out`. Use a buffered writer: it is flushed after
    /// each segment. `file` is the name of the input, for formats that include it.
    #[must_use]
    pub fn sink<'a>(self, out: impl Write + 'a, file: &str) -> Box<dyn Sink + 'a> {
        match self {
            Self::Text => Box::new(Text::new(out)),
            Self::Srt => Box::new(Subtitles::<_, Srt>::new(out)),
            Self::Vtt => Box::new(Subtitles::<_, Vtt>::new(out)),
            Self::Json => Box::new(Json::new(out, file)),
            Self::JsonLines => Box::new(JsonLines::new(out)),
            Self::Csv => Box::new(Csv::new(out)),
            Self::Lrc => Box::new(Subtitles::<_, Lrc>::new(out)),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    /// Parses an extension, in lower or upper case.
    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.extension().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownFormat {
                name: name.to_owned(),
            })
    }
}

/// The name is not the name of a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {name:?}; expected one of txt, srt, vtt, json, jsonl, csv, lrc")]
#[non_exhaustive]
pub struct UnknownFormat {
    /// The unknown name.
    pub name: String,
}
