//! A partial download: the bytes so far, and their digests.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};
use sha2::Sha256;
use tempfile::TempPath;

use crate::folder::sync_folder;

/// Bytes that are read at once when an earlier part is hashed.
const BUFFER_BYTES: usize = 64 << 10;

/// Longest version that is stored. Those of servers have some 40 bytes.
const VERSION_BYTES_MAX: usize = 256;

/// A partial download and its digests so far.
///
/// # Memory
///
/// A buffer of 64 KiB while an earlier part is hashed.
pub(super) struct Part {
    place: Place,
    file: File,
    bytes: u64,
    sha1: Sha1,
    sha256: Sha256,
    version: Option<String>,
}

/// Where a partial download is.
enum Place {
    /// `NAME.part`, with the server's version of the file in `NAME.part.etag`. The next download
    /// continues it.
    Shared(PathBuf),
    /// A name that no other program has. The file is removed if it is not finished.
    Private(TempPath),
}

/// Digests of a file, in hexadecimal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) sha1: String,
    pub(super) sha256: String,
}

impl Part {
    /// Opens what an earlier download left of `target`, or creates an empty file. The caller holds
    /// the lock of the download.
    pub(super) fn open(target: &Path) -> io::Result<Self> {
        let path = with_suffix(target, ".part");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        let (mut sha1, mut sha256, mut bytes) = (Sha1::new(), Sha256::new(), 0);
        // A device has no earlier bytes.
        if file.metadata()?.is_file() {
            let mut buffer = vec![0; BUFFER_BYTES];
            loop {
                let read = match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                sha1.update(&buffer[..read]);
                sha256.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
        let version = read_version(&path).filter(|_| bytes > 0);
        Ok(Self {
            place: Place::Shared(path),
            file,
            bytes,
            sha1,
            sha256,
            version,
        })
    }

    /// Creates an empty file that no other program opens: for file systems without locks, where two
    /// downloads would write to the same file.
    pub(super) fn create_private(target: &Path) -> io::Result<Self> {
        let mut prefix = target.file_name().unwrap_or_default().to_owned();
        prefix.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".part");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // It becomes the model, so it gets the permissions of any new file.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let part = builder.tempfile_in(target.parent().unwrap_or(Path::new(".")))?;
        let (file, path) = part.into_parts();
        Ok(Self {
            place: Place::Private(path),
            file,
            bytes: 0,
            sha1: Sha1::new(),
            sha256: Sha256::new(),
            version: None,
        })
    }

    /// Returns how many bytes have arrived.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how many of them the next download can use.
    pub(super) fn kept_bytes(&self) -> u64 {
        match self.place {
            Place::Shared(_) => self.bytes,
            Place::Private(_) => 0,
        }
    }

    /// Returns the server's version of the file that these bytes are from, if it stated one.
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.sha1.update(bytes);
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Discards all bytes, and stores the version of those that follow.
    pub(super) fn restart(&mut self, version: Option<&str>) -> io::Result<()> {
        self.file.rewind()?;
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        (self.sha1, self.sha256, self.bytes) = (Sha1::new(), Sha256::new(), 0);
        self.version = version
            .filter(|version| version.len() <= VERSION_BYTES_MAX)
            .map(str::to_owned);
        match (&self.place, &self.version) {
            (Place::Private(_), _) => Ok(()),
            (Place::Shared(path), Some(version)) => fs::write(version_path(path), version),
            (Place::Shared(path), None) => remove(&version_path(path)),
        }
    }

    /// Returns the digests of the bytes so far.
    pub(super) fn digests(&self) -> Digests {
        Digests {
            sha1: hexadecimal(&self.sha1.clone().finalize()),
            sha256: hexadecimal(&self.sha256.clone().finalize()),
        }
    }

    /// Gives the file its name. After a crash of the system it has its name and all bytes, or
    /// neither.
    pub(super) fn finish(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        let Self { place, file, .. } = self;
        // Windows does not rename an open file.
        drop(file);
        match place {
            Place::Shared(path) => {
                fs::rename(&path, target)?;
                remove(&version_path(&path))?;
            }
            Place::Private(path) => path.persist(target)?,
        }
        sync_folder(target)
    }

    /// Removes the file. Windows removes an open file when it is closed.
    pub(super) fn remove(&self) -> io::Result<()> {
        match &self.place {
            Place::Shared(path) => {
                remove(&version_path(path))?;
                remove(path)
            }
            Place::Private(path) => remove(path),
        }
    }
}

fn version_path(part: &Path) -> PathBuf {
    with_suffix(part, ".etag")
}

fn read_version(part: &Path) -> Option<String> {
    let file = File::open(version_path(part)).ok()?;
    let mut version = String::new();
    file.take(VERSION_BYTES_MAX as u64)
        .read_to_string(&mut version)
        .ok()?;
    // It becomes part of a header.
    let is_plain = version.chars().all(|c| c.is_ascii_graphic());
    (is_plain && !version.is_empty()).then_some(version)
}

/// Removes a file, which may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Appends to the name of a file.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry?
                .file_name()
                .into_string()
                .map_err(|_| io::Error::other("name"))
        };
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| name(entry).unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_later_download_continues_the_part() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("model.bin");
        let mut part = Part::open(&target).unwrap();
        part.restart(Some("\"v1\"")).unwrap();
        part.write(b"ab").unwrap();
        drop(part);
        let mut part = Part::open(&target).unwrap();
        assert_eq!((part.bytes(), part.version()), (2, Some("\"v1\"")));
        part.write(b"c").unwrap();
        // Source: FIPS 180-4, the examples of SHA-1 and SHA-256.
        let expected = Digests {
            sha1: "a9993e364706816aba3e25717850c26c9cd0d89d".into(),
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
        };
        assert_eq!(part.digests(), expected);
        part.finish(&target).unwrap();
        assert_eq!(names(folder.path()), ["model.bin"]);
        assert_eq!(fs::read_to_string(target).unwrap(), "abc");
    }

    #[test]
    fn a_restart_discards_bytes_and_version() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("model.bin");
        let mut part = Part::open(&target).unwrap();
        part.restart(Some("v1")).unwrap();
        part.write(b"an earlier version").unwrap();
        part.restart(None).unwrap();
        assert_eq!((part.bytes(), part.version()), (0, None));
        part.write(b"abc").unwrap();
        assert!(part.digests().sha1.starts_with("a9993e36"));
        drop(part);
        assert_eq!(names(folder.path()), ["model.bin.part"]);
        let part = Part::open(&target).unwrap();
        assert_eq!((part.bytes(), part.version()), (3, None));
        part.remove().unwrap();
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_version_that_cannot_go_into_a_header_is_no_version() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("model.bin");
        fs::write(with_suffix(&target, ".part"), "x").unwrap();
        for version in ["", "a\r\nHost: b", "é"] {
            fs::write(with_suffix(&target, ".part.etag"), version).unwrap();
            assert_eq!(Part::open(&target).unwrap().version(), None, "{version:?}");
        }
    }

    #[test]
    fn private_parts_of_one_model_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("model.bin");
        let mut first = Part::create_private(&target).unwrap();
        let mut second = Part::create_private(&target).unwrap();
        first.restart(Some("\"v1\"")).unwrap();
        first.write(b"abc").unwrap();
        assert_eq!((first.bytes(), first.kept_bytes()), (3, 0));
        first.finish(&target).unwrap();
        // The second one starts again after the first has finished.
        second.restart(Some("\"v1\"")).unwrap();
        second.write(b"a").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "abc");
        drop(second);
        assert_eq!(names(folder.path()), ["model.bin"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_part_has_the_permissions_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (target, other) = (folder.path().join("model.bin"), folder.path().join("other"));
        Part::create_private(&target)
            .unwrap()
            .finish(&target)
            .unwrap();
        File::create(&other).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&target), mode(&other));
    }
}
