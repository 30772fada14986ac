//! The memory of the machine.

use std::path::Path;

use serde::Serialize;

use super::error::ReadError;
use super::text;

/// Memory of the machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Machine {
    /// RAM that the system manages.
    pub total_bytes: u64,
    /// Bytes that a new program can have without swapping.
    pub available_bytes: u64,
    /// Whether `available_bytes` is our estimate, because the system does not report it.
    pub estimated: bool,
    /// Size of the swap; 0 where there is none.
    pub swap_total_bytes: u64,
    /// Free part of the swap.
    pub swap_free_bytes: u64,
}

impl Machine {
    /// Describes a machine whose figures are exact.
    #[must_use]
    pub fn new(
        total_bytes: u64,
        available_bytes: u64,
        swap_total_bytes: u64,
        swap_free_bytes: u64,
    ) -> Self {
        Self {
            total_bytes,
            available_bytes,
            estimated: false,
            swap_total_bytes,
            swap_free_bytes,
        }
    }
}

/// Reads `/proc/meminfo`.
///
/// Source: proc_meminfo(5).
pub(super) fn read(proc_root: &Path) -> Result<Machine, ReadError> {
    let path = proc_root.join("meminfo");
    let text = text::read(&path)?;
    let missing = |field| ReadError::Missing {
        path: path.clone(),
        field,
    };
    let total_bytes = text.kib("MemTotal:").ok_or_else(|| missing("MemTotal"))?;
    let stated = text.kib("MemAvailable:");
    // Before Linux 3.14: the same guess as the free(1) of that time, which takes shared memory for
    // reclaimable.
    let guess = || Some(text.kib("MemFree:")? + text.kib("Buffers:")? + text.kib("Cached:")?);
    let available_bytes = stated
        .or_else(guess)
        .ok_or_else(|| missing("MemAvailable"))?;
    Ok(Machine {
        total_bytes,
        available_bytes: available_bytes.min(total_bytes),
        estimated: stated.is_none(),
        swap_total_bytes: text.kib("SwapTotal:").unwrap_or(0),
        swap_free_bytes: text.kib("SwapFree:").unwrap_or(0),
    })
}
