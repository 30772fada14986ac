//! Writes counts and measurements of all inputs as a JSON file.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use steadyscribe::{Ended, Summary};
use tempfile::NamedTempFile;

/// The report of one input, or of one of its channels.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) file: String,
    /// `complete`, `stopped`, `damaged`, `cancelled` or `failed`.
    pub(crate) ended: &'static str,
    pub(crate) error: Option<String>,
    /// The channel, with `--channels split`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<usize>,
    #[serde(flatten)]
    pub(crate) summary: Summary,
}

impl Entry {
    pub(crate) fn of(file: String, channel: Option<usize>, summary: Summary) -> Self {
        let ended = match summary.ended {
            Ended::Complete => "complete",
            Ended::Stopped => "stopped",
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

/// Writes an object for a single entry and an array for several. The file appears when it is
/// complete.
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
