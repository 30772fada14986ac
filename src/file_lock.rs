//! Locks a file against a second program that would write to it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// The lock of a file that one program may write at a time.
///
/// The system holds it for the open file that [`acquire`](Self::acquire) was given, and releases it
/// when that file is closed, also if the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileLock {
    /// No other program has the lock.
    Exclusive,
    /// The file system has no locks: another program may write the file at the same time.
    Unsupported,
}

/// Why a file was not locked.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another program, or another part of this one, has the lock.
    InUse,
    Io(io::Error),
}

impl FileLock {
    /// Locks `file`, which is open at `path`, without waiting.
    ///
    /// Network and cluster file systems are often mounted without locks. There it logs a warning
    /// and returns [`Unsupported`](Self::Unsupported). A file of our own with the id of the process
    /// would lock too much: after a job was killed, another machine cannot know that its process
    /// has ended.
    ///
    /// # Errors
    ///
    /// [`LockError::InUse`] when another program has the lock.
    pub(crate) fn acquire(file: &File, path: &Path) -> Result<Self, LockError> {
        Self::of(file.try_lock(), path)
    }

    fn of(locked: Result<(), TryLockError>, path: &Path) -> Result<Self, LockError> {
        match locked {
            Ok(()) => Ok(Self::Exclusive),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse),
            Err(TryLockError::Error(error)) if is_unsupported(&error) => {
                tracing::warn!(
                    path = %path.display(), %error,
                    "the file system has no locks; use the file in one program at a time"
                );
                Ok(Self::Unsupported)
            }
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }
}

/// Returns whether the file system does not know the operation, as opposed to having failed at it.
///
/// Lustre answers ENOSYS without the mount option `flock`, NFS without a lock daemon ENOLCK, FUSE
/// and SMB any of the four.
fn is_unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    let codes = [
        libc::ENOSYS,
        libc::ENOTSUP,
        libc::EOPNOTSUPP,
        libc::ENOLCK,
        libc::EINVAL,
    ];
    // ERROR_INVALID_FUNCTION and ERROR_NOT_SUPPORTED.
    #[cfg(not(unix))]
    let codes = [1, 50];
    error.kind() == io::ErrorKind::Unsupported
        || error
            .raw_os_error()
            .is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_program_is_refused_until_the_first_closes_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let first = File::create(&path).unwrap();
        let second = File::open(&path).unwrap();
        assert_eq!(
            FileLock::acquire(&first, &path).unwrap(),
            FileLock::Exclusive
        );
        let refused = FileLock::acquire(&second, &path);
        assert!(matches!(refused, Err(LockError::InUse)), "{refused:?}");
        drop(first);
        assert_eq!(
            FileLock::acquire(&second, &path).unwrap(),
            FileLock::Exclusive
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_is_used_without() {
        for code in [libc::ENOSYS, libc::ENOTSUP, libc::ENOLCK, libc::EINVAL] {
            let error = TryLockError::Error(io::Error::from_raw_os_error(code));
            let lock = FileLock::of(Err(error), Path::new("a")).unwrap();
            assert_eq!(lock, FileLock::Unsupported, "{code}");
        }
        let broken = TryLockError::Error(io::Error::from_raw_os_error(libc::EIO));
        match FileLock::of(Err(broken), Path::new("a")) {
            Err(LockError::Io(error)) => assert_eq!(error.raw_os_error(), Some(libc::EIO)),
            other => panic!("{other:?}"),
        }
    }
}
