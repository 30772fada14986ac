//! Locks a file against a second program that would write to it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Longest content of a lock file. A host name has at most 64 bytes on Linux.
const HOLDER_BYTES_MAX: u64 = 512;

/// A lock on an open file, which is kept until it is dropped or the program ends.
///
/// It is the system's lock on the file. Some network and FUSE file systems have none; there a file
/// `NAME.lock` is created beside it, which names its holder. If a program was killed and left such
/// a file, the next program on the same machine removes it.
#[derive(Debug)]
pub(crate) struct FileLock {
    _lock_file: Option<LockFile>,
}

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another program, or another part of this one, has it.
    InUse,
    Io(io::Error),
}

impl FileLock {
    /// Locks `file`, which was opened from `path`. Does not wait.
    pub(crate) fn acquire(file: &File, path: &Path) -> Result<Self, LockError> {
        Self::acquire_with(file, path, File::try_lock)
    }

    fn acquire_with(
        file: &File,
        path: &Path,
        try_lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, LockError> {
        match try_lock(file) {
            Ok(()) => Ok(Self { _lock_file: None }),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse),
            Err(TryLockError::Error(error)) if is_unsupported(&error) => {
                let lock_file = LockFile::create(path)?;
                Ok(Self {
                    _lock_file: Some(lock_file),
                })
            }
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }
}

/// Returns whether the file system has no locks, as opposed to a lock that failed.
fn is_unsupported(error: &io::Error) -> bool {
    // ENOSYS and EOPNOTSUPP.
    if error.kind() == ErrorKind::Unsupported {
        return true;
    }
    #[cfg(unix)]
    return matches!(
        error.raw_os_error(),
        Some(libc::ENOTSUP | libc::ENOLCK | libc::EINVAL)
    );
    #[cfg(not(unix))]
    false
}

/// A file that exists while its holder has the lock.
#[derive(Debug)]
struct LockFile(PathBuf);

impl LockFile {
    fn create(path: &Path) -> Result<Self, LockError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let lock_file = match Self::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                remove_stale(&path)?;
                Self::create_new(&path)
            }
            created => created,
        };
        lock_file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => LockError::InUse,
            _ => LockError::Io(error),
        })
    }

    fn create_new(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let lock_file = Self(path.to_owned());
        file.write_all(holder(std::process::id()).as_bytes())?;
        Ok(lock_file)
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // If it stays, the next program finds it stale.
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes a lock file if its holder is a process of this machine that no longer runs.
fn remove_stale(path: &Path) -> Result<(), LockError> {
    let found = read(path).map_err(LockError::Io)?;
    let process = found.rsplit(' ').next().and_then(|id| id.parse().ok());
    let is_stale = process.is_some_and(|id| found == holder(id) && !is_running(id));
    if !is_stale {
        tracing::warn!(
            lock = %path.display(), holder = found,
            "the file is locked; if its holder no longer runs, remove the lock"
        );
        return Err(LockError::InUse);
    }
    // Two programs may find it stale at once. The slower one must not remove the lock that the
    // faster one has created since, so it looks at what it has renamed.
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    fs::rename(path, &aside).map_err(LockError::Io)?;
    let is_other = read(Path::new(&aside)).map_err(LockError::Io)? != found;
    if is_other {
        fs::hard_link(&aside, path).map_err(LockError::Io)?;
    }
    fs::remove_file(&aside).map_err(LockError::Io)?;
    if is_other {
        return Err(LockError::InUse);
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(HOLDER_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Returns the content of a lock file: the machine and the number of the process.
fn holder(process: u32) -> String {
    #[cfg(unix)]
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    #[cfg(not(unix))]
    let host = "this machine";
    format!("{host} {process}")
}

#[cfg(unix)]
fn is_running(process: u32) -> bool {
    let id = i32::try_from(process).ok();
    let Some(id) = id.and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    // A process of another user answers with an error of permission.
    rustix::process::test_kill_process(id) != Err(rustix::io::Errno::SRCH)
}

#[cfg(not(unix))]
fn is_running(_: u32) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsupported(_: &File) -> Result<(), TryLockError> {
        Err(TryLockError::Error(ErrorKind::Unsupported.into()))
    }

    /// Locks one file twice, and again when the first lock is gone.
    fn check_exclusive(try_lock: fn(&File) -> Result<(), TryLockError>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let acquire = || {
            let file = File::create(&path).unwrap();
            FileLock::acquire_with(&file, &path, try_lock).map(|lock| (file, lock))
        };
        let first = acquire().unwrap();
        assert!(matches!(acquire(), Err(LockError::InUse)));
        drop(first);
        drop(acquire().unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_lock_keeps_others_out_until_it_is_dropped() {
        check_exclusive(File::try_lock);
    }

    #[test]
    fn a_file_system_without_locks_has_lock_files() {
        check_exclusive(unsupported);
    }

    #[cfg(unix)]
    #[test]
    fn the_errors_of_file_systems_without_locks_are_known() {
        for (code, expected) in [
            (libc::ENOSYS, true),
            (libc::EOPNOTSUPP, true),
            (libc::ENOTSUP, true),
            (libc::ENOLCK, true),
            (libc::EINVAL, true),
            (libc::EIO, false),
            (libc::EACCES, false),
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(is_unsupported(&error), expected, "{error}");
        }
        let failed = |_: &File| Err(TryLockError::Error(io::Error::from_raw_os_error(libc::EIO)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let file = File::create(&path).unwrap();
        let refused = FileLock::acquire_with(&file, &path, failed);
        assert!(matches!(refused, Err(LockError::Io(_))));
    }

    #[cfg(unix)]
    #[test]
    fn the_lock_file_of_a_killed_program_is_removed() {
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let check = |holder: &str, is_stale: bool| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.journal");
            let file = File::create(&path).unwrap();
            fs::write(folder.path().join("a.journal.lock"), holder).unwrap();
            let locked = FileLock::acquire_with(&file, &path, unsupported);
            assert_eq!(locked.is_ok(), is_stale, "{holder}: {locked:?}");
        };
        check(&holder(ended.id()), true);
        check(&holder(std::process::id()), false);
        check(&format!("another-machine {}", ended.id()), false);
        check("", false);
        check("no process", false);
    }
}
