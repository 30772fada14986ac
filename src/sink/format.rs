//! The formats of transcripts, and their names.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use super::{Csv, Json, JsonLines, Lrc, Sink, Srt, Text, Vtt};

/// A format of transcripts.
///
/// # Examples
///
/// ```
/// use steadyscribe::sink::Format;
///
/// let format: Format = "srt".parse()?;
/// assert_eq!(format.extension(), "srt");
/// # Ok::<(), steadyscribe::sink::UnknownFormat>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Plain text, see [`Text`].
    Text,
    /// SubRip subtitles, see [`Srt`].
    Srt,
    /// WebVTT subtitles, see [`Vtt`].
    Vtt,
    /// One JSON document, see [`Json`].
    Json,
    /// JSON, one segment on each line, see [`JsonLines`].
    JsonLines,
    /// Comma-separated values, see [`Csv`].
    Csv,
    /// Timed lyrics, see [`Lrc`].
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
            Self::Srt => Box::new(Srt::new(out)),
            Self::Vtt => Box::new(Vtt::new(out)),
            Self::Json => Box::new(Json::new(out, file)),
            Self::JsonLines => Box::new(JsonLines::new(out)),
            Self::Csv => Box::new(Csv::new(out)),
            Self::Lrc => Box::new(Lrc::new(out)),
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
