//! Where encoded audio comes from.
//!
//! A [`Source`] is a name and a way to open the bytes, so that an input can be opened a second time in another way.
//! What the bytes mean is the [decoder](crate::decode)'s business.

use std::io::{Cursor, Read, Seek};

use crate::cancel::Cancel;
use crate::error::InputError;

mod file;
mod pipe;
mod raw;
mod wait;

pub use file::FileSource;
pub use pipe::PipeSource;
pub use raw::{RAW_CHANNELS_MAX, RawFormat, RawFormatError, RawSource};

/// An input that can be opened, perhaps more than once.
pub trait Source: Send {
    /// Returns a name for messages: a path, as a person wrote it.
    fn name(&self) -> String;

    /// Opens the input at its start. Called again, with [`Access::Forward`], when a container turns out to be damaged
    /// in a way that only reading forward survives (a truncated mkv, mp4 or aiff).
    ///
    /// # Errors
    ///
    /// [`InputError::Unreadable`] when the input cannot be opened, or not again.
    fn open(&mut self, access: Access) -> Result<Input, InputError>;

    /// Returns what tells this input from others, cheaply, or `None`: only its audio tells. For a [`Journal`](crate::Journal).
    ///
    /// # Errors
    ///
    /// [`InputError::Unreadable`] when the input cannot be read.
    fn fingerprint(&mut self) -> Result<Option<String>, InputError> {
        Ok(None)
    }

    /// Tells which token ends a read that waits. Called before [`open`](Self::open) by a transcription with its own.
    ///
    /// Only an input that can be silent for long needs it: once the token is raised, its reads return, with what there
    /// is or with the end of the input.
    fn cancelled_by(&mut self, cancel: &Cancel) {
        let _ = cancel;
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn open(&mut self, access: Access) -> Result<Input, InputError> {
        (**self).open(access)
    }

    fn fingerprint(&mut self) -> Result<Option<String>, InputError> {
        (**self).fingerprint()
    }

    fn cancelled_by(&mut self, cancel: &Cancel) {
        (**self).cancelled_by(cancel);
    }
}

/// How an input is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Seeking is allowed where the input can seek.
    Seek,
    /// Only forward, as from a pipe: whoever opens the input does not call `seek`.
    Forward,
}

/// What a source opens to.
#[non_exhaustive]
pub enum Input {
    /// The bytes of a file in some container.
    Encoded(Box<dyn Bytes>),
}

/// Encoded bytes in order.
///
/// The decoder reads in pieces of 1 to 32 KiB into its own buffer, so an implementation needs none.
pub trait Bytes: Read + Seek + Send {
    /// Returns whether `seek` works. An input that returns `false` is never asked to.
    fn is_seekable(&self) -> bool;

    /// Returns the length in bytes, if it is known. It may change while the input is read: a recording that is still
    /// being written.
    fn byte_len(&self) -> Option<u64>;
}

/// A file in memory.
impl<T: AsRef<[u8]> + Send> Bytes for Cursor<T> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.get_ref().as_ref().len() as u64)
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Encoded(bytes) => f
                .debug_struct("Encoded")
                .field("byte_len", &bytes.byte_len())
                .finish_non_exhaustive(),
        }
    }
}
