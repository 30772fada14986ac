//! Reads a pipe: bytes that can be read once, in order, as the writer writes them.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use super::{Access, Bytes, Input, Source, wait};
use crate::cancel::Cancel;
use crate::error::InputError;

/// The name of standard input in messages and transcripts.
const STDIN_NAME: &str = "<stdin>";

/// Anything that can be read forward: standard input, the output of another program, a socket.
///
/// Text is returned while the writer still writes. Formats that need seeking cannot be read: an mp4
/// with its index at the end is refused when its audio begins. A pipe can be opened once only.
///
/// # Memory
///
/// A handle. Nothing is read ahead.
///
/// # Examples
///
/// ```
/// use steadyscribe::decode::Decoder;
/// use steadyscribe::source::PipeSource;
///
/// let from = std::fs::File::open("fixtures/formats/opus.ogg").expect("a fixture");
/// let mut decoder = Decoder::open(&mut PipeSource::new("a call", from))?;
/// assert_eq!(decoder.info().codec, "opus");
/// # Ok::<(), steadyscribe::InputError>(())
/// ```
pub struct PipeSource {
    name: String,
    /// Absent once it was opened.
    from: Option<Origin>,
    cancel: Cancel,
}

/// The reading end.
enum Origin {
    /// A reader that blocks until it has data.
    Reader(Box<dyn Read + Send>),
    /// A handle of the system, which can be polled.
    Handle(File),
}

impl PipeSource {
    /// Makes a source of a reader. `name` is for messages.
    ///
    /// A cancelled transcription waits for a read of `reader` that blocks. With
    /// [`PipeSource::from_handle`] it does not.
    pub fn new(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Self::of(name, Origin::Reader(Box::new(reader)))
    }

    /// Makes a source of a handle of the system, such as a child's standard output. `name` is for
    /// messages.
    ///
    /// A transcription that is cancelled while the writer pauses ends within a tenth of a second.
    #[cfg(unix)]
    pub fn from_handle(name: impl Into<String>, handle: impl Into<std::os::fd::OwnedFd>) -> Self {
        Self::of(name, Origin::Handle(File::from(handle.into())))
    }

    /// Makes a source of the program's standard input. Nothing else may read from it.
    ///
    /// # Errors
    ///
    /// [`InputError::Unreadable`] when standard input is closed.
    pub fn stdin() -> Result<Self, InputError> {
        // Bypasses the standard library's buffer, because polling the handle does not see what is
        // in it.
        #[cfg(unix)]
        let from = {
            use std::os::fd::AsFd;
            let handle = io::stdin().as_fd().try_clone_to_owned();
            let unreadable = |source| InputError::Unreadable {
                name: STDIN_NAME.into(),
                source,
            };
            Origin::Handle(File::from(handle.map_err(unreadable)?))
        };
        #[cfg(not(unix))]
        let from = Origin::Reader(Box::new(io::stdin()));
        Ok(Self::of(STDIN_NAME, from))
    }

    fn of(name: impl Into<String>, from: Origin) -> Self {
        Self {
            name: name.into(),
            from: Some(from),
            cancel: Cancel::new(),
        }
    }
}

impl fmt::Debug for PipeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeSource")
            .field("name", &self.name)
            .field("opened", &self.from.is_none())
            .finish_non_exhaustive()
    }
}

impl Source for PipeSource {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn open(&mut self, _access: Access) -> Result<Input, InputError> {
        let from = self.from.take().ok_or_else(|| InputError::Unreadable {
            name: self.name(),
            source: io::Error::new(
                ErrorKind::NotSeekable,
                "a pipe can be read once; make a new source for each transcription",
            ),
        })?;
        let cancel = self.cancel.clone();
        Ok(Input::Encoded(Box::new(Pipe { from, cancel })))
    }

    fn set_cancel(&mut self, cancel: &Cancel) {
        self.cancel = cancel.clone();
    }
}

/// An open pipe.
struct Pipe {
    from: Origin,
    cancel: Cancel,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.from {
            Origin::Reader(_) if self.cancel.is_cancelled() => Ok(0),
            Origin::Reader(reader) => reader.read(buffer),
            Origin::Handle(file) => wait::read(file, &self.cancel, buffer),
        }
    }
}

impl Seek for Pipe {
    fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
        Err(ErrorKind::NotSeekable.into())
    }
}

impl Bytes for Pipe {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(source: &mut PipeSource) -> Box<dyn Bytes> {
        let Input::Encoded(bytes) = source.open(Access::Seek).unwrap();
        bytes
    }

    #[test]
    fn pipe_is_read_once() {
        let mut source = PipeSource::new("a call", &b"abc"[..]);
        let mut bytes = [0; 3];
        opened(&mut source).read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"abc");
        let error = source.open(Access::Forward).unwrap_err();
        assert_eq!(error.to_string(), "cannot read a call");
    }

    #[cfg(unix)]
    #[test]
    fn cancel_ends_a_read_whose_writer_pauses() {
        use std::io::Write;

        let (reader, mut writer) = io::pipe().unwrap();
        let mut source = PipeSource::from_handle("a call", reader);
        let cancel = Cancel::new();
        source.set_cancel(&cancel);
        let mut bytes = opened(&mut source);
        writer.write_all(b"abc").unwrap();
        assert_eq!(bytes.read(&mut [0; 8]).unwrap(), 3);
        let (begins, begun) = std::sync::mpsc::sync_channel(1);
        let waits = std::thread::spawn(move || {
            begins.send(()).unwrap();
            bytes.read(&mut [0; 8]).unwrap()
        });
        begun.recv().unwrap();
        cancel.cancel();
        // The writer keeps the pipe open, so that only the cancel can end the read.
        assert_eq!(waits.join().unwrap(), 0);
        drop(writer);
    }
}
