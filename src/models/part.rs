//! The received part of a download, which survives the end of the program.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::folder::sync_folder;

/// Bytes that are read at once while an earlier part is hashed.
const BUFFER_BYTES: usize = 64 << 10;

/// Longest version that is stored. Versions of servers have about 40 bytes.
const VERSION_BYTES_MAX: usize = 256;

/// An incomplete download: the file `NAME.part`, its digests so far, and in `NAME.part.etag` the
/// server's name for the version of the file.
///
/// # Memory
///
/// A buffer of 64 KiB while an earlier part is hashed.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    bytes: u64,
    sha1: Sha1,
    sha256: Sha256,
    version: Option<String>,
}

/// Digests of a file, in hexadecimal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) sha1: String,
    pub(super) sha256: String,
}

impl Part {
    /// Continues an earlier download of `target`, or starts one.
    pub(super) fn open(target: &Path) -> io::Result<Self> {
        let path = with_suffix(target, ".part");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        let (mut sha1, mut sha256, mut bytes) = (Sha1::new(), Sha256::new(), 0);
        // A device has no earlier part to continue.
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
        let mut part = Self {
            path,
            file,
            bytes,
            sha1,
            sha256,
            version: None,
        };
        part.version = part.read_version().filter(|_| bytes > 0);
        Ok(part)
    }

    /// Returns the number of received bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the server's name for the version of these bytes, if it has one.
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Appends received bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.sha1.update(bytes);
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Discards the received bytes, and stores the version of the bytes that follow.
    pub(super) fn restart(&mut self, version: Option<&str>) -> io::Result<()> {
        self.file.rewind()?;
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        (self.sha1, self.sha256, self.bytes) = (Sha1::new(), Sha256::new(), 0);
        self.version = version
            .filter(|version| version.len() <= VERSION_BYTES_MAX)
            .map(str::to_owned);
        match &self.version {
            Some(version) => fs::write(self.version_path(), version),
            None => gone(fs::remove_file(self.version_path())),
        }
    }

    /// Returns the digests of the received bytes.
    pub(super) fn digests(&self) -> Digests {
        Digests {
            sha1: hexadecimal(&self.sha1.clone().finalize()),
            sha256: hexadecimal(&self.sha256.clone().finalize()),
        }
    }

    /// Gives the file its name. It is there completely or not at all, even after a power failure.
    pub(super) fn finish(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        let version = self.version_path();
        let Self { path, file, .. } = self;
        // Windows cannot rename an open file.
        drop(file);
        fs::rename(path, target)?;
        sync_folder(target)?;
        gone(fs::remove_file(version))
    }

    /// Removes all files. On Windows an open file is removed when it is closed.
    pub(super) fn remove(&self) -> io::Result<()> {
        gone(fs::remove_file(self.version_path()))?;
        gone(fs::remove_file(&self.path))
    }

    fn version_path(&self) -> PathBuf {
        with_suffix(&self.path, ".etag")
    }

    fn read_version(&self) -> Option<String> {
        let file = File::open(self.version_path()).ok()?;
        let mut version = String::new();
        file.take(VERSION_BYTES_MAX as u64)
            .read_to_string(&mut version)
            .ok()?;
        // The version is sent in a header.
        let plain = version.chars().all(|c| c.is_ascii_graphic());
        (plain && !version.is_empty()).then_some(version)
    }
}

/// Ignores that a file to be removed does not exist.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

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
    fn a_part_continues_where_it_ended() {
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
}
