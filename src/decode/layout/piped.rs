//! The ISO base media format from a pipe: what stands before the audio is kept and shown again, as it is shown of a
//! file.
//!
//! Source: ISO/IEC 14496-12, sections 4.2 and 8.8.

use std::io::Cursor;
use std::sync::Arc;

use super::boxes::{BOXES_MAX, BoxAt, box_at, each, find, u32_at, u64_at};
use super::fragments::{self, Fragment, Fragments, is_fragment, is_known, is_sane};
use super::mp4::{self, Index, TABLE_BYTES_MAX};
use super::{Layout, Parts, search};
use crate::decode::codec::Fault;
use crate::decode::input::Handle;
use crate::decode::view::View;

/// Most bytes that stand before the audio of a whole file: the largest tables, and room for what else there is.
const HEADER_BYTES_MAX: u64 = 2 * TABLE_BYTES_MAX;

/// Most bytes that stand before the audio of one fragment. Those of an hour in one fragment take 1 MB.
const FRAGMENT_HEADER_BYTES_MAX: u64 = 4 << 20;

/// Bytes that are read at once: a length that is damaged decides no allocation.
const STEP_BYTES: usize = 64 << 10;

/// Reads the boxes up to the audio.
pub(super) fn layout(input: &Arc<Handle>, at: u64) -> Result<Layout, Fault> {
    let (mut header, audio) = header(input, at)?;
    let index = in_memory(&header);
    let Index {
        patches,
        track_id,
        edit,
        is_fragmented,
        ..
    } = mp4::index(&index, 0, None)?;
    for (at, patch) in &patches {
        let from = usize::try_from(*at).unwrap_or(usize::MAX);
        if let Some(bytes) = header.get_mut(from..from.saturating_add(patch.len())) {
            bytes.copy_from_slice(patch);
        }
    }
    let mut layout = Layout::plain(input, audio.start);
    if let Some(edit) = edit {
        layout.origin_ticks = Some(edit.origin_ticks);
        layout.end_ticks = edit.end_ticks;
    }
    if &audio.name == b"moof" && is_fragmented {
        let fragments = Fragments::piped(header, audio, track_id);
        layout.parts = Parts::Fragments(fragments);
        return Ok(layout);
    }
    layout.data_end = Some(audio.end).filter(|end| *end < u64::MAX);
    layout.view.head = header;
    Ok(layout)
}

/// A reader of bytes that were read before.
fn in_memory(bytes: &[u8]) -> Arc<Handle> {
    Handle::new(Box::new(Cursor::new(bytes.to_vec())), true)
}

/// Reads all boxes before the audio, and the header of the first box of audio.
fn header(input: &Handle, at: u64) -> Result<(Vec<u8>, BoxAt), Fault> {
    let (mut bytes, mut next, mut is_known) = (Vec::new(), at, false);
    for _ in 0..BOXES_MAX {
        let Some(found) = box_at(input, next, u64::MAX)? else {
            break;
        };
        match &found.name {
            b"mdat" if !is_known => return Err(Fault::IndexLast),
            b"mdat" | b"moof" if is_known => return Ok((bytes, found)),
            b"moov" => is_known = true,
            _ => {}
        }
        if found.end - at > HEADER_BYTES_MAX {
            let what = format!(
                "an mp4 from a pipe with more than {} MB before its audio",
                HEADER_BYTES_MAX / 1_000_000
            );
            return Err(Fault::Unsupported(what));
        }
        append(input, next, found.end, &mut bytes)?;
        next = found.end;
    }
    Err(mp4::no_index())
}

/// Reads on from `at` to `end`.
fn append(input: &Handle, mut at: u64, end: u64, bytes: &mut Vec<u8>) -> Result<(), Fault> {
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

/// Shows the next fragment behind the header of all, or nothing where there is none any more.
pub(super) fn next_fragment(
    fragments: &mut Fragments,
    input: &Arc<Handle>,
    header: &[u8],
    mut at: u64,
) -> Result<Option<Fragment>, Fault> {
    let (mut bytes, mut start) = (Vec::new(), at);
    for _ in 0..BOXES_MAX {
        let is_short = |found: &BoxAt| {
            &found.name != b"moof" || found.end - found.start <= FRAGMENT_HEADER_BYTES_MAX
        };
        let found = box_at(input, at, u64::MAX)?.filter(is_known);
        let Some(found) = found.filter(is_short) else {
            // The chain of boxes is broken, or has ended.
            let Some(next) = search(input, at + 1, is_fragment)? else {
                if input.end() > at {
                    fragments.data_end = u64::MAX;
                }
                return Ok(None);
            };
            at = next;
            bytes.clear();
            continue;
        };
        match &found.name {
            b"moof" => {
                bytes.clear();
                start = at;
            }
            b"mdat" if !bytes.is_empty() => {
                append(input, at, found.content, &mut bytes)?;
                return fragment(fragments, input, header, bytes, start, found).map(Some);
            }
            _ => {}
        }
        let is_part = &found.name == b"moof" || !bytes.is_empty();
        if is_part && found.end - start <= FRAGMENT_HEADER_BYTES_MAX {
            append(input, at, found.end, &mut bytes)?;
        } else {
            bytes.clear();
        }
        if &found.name == b"moof" && !claims_what_can_be(&bytes)? {
            bytes.clear();
        }
        at = found.end;
        fragments.data_end = fragments.data_end.max(at);
    }
    Ok(None)
}

/// Returns whether a fragment's index claims no more packets than there can be.
fn claims_what_can_be(bytes: &[u8]) -> Result<bool, Fault> {
    let memory = in_memory(bytes);
    let moof = box_at(&memory, 0, bytes.len() as u64)?;
    moof.map_or(Ok(false), |moof| is_sane(&memory, moof))
}

/// Shows a fragment, of which `bytes` are everything before its audio.
fn fragment(
    fragments: &mut Fragments,
    input: &Arc<Handle>,
    header: &[u8],
    mut bytes: Vec<u8>,
    start: u64,
    audio: BoxAt,
) -> Result<Fragment, Fault> {
    let memory = in_memory(&bytes);
    let Some(moof) = box_at(&memory, 0, bytes.len() as u64)? else {
        return Err(Fault::CutOff);
    };
    let index = fragments::index(&memory, moof, fragments.track_id)?;
    // Places in the file become places in what is shown.
    for (at, base) in bases(&memory, moof)? {
        let base = base.wrapping_sub(start).wrapping_add(header.len() as u64);
        bytes[at..at + 8].copy_from_slice(&base.to_be_bytes());
    }
    fragments.next = Some(audio.end);
    fragments.data_end = audio.end;
    let mut view = View::new(Arc::clone(input), audio.content);
    view.head = [header, &bytes].concat();
    view.end = Some(audio.end);
    Ok(Fragment { view, index })
}

/// Returns where in a fragment's header it is told from which place of the file places are counted, and that place.
fn bases(memory: &Handle, moof: BoxAt) -> Result<Vec<(usize, u64)>, Fault> {
    const IS_TOLD: u32 = 1;
    let mut bases = Vec::new();
    each(memory, moof, |found| {
        if &found.name != b"traf" {
            return Ok(true);
        }
        let Some(header) = find(memory, found, &[b"tfhd"])? else {
            return Ok(true);
        };
        let is_whole = header.end - header.content >= 16;
        if is_whole && u32_at(memory, header.content)? & IS_TOLD != 0 {
            let at = header.content + 8;
            bases.push((
                usize::try_from(at).unwrap_or(usize::MAX),
                u64_at(memory, at)?,
            ));
        }
        Ok(true)
    })?;
    Ok(bases)
}
