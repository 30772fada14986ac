//! The control group that this process is in: the limit that a container or a service runs under.
//!
//! Source: Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::text::{Text, leading_number};
use super::{Psi, ReadError, psi};

/// Deepest nesting that is walked for limits. systemd nests six deep, a container in a container about ten.
const DEPTH_MAX: usize = 32;

/// Version 1 writes "no limit" as the largest multiple of a page; nobody sets a limit of an exbibyte.
const UNLIMITED_BYTES_MIN: u64 = 1 << 60;

/// Memory of the control group, in bytes. What its kernel does not tell is `None`.
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
    /// What can still be had under the tightest of these limits; cache that is not in use counts as free.
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

pub(super) fn read(proc_root: &Path, cgroup_root: &Path) -> Result<Cgroup, ReadError> {
    let membership_path = proc_root.join("self/cgroup");
    let membership = super::read(&membership_path)?;
    if let Some(path) = path_v1(&membership) {
        return v1(&inside(&cgroup_root.join("memory"), &path));
    }
    let Some(path) = path_v2(&membership) else {
        return Err(ReadError::Missing {
            path: membership_path,
            field: "memory group",
        });
    };
    v2(&inside(cgroup_root, &path))
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

fn number(path: &Path) -> Option<u64> {
    leading_number(Text::read(path).ok()?.bytes())
}

/// The lowest limit and the least headroom of a folder and those above it.
fn tightest(
    (root, folder): &(PathBuf, PathBuf),
    usage: &str,
    limit: &str,
    inactive: &str,
) -> (Option<u64>, Option<u64>) {
    let (mut limit_bytes, mut headroom_bytes): (Option<u64>, Option<u64>) = (None, None);
    for at in folder
        .ancestors()
        .take(DEPTH_MAX)
        .take_while(|at| at.starts_with(root))
    {
        let Some(bound) = number(&at.join(limit)).filter(|&b| b < UNLIMITED_BYTES_MIN) else {
            continue;
        };
        limit_bytes = Some(limit_bytes.map_or(bound, |least| least.min(bound)));
        let Some(used) = number(&at.join(usage)) else {
            continue;
        };
        let stat = Text::read(&at.join("memory.stat")).ok();
        let idle_cache = stat.and_then(|s| s.number(inactive)).unwrap_or(0);
        let room = bound.saturating_sub(used.saturating_sub(idle_cache));
        headroom_bytes = Some(headroom_bytes.map_or(room, |least| least.min(room)));
    }
    (limit_bytes, headroom_bytes)
}

fn v2(place: &(PathBuf, PathBuf)) -> Result<Cgroup, ReadError> {
    let folder = &place.1;
    let usage_path = folder.join("memory.current");
    // The root group has no `memory.current`: nothing limits it.
    let usage_bytes = number(&usage_path).ok_or(ReadError::Missing {
        path: usage_path,
        field: "bytes in use",
    })?;
    let (limit_bytes, headroom_bytes) =
        tightest(place, "memory.current", "memory.max", "inactive_file ");
    let stat = Text::read(&folder.join("memory.stat")).ok();
    let events = Text::read(&folder.join("memory.events")).ok();
    let of = |text: &Option<Text>, key| text.as_ref().and_then(|t| t.number(key));
    Ok(Cgroup {
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
    })
}

fn v1(place: &(PathBuf, PathBuf)) -> Result<Cgroup, ReadError> {
    let folder = &place.1;
    let usage_path = folder.join("memory.usage_in_bytes");
    let usage_bytes = number(&usage_path).ok_or(ReadError::Missing {
        path: usage_path,
        field: "bytes in use",
    })?;
    let (limit_bytes, headroom_bytes) = tightest(
        place,
        "memory.usage_in_bytes",
        "memory.limit_in_bytes",
        "total_inactive_file ",
    );
    let stat = Text::read(&folder.join("memory.stat")).ok();
    let of = |key| stat.as_ref().and_then(|t| t.number(key));
    Ok(Cgroup {
        version: 1,
        usage_bytes,
        limit_bytes,
        headroom_bytes,
        anon_bytes: of("total_rss "),
        file_bytes: of("total_cache "),
        events_high: None,
        events_max: number(&folder.join("memory.failcnt")),
        events_oom: None,
        psi: None,
    })
}
