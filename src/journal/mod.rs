//! Crash-safe progress: the work of a killed transcription is kept, and the rest has the same text.
//!
//! A journal is a file of lines, each a checksum and a record in JSON: first what is transcribed,
//! by what and how, then one record for each window, with its segments and everything that the next
//! window depends on. A record is on the disk before its segments go to the sink.
//!
//! To resume, the input is decoded again from its start, a thousand times faster than it is
//! transcribed, up to where the last record ends: decoders, the resampler and the speech detector
//! then stand where they stood, whatever the container. A checksum of the packets up to there shows
//! that it is the same input. It covers packets and not samples, because samples are computed in
//! floating point, whose last digit may depend on the processor. Random numbers depend on the seed
//! and on a window's position alone, so they need no state.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::lines::Lines;
use crate::carried::Carried;
use crate::file_lock::{FileLock, LockError};
use crate::folder::sync_folder;
use crate::time::{Time, samples};
use crate::transcript::Segment;

mod lines;

/// Version of the format. A journal of another one is refused.
const VERSION: u32 = 2;

/// What a transcript depends on: names and values of input, model and options.
pub(crate) type Identity = Vec<(String, String)>;

/// The progress of one transcription, in a file.
///
/// To stop now and resume later, raise the transcriber's [`Cancel`](crate::Cancel), and call
/// [`Transcriber::resume`](crate::Transcriber::resume) with the same journal again: in another
/// process, or with the same transcriber after
/// [`set_cancel`](crate::Transcriber::set_cancel). To pause in memory, see
/// [`Controls::pause`](crate::Controls::pause).
///
/// # Memory
///
/// The last record without its segments, and the spans without text. Records are written and read
/// one at a time.
///
/// # Examples
///
/// ```
/// use steadyscribe::engine::Scripted;
/// use steadyscribe::{Config, FileSource, InputOptions, Journal, Segment, Transcriber};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("standup.journal");
/// let mut scribe = Transcriber::new(Config::default(), Scripted::default())?;
/// let mut segments: Vec<Segment> = Vec::new();
/// let source = FileSource::open("fixtures/standup.opus")?;
/// // Resumes where the last run was killed or cancelled, if there was one.
/// let mut journal = Journal::open(&path)?;
/// scribe.resume(source, &InputOptions::default(), &mut journal, &mut segments)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    identity: Option<Identity>,
    /// End of the last whole record, in bytes.
    end: u64,
    /// The state after the last record; `None` before the first.
    last: Option<(Carried, AudioMark)>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be read or written: check path, permission and disk.
    #[error("cannot use the journal {}", .path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A file of that name exists: resume it, or remove it.
    #[error("{} exists; resume it, or remove it to start from scratch", .0.display())]
    Exists(PathBuf),

    /// Another program writes this journal: wait for it, or give another path.
    #[error("{} is in use by another program; wait for it, or give another path", .0.display())]
    InUse(PathBuf),

    /// The file is something else, or of another version of this library. It is left as it is.
    #[error("{} is not a journal of this version; give another path", .0.display())]
    NotAJournal(PathBuf),

    /// The input, the model or an option has changed: use the same, or another journal.
    #[error(
        "cannot resume, because {what} was {was:?} and is {now:?} now; \
         use the same, or start from scratch with another journal"
    )]
    Changed {
        /// What differs.
        what: String,
        /// Its value in the journal.
        was: String,
        /// Its value now.
        now: String,
    },
}

/// A position in the audio, with the checksum of all packets that were read up to there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AudioMark {
    #[serde(with = "samples")]
    pub(crate) at: Time,
    pub(crate) checksum: u32,
}

#[derive(Serialize, Deserialize)]
struct Head {
    steadyscribe_journal: u32,
    identity: Identity,
}

#[derive(Serialize)]
struct NewRecord<'a> {
    carried: &'a Carried,
    audio: AudioMark,
    segments: &'a [Segment],
}

#[derive(Deserialize)]
struct Record {
    carried: Carried,
    audio: AudioMark,
    segments: Vec<Segment>,
}

impl Journal {
    /// Makes a new journal.
    ///
    /// # Errors
    ///
    /// [`JournalError::Exists`] when there is a file of that name, [`JournalError::Io`] when none
    /// can be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        Self::with(path.as_ref(), OpenOptions::new().create_new(true))
    }

    /// Opens a journal, which the next transcription resumes, or makes one. A last record that was
    /// not written to its end is ignored.
    ///
    /// # Errors
    ///
    /// [`JournalError::NotAJournal`], [`JournalError::InUse`], [`JournalError::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        Self::with(path.as_ref(), OpenOptions::new().create(true))
    }

    /// Returns up to where the input is transcribed.
    #[must_use]
    pub fn position(&self) -> Time {
        self.carried()
            .map_or(Time::ZERO, |carried| carried.position)
    }

    /// Returns how many segments the journal holds.
    #[must_use]
    pub fn segment_count(&self) -> u64 {
        self.carried().map_or(0, |carried| carried.next_id)
    }

    /// Returns the state to resume with; `None` if nothing was transcribed yet.
    pub(crate) fn carried(&self) -> Option<&Carried> {
        self.last.as_ref().map(|(carried, _)| carried)
    }

    /// Returns the last mark of the audio that is done; `None` if nothing was transcribed yet.
    pub(crate) fn resumed_at(&self) -> Option<AudioMark> {
        self.last.as_ref().map(|(_, mark)| *mark)
    }

    fn with(path: &Path, options: &mut OpenOptions) -> Result<Self, JournalError> {
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => JournalError::Exists(path.into()),
            _ => JournalError::Io {
                path: path.into(),
                source,
            },
        };
        let file = options.read(true).write(true).open(path).map_err(fail)?;
        match FileLock::acquire(&file, path) {
            // Without locks `append` notices other writers.
            Ok(FileLock::Exclusive | FileLock::Unsupported) => {}
            Err(LockError::InUse) => return Err(JournalError::InUse(path.into())),
            Err(LockError::Io(source)) => return Err(fail(source)),
        }
        let mut journal = Self {
            path: path.into(),
            file,
            identity: None,
            end: 0,
            last: None,
        };
        journal.read()?;
        Ok(journal)
    }

    fn io(&self) -> impl Fn(io::Error) -> JournalError + use<> {
        let path = self.path.clone();
        move |source| JournalError::Io {
            path: path.clone(),
            source,
        }
    }

    /// Finds the last whole record.
    fn read(&mut self) -> Result<(), JournalError> {
        let fail = self.io();
        if self.file.metadata().map_err(&fail)?.len() == 0 {
            return Ok(());
        }
        let file = self.file.try_clone().map_err(&fail)?;
        let mut lines = Lines::of(&file).map_err(&fail)?;
        let head: Option<Head> = lines.next().map_err(&fail)?;
        let Some(head) = head.filter(|head| head.steadyscribe_journal == VERSION) else {
            return self.torn_head();
        };
        self.identity = Some(head.identity);
        self.end = lines.end;
        while let Some(record) = lines.next::<Record>().map_err(&fail)? {
            let count = self.segment_count() + record.segments.len() as u64;
            if !record.carried.is_possible() || record.carried.next_id != count {
                break;
            }
            self.advance(record.carried, record.audio);
            self.end = lines.end;
        }
        Ok(())
    }

    /// A file that ends within its first line is of a program that was killed while it wrote that.
    /// Anything else, and what is too short to decide, is not ours.
    fn torn_head(&self) -> Result<(), JournalError> {
        let mut start = [0; 4_096];
        let mut file = &self.file;
        file.rewind().map_err(self.io())?;
        let count = file.read(&mut start).map_err(self.io())?;
        let (sum, rest) = start[..count].split_at(count.min(8));
        let key: &[u8] = br#" {"steadyscribe_journal":"#;
        let shared = rest.len().min(key.len());
        let is_ours = shared > 0
            && sum.iter().all(u8::is_ascii_hexdigit)
            && rest[..shared] == key[..shared]
            && !rest.contains(&b'\n');
        if is_ours {
            return Ok(());
        }
        Err(JournalError::NotAJournal(self.path.clone()))
    }

    /// Starts writing behind the last whole record.
    ///
    /// # Errors
    ///
    /// [`JournalError::Changed`] when the journal is of something else.
    pub(crate) fn begin(&mut self, identity: Identity) -> Result<(), JournalError> {
        if let Some(was) = &self.identity {
            check(was, &identity)?;
        }
        let fail = self.io();
        self.file.set_len(self.end).map_err(&fail)?;
        self.file.seek(SeekFrom::Start(self.end)).map_err(&fail)?;
        if self.identity.is_none() {
            let head = Head {
                steadyscribe_journal: VERSION,
                identity,
            };
            self.append(&head)?;
            sync_folder(&self.path).map_err(&fail)?;
            self.identity = Some(head.identity);
        }
        Ok(())
    }

    /// Hands all segments to `take`, in order.
    ///
    /// # Errors
    ///
    /// That of `take`, and [`JournalError::Io`] of the file.
    pub(crate) fn replay(
        &self,
        take: &mut dyn FnMut(&Segment) -> io::Result<()>,
    ) -> Result<io::Result<()>, JournalError> {
        // Not by its path, which may name another file by now. On Windows the lock also keeps other
        // handles out.
        let mut lines = Lines::of(&self.file).map_err(self.io())?;
        lines.next::<Head>().map_err(self.io())?;
        while lines.end < self.end {
            let Some(record) = lines.next::<Record>().map_err(self.io())? else {
                break;
            };
            for segment in &record.segments {
                if let Err(error) = take(segment) {
                    return Ok(Err(error));
                }
            }
        }
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.end)).map_err(self.io())?;
        Ok(Ok(()))
    }

    /// Persists the segments of a window and the state that the next window needs. Both are on the
    /// disk when it returns.
    pub(crate) fn commit(
        &mut self,
        carried: &Carried,
        audio: AudioMark,
        segments: &[Segment],
    ) -> Result<(), JournalError> {
        let known = self.carried().map_or(0, |last| last.uncovered.len());
        let record = Carried {
            uncovered: carried.uncovered[known..].to_vec(),
            previous: carried.previous.clone(),
            language: carried.language.clone(),
            first_language: carried.first_language.clone(),
            ..*carried
        };
        self.append(&NewRecord {
            carried: &record,
            audio,
            segments,
        })?;
        self.advance(record, audio);
        Ok(())
    }

    fn advance(&mut self, next: Carried, audio: AudioMark) {
        let (carried, mark) = self.last.get_or_insert_default();
        carried.advance(next);
        *mark = audio;
    }

    fn append(&mut self, record: &impl Serialize) -> Result<(), JournalError> {
        let fail = self.io();
        // On a file system without locks only the length shows that another program writes to it.
        if self.file.metadata().map_err(&fail)?.len() != self.end {
            return Err(JournalError::InUse(self.path.clone()));
        }
        let line = lines::line(record).map_err(&fail)?;
        self.file.write_all(&line).map_err(&fail)?;
        self.file.sync_data().map_err(&fail)?;
        self.end += line.len() as u64;
        Ok(())
    }
}

/// Returns an error for the first value that differs.
fn check(was: &Identity, now: &Identity) -> Result<(), JournalError> {
    let value = |of: &Identity, name: &str| {
        let found = of.iter().find(|(key, _)| key == name);
        found.map_or_else(|| "nothing".to_owned(), |(_, value)| value.clone())
    };
    for (what, _) in was.iter().chain(now) {
        let (was, now) = (value(was, what), value(now, what));
        if was != now {
            let what = what.clone();
            return Err(JournalError::Changed { what, was, now });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_noticed_without_locks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let mut journal = Journal::create(&path).unwrap();
        journal.begin(Vec::new()).unwrap();
        let commit = |journal: &mut Journal| {
            journal.commit(&Carried::at(Time::ZERO), AudioMark::default(), &[])
        };
        commit(&mut journal).unwrap();
        let mut other = OpenOptions::new().append(true).open(&path).unwrap();
        other.write_all(b"a record of another program\n").unwrap();
        match commit(&mut journal) {
            Err(JournalError::InUse(in_use)) => assert_eq!(in_use, path),
            other => panic!("{other:?}"),
        }
    }
}
