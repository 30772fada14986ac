//! Crash-safe progress: what a killed transcription had is kept, and the rest gives the same text.
//!
//! A journal is a file of lines, each a checksum and a record in JSON: first what is transcribed, by what and how, then one
//! record for each window, with its segments and everything that the next window depends on. A record is on the disk before its
//! segments go to the sink.
//!
//! To resume is to decode the input again from its start, a thousand times faster than it is transcribed, up to where the last
//! record ends: decoders, the resampler and the speech detector then stand exactly where they stood, whatever the container,
//! and a hash of the audio up to there shows that it is the same. The engine hears only what follows. Random numbers depend on
//! the seed and on a window's position alone, so they need no state.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::lines::Lines;
use crate::config::SPANS_MAX;
use crate::engine::{EngineCounts, Language};
use crate::time::Time;
use crate::transcript::Segment;

mod lines;

/// Most previous text that a record may hold, in tokens: a few times what is handed on.
const PREVIOUS_TOKENS_MAX: usize = 1_024;

/// No count of a transcription is larger: JSON's own limit for whole numbers.
const COUNT_MAX: u64 = 1 << 53;

/// Version of the format. A journal of another one is refused.
const VERSION: u32 = 1;

/// What a transcript depends on: names and values of input, model and options.
pub(crate) type Identity = Vec<(String, String)>;

/// The progress of one transcription, in a file.
///
/// To stop now and go on later, raise the transcriber's [`Cancel`](crate::Cancel), and transcribe with the same journal again: in another
/// process, or with the same transcriber after [`renew_cancel`](crate::Transcriber::renew_cancel). To hold it for a while in memory,
/// see [`Controls::pause`](crate::Controls::pause).
///
/// # Memory
///
/// The last record but its segments, and the spans without text. Records are written and read one at a time.
///
/// # Examples
///
/// ```
/// use steadyscribe::engine::Scripted;
/// use steadyscribe::{Config, FileSource, Journal, Segment, Transcriber};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("standup.journal");
/// let mut scribe = Transcriber::new(Config::default(), Scripted::default())?;
/// let mut segments: Vec<Segment> = Vec::new();
/// let source = FileSource::open("fixtures/standup.opus")?;
/// // Goes on where the last run was killed or cancelled, if there was one.
/// let mut journal = Journal::open(&path)?;
/// scribe.transcribe_with_journal(source, &mut segments, &mut journal)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    identity: Option<Identity>,
    /// End of the last whole record, in bytes.
    end: u64,
    last: Checkpoint,
    /// Segments in all records.
    segments: u64,
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

    /// A journal is there already: resume it, or remove it.
    #[error("{} exists: resume it, or remove it to start anew", .0.display())]
    Exists(PathBuf),

    /// Another program writes this journal.
    #[error("{} is in use by another program", .0.display())]
    InUse(PathBuf),

    /// The file is something else, or of another version of this library: it is left as it is.
    #[error("{} is no journal of this version: give another path", .0.display())]
    NotAJournal(PathBuf),

    /// Input, model or an option is not what it was: use the same, or start anew with another journal.
    #[error(
        "cannot resume: {what} was {was:?} and is {now:?}; use the same, or start anew with another journal"
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

/// Everything that the next window depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Where the next window starts at the earliest, in samples of 16 kHz.
    pub(crate) to: u64,
    /// Hash of all samples before that.
    pub(crate) audio: u32,
    pub(crate) previous: Vec<u32>,
    /// Code of the language of `previous`.
    pub(crate) language: Option<String>,
    pub(crate) first_language: Option<Language>,
    pub(crate) credit: u32,
    pub(crate) windows: u64,
    pub(crate) skipped: u64,
    pub(crate) uncovered_samples: u64,
    pub(crate) encodes: u64,
    pub(crate) decode_steps: u64,
    pub(crate) fallbacks: u64,
    /// Start and end of speech without text: in a record what its window adds, else all so far.
    pub(crate) uncovered: Vec<(u64, u64)>,
}

impl Checkpoint {
    pub(crate) fn counts(&self) -> EngineCounts {
        EngineCounts {
            encodes: self.encodes,
            decode_steps: self.decode_steps,
            fallbacks: self.fallbacks,
        }
    }

    /// Returns whether a transcription can have come to this. What was not written by one may have a right checksum all the same.
    fn is_possible(&self) -> bool {
        let counts = [
            self.to,
            self.windows,
            self.skipped,
            self.uncovered_samples,
            self.encodes,
            self.decode_steps,
            self.fallbacks,
        ];
        counts.iter().all(|count| *count <= COUNT_MAX)
            && self.previous.len() <= PREVIOUS_TOKENS_MAX
            && self.uncovered.len() <= SPANS_MAX
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    steadyscribe_journal: u32,
    identity: Identity,
}

#[derive(Serialize)]
struct NewRecord<'a> {
    #[serde(flatten)]
    checkpoint: &'a Checkpoint,
    segments: &'a [Segment],
}

#[derive(Deserialize)]
struct Record {
    #[serde(flatten)]
    checkpoint: Checkpoint,
    segments: Vec<Segment>,
}

impl Journal {
    /// Makes a new journal.
    ///
    /// # Errors
    ///
    /// [`JournalError::Exists`] when there is a file of that name, [`JournalError::Io`] when none can be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        Self::with(path.as_ref(), OpenOptions::new().create_new(true))
    }

    /// Opens a journal, which the next transcription resumes; makes one if there is none. A last record that was not written to
    /// its end is left out.
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
        Time::from_samples(self.last.to)
    }

    /// Returns how many segments the journal holds.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.segments
    }

    pub(crate) fn last(&self) -> Option<&Checkpoint> {
        (self.last != Checkpoint::default()).then_some(&self.last)
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
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(JournalError::InUse(path.into())),
            Err(std::fs::TryLockError::Error(source)) => return Err(fail(source)),
        }
        let mut journal = Self {
            path: path.into(),
            file,
            identity: None,
            end: 0,
            last: Checkpoint::default(),
            segments: 0,
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
            if !record.checkpoint.is_possible() {
                break;
            }
            self.advance(record.checkpoint, record.segments.len());
            self.end = lines.end;
        }
        Ok(())
    }

    /// A file that ends within its first line was killed while that was written; anything else is not ours. So is what is too
    /// short to tell.
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
            self.append(&head).map_err(&fail)?;
            self.identity = Some(head.identity);
        }
        Ok(())
    }

    /// Hands all segments to `take`, in order.
    ///
    /// # Errors
    ///
    /// What `take` says, and what the system says of the file.
    pub(crate) fn replay(
        &self,
        take: &mut dyn FnMut(&Segment) -> io::Result<()>,
    ) -> Result<io::Result<()>, JournalError> {
        // Not the path, which may be of another file by now; and on Windows a lock keeps other handles out.
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

    /// Writes what a window gave, and has it on the disk when it returns.
    pub(crate) fn commit(
        &mut self,
        checkpoint: Checkpoint,
        segments: &[Segment],
    ) -> Result<(), JournalError> {
        let record = NewRecord {
            checkpoint: &checkpoint,
            segments,
        };
        self.append(&record).map_err(self.io())?;
        self.advance(checkpoint, segments.len());
        Ok(())
    }

    fn advance(&mut self, checkpoint: Checkpoint, segments: usize) {
        let mut uncovered = std::mem::take(&mut self.last.uncovered);
        let room = SPANS_MAX.saturating_sub(uncovered.len());
        uncovered.extend(checkpoint.uncovered.iter().take(room));
        self.last = Checkpoint {
            uncovered,
            ..checkpoint
        };
        self.segments += segments as u64;
    }

    fn append(&mut self, record: &impl Serialize) -> io::Result<()> {
        let line = lines::line(record)?;
        self.file.write_all(&line)?;
        self.file.sync_data()?;
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
