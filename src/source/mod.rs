//! Opens inputs: files, pipes, and samples without a header.
//!
//! A [`Source`] has a name and opens the bytes of an input, more than once if it can: a damaged
//! file is opened a second time, to be read forward only. The [decoder](crate::decode) reads the
//! bytes.

use std::io::{Cursor, Read, Seek};

use crate::cancel::Cancel;
use crate::error::InputError;

mod file;
mod pipe;
mod raw;
mod wait;

pub use file::FileSource;
pub use pipe::PipeSource;
pub use raw::{RawFormat, RawFormatError, RawSource};

/// An input that can be opened, perhaps more than once.
pub trait Source: Send {
    /// Returns a name for messages, such as the path as the user wrote it.
    fn name(&self) -> String;

    /// Opens the input at its start. The decoder calls it again, with [`Access::Forward`], when the
    /// input cannot be read with seeking, such as a truncated mkv, mp4 or aiff.
    ///
    /// # Errors
    ///
    /// [`InputError::Unreadable`] when the input cannot be opened, or not a second time.
    fn open(&mut self, access: Access) -> Result<Input, InputError>;

    /// Returns a text that identifies the content of the input, or `None` if only its audio does.
    ///
    /// A [`Journal`](crate::Journal) compares it when it resumes. It must be cheap to compute.
    ///
    /// # Errors
    ///
    /// [`InputError::Unreadable`] when the input cannot be read.
    fn fingerprint(&mut self) -> Result<Option<String>, InputError> {
        Ok(None)
    }

    /// Sets the token that ends a waiting read. A transcription calls it before
    /// [`open`](Self::open).
    ///
    /// Only an input whose reads may wait for long needs it. Once the token is raised, its reads
    /// must return, with data or with the end of the input. By default nothing happens.
    fn set_cancel(&mut self, cancel: &Cancel) {
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

    fn set_cancel(&mut self, cancel: &Cancel) {
        (**self).set_cancel(cancel);
    }
}

/// How the decoder reads an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// With seeking, if the input can seek.
    Seek,
    /// Forward only, as from a pipe: the decoder does not call `seek`.
    Forward,
}

/// An opened input.
#[non_exhaustive]
pub enum Input {
    /// Bytes in some container, or of a bare stream.
    Encoded(Box<dyn Bytes>),
}

/// The bytes of an input.
///
/// The decoder reads pieces of 1 to 32 KiB into its own buffer, so an implementation needs none.
pub trait Bytes: Read + Seek + Send {
    /// Returns whether `seek` works. If not, the decoder never calls it.
    fn is_seekable(&self) -> bool;

    /// Returns the length in bytes, if it is known. It may change while the input is read, such as
    /// that of a recording that is still being written.
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
