//! Reads samples without a header, whose format the caller gives.
//!
//! The decoder is shown a wave file: a header that is made here, then the samples, whose bytes are
//! reversed if they are big-endian. So they are decoded like any wave file of unknown length.

use std::fmt;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::str::FromStr;

use super::{Access, Bytes, Input, Source};
use crate::audio::{INPUT_RATE_HZ_MAX, INPUT_RATE_HZ_MIN};
use crate::cancel::Cancel;
use crate::error::InputError;

/// Most channels of raw samples: the decoder has names for as many channels of wave files.
const RAW_CHANNELS_MAX: u16 = 26;

/// Bytes of samples that are reversed at once: a multiple of every sample's size.
const REVERSED_BYTES: usize = 6_144;

/// A type of sample.
#[derive(Debug, PartialEq, Eq)]
struct SampleType {
    name: &'static str,
    /// The format's tag in a wave file.
    tag: u16,
    bytes: u16,
    is_big_endian: bool,
}

const fn sample_type(name: &'static str, tag: u16, bytes: u16, is_big_endian: bool) -> SampleType {
    SampleType {
        name,
        tag,
        bytes,
        is_big_endian,
    }
}

/// The types of samples, by their names in ffmpeg. Source of the tags: RFC 2361.
static SAMPLE_TYPES: [SampleType; 13] = [
    sample_type("u8", 1, 1, false),
    sample_type("s16le", 1, 2, false),
    sample_type("s16be", 1, 2, true),
    sample_type("s24le", 1, 3, false),
    sample_type("s24be", 1, 3, true),
    sample_type("s32le", 1, 4, false),
    sample_type("s32be", 1, 4, true),
    sample_type("f32le", 3, 4, false),
    sample_type("f32be", 3, 4, true),
    sample_type("f64le", 3, 8, false),
    sample_type("f64be", 3, 8, true),
    sample_type("alaw", 6, 1, false),
    sample_type("mulaw", 7, 1, false),
];

/// The format of raw samples: their type, rate and channels, interleaved.
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
    sample_type: &'static SampleType,
    rate_hz: u32,
    channels: u16,
}

/// Why a raw format is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RawFormatError {
    /// The text has another form: write it as SAMPLES:RATE:CHANNELS.
    #[error("a raw format must be SAMPLES:RATE:CHANNELS, such as s16le:16000:1")]
    Syntax,
    /// The type of samples is unknown: choose one of those that the message lists.
    #[error(
        "unknown samples {name:?}; expected one of u8, s16le, s16be, s24le, s24be, s32le, s32be, \
         f32le, f32be, f64le, f64be, alaw, mulaw"
    )]
    UnknownSamples {
        /// The name that was asked for.
        name: String,
    },
    /// The rate is out of range: convert the samples first.
    #[error("a sample rate of {asked_hz} Hz is out of range; it must be {min_hz} to {max_hz}")]
    Rate {
        /// The rate that was asked for, in Hz.
        asked_hz: u32,
        /// The lowest that works, in Hz.
        min_hz: u32,
        /// The highest that works, in Hz.
        max_hz: u32,
    },
    /// The number of channels is out of range.
    #[error("{asked} channels are out of range; there must be 1 to {max}")]
    Channels {
        /// The number that was asked for.
        asked: u16,
        /// The highest that works.
        max: u16,
    },
}

impl RawFormat {
    /// Makes a format from the name of the samples, such as `s16le`, a rate of 4,000 to 384,000 Hz,
    /// and 1 to 26 channels.
    ///
    /// # Errors
    ///
    /// [`RawFormatError`] when the name is unknown or a number is out of range.
    pub fn new(name: &str, rate_hz: u32, channels: u16) -> Result<Self, RawFormatError> {
        let unknown = || RawFormatError::UnknownSamples { name: name.into() };
        let sample_type = SAMPLE_TYPES.iter().find(|found| found.name == name);
        let sample_type = sample_type.ok_or_else(unknown)?;
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
            sample_type,
            rate_hz,
            channels,
        })
    }

    /// Returns the header of a wave file of unknown length.
    fn header(&self) -> Vec<u8> {
        let block = self.channels * self.sample_type.bytes;
        let fields: [&[u8]; 9] = [
            b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00",
            &self.sample_type.tag.to_le_bytes(),
            &self.channels.to_le_bytes(),
            &self.rate_hz.to_le_bytes(),
            &self.rate_hz.saturating_mul(block.into()).to_le_bytes(),
            &block.to_le_bytes(),
            &(self.sample_type.bytes * 8).to_le_bytes(),
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
            self.sample_type.name, self.rate_hz, self.channels
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
/// 6 KiB if the samples are big-endian.
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
    /// Reads the bytes of `source` as samples.
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
        let reversed = self
            .format
            .sample_type
            .is_big_endian
            .then(Reversed::default);
        Ok(Input::Encoded(Box::new(WaveBytes {
            header: self.format.header(),
            at: 0,
            bytes,
            sample_bytes: self.format.sample_type.bytes.into(),
            reversed,
        })))
    }

    fn fingerprint(&mut self) -> Result<Option<String>, InputError> {
        let of = self.source.fingerprint()?;
        Ok(of.map(|of| format!("{of}, {}", self.format)))
    }

    fn set_cancel(&mut self, cancel: &Cancel) {
        self.source.set_cancel(cancel);
    }
}

/// Samples that look like a wave file. It is read forward, since such a file needs no seeking.
struct WaveBytes {
    header: Vec<u8>,
    /// Bytes of the header that were read.
    at: usize,
    bytes: Box<dyn Bytes>,
    sample_bytes: usize,
    /// Present if the samples are big-endian.
    reversed: Option<Reversed>,
}

/// Whole samples with their bytes reversed, which were not read yet.
struct Reversed {
    block: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Default for Reversed {
    fn default() -> Self {
        Self {
            block: vec![0; REVERSED_BYTES].into_boxed_slice(),
            from: 0,
            to: 0,
        }
    }
}

impl Reversed {
    /// Reads the data that is there, and the rest of its last sample. A sample that the end of the
    /// input cuts off is dropped.
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

impl Read for WaveBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at < self.header.len() {
            let count = (&self.header[self.at..]).read(buffer)?;
            self.at += count;
            return Ok(count);
        }
        let Some(reversed) = &mut self.reversed else {
            return self.bytes.read(buffer);
        };
        if reversed.from == reversed.to {
            reversed.fill(&mut *self.bytes, self.sample_bytes)?;
        }
        let count = (&reversed.block[reversed.from..reversed.to]).read(buffer)?;
        reversed.from += count;
        Ok(count)
    }
}

impl Seek for WaveBytes {
    fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
        Err(ErrorKind::NotSeekable.into())
    }
}

impl Bytes for WaveBytes {
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
            ("s16:16000:1", "one of u8, s16le"),
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
