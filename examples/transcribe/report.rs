//! What was counted and measured, as a JSON file.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use steadyscribe::{Ended, Summary};
use tempfile::NamedTempFile;

/// How one input went.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) file: String,
    /// `complete`, `damaged`, `cancelled` or `failed`.
    pub(crate) ended: &'static str,
    pub(crate) error: Option<String>,
    /// Which channel, where each is transcribed on its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<usize>,
    #[serde(flatten)]
    pub(crate) summary: Summary,
}

impl Entry {
    pub(crate) fn of(file: String, channel: Option<usize>, summary: Summary) -> Self {
        let ended = match summary.ended {
            Ended::Complete => "complete",
            Ended::Damaged => "damaged",
            Ended::Cancelled => "cancelled",
            _ => "failed",
        };
        Self {
            file,
            ended,
            error: None,
            channel,
            summary,
        }
    }

    pub(crate) fn failed(file: String, error: String) -> Self {
        Self {
            file,
            ended: "failed",
            error: Some(error),
            channel: None,
            summary: Summary::default(),
        }
    }
}

/// Writes the report of one input as an object, that of several, or of several channels, as an array. The file appears when it is whole.
pub(crate) fn write(path: &Path, entries: &[Entry]) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    match entries {
        [entry] => serde_json::to_writer_pretty(&mut file, entry)?,
        entries => serde_json::to_writer_pretty(&mut file, entries)?,
    }
    file.write_all(b"\n")?;
    file.persist(path).map_err(|refused| refused.error)?;
    Ok(())
}
