//! Samples on disk: append-only records with a checksum each, of bounded size.
//!
//! A record is written by one call, so that the end of the program leaves whole records. The end of
//! the machine may tear the last one, which the next start cuts off. A damaged record is skipped.

mod record;

use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::exclusive::{AcquireError, Exclusive};

use record::RECORD_BYTES;
pub use record::Record;

/// Records kept: seven days at one in 10 s. The file takes at most 6.3 MB.
pub(crate) const RECORDS_MAX: u64 = 64 << 10;

/// First bytes of a file.
const MAGIC: &[u8; 8] = b"SSMHIST1";

/// The history cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The file cannot be opened, read or written: go on without a history.
    #[error("cannot use the history {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// It is another kind of file, and was not touched: name another path.
    #[error("{} is not a history of this program; name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another program writes it: name another path, or end that program.
    #[error(
        "the history {} is in use by another program; name another file or end that program",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// A history that is being written. One program at a time writes it; others may read it meanwhile.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    exclusive: Exclusive,
    file: File,
    records: u64,
}

impl History {
    /// Opens or creates a history and cuts off a torn record.
    ///
    /// # Errors
    ///
    /// [`HistoryError`]: name another file, or go on without a history.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Io {
            path: path.to_path_buf(),
            source,
        };
        let exclusive = Exclusive::acquire(path).map_err(|error| match error {
            AcquireError::InUse => HistoryError::InUse {
                path: path.to_path_buf(),
            },
            AcquireError::Io(source) => failed(source),
        })?;
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut records = 0;
        if length == 0 {
            file.write_all(MAGIC).map_err(failed)?;
        } else {
            check_magic(&mut file, path)?;
            records = (length - MAGIC.len() as u64) / RECORD_BYTES as u64;
            let whole = MAGIC.len() as u64 + records * RECORD_BYTES as u64;
            file.set_len(whole).map_err(failed)?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            exclusive,
            file,
            records,
        })
    }

    /// Appends a record. When the file is full, its older half is dropped.
    ///
    /// # Errors
    ///
    /// [`HistoryError`]: the record is not kept; the next may be.
    pub fn append(&mut self, record: &Record) -> Result<(), HistoryError> {
        if self.records >= RECORDS_MAX {
            self.halve()?;
        }
        let written = self.file.write_all(&record.encode());
        written.map_err(|source| HistoryError::Io {
            path: self.path.clone(),
            source,
        })?;
        self.records += 1;
        Ok(())
    }

    fn halve(&mut self) -> Result<(), HistoryError> {
        let skip = usize::try_from(self.records / 2).unwrap_or(usize::MAX);
        let kept = read(&self.path)?.skip(skip);
        let mut records = 0;
        let replaced = self.exclusive.replace(|out| {
            out.write_all(MAGIC)?;
            for record in kept {
                out.write_all(&record.encode())?;
                records += 1;
            }
            Ok(())
        });
        self.file = replaced.map_err(|source| HistoryError::Io {
            path: self.path.clone(),
            source,
        })?;
        self.records = records;
        Ok(())
    }
}

/// Returns whether a file that begins with these bytes is a history.
#[must_use]
pub fn is_start(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads the whole records of a history, the oldest first. Damaged ones are skipped.
///
/// # Errors
///
/// [`HistoryError`] where there is no such file, or it is of another kind.
pub fn read(path: &Path) -> Result<impl Iterator<Item = Record> + use<>, HistoryError> {
    let failed = |source| HistoryError::Io {
        path: path.to_path_buf(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    check_magic(&mut file, path)?;
    let mut file = BufReader::new(file);
    // More than are ever written, so that a file that grows during the read ends, too.
    let records = (0..2 * RECORDS_MAX).map_while(move |_| {
        let mut bytes = [0; RECORD_BYTES];
        file.read_exact(&mut bytes).ok()?;
        Some(Record::decode(&bytes))
    });
    Ok(records.flatten())
}

/// Assumed time between two records between which the system's clock was set back.
const STEP_MS: u64 = 10_000;

/// Returns records with the time of a clock that starts at 0 and never goes back, like the
/// recorder's. A system's clock that is set back hides no record.
pub fn steadily(records: impl Iterator<Item = Record>) -> impl Iterator<Item = (u64, Record)> {
    let (mut steady_ms, mut last_ms) = (0_u64, None);
    records.map(move |record| {
        if let Some(last_ms) = last_ms {
            let later = record.unix_ms.checked_sub(last_ms).unwrap_or(STEP_MS);
            steady_ms = steady_ms.saturating_add(later);
        }
        last_ms = Some(record.unix_ms);
        (steady_ms, record)
    })
}

fn check_magic(file: &mut File, path: &Path) -> Result<(), HistoryError> {
    let mut magic = [0; MAGIC.len()];
    match file.read_exact(&mut magic) {
        Ok(()) if magic == *MAGIC => Ok(()),
        Ok(()) => Err(HistoryError::Foreign {
            path: path.to_path_buf(),
        }),
        // Shorter than any history.
        Err(source) if source.kind() == ErrorKind::UnexpectedEof => Err(HistoryError::Foreign {
            path: path.to_path_buf(),
        }),
        Err(source) => Err(HistoryError::Io {
            path: path.to_path_buf(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};

    use super::*;
    use crate::capacity::{Capacity, Settings};
    use crate::component::Component;
    use crate::pressure::Level;

    fn record(n: u64) -> Record {
        Record {
            unix_ms: 1_700_000_000_000 + n,
            available_bytes: (!n.is_multiple_of(3)).then_some(n << 20),
            limit_bytes: (!n.is_multiple_of(3)).then_some(n << 21),
            swap_total_bytes: 7,
            swap_free_bytes: 5,
            parts_bytes: [Some(n), Some(1), Some(2), None, Some(4), Some(1 << 32)],
            level: Level::KNOWN[(n % 4) as usize],
        }
    }

    fn kept(path: &Path) -> Vec<Record> {
        read(path).unwrap().collect()
    }

    #[test]
    fn torn_tail_is_cut_and_damage_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let mut history = History::open(&path).unwrap();
        (0..10).for_each(|n| history.append(&record(n)).unwrap());
        drop(history);
        assert_eq!(kept(&path), (0..10).map(record).collect::<Vec<_>>());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        file.set_len((MAGIC.len() + 10 * RECORD_BYTES - 5) as u64)
            .unwrap();
        file.seek(SeekFrom::Start(
            (MAGIC.len() + 3 * RECORD_BYTES + 20) as u64,
        ))
        .unwrap();
        file.write_all(b"x").unwrap();
        let mut history = History::open(&path).unwrap();
        history.append(&record(99)).unwrap();
        let expected = [0, 1, 2, 4, 5, 6, 7, 8, 99];
        assert_eq!(kept(&path), expected.map(record));
    }

    #[test]
    fn size_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let mut history = History::open(&path).unwrap();
        (0..RECORDS_MAX + 10).for_each(|n| history.append(&record(n)).unwrap());
        let records = kept(&path);
        assert_eq!(records.len() as u64, RECORDS_MAX / 2 + 10);
        assert_eq!(records.last(), Some(&record(RECORDS_MAX + 9)));
        assert!(path.metadata().unwrap().len() < 6_300_000);
    }

    #[test]
    fn foreign_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for text in ["do not touch me", "nor me"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(
                History::open(&path),
                Err(HistoryError::Foreign { .. })
            ));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn two_programs_do_not_write_one_history() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let mut history = History::open(&path).unwrap();
        history.append(&record(1)).unwrap();
        assert!(matches!(
            History::open(&path),
            Err(HistoryError::InUse { .. })
        ));
        assert_eq!(kept(&path), [record(1)], "it can be read meanwhile");
        drop(history);
        assert!(History::open(&path).is_ok());
    }

    #[test]
    fn clock_that_is_set_back_hides_nothing() {
        let minutes = [100, 101, 40, 41, 500, 501];
        let records = minutes.map(|minute| {
            let mut record = record(1);
            record.unix_ms = minute * 60_000;
            record
        });
        let at: Vec<u64> = steadily(records.into_iter()).map(|(ms, _)| ms).collect();
        let awake = 459 * 60_000;
        assert_eq!(
            at,
            [0, 60_000, 70_000, 130_000, 130_000 + awake, 190_000 + awake]
        );
    }

    #[test]
    fn sample_comes_back() {
        let sample = record(5).to_sample(77);
        let mut expected = record(5);
        let capacity = Capacity::new(&sample.machine, &sample.cgroup, Settings::default());
        for level in [Level::Medium, Level::Unknown] {
            expected.level = level;
            let record = Record::new(&sample, &capacity, level);
            assert_eq!(record, expected);
            assert_eq!(Record::decode(&record.encode()), Some(expected));
        }
        assert_eq!(sample.at.steady_ms, 77);
        assert!(!sample.part(Component::Backend).private_bytes.is_known());
        assert!(!sample.total_bytes().is_known());
    }
}
