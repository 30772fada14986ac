//! The ISO base media format: mp4, m4a, mov, 3gp.
//!
//! A file is shown to the demuxer with its unused boxes renamed to `free`. From a pipe, everything
//! before the audio is read into memory, changed there, and shown before the audio. A fragmented
//! file is shown fragment by fragment in both cases.
//!
//! Source: ISO/IEC 14496-12, sections 4.2 and 8.

use std::sync::Arc;

use super::layout::{Layout, Parts};
use crate::decode::fault::Fault;
use crate::decode::shared_input::SharedInput;

mod boxes;
mod edit;
pub(super) mod fragment;
pub(super) mod fragments;
mod index;
mod piped_fragments;

use boxes::{BOXES_MAX, BoxAt, append, box_at};
use fragments::Fragments;
use index::{Mp4Index, TABLE_BYTES_MAX};

/// Most bytes from a pipe that precede the audio: the largest tables, and as much for the rest.
const HEADER_BYTES_MAX: u64 = 2 * TABLE_BYTES_MAX;

/// Reads the boxes of a file up to its audio. Of several audio tracks, the `chosen` one is shown,
/// or all.
pub(super) fn layout(
    input: &Arc<SharedInput>,
    at: u64,
    chosen: Option<u32>,
) -> Result<Layout, Fault> {
    let index = index::read(input, at, chosen)?;
    let end = index.outline.end;
    let mut layout = Layout::plain(input, at);
    layout.view.patches = index.patches;
    layout.data_end = Some(end);
    // A demuxer that may seek looks for the end first, and gives up if that is cut off.
    layout.view.seekable = end <= input.byte_len().unwrap_or(u64::MAX);
    layout.is_ambiguous = index.is_ambiguous;
    if let Some(edit) = index.edit {
        layout.origin_ticks = Some(edit.origin_ticks);
        layout.end_ticks = edit.end_ticks;
    }
    if let (true, Some(first)) = (index.is_fragmented, index.outline.fragment)
        && index.movie.start < first.start
    {
        let patches = layout.view.patches.clone();
        let fragments = Fragments::of_file(patches, at, first, index.track_id);
        layout.parts = Parts::Fragments(fragments);
    }
    Ok(layout)
}

/// Reads the boxes from a pipe up to the audio.
pub(super) fn piped_layout(input: &Arc<SharedInput>, at: u64) -> Result<Layout, Fault> {
    let (mut header, audio) = read_header(input, at)?;
    let Mp4Index {
        patches,
        track_id,
        edit,
        is_fragmented,
        ..
    } = index::read(&SharedInput::of_memory(&header), 0, None)?;
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
        let fragments = Fragments::of_pipe(header, audio, track_id);
        layout.parts = Parts::Fragments(fragments);
        return Ok(layout);
    }
    layout.data_end = Some(audio.end).filter(|end| *end < u64::MAX);
    layout.view.head = header;
    Ok(layout)
}

/// Reads all boxes before the audio, and the header of the first box of audio.
fn read_header(input: &SharedInput, at: u64) -> Result<(Vec<u8>, BoxAt), Fault> {
    let (mut bytes, mut next, mut has_index) = (Vec::new(), at, false);
    for _ in 0..BOXES_MAX {
        let Some(found) = box_at(input, next, u64::MAX)? else {
            break;
        };
        match &found.name {
            b"mdat" if !has_index => return Err(Fault::IndexLast),
            b"mdat" | b"moof" if has_index => return Ok((bytes, found)),
            b"moov" => has_index = true,
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
    Err(index::missing())
}
