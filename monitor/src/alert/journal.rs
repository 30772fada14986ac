//! Critical notices on disk. Each is written before it is sent, so that the end of the program
//! loses none.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::notice::Notice;
use crate::exclusive::{AcquireError, Exclusive};

/// Size at which the file is replaced by one with the open notices only.
const JOURNAL_BYTES_MAX: u64 = 1 << 20;

/// Open notices that are kept: far more than there are alerts.
const OPEN_MAX: usize = 256;

/// An append-only file of JSON lines, synced to the disk after each. One program at a time writes
/// it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    exclusive: Exclusive,
    file: File,
    bytes: u64,
    open: Vec<Notice>,
}

/// The journal cannot be written or read. Alerts are still sent without it, but they do not outlive
/// the program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be opened, read or written.
    #[error("cannot use the alert journal {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Another program writes it: name another path, or end that program.
    #[error(
        "the alert journal {} is in use by another program; name another file or end that program",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Critical(Notice),
    Acknowledged(u64),
}

impl Journal {
    /// Opens or creates a journal. A line that is torn or damaged is left out.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: name another file, or go on without a journal.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io {
            path: path.to_path_buf(),
            source,
        };
        let exclusive = Exclusive::acquire(path).map_err(|error| match error {
            AcquireError::InUse => JournalError::InUse {
                path: path.to_path_buf(),
            },
            AcquireError::Io(source) => failed(source),
        })?;
        let open = match File::open(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            file => file.and_then(read),
        };
        let open = open.map_err(failed)?;
        let (file, bytes) = rewrite(&exclusive, &open).map_err(failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            exclusive,
            file,
            bytes,
            open,
        })
    }

    /// Returns the critical notices that are not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> &[Notice] {
        &self.open
    }

    /// Writes a notice. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: the notice may be lost if the program ends before it is acknowledged.
    pub fn critical(&mut self, notice: &Notice) -> Result<(), JournalError> {
        if self.open.len() == OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(notice.clone());
        self.append(&Line::Critical(notice.clone()))
    }

    /// Records that a notice was received, or was replaced by a newer one.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: the notice will be shown again at the next start.
    pub fn acknowledged(&mut self, id: u64) -> Result<(), JournalError> {
        self.open.retain(|notice| notice.id != id);
        self.append(&Line::Acknowledged(id))
    }

    fn append(&mut self, line: &Line) -> Result<(), JournalError> {
        self.write(line).map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })
    }

    fn write(&mut self, line: &Line) -> std::io::Result<()> {
        if self.bytes > JOURNAL_BYTES_MAX {
            self.drop_acknowledged()?;
            (self.file, self.bytes) = rewrite(&self.exclusive, &self.open)?;
        }
        let text = encode(line)?;
        self.file.write_all(text.as_bytes())?;
        self.bytes += text.len() as u64;
        self.file.sync_data()
    }

    /// Drops the notices that [`acknowledge`] recorded beside this program, which the next file
    /// would hold again.
    fn drop_acknowledged(&mut self) -> std::io::Result<()> {
        for line in lines(File::open(&self.path)?) {
            if let Some(Line::Acknowledged(id)) = line? {
                self.open.retain(|notice| notice.id != id);
            }
        }
        Ok(())
    }
}

/// Returns the critical notices in a journal that are not acknowledged. The file is only read, so
/// another program may be writing it.
///
/// # Errors
///
/// [`JournalError`] where there is no such file, or it cannot be read.
pub fn unacknowledged(path: &Path) -> Result<Vec<Notice>, JournalError> {
    File::open(path)
        .and_then(read)
        .map_err(|source| JournalError::Io {
            path: path.to_path_buf(),
            source,
        })
}

/// Records in a journal that a notice was seen. A program that is writing it reads that at its next
/// start.
///
/// # Errors
///
/// [`JournalError`]: the notice will be shown again.
pub fn acknowledge(path: &Path, id: u64) -> Result<(), JournalError> {
    let append = || {
        let mut file = OpenOptions::new().append(true).open(path)?;
        // One call appends the whole line, also while another program appends.
        file.write_all(encode(&Line::Acknowledged(id))?.as_bytes())?;
        file.sync_data()
    };
    append().map_err(|source| JournalError::Io {
        path: path.to_path_buf(),
        source,
    })
}

fn encode(line: &Line) -> std::io::Result<String> {
    Ok(serde_json::to_string(line)? + "\n")
}

fn read(file: File) -> std::io::Result<Vec<Notice>> {
    let mut open: Vec<Notice> = Vec::new();
    for line in lines(file) {
        match line? {
            Some(Line::Critical(notice)) if open.len() < OPEN_MAX => open.push(notice),
            Some(Line::Acknowledged(id)) => open.retain(|notice| notice.id != id),
            Some(Line::Critical(_)) | None => {}
        }
    }
    Ok(open)
}

/// The lines of a journal; `None` for one that is torn or damaged.
fn lines(file: File) -> impl Iterator<Item = std::io::Result<Option<Line>>> {
    // The file is at most one line longer than its limit.
    let lines = BufReader::new(file.take(2 * JOURNAL_BYTES_MAX)).split(b'\n');
    lines.map(|text| text.map(|text| serde_json::from_slice(&text).ok()))
}

/// Replaces the file by one with the open notices only. Returns it with its size.
fn rewrite(exclusive: &Exclusive, open: &[Notice]) -> std::io::Result<(File, u64)> {
    let mut text = String::new();
    for notice in open {
        text += &encode(&Line::Critical(notice.clone()))?;
    }
    let file = exclusive.replace(|out| out.write_all(text.as_bytes()))?;
    Ok((file, text.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Event, Facts, Key, Kind, Severity};

    fn notice(id: u64, reason: &str) -> Notice {
        Notice {
            id,
            key: Key::new(Kind::Pressure, None),
            event: Event::Raised,
            severity: Severity::Critical,
            unix_ms: 0,
            loud: true,
            facts: Facts {
                reason: reason.to_owned(),
                ..Facts::default()
            },
        }
    }

    #[test]
    fn acknowledgement_of_another_program_survives_the_replacement() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        journal.critical(&notice(1, "seen")).unwrap();
        acknowledge(&path, 1).unwrap();
        let long = "x".repeat(1 << 19);
        for id in 2..5 {
            journal.critical(&notice(id, &long)).unwrap();
            journal.acknowledged(id).unwrap();
        }
        assert!(
            path.metadata().unwrap().len() < JOURNAL_BYTES_MAX,
            "it was replaced"
        );
        assert_eq!(unacknowledged(&path).unwrap(), []);
    }
}
