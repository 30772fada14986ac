//! Transcript files that appear when they are complete.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Format, Sink};
use crate::folder::sync_folder;
use crate::time::Time;
use crate::transcript::{Ending, Segment};

/// Room for the longest output of one segment, 224 tokens in JSON, so that a segment reaches the
/// file in one write, completely or not at all.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes a transcript to a file that gets its name when it is complete.
///
/// Until then, each segment is written to a file beside the target, `NAME.xxxxxx.part`. No text is
/// lost, however the transcription ends:
///
/// | end | place of the transcript |
/// |---|---|
/// | finished, also with damage in the input | `NAME` |
/// | cancelled or stopped: a complete document of the text so far | `NAME.part` |
/// | an error, which drops the output unfinished | `NAME.part`, if there was a segment |
/// | the process was killed | `NAME.xxxxxx.part` |
///
/// An earlier `NAME` or `NAME.part` is replaced. If the target is not a regular file (a device, a
/// named pipe), it is written to directly.
///
/// # Memory
///
/// One buffer of 64 KiB, and the format's memory for one segment.
///
/// # Examples
///
/// ```
/// use steadyscribe::sink::{Format, Output, Sink};
/// use steadyscribe::{Ending, Segment, Time};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("meeting.srt");
/// let mut output = Output::create(&path, Format::Srt, "talk.wav")?;
/// output.segment(&Segment::new(Time::ZERO, Time::from_seconds(2.0), "Good morning."))?;
/// assert!(!path.exists());
/// output.finish(&Ending::default())?;
/// assert!(path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Output {
    document: Box<dyn Sink>,
    target: PathBuf,
    /// `None` if the target is written to directly, or is complete.
    part: Option<NamedTempFile>,
}

/// Why a transcript could not be written. It is the source of an [`io::Error`] of the same kind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The file could not be created: check folder and permissions.
    #[error("cannot create {}; check that its folder exists and is writable", path.display())]
    Create {
        /// The transcript's file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The file could not be written: free space on the disk. The text so far is kept.
    #[error("cannot write {}; the text so far is in {}", path.display(), part_path(path).display())]
    Write {
        /// The transcript's file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

impl Output {
    /// Creates the file of a transcript. `file` is the name of the input, for formats that include
    /// it.
    ///
    /// # Errors
    ///
    /// [`OutputError::Create`] when no file can be created beside `target`.
    pub fn create(target: &Path, format: Format, file: &str) -> io::Result<Self> {
        Self::open(target, format, file).map_err(|source| {
            let path = target.to_owned();
            io::Error::new(source.kind(), OutputError::Create { path, source })
        })
    }

    fn open(target: &Path, format: Format, file: &str) -> io::Result<Self> {
        let known = fs::metadata(target).ok();
        if known.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if known.as_ref().is_some_and(|metadata| !metadata.is_file()) {
            let out =
                BufWriter::with_capacity(BUFFER_BYTES, File::options().write(true).open(target)?);
            return Ok(Self {
                document: format.sink(out, file),
                target: target.into(),
                part: None,
            });
        }
        // Of a symbolic link the file is replaced, not the link.
        let target = if known.is_some() {
            fs::canonicalize(target)?
        } else {
            target.to_owned()
        };
        let mut prefix = target
            .file_name()
            .ok_or(io::ErrorKind::InvalidFilename)?
            .to_owned();
        prefix.push(".");
        let folder = target
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".part");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // The temporary file becomes the transcript, so it gets the permissions of any new
            // file.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let part = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, part.as_file().try_clone()?);
        Ok(Self {
            document: format.sink(out, file),
            target,
            part: Some(part),
        })
    }

    /// Returns the file of the transcript.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target
    }

    /// Returns the place of an unfinished transcript of `target`: `NAME.part`.
    #[must_use]
    pub fn part_path(target: &Path) -> PathBuf {
        part_path(target)
    }

    fn failed(&self, source: io::Error) -> io::Error {
        let path = self.target.clone();
        io::Error::new(source.kind(), OutputError::Write { path, source })
    }

    fn end(&mut self, ending: &Ending) -> io::Result<()> {
        self.document.finish(ending)?;
        let Some(part) = self.part.take() else {
            return Ok(());
        };
        // On the disk before it gets its name, so that a power failure leaves no empty file.
        part.as_file().sync_all()?;
        if ending.cancelled {
            keep(part, &self.target)
        } else {
            rename(part, &self.target)
        }
    }
}

impl Sink for Output {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.document
            .segment(segment)
            .map_err(|source| self.failed(source))
    }

    fn reached(&mut self, time: Time) -> io::Result<()> {
        self.document
            .reached(time)
            .map_err(|source| self.failed(source))
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        self.end(ending).map_err(|source| self.failed(source))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let Some(part) = self.part.take() else { return };
        if part
            .as_file()
            .metadata()
            .is_ok_and(|metadata| metadata.len() == 0)
        {
            return;
        }
        if let Err(error) = keep(part, &self.target) {
            tracing::warn!(
                target = %self.target.display(), %error,
                "the unfinished transcript keeps its temporary name"
            );
        }
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

fn part_path(target: &Path) -> PathBuf {
    let mut name = OsString::from(target);
    name.push(".part");
    name.into()
}

fn keep(part: NamedTempFile, target: &Path) -> io::Result<()> {
    rename(part, &part_path(target))
}

/// Gives the temporary file its name. If that fails, it keeps its temporary one.
fn rename(part: NamedTempFile, path: &Path) -> io::Result<()> {
    let Err(refused) = part.persist(path) else {
        return sync_folder(path);
    };
    refused.file.keep().map_err(|error| error.error)?;
    Err(refused.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Segment {
        Segment::new(Time::ZERO, Time::from_seconds(1.0), "Hello.")
    }

    /// Writes one segment to `a.txt`, ends it with `end`, and checks the files of the folder.
    fn check(end: impl FnOnce(Output), expected: &[(&str, &str)]) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "before").unwrap();
        let target = folder.path().join("a.txt");
        let mut output = Output::create(&target, Format::Text, "talk.wav").unwrap();
        output.segment(&hello()).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "before");
        end(output);
        let mut found: Vec<(String, String)> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(n, t)| (n.as_str(), t.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_finished_transcript_replaces_its_target() {
        check(
            |mut output| output.finish(&Ending::default()).unwrap(),
            &[("a.txt", "Hello.\n")],
        );
    }

    #[test]
    fn a_cancelled_transcript_is_kept_beside_its_target() {
        let ending = Ending {
            cancelled: true,
            ..Ending::default()
        };
        check(
            |mut output| output.finish(&ending).unwrap(),
            &[("a.txt", "before"), ("a.txt.part", "Hello.\n")],
        );
    }

    #[test]
    fn a_dropped_transcript_is_kept_beside_its_target() {
        check(drop, &[("a.txt", "before"), ("a.txt.part", "Hello.\n")]);
    }

    #[test]
    fn a_target_that_cannot_be_replaced_keeps_the_transcript() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.txt");
        let mut output = Output::create(&target, Format::Text, "talk.wav").unwrap();
        output.segment(&hello()).unwrap();
        fs::create_dir(&target).unwrap();
        output.finish(&Ending::default()).unwrap_err();
        let kept: Vec<PathBuf> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        let kept = kept
            .iter()
            .find(|path| path.extension().is_some_and(|part| part == "part"));
        assert_eq!(fs::read_to_string(kept.unwrap()).unwrap(), "Hello.\n");
    }

    #[test]
    fn nothing_is_left_of_a_transcript_without_segments() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.json");
        drop(Output::create(&target, Format::Json, "talk.wav").unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Output::create(Path::new("/no/such/a.txt"), Format::Text, "talk.wav");
        assert_eq!(
            error.unwrap_err().to_string(),
            "cannot create /no/such/a.txt; check that its folder exists and is writable"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut output = Output::create(&link, Format::Text, "talk.wav").unwrap();
        output.segment(&hello()).unwrap();
        output.finish(&Ending::default()).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "Hello.\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to_directly() {
        let device = Path::new("/dev/null");
        let mut output = Output::create(device, Format::Text, "talk.wav").unwrap();
        output.segment(&hello()).unwrap();
        output.finish(&Ending::default()).unwrap();
        assert!(!device.is_file());
    }
}
