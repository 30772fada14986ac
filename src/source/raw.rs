//! Samples without a header: a source that is told what they are.
//!
//! The decoder is shown a wave file: a header made here, then the samples, whose bytes are turned round where the
//! highest comes first. So raw samples take the same way as those of every wave file of unknown length.

use std::fmt;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::str::FromStr;

use super::{Access, Bytes, Input, Source};
use crate::audio::{INPUT_RATE_HZ_MAX, INPUT_RATE_HZ_MIN};
use crate::cancel::Cancel;
use crate::error::InputError;

/// Most channels of raw samples: wave files have names for as many.
pub const RAW_CHANNELS_MAX: u16 = 26;

/// Bytes of samples that are turned round at once: a multiple of every sample's size.
const TURNED_BYTES: usize = 6_144;

/// A kind of sample.
#[derive(Debug, PartialEq, Eq)]
struct Samples {
    name: &'static str,
    /// The format's name in a wave file.
    tag: u16,
    bytes: u16,
    highest_first: bool,
}

const fn samples(name: &'static str, tag: u16, bytes: u16, highest_first: bool) -> Samples {
    Samples {
        name,
        tag,
        bytes,
        highest_first,
    }
}

/// The kinds of samples, by the names that ffmpeg gives them. Source of the tags: RFC 2361.
static SAMPLES: [Samples; 13] = [
    samples("u8", 1, 1, false),
    samples("s16le", 1, 2, false),
    samples("s16be", 1, 2, true),
    samples("s24le", 1, 3, false),
    samples("s24be", 1, 3, true),
    samples("s32le", 1, 4, false),
    samples("s32be", 1, 4, true),
    samples("f32le", 3, 4, false),
    samples("f32be", 3, 4, true),
    samples("f64le", 3, 8, false),
    samples("f64be", 3, 8, true),
    samples("alaw", 6, 1, false),
    samples("mulaw", 7, 1, false),
];

/// What raw samples are: their kind, rate and channels, interleaved.
///
/// # Examples
///
/// ```
/// use steadyscribe::source::RawFormat;
///
/// let format: RawFormat = "s16le:16000:1".parse()?;
/// assert_eq!(format, RawFormat::new("s16le", 16_000, 1)?);
/// assert_eq!(format.to_string(), "s16le:16000:1");
/// # Ok::<(), steadyscribe::source::RawFormatError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawFormat {
    samples: &'static Samples,
    rate_hz: u32,
    channels: u16,
}

/// Why a raw format is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RawFormatError {
    /// It is not written as one.
    #[error("a raw format is SAMPLES:RATE:CHANNELS, such as s16le:16000:1")]
    Syntax,
    /// There are no such samples.
    #[error(
        "unknown samples {name:?}, must be u8, s16le, s16be, s24le, s24be, s32le, s32be, f32le, f32be, f64le, f64be, \
         alaw or mulaw"
    )]
    UnknownSamples {
        /// What was asked for.
        name: String,
    },
    /// The rate is out of range.
    #[error("a sample rate of {asked_hz} Hz, must be {min_hz} to {max_hz}")]
    Rate {
        /// What was asked for, in Hz.
        asked_hz: u32,
        /// The lowest that works, in Hz.
        min_hz: u32,
        /// The highest that works, in Hz.
        max_hz: u32,
    },
    /// There are no channels, or too many.
    #[error("{asked} channels, must be 1 to {max}")]
    Channels {
        /// What was asked for.
        asked: u16,
        /// The most that work.
        max: u16,
    },
}

impl RawFormat {
    /// Makes a format of samples by their name, such as `s16le`, of a rate of 4,000 to 384,000 Hz, and of 1 to 26
    /// channels.
    ///
    /// # Errors
    ///
    /// [`RawFormatError`] for what is unknown or out of range.
    pub fn new(name: &str, rate_hz: u32, channels: u16) -> Result<Self, RawFormatError> {
        let unknown = || RawFormatError::UnknownSamples { name: name.into() };
        let samples = SAMPLES.iter().find(|samples| samples.name == name);
        let samples = samples.ok_or_else(unknown)?;
        if !(INPUT_RATE_HZ_MIN..=INPUT_RATE_HZ_MAX).contains(&rate_hz) {
            return Err(RawFormatError::Rate {
                asked_hz: rate_hz,
                min_hz: INPUT_RATE_HZ_MIN,
                max_hz: INPUT_RATE_HZ_MAX,
            });
        }
        if !(1..=RAW_CHANNELS_MAX).contains(&channels) {
            return Err(RawFormatError::Channels {
                asked: channels,
                max: RAW_CHANNELS_MAX,
            });
        }
        Ok(Self {
            samples,
            rate_hz,
            channels,
        })
    }

    /// Returns the header of a wave file of unknown length.
    fn header(&self) -> Vec<u8> {
        let block = self.channels * self.samples.bytes;
        let fields: [&[u8]; 9] = [
            b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00",
            &self.samples.tag.to_le_bytes(),
            &self.channels.to_le_bytes(),
            &self.rate_hz.to_le_bytes(),
            &self.rate_hz.saturating_mul(block.into()).to_le_bytes(),
            &block.to_le_bytes(),
            &(self.samples.bytes * 8).to_le_bytes(),
            b"data",
            &u32::MAX.to_le_bytes(),
        ];
        fields.concat()
    }
}

impl fmt::Display for RawFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}",
            self.samples.name, self.rate_hz, self.channels
        )
    }
}

impl FromStr for RawFormat {
    type Err = RawFormatError;

    /// Parses `SAMPLES:RATE:CHANNELS`.
    fn from_str(text: &str) -> Result<Self, RawFormatError> {
        let mut parts = text.split(':');
        let (Some(name), Some(rate), Some(channels), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(RawFormatError::Syntax);
        };
        let rate_hz = rate.parse().map_err(|_| RawFormatError::Syntax)?;
        let channels = channels.parse().map_err(|_| RawFormatError::Syntax)?;
        Self::new(name, rate_hz, channels)
    }
}

/// A source whose bytes are samples without a header.
///
/// # Memory
///
/// 6 KiB where the highest byte of a sample comes first.
///
/// # Examples
///
/// ```
/// use steadyscribe::decode::Decoder;
/// use steadyscribe::source::{PipeSource, RawSource};
///
/// let pipe = PipeSource::new("a call", &[0_u8; 3_200][..]);
/// let mut source = RawSource::new(pipe, "s16be:16000:1".parse()?);
/// let mut decoder = Decoder::open(&mut source)?;
/// let mut frames = 0;
/// while let Some(chunk) = decoder.next()? {
///     frames += chunk.samples.len();
/// }
/// assert_eq!(frames, 1_600);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RawSource<S> {
    source: S,
    format: RawFormat,
}

impl<S: Source> RawSource<S> {
    /// Takes the bytes of `source` as samples.
    pub fn new(source: S, format: RawFormat) -> Self {
        Self { source, format }
    }
}

impl<S: Source> Source for RawSource<S> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn open(&mut self, access: Access) -> Result<Input, InputError> {
        let Input::Encoded(bytes) = self.source.open(access)?;
        let turned = self.format.samples.highest_first.then(Turned::default);
        Ok(Input::Encoded(Box::new(Waved {
            header: self.format.header(),
            at: 0,
            bytes,
            sample_bytes: self.format.samples.bytes.into(),
            turned,
        })))
    }

    fn fingerprint(&mut self) -> Result<Option<String>, InputError> {
        let of = self.source.fingerprint()?;
        Ok(of.map(|of| format!("{of}, {}", self.format)))
    }

    fn cancelled_by(&mut self, cancel: &Cancel) {
        self.source.cancelled_by(cancel);
    }
}

/// Samples that look like a wave file. Read forward, since nothing in such a file needs a way back.
struct Waved {
    header: Vec<u8>,
    /// Bytes of the header that were read.
    at: usize,
    bytes: Box<dyn Bytes>,
    sample_bytes: usize,
    /// Present where the highest byte of a sample comes first.
    turned: Option<Turned>,
}

/// Whole samples, turned round and not yet read.
struct Turned {
    block: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Default for Turned {
    fn default() -> Self {
        Self {
            block: vec![0; TURNED_BYTES].into_boxed_slice(),
            from: 0,
            to: 0,
        }
    }
}

impl Turned {
    /// Reads on: what is there, and as much more as the last sample lacks. What the end cuts off is no sample.
    fn fill(&mut self, bytes: &mut dyn Bytes, sample_bytes: usize) -> io::Result<()> {
        let mut count = 0;
        while count == 0 || count % sample_bytes != 0 {
            let end = if count == 0 {
                self.block.len()
            } else {
                count.next_multiple_of(sample_bytes)
            };
            match bytes.read(&mut self.block[count..end]) {
                Ok(0) => break,
                Ok(read) => count += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (self.from, self.to) = (0, count - count % sample_bytes);
        for sample in self.block[..self.to].chunks_exact_mut(sample_bytes) {
            sample.reverse();
        }
        Ok(())
    }
}

impl Read for Waved {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at < self.header.len() {
            let count = (&self.header[self.at..]).read(buffer)?;
            self.at += count;
            return Ok(count);
        }
        let Some(turned) = &mut self.turned else {
            return self.bytes.read(buffer);
        };
        if turned.from == turned.to {
            turned.fill(&mut *self.bytes, self.sample_bytes)?;
        }
        let count = (&turned.block[turned.from..turned.to]).read(buffer)?;
        turned.from += count;
        Ok(count)
    }
}

impl Seek for Waved {
    fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
        Err(ErrorKind::NotSeekable.into())
    }
}

impl Bytes for Waved {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        let len = self.bytes.byte_len()?;
        Some(len.saturating_add(self.header.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_limits() {
        for text in [
            "s16le:16000:1",
            "mulaw:8000:2",
            "f64be:384000:26",
            "u8:4000:1",
        ] {
            let format: RawFormat = text.parse().unwrap();
            assert_eq!(format.to_string(), text);
        }
        for (text, named) in [
            ("", "SAMPLES:RATE:CHANNELS"),
            ("s16le", "SAMPLES:RATE:CHANNELS"),
            ("s16le:16000", "SAMPLES:RATE:CHANNELS"),
            ("s16le:16000:1:1", "SAMPLES:RATE:CHANNELS"),
            ("s16le:16k:1", "SAMPLES:RATE:CHANNELS"),
            ("s16le:-1:1", "SAMPLES:RATE:CHANNELS"),
            ("s16:16000:1", "must be u8, s16le"),
            ("s16le:0:1", "0 Hz"),
            ("s16le:3999:1", "must be 4000 to 384000"),
            ("s16le:384001:1", "must be 4000 to 384000"),
            ("s16le:16000:0", "must be 1 to 26"),
            ("s16le:16000:27", "27 channels"),
        ] {
            let error = text.parse::<RawFormat>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
