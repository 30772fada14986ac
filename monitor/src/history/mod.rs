//! Samples on disk: append-only records with a checksum each, of bounded size.
//!
//! A record is written by one call, so that the end of the program leaves whole records; the end of the machine may tear
//! the last one, which the next start cuts off. A damaged record is passed over.

mod record;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use record::RECORD_BYTES;
pub use record::Record;

/// Records kept: seven days at one in 10 s. The file takes at most 6.3 MB.
pub const RECORDS_MAX: u64 = 64 << 10;

/// First bytes of a file.
const MAGIC: &[u8; 8] = b"SSMHIST1";

/// The history cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The system said no: go on without a history.
    #[error("cannot use the history {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is another kind of file: name another path. It was not touched.
    #[error("{} is no history of this program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another program writes it: name another path, or end that program.
    #[error("another program writes the history {}", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// A history that is being written.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    file: File,
    records: u64,
}

impl History {
    /// Opens or creates a history and cuts off what was torn.
    ///
    /// # Errors
    ///
    /// [`HistoryError`]: go on without a history.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Io {
            path: path.to_path_buf(),
            source,
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(HistoryError::InUse {
                    path: path.to_path_buf(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let length = file.metadata().map_err(failed)?.len();
        if length == 0 {
            file.write_all(MAGIC).map_err(failed)?;
            return Ok(Self {
                path: path.to_path_buf(),
                file,
                records: 0,
            });
        }
        check_magic(&mut file, path)?;
        let records = (length - MAGIC.len() as u64) / RECORD_BYTES as u64;
        let whole = MAGIC.len() as u64 + records * RECORD_BYTES as u64;
        file.set_len(whole)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            records,
        })
    }

    /// Appends a record. When the file is full, the older half goes.
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
        let mut skip = self.records / 2;
        let beside = self.path.with_extension("part");
        let failed = |source| HistoryError::Io {
            path: self.path.clone(),
            source,
        };
        let mut file = std::io::BufWriter::new(File::create(&beside).map_err(failed)?);
        let mut records = 0;
        file.write_all(MAGIC).map_err(failed)?;
        for record in read(&self.path)? {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            file.write_all(&record.encode()).map_err(failed)?;
            records += 1;
        }
        let file = file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.lock().map_err(failed)?;
        std::fs::rename(&beside, &self.path).map_err(failed)?;
        (self.file, self.records) = (file, records);
        Ok(())
    }
}

/// Returns whether a file that begins with these bytes is a history.
#[must_use]
pub fn is_start(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads the whole records of a history, the oldest first; damaged ones are passed over.
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
    // One more than ever written, in case two programs wrote.
    let records = (0..2 * RECORDS_MAX).map_while(move |_| {
        let mut bytes = [0; RECORD_BYTES];
        file.read_exact(&mut bytes).ok()?;
        Some(Record::decode(&bytes))
    });
    Ok(records.flatten())
}

/// Milliseconds by which a record is later than the one before it where the clock of the system was set back in between.
const STEP_MS: u64 = 10_000;

/// Puts records on a clock that starts at 0 and never goes back, as the recorder had one: a system's clock that is set back
/// hides nothing of what came after.
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
    use super::*;
    use crate::pressure::Level;

    fn record(n: u64) -> Record {
        Record {
            unix_ms: 1_700_000_000_000 + n,
            available_bytes: (!n.is_multiple_of(3)).then_some(n << 20),
            limit_bytes: (!n.is_multiple_of(3)).then_some(n << 21),
            swap_total_bytes: 7,
            swap_free_bytes: 5,
            parts_bytes: [n, 1, 2, 3, 4, u64::from(u32::MAX)],
            level: Level::ALL[(n % 4) as usize],
        }
    }

    fn kept(path: &Path) -> Vec<Record> {
        read(path).unwrap().collect()
    }

    #[test]
    fn torn_tail_is_cut_and_damage_is_passed_over() {
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
        expected.level = Level::Medium;
        assert_eq!(Record::new(&sample, Level::Medium), expected);
        assert_eq!(sample.at.steady_ms, 77);
    }
}
