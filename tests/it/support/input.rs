//! Inputs in memory, and their decoded audio.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use steadyscribe::audio::Format;
use steadyscribe::decode::{DecodeStats, Decoder, MediaInfo};
use steadyscribe::internals::Resampler;
use steadyscribe::source::{Access, Bytes, Input, Source};
use steadyscribe::{InputError, Span};

/// A stretch of an input.
#[derive(Clone)]
pub(crate) enum Piece {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// So many zeros, which take no memory.
    Zeros(u64),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(count) => *count,
        }
    }
}

/// An input made of pieces.
#[derive(Clone)]
pub(crate) struct Pieces {
    pieces: Vec<Piece>,
    seekable: bool,
    /// The byte at which reading fails, as a disk does.
    fails_at: Option<u64>,
}

impl Pieces {
    /// A file of these bytes.
    pub(crate) fn file(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::of(vec![Piece::Bytes(bytes.into())])
    }

    /// A file of these pieces.
    pub(crate) fn of(pieces: Vec<Piece>) -> Self {
        Self {
            pieces,
            seekable: true,
            fails_at: None,
        }
    }

    /// The same from a pipe: it cannot seek and does not know its length.
    pub(crate) fn piped(mut self) -> Self {
        self.seekable = false;
        self
    }

    /// The same on a disk that fails at a byte.
    pub(crate) fn failing_at(mut self, at: u64) -> Self {
        self.fails_at = Some(at);
        self
    }
}

impl Source for Pieces {
    fn name(&self) -> String {
        "pieces".into()
    }

    fn open(&mut self, _access: Access) -> Result<Input, InputError> {
        Ok(Input::Encoded(Box::new(Reader {
            pieces: self.clone(),
            at: 0,
            reads: 0,
        })))
    }
}

struct Reader {
    pieces: Pieces,
    at: u64,
    reads: u64,
}

impl Reader {
    fn total(&self) -> u64 {
        self.pieces.pieces.iter().map(Piece::len).sum()
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.pieces.fails_at.is_some_and(|at| self.at >= at) {
            return Err(io::Error::other("the disk is broken"));
        }
        let mut start = 0;
        for piece in &self.pieces.pieces {
            let end = start + piece.len();
            if self.at < end {
                let offset = self.at - start;
                let left = self.pieces.fails_at.map_or(u64::MAX, |at| at - self.at);
                let count = (end - self.at).min(buffer.len() as u64).min(left) as usize;
                match piece {
                    Piece::Bytes(bytes) => buffer[..count]
                        .copy_from_slice(&bytes[offset as usize..offset as usize + count]),
                    Piece::Zeros(_) => buffer[..count].fill(0),
                }
                self.at += count as u64;
                return Ok(count);
            }
            start = end;
        }
        Ok(0)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        assert!(
            self.pieces.seekable,
            "an input that cannot seek was asked to"
        );
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self.at.checked_add_signed(by).unwrap(),
            SeekFrom::End(by) => self.total().checked_add_signed(by).unwrap(),
        };
        Ok(self.at)
    }
}

impl Bytes for Reader {
    fn is_seekable(&self) -> bool {
        self.pieces.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.pieces.seekable.then(|| self.total())
    }
}

/// The decoded audio of an input.
pub(crate) struct Decoded {
    pub(crate) info: MediaInfo,
    /// 16 kHz mono.
    pub(crate) samples: Vec<f32>,
    /// Frames in each stretch of equal format.
    pub(crate) stretches: Vec<(Format, u64)>,
    pub(crate) stats: DecodeStats,
}

impl Decoded {
    /// Frames of all stretches.
    pub(crate) fn frames(&self) -> u64 {
        self.stretches.iter().map(|(_, frames)| frames).sum()
    }

    /// Length in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.samples.len() as f64 / 16_000.0
    }

    /// Seconds that are silence in place of audio.
    pub(crate) fn lost_s(&self) -> f64 {
        self.stats
            .damage
            .iter()
            .map(|span: &Span| span.length().seconds())
            .sum()
    }
}

/// Decodes and resamples all of an input.
pub(crate) fn decode_all(source: &mut dyn Source) -> Result<Decoded, InputError> {
    let mut decoder = Decoder::open(source)?;
    let mut resampler = Resampler::new();
    let mut samples = Vec::new();
    let mut stretches: Vec<(Format, u64)> = Vec::new();
    while let Some(chunk) = decoder.next()? {
        assert_eq!(
            chunk.samples.len() % chunk.format.channels,
            0,
            "half a frame"
        );
        assert!(!chunk.samples.is_empty(), "an empty chunk");
        let frames = (chunk.samples.len() / chunk.format.channels) as u64;
        match stretches.last_mut() {
            Some((format, count)) if *format == chunk.format => *count += frames,
            _ => stretches.push((chunk.format, frames)),
        }
        resampler.push(chunk.format, chunk.samples, &mut |out| {
            samples.extend_from_slice(out)
        });
    }
    resampler.finish(&mut |out| samples.extend_from_slice(out));
    assert!(decoder.next()?.is_none(), "it continues after its end");
    Ok(Decoded {
        info: decoder.info().clone(),
        samples,
        stretches,
        stats: decoder.stats().clone(),
    })
}

/// Reads a file of fixtures/formats.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/formats/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut bytes = Vec::new();
    let mut file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    io::copy(&mut file, &mut bytes).unwrap();
    bytes
}
