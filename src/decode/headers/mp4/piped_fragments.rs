//! The fragments of an mp4 from a pipe.
//!
//! What precedes the audio of a fragment is read into memory and shown behind the file's header.
//! The audio itself is read by the demuxer as it comes.
//!
//! Source: ISO/IEC 14496-12, section 8.8.

use std::sync::Arc;

use super::boxes::{BOXES_MAX, BoxAt, append, box_at, each, find, u32_at, u64_at};
use super::fragment::{Fragment, is_fragment, is_known, is_sane, read_index};
use crate::decode::fault::Fault;
use crate::decode::headers::search::search;
use crate::decode::shared_input::SharedInput;
use crate::decode::view::DemuxerView;

/// Most bytes that precede the audio of one fragment. Those of a fragment of an hour take 1 MB.
const FRAGMENT_HEADER_BYTES_MAX: u64 = 4 << 20;

/// The fragments of an input that cannot seek.
pub(in crate::decode) struct PipedFragments {
    /// The header, with parts of it hidden.
    header: Vec<u8>,
    /// Position of the next fragment, or of bytes before it.
    next: Option<u64>,
    /// The end of the last box that was read, or `u64::MAX` if more bytes follow it that are not a
    /// box.
    pub(super) data_end: u64,
    track_id: u32,
}

impl PipedFragments {
    pub(super) fn new(header: Vec<u8>, first: BoxAt, track_id: u32) -> Self {
        Self {
            header,
            next: Some(first.start),
            data_end: first.end,
            track_id,
        }
    }

    /// Shows the next fragment behind the header, or nothing behind the last.
    pub(super) fn next(&mut self, input: &Arc<SharedInput>) -> Result<Option<Fragment>, Fault> {
        let Some(mut at) = self.next.take() else {
            return Ok(None);
        };
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
                        self.data_end = u64::MAX;
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
                    return self.show(input, bytes, start, found).map(Some);
                }
                _ => {}
            }
            let is_part = &found.name == b"moof" || !bytes.is_empty();
            if is_part && found.end - start <= FRAGMENT_HEADER_BYTES_MAX {
                append(input, at, found.end, &mut bytes)?;
            } else {
                bytes.clear();
            }
            if &found.name == b"moof" && !is_possible(&bytes)? {
                bytes.clear();
            }
            at = found.end;
            self.data_end = self.data_end.max(at);
        }
        Ok(None)
    }

    /// Shows a fragment. `bytes` are everything before its audio, from `start` on.
    fn show(
        &mut self,
        input: &Arc<SharedInput>,
        mut bytes: Vec<u8>,
        start: u64,
        audio: BoxAt,
    ) -> Result<Fragment, Fault> {
        let memory = SharedInput::of_memory(&bytes);
        let Some(moof) = box_at(&memory, 0, bytes.len() as u64)? else {
            return Err(Fault::CutOff);
        };
        let index = read_index(&memory, moof, self.track_id)?;
        // Positions in the file become positions in the view.
        for (at, base) in bases(&memory, moof)? {
            let base = base
                .wrapping_sub(start)
                .wrapping_add(self.header.len() as u64);
            bytes[at..at + 8].copy_from_slice(&base.to_be_bytes());
        }
        self.next = Some(audio.end);
        self.data_end = audio.end;
        let mut view = DemuxerView::new(Arc::clone(input), audio.content);
        view.head = [&self.header[..], &bytes].concat();
        view.end = Some(audio.end);
        Ok(Fragment { view, index })
    }
}

/// Returns whether a fragment's index claims a possible number of packets.
fn is_possible(bytes: &[u8]) -> Result<bool, Fault> {
    let memory = SharedInput::of_memory(bytes);
    let moof = box_at(&memory, 0, bytes.len() as u64)?;
    moof.map_or(Ok(false), |moof| is_sane(&memory, moof))
}

/// Returns where a fragment's index declares the base of its positions in the file, and that base.
fn bases(memory: &SharedInput, moof: BoxAt) -> Result<Vec<(usize, u64)>, Fault> {
    const HAS_BASE: u32 = 1;
    let mut bases = Vec::new();
    each(memory, moof, |found| {
        if &found.name != b"traf" {
            return Ok(true);
        }
        let Some(header) = find(memory, found, &[b"tfhd"])? else {
            return Ok(true);
        };
        let is_whole = header.end - header.content >= 16;
        if is_whole && u32_at(memory, header.content)? & HAS_BASE != 0 {
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
