//! Files that one program at a time may write.
//!
//! The history and the alert journal are both replaced as a whole now and then. A second program
//! that opened such a file would go on writing to the replaced one, and everything in it would be
//! lost.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The right to write a file, held until it is dropped.
///
/// The lock is on a file beside it, `NAME.lock`, which stays there empty: a lock on the file itself
/// would be lost whenever the file is replaced, and on Windows it would stop readers.
#[derive(Debug)]
pub(crate) struct Exclusive {
    path: PathBuf,
    _lock: File,
}

/// Why a file cannot be written by this program.
#[derive(Debug)]
pub(crate) enum AcquireError {
    /// Another program writes it.
    InUse,
    /// The lock file cannot be opened.
    Io(io::Error),
}

impl Exclusive {
    /// Takes the right to write a file, which need not exist yet. Never waits.
    pub(crate) fn acquire(path: &Path) -> Result<Self, AcquireError> {
        // Two links to one file must meet at one lock.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let lock = options
            .open(beside(&path, ".lock"))
            .map_err(AcquireError::Io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(AcquireError::InUse),
            Err(TryLockError::Error(error)) => Err(AcquireError::Io(error)),
        }
    }

    /// Replaces the file by what `write` writes, at once and synced to the disk. Returns the new
    /// file, open for appending.
    pub(crate) fn replace(
        &self,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<File> {
        let part = beside(&self.path, ".part");
        let mut out = BufWriter::new(File::create(&part)?);
        write(&mut out)?;
        out.flush()?;
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        std::fs::rename(&part, &self.path)?;
        OpenOptions::new().append(true).open(&self.path)
    }
}

/// The whole name and an ending: files of one stem must not share the file beside them.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_program_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let first = Exclusive::acquire(&path).unwrap();
        assert!(matches!(
            Exclusive::acquire(&path),
            Err(AcquireError::InUse)
        ));
        first.replace(|out| out.write_all(b"new")).unwrap();
        assert!(matches!(
            Exclusive::acquire(&path),
            Err(AcquireError::InUse)
        ));
        drop(first);
        assert!(Exclusive::acquire(&path).is_ok());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    }

    #[cfg(unix)]
    #[test]
    fn link_to_a_file_has_the_lock_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let first = Exclusive::acquire(&file).unwrap();
        assert!(matches!(
            Exclusive::acquire(&link),
            Err(AcquireError::InUse)
        ));
        drop(first);
        let second = Exclusive::acquire(&link).unwrap();
        second.replace(|out| out.write_all(b"new")).unwrap();
        assert!(link.is_symlink(), "the file is replaced, not the link");
    }
}
