//! Reads a file on disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Access, Bytes, Input, Source, wait};
use crate::cancel::Cancel;
use crate::error::InputError;

/// A file, read through the decoder's fixed buffer.
///
/// It is not mapped into memory: mapped pages count as resident (3.4 GB for ten hours of wav), and
/// truncating a mapped file ends the process with a bus error.
///
/// # Memory
///
/// A path and a file handle.
///
/// # Examples
///
/// ```no_run
/// use steadyscribe::decode::Decoder;
/// use steadyscribe::source::FileSource;
///
/// let mut decoder = Decoder::open(&mut FileSource::open("meeting.m4a")?)?;
/// while let Some(chunk) = decoder.next()? {
///     println!("{} frames", chunk.samples.len() / chunk.format.channels);
/// }
/// # Ok::<(), steadyscribe::InputError>(())
/// ```
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    /// The file as `open` opened it, until the first use: a named pipe cannot be opened twice.
    opened: Option<OpenFile>,
    cancel: Cancel,
}

impl FileSource {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// [`InputError::Unreadable`] when the file does not exist, may not be read, or is a directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, InputError> {
        let mut source = Self {
            path: path.as_ref().to_path_buf(),
            opened: None,
            cancel: Cancel::new(),
        };
        // Opened now, so that a wrong path is an error before a model is loaded.
        source.opened = Some(source.open_file()?);
        Ok(source)
    }

    fn open_file(&self) -> Result<OpenFile, InputError> {
        let unreadable = |source| InputError::Unreadable {
            name: self.name(),
            source,
        };
        let file = File::open(&self.path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        // Unix opens a directory without an error, and fails at the first read.
        if metadata.is_dir() {
            return Err(unreadable(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a directory; give a file",
            )));
        }
        Ok(OpenFile {
            file,
            is_regular: metadata.is_file(),
            cancel: self.cancel.clone(),
        })
    }
}

impl Source for FileSource {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&mut self, _access: Access) -> Result<Input, InputError> {
        let mut file = self.opened.take().map_or_else(|| self.open_file(), Ok)?;
        file.cancel = self.cancel.clone();
        Ok(Input::Encoded(Box::new(file)))
    }

    /// Returns the length and a checksum of 64 pieces of 64 KiB, which are spread evenly and cover
    /// all of a file of up to 4 MiB.
    fn fingerprint(&mut self) -> Result<Option<String>, InputError> {
        if self
            .opened
            .as_ref()
            .is_some_and(|opened| !opened.is_regular)
        {
            // It cannot be opened twice.
            return Ok(None);
        }
        let mut file = self.open_file()?;
        let sum = checksum(&mut file.file).map_err(|source| InputError::Unreadable {
            name: self.name(),
            source,
        })?;
        Ok(Some(sum))
    }

    fn set_cancel(&mut self, cancel: &Cancel) {
        self.cancel = cancel.clone();
    }
}

/// Pieces of a file that its fingerprint covers.
const PIECES: u64 = 64;

/// Length of such a piece in bytes.
const PIECE_BYTES: usize = 64 << 10;

fn checksum(file: &mut File) -> io::Result<String> {
    let length = file.metadata()?.len();
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let piece_bytes = PIECE_BYTES as u64;
    let between = length.saturating_sub(piece_bytes).div_ceil(PIECES - 1);
    for at in (0..PIECES).map(|n| (n * between.max(piece_bytes)).min(length)) {
        file.seek(SeekFrom::Start(at))?;
        let mut filled = 0;
        while filled < piece.len() {
            match file.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        hasher.update(&piece[..filled]);
    }
    Ok(format!(
        "{length} bytes, checksum {:08x}",
        hasher.finalize()
    ))
}

/// An open file.
#[derive(Debug)]
struct OpenFile {
    file: File,
    /// Fifos and devices also have a path, but neither a length nor a way to seek.
    is_regular: bool,
    /// Ends the wait for a fifo's writer.
    cancel: Cancel,
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.is_regular {
            return wait::read(&mut self.file, &self.cancel, buffer);
        }
        loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Bytes for OpenFile {
    fn is_seekable(&self) -> bool {
        self.is_regular
    }

    fn byte_len(&self) -> Option<u64> {
        if self.is_regular {
            self.file.metadata().ok().map(|m| m.len())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_depends_on_length_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let print = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let mut source = FileSource::open(&path).unwrap();
            source.fingerprint().unwrap().unwrap()
        };
        // More than all pieces cover.
        let mut bytes = vec![1; 5 << 20];
        let first = print(&bytes);
        assert_eq!(first, print(&bytes));
        *bytes.last_mut().unwrap() = 2;
        let last = print(&bytes);
        assert_ne!(first, last);
        bytes.push(2);
        assert_ne!(last, print(&bytes));
        assert_ne!(print(&[1]), print(&[]));
    }

    #[test]
    fn missing_file_is_named() {
        let error = FileSource::open("no/such/file.wav").unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such/file.wav");
        assert!(matches!(error, InputError::Unreadable { source, .. }
            if source.kind() == io::ErrorKind::NotFound));
    }

    #[test]
    fn directory_is_refused() {
        let error = FileSource::open(".").unwrap_err();
        assert!(matches!(error, InputError::Unreadable { source, .. }
            if source.kind() == io::ErrorKind::IsADirectory));
    }

    #[test]
    fn same_file_opens_twice() {
        let mut source = FileSource::open("Cargo.toml").unwrap();
        for access in [Access::Seek, Access::Forward] {
            let Input::Encoded(mut bytes) = source.open(access).unwrap();
            let mut head = [0; 4];
            bytes.read_exact(&mut head).unwrap();
            assert!(bytes.is_seekable());
            assert_eq!(&head, b"[wor");
        }
    }
}
