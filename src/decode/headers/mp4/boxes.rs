//! The boxes of which mp4 files are made.
//!
//! Source: ISO/IEC 14496-12, section 4.2.

use crate::decode::fault::Fault;
use crate::decode::shared_input::SharedInput;

/// Most boxes that are read on one level.
pub(super) const BOXES_MAX: usize = 65_536;

/// Bytes that are read at once, so that a damaged length decides no allocation.
const STEP_BYTES: usize = 64 << 10;

/// A box: its name, and the positions of its header, its content and the next box.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoxAt {
    pub(super) name: [u8; 4],
    pub(super) start: u64,
    pub(super) content: u64,
    pub(super) end: u64,
}

/// Reads the header of the box at `start`, whose header must end at or before `limit`. The box
/// itself may be cut off.
pub(super) fn box_at(input: &SharedInput, start: u64, limit: u64) -> Result<Option<BoxAt>, Fault> {
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

/// Calls `visit` with every box in `parent` until `visit` returns `false`.
pub(super) fn each(
    input: &SharedInput,
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
    input: &SharedInput,
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

pub(super) fn u32_at(input: &SharedInput, at: u64) -> Result<u32, Fault> {
    Ok(input.array_at(at)?.map_or(0, u32::from_be_bytes))
}

pub(super) fn u64_at(input: &SharedInput, at: u64) -> Result<u64, Fault> {
    Ok(input.array_at(at)?.map_or(0, u64::from_be_bytes))
}

/// Returns the version of a full box.
pub(super) fn version(input: &SharedInput, full: BoxAt) -> Result<u8, Fault> {
    Ok(u32_at(input, full.content)?.to_be_bytes()[0])
}

/// Reads the bytes from `at` to `end` and appends them to `bytes`.
pub(super) fn append(
    input: &SharedInput,
    mut at: u64,
    end: u64,
    bytes: &mut Vec<u8>,
) -> Result<(), Fault> {
    while at < end {
        let have = bytes.len();
        let step = usize::try_from(end - at).unwrap_or(usize::MAX);
        bytes.resize(have + step.min(STEP_BYTES), 0);
        let count = input.read_at(at, &mut bytes[have..])?;
        if have + count < bytes.len() {
            return Err(Fault::CutOff);
        }
        at += count as u64;
    }
    Ok(())
}
