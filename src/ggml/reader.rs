//! Reads a model file from start to end, checks its length, and hashes the bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::{FINGERPRINT_SAMPLE_BYTES, ModelError};

/// Bytes that are read at once. Small, because each of up to 1,259 tensors fills the buffer once.
const BUFFER_BYTES: usize = 8 << 10;

/// Start and factor of the 64-bit hash FNV-1a. Unlike the standard library's hash, it is the same
/// on every machine and in every version.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_FACTOR: u64 = 0x0000_0100_0000_01b3;

/// Reads a model file from its start to its end.
pub(crate) struct Reader<'a> {
    path: &'a Path,
    /// The name of a file of the right kind.
    example: &'static str,
    file: BufReader<File>,
    len: u64,
    at: u64,
    hash: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn open(path: &'a Path, example: &'static str) -> Result<Self, ModelError> {
        let unreadable = |source| ModelError::Unreadable {
            path: path.to_owned(),
            source,
        };
        // Checked before opening, because opening a pipe waits for its writer.
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            let found = if metadata.is_dir() {
                "is a directory"
            } else {
                "is not a regular file"
            };
            return Err(ModelError::NotAModel {
                path: path.to_owned(),
                found,
                example,
            });
        }
        let file = File::open(path).map_err(unreadable)?;
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok(Self {
            path,
            example,
            file,
            len: metadata.len(),
            at: 0,
            hash: FNV_START,
        })
    }

    /// Returns the length of the file in bytes at the time when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns the number of bytes that were read or skipped.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Returns the hash of all bytes that were read.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Checks that the file has `bytes` more bytes.
    pub(crate) fn need(&self, bytes: u64) -> Result<(), ModelError> {
        let needed_bytes = self.at + bytes;
        if needed_bytes <= self.len {
            return Ok(());
        }
        Err(ModelError::Truncated {
            path: self.path(),
            bytes: self.len,
            needed_bytes,
        })
    }

    /// Reads the next bytes into `into`.
    pub(crate) fn fill(&mut self, into: &mut [u8]) -> Result<(), ModelError> {
        self.need(into.len() as u64)?;
        self.file
            .read_exact(into)
            .map_err(|source| ModelError::Unreadable {
                path: self.path(),
                source,
            })?;
        self.at += into.len() as u64;
        for byte in into {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(FNV_FACTOR);
        }
        Ok(())
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a number.
    pub(crate) fn number(&mut self) -> Result<i32, ModelError> {
        self.bytes().map(i32::from_le_bytes)
    }

    /// Reads a dimension, and refuses one that does not satisfy `fits`.
    pub(crate) fn dimension(
        &mut self,
        what: &'static str,
        fits: impl Fn(u32) -> bool,
        allowed: &str,
    ) -> Result<u32, ModelError> {
        let asked = self.number()?;
        u32::try_from(asked)
            .ok()
            .filter(|n| fits(*n))
            .ok_or_else(|| self.unsupported(what, asked.into(), allowed.to_owned()))
    }

    /// Skips a tensor's numbers, except the first few, which are hashed.
    pub(crate) fn pass_weights(&mut self, bytes: u64) -> Result<(), ModelError> {
        self.need(bytes)?;
        let mut sample = [0; FINGERPRINT_SAMPLE_BYTES];
        let sampled = bytes.min(FINGERPRINT_SAMPLE_BYTES as u64);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most the sample's length"
        )]
        self.fill(&mut sample[..sampled as usize])?;
        self.file
            .seek_relative((bytes - sampled).cast_signed())
            .map_err(|source| ModelError::Unreadable {
                path: self.path(),
                source,
            })?;
        self.at += bytes - sampled;
        Ok(())
    }

    pub(crate) fn not_a_model(&self, found: &'static str) -> ModelError {
        ModelError::NotAModel {
            path: self.path(),
            found,
            example: self.example,
        }
    }

    pub(crate) fn damaged(&self, reason: String) -> ModelError {
        ModelError::Damaged {
            path: self.path(),
            at_byte: self.at,
            reason,
        }
    }

    pub(crate) fn unsupported(
        &self,
        what: &'static str,
        asked: i64,
        allowed: String,
    ) -> ModelError {
        ModelError::Unsupported {
            path: self.path(),
            what,
            asked,
            allowed,
        }
    }

    fn path(&self) -> PathBuf {
        self.path.to_owned()
    }
}
