//! The control group that this process is in: the limit that a container or a service runs under.
//!
//! Source: Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::ReadError;
use super::psi::{self, Psi};
use super::text::{self, Text, leading_number};

/// Deepest nesting that is walked for limits. systemd nests six deep, a container in a container
/// about ten.
const DEPTH_MAX: usize = 32;

/// Version 1 writes "no limit" as the largest multiple of a page. No real limit is an exbibyte.
const UNLIMITED_BYTES_MIN: u64 = 1 << 60;

/// Memory of the control group, in bytes. A figure that its kernel does not report is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Cgroup {
    /// 1 or 2.
    pub version: u8,
    /// Everything charged to the group, page cache included.
    pub usage_bytes: u64,
    /// The lowest hard limit of the group and those around it; `None`: unlimited.
    pub limit_bytes: Option<u64>,
    /// What can still be had under the tightest of these limits; cache that is not in use counts as
    /// free.
    pub headroom_bytes: Option<u64>,
    /// Anonymous memory.
    pub anon_bytes: Option<u64>,
    /// Page cache.
    pub file_bytes: Option<u64>,
    /// How often the group was throttled at `memory.high`.
    pub events_high: Option<u64>,
    /// How often it hit its hard limit.
    pub events_max: Option<u64>,
    /// How often nothing could be reclaimed at the hard limit.
    pub events_oom: Option<u64>,
    /// How long the group's tasks waited for memory.
    pub psi: Option<Psi>,
}

/// Reads the group that this process is in. `None`: it is in none, so nothing limits it.
pub(super) fn read(proc_root: &Path, cgroup_root: &Path) -> Result<Option<Cgroup>, ReadError> {
    let Some(membership) = optional(&proc_root.join("self/cgroup"))? else {
        return Ok(None);
    };
    if let Some(path) = path_v1(&membership) {
        return v1(&inside(&cgroup_root.join("memory"), &path));
    }
    match path_v2(&membership) {
        Some(path) => v2(&inside(cgroup_root, &path)),
        None => Ok(None),
    }
}

/// `5:memory:/docker/1234`, in which the controllers may be several: `4:cpu,memory:/`.
fn path_v1(membership: &Text) -> Option<String> {
    membership.lines().find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let mut parts = line.splitn(3, ':');
        let controllers = parts.nth(1)?;
        controllers
            .split(',')
            .any(|c| c == "memory")
            .then(|| parts.next().map(str::to_owned))?
    })
}

fn path_v2(membership: &Text) -> Option<String> {
    std::str::from_utf8(membership.field("0::")?)
        .ok()
        .map(str::to_owned)
}

/// The group's folder, or the root where a container sees a path that only its host has.
fn inside(root: &Path, path: &str) -> (PathBuf, PathBuf) {
    let folder = root.join(path.trim_start_matches('/'));
    let folder = if folder.is_dir() {
        folder
    } else {
        root.to_path_buf()
    };
    (root.to_path_buf(), folder)
}

/// The text of a file. `None`: there is no such file, which says that the kernel offers no such
/// figure. Any other failure leaves the figure unknown, which is not the same as unlimited.
fn optional(path: &Path) -> Result<Option<Text>, ReadError> {
    match text::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_missing_file() => Ok(None),
        Err(error) => Err(error),
    }
}

fn number(path: &Path) -> Result<Option<u64>, ReadError> {
    Ok(optional(path)?.and_then(|text| leading_number(text.bytes())))
}

/// Names of the files of one version.
struct Names {
    usage: &'static str,
    limit: &'static str,
    inactive: &'static str,
}

const NAMES_V1: Names = Names {
    usage: "memory.usage_in_bytes",
    limit: "memory.limit_in_bytes",
    inactive: "total_inactive_file ",
};

const NAMES_V2: Names = Names {
    usage: "memory.current",
    limit: "memory.max",
    inactive: "inactive_file ",
};

/// The lowest limit and the least headroom of a folder and those above it.
fn tightest(
    (root, folder): &(PathBuf, PathBuf),
    names: &Names,
) -> Result<(Option<u64>, Option<u64>), ReadError> {
    let (mut limit_bytes, mut headroom_bytes): (Option<u64>, Option<u64>) = (None, None);
    for at in folder
        .ancestors()
        .take(DEPTH_MAX)
        .take_while(|at| at.starts_with(root))
    {
        let bound = number(&at.join(names.limit))?.filter(|&b| b < UNLIMITED_BYTES_MIN);
        let Some(bound) = bound else {
            continue;
        };
        limit_bytes = Some(limit_bytes.map_or(bound, |least| least.min(bound)));
        let Some(used) = number(&at.join(names.usage))? else {
            continue;
        };
        let stat = optional(&at.join("memory.stat"))?;
        let idle_cache = stat.and_then(|s| s.number(names.inactive)).unwrap_or(0);
        let room = bound.saturating_sub(used.saturating_sub(idle_cache));
        headroom_bytes = Some(headroom_bytes.map_or(room, |least| least.min(room)));
    }
    Ok((limit_bytes, headroom_bytes))
}

fn v2(place: &(PathBuf, PathBuf)) -> Result<Option<Cgroup>, ReadError> {
    let folder = &place.1;
    // The root group has no `memory.current`: nothing limits it.
    let Some(usage_bytes) = number(&folder.join(NAMES_V2.usage))? else {
        return Ok(None);
    };
    let (limit_bytes, headroom_bytes) = tightest(place, &NAMES_V2)?;
    let stat = optional(&folder.join("memory.stat"))?;
    let events = optional(&folder.join("memory.events"))?;
    let of = |text: &Option<Text>, key| text.as_ref().and_then(|t| t.number(key));
    Ok(Some(Cgroup {
        version: 2,
        usage_bytes,
        limit_bytes,
        headroom_bytes,
        anon_bytes: of(&stat, "anon "),
        file_bytes: of(&stat, "file "),
        events_high: of(&events, "high "),
        events_max: of(&events, "max "),
        events_oom: of(&events, "oom "),
        psi: psi::read(&folder.join("memory.pressure")).ok(),
    }))
}

fn v1(place: &(PathBuf, PathBuf)) -> Result<Option<Cgroup>, ReadError> {
    let folder = &place.1;
    let Some(usage_bytes) = number(&folder.join(NAMES_V1.usage))? else {
        return Ok(None);
    };
    let (limit_bytes, headroom_bytes) = tightest(place, &NAMES_V1)?;
    let stat = optional(&folder.join("memory.stat"))?;
    let of = |key| stat.as_ref().and_then(|t| t.number(key));
    Ok(Some(Cgroup {
        version: 1,
        usage_bytes,
        limit_bytes,
        headroom_bytes,
        anon_bytes: of("total_rss "),
        file_bytes: of("total_cache "),
        events_high: None,
        events_max: number(&folder.join("memory.failcnt"))?,
        events_oom: None,
        psi: None,
    }))
}
