//! The boxes of which files of the ISO base media format are made.
//!
//! Source: ISO/IEC 14496-12, section 4.2.

use crate::decode::codec::Fault;
use crate::decode::input::Handle;

/// Boxes that are looked at on one level.
pub(super) const BOXES_MAX: usize = 65_536;

/// A box: its name, and where it, its content and the next one start.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoxAt {
    pub(super) name: [u8; 4],
    pub(super) start: u64,
    pub(super) content: u64,
    pub(super) end: u64,
}

/// Reads the header of the box at `start`, which must end at or before `limit`. Of the outermost level, the last may
/// be cut off.
pub(super) fn box_at(input: &Handle, start: u64, limit: u64) -> Result<Option<BoxAt>, Fault> {
    if start.saturating_add(8) > limit {
        return Ok(None);
    }
    let Some([a, b, c, d, name @ ..]) = input.array_at::<8>(start)? else {
        return Ok(None);
    };
    let (header, len) = match u32::from_be_bytes([a, b, c, d]) {
        0 => (8, limit - start),
        1 => match input.array_at(start + 8)? {
            Some(len) => (16, u64::from_be_bytes(len)),
            None => return Ok(None),
        },
        len => (8, u64::from(len)),
    };
    let end = start.saturating_add(len);
    let whole = len >= header;
    Ok(whole.then_some(BoxAt {
        name,
        start,
        content: start + header,
        end,
    }))
}

/// Calls `visit` with every box in `parent` until it returns `false`.
pub(super) fn each(
    input: &Handle,
    parent: BoxAt,
    mut visit: impl FnMut(BoxAt) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let mut at = parent.content;
    for _ in 0..BOXES_MAX {
        match box_at(input, at, parent.end)? {
            Some(found) if found.end <= parent.end => {
                if !visit(found)? {
                    return Ok(());
                }
                at = found.end;
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Returns the first box under `parent` along a path of names.
pub(super) fn find(
    input: &Handle,
    mut parent: BoxAt,
    path: &[&[u8; 4]],
) -> Result<Option<BoxAt>, Fault> {
    for name in path {
        let mut child = None;
        each(input, parent, |found| {
            child = (found.name == **name).then_some(found);
            Ok(child.is_none())
        })?;
        let Some(found) = child else { return Ok(None) };
        parent = found;
    }
    Ok(Some(parent))
}

pub(super) fn u32_at(input: &Handle, at: u64) -> Result<u32, Fault> {
    Ok(input.array_at(at)?.map_or(0, u32::from_be_bytes))
}

pub(super) fn u64_at(input: &Handle, at: u64) -> Result<u64, Fault> {
    Ok(input.array_at(at)?.map_or(0, u64::from_be_bytes))
}

/// Returns the version of a full box.
pub(super) fn version(input: &Handle, full: BoxAt) -> Result<u8, Fault> {
    Ok(u32_at(input, full.content)?.to_be_bytes()[0])
}
