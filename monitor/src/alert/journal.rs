//! Critical notices on disk, written before anybody is told, so that the end of the program loses none.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Notice;

/// Size at which the file is written anew with the open notices only.
pub const JOURNAL_BYTES_MAX: u64 = 1 << 20;

/// Open notices that are kept: far more than there are alerts.
const OPEN_MAX: usize = 256;

/// An append-only file of JSON lines, synced to the disk after each.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    open: Vec<Notice>,
}

/// The journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the alert journal {}", path.display())]
#[non_exhaustive]
pub struct JournalError {
    /// The file. Alerts are still sent; they do not outlive the program.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
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
    /// [`JournalError`]: go on without a journal.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError {
            path: path.to_path_buf(),
            source,
        };
        let open = match File::open(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            file => file.and_then(read),
        };
        let open = open.map_err(failed)?;
        let (file, bytes) = rewrite(path, &open).map_err(failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            bytes,
            open,
        })
    }

    /// Returns the critical notices that nobody has acknowledged.
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

    /// Notes that a notice has reached somebody, or was replaced by a newer one.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: the notice will be shown again at the next start.
    pub fn acknowledged(&mut self, id: u64) -> Result<(), JournalError> {
        self.open.retain(|notice| notice.id != id);
        self.append(&Line::Acknowledged(id))
    }

    fn append(&mut self, line: &Line) -> Result<(), JournalError> {
        self.write(line).map_err(|source| JournalError {
            path: self.path.clone(),
            source,
        })
    }

    fn write(&mut self, line: &Line) -> std::io::Result<()> {
        if self.bytes > JOURNAL_BYTES_MAX {
            (self.file, self.bytes) = rewrite(&self.path, &self.open)?;
        }
        let text = encode(line)?;
        self.file.write_all(text.as_bytes())?;
        self.bytes += text.len() as u64;
        self.file.sync_data()
    }
}

/// Returns the critical notices in a journal that nobody has acknowledged. The file is only read: a program may be writing
/// it.
///
/// # Errors
///
/// [`JournalError`] where there is no such file, or it cannot be read.
pub fn unacknowledged(path: &Path) -> Result<Vec<Notice>, JournalError> {
    File::open(path)
        .and_then(read)
        .map_err(|source| JournalError {
            path: path.to_path_buf(),
            source,
        })
}

/// Notes in a journal that a notice has been seen. A program that is writing it learns of that at its next start.
///
/// # Errors
///
/// [`JournalError`]: the notice will be shown again.
pub fn acknowledge(path: &Path, id: u64) -> Result<(), JournalError> {
    let append = || {
        let mut file = OpenOptions::new().append(true).open(path)?;
        // One call appends all of it, beside whoever else appends.
        file.write_all(encode(&Line::Acknowledged(id))?.as_bytes())?;
        file.sync_data()
    };
    append().map_err(|source| JournalError {
        path: path.to_path_buf(),
        source,
    })
}

fn encode(line: &Line) -> std::io::Result<String> {
    Ok(serde_json::to_string(line)? + "\n")
}

fn read(file: File) -> std::io::Result<Vec<Notice>> {
    let mut open: Vec<Notice> = Vec::new();
    // The file is at most one line longer than its limit.
    for text in BufReader::new(file.take(2 * JOURNAL_BYTES_MAX)).split(b'\n') {
        match serde_json::from_slice(&text?) {
            Ok(Line::Critical(notice)) if open.len() < OPEN_MAX => open.push(notice),
            Ok(Line::Acknowledged(id)) => open.retain(|notice| notice.id != id),
            Ok(Line::Critical(_)) | Err(_) => {}
        }
    }
    Ok(open)
}

/// Writes the open notices beside the file and puts them in its place.
fn rewrite(path: &Path, open: &[Notice]) -> std::io::Result<(File, u64)> {
    let mut text = String::new();
    for notice in open {
        text += &encode(&Line::Critical(notice.clone()))?;
    }
    let beside = path.with_extension("part");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    Ok((
        OpenOptions::new().append(true).open(path)?,
        text.len() as u64,
    ))
}
