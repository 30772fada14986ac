//! Fragmented mp4: shown fragment by fragment.
//!
//! The demuxer keeps every fragment's index for good, takes the times of fragments as if none were missing, and panics
//! on some that are damaged. It is shown one at a time, each time behind the same header.
//!
//! Source: ISO/IEC 14496-12, section 8.8.

use std::sync::Arc;

use super::boxes::{BOXES_MAX, BoxAt, box_at, each, find, u32_at, u64_at, version};
use super::{piped, search};
use crate::decode::codec::Fault;
use crate::decode::input::Handle;
use crate::decode::view::View;

/// Most packets that one run of a fragment claims: six hours of AAC. The demuxer counts to whatever is claimed.
const RUN_PACKETS_MAX: u32 = 1 << 20;

/// The flag of a track that has no packets in a fragment.
const IS_EMPTY: u32 = 0x01_0000;

/// What may stand in a fragment's index beside the tracks.
const IN_FRAGMENT: [&[u8; 4]; 7] = [
    b"mfhd", b"pssh", b"free", b"skip", b"uuid", b"meta", b"udta",
];

/// The fragments that are not shown yet.
pub(in crate::decode) struct Fragments {
    /// What is hidden of the header.
    patches: Vec<(u64, Vec<u8>)>,
    start: u64,
    /// Where the header ends: the first fragment.
    header_end: u64,
    /// The next fragment.
    pub(super) next: Option<u64>,
    /// Where the last box ends that was looked at; beyond all if the last bytes are none.
    pub(in crate::decode) data_end: u64,
    pub(super) track_id: u32,
    /// The header itself, with what is hidden of it, where the input cannot seek.
    header: Option<Arc<[u8]>>,
}

/// A fragment to show.
pub(in crate::decode) struct Fragment {
    pub(in crate::decode) view: View,
    pub(in crate::decode) index: FragmentIndex,
}

/// What the index of a fragment says of the track.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::decode) struct FragmentIndex {
    /// The time stamp of the first packet, if it is told.
    pub(in crate::decode) first_ticks: Option<u64>,
    /// There should be packets: the track is named, or the index is damaged.
    pub(in crate::decode) has_packets: bool,
}

impl Fragments {
    /// Takes the fragments of a file from the `first` on, of whose header the `patches` hide something.
    pub(super) fn new(
        patches: Vec<(u64, Vec<u8>)>,
        start: u64,
        first: BoxAt,
        track_id: u32,
    ) -> Self {
        let (header_end, next) = (first.start, Some(first.start));
        Self {
            patches,
            start,
            header_end,
            next,
            data_end: first.end,
            track_id,
            header: None,
        }
    }

    /// Takes the fragments of a pipe from the `first` on, behind a header that was read. They are shown one by one,
    /// since where a fragment ends is known when it begins.
    pub(super) fn piped(header: Vec<u8>, first: BoxAt, track_id: u32) -> Self {
        Self {
            header: Some(header.into()),
            ..Self::new(Vec::new(), first.start, first, track_id)
        }
    }

    /// Shows the next fragment, or nothing behind the last.
    pub(in crate::decode) fn next(
        &mut self,
        input: &Arc<Handle>,
    ) -> Result<Option<Fragment>, Fault> {
        let Some(first) = self.next.take() else {
            return Ok(None);
        };
        if let Some(header) = self.header.clone() {
            return piped::next_fragment(self, input, &header, first);
        }
        let mut view = View::new(Arc::clone(input), self.start);
        view.patches.clone_from(&self.patches);
        if first > self.header_end {
            // The fragments before are free space. The first of them is larger than this header.
            let passed = (first - self.header_end).to_be_bytes();
            let header = [&[0, 0, 0, 1], &b"free"[..], &passed].concat();
            view.patches.push((self.header_end, header));
        }
        let (end, index) = self.fragment(input, first)?;
        view.end = Some(end);
        Ok(Some(Fragment { view, index }))
    }

    /// Finds where a fragment ends and the next one starts. Returns the end, and what its index says.
    fn fragment(&mut self, input: &Handle, first: u64) -> Result<(u64, FragmentIndex), Fault> {
        let len = input.byte_len().unwrap_or(u64::MAX);
        let (mut at, mut index) = (first, FragmentIndex::default());
        for _ in 0..BOXES_MAX {
            let found = box_at(input, at, len)?.filter(is_known);
            let is_sane = found.map_or(Ok(true), |found| is_sane(input, found))?;
            let Some(found) = found.filter(|_| is_sane) else {
                // The chain of boxes is broken, or has ended.
                self.next = search(input, at + 1, is_fragment)?;
                if self.next.is_none() && input.end() > at {
                    self.data_end = u64::MAX;
                }
                return Ok((at, index));
            };
            if &found.name == b"moof" {
                if at > first {
                    self.next = Some(at);
                    return Ok((at, index));
                }
                index = self::index(input, found, self.track_id)?;
            }
            at = found.end;
            self.data_end = self.data_end.max(at);
        }
        Ok((at, index))
    }
}

/// Reads what the index of a fragment says of a track.
pub(super) fn index(
    input: &Handle,
    fragment: BoxAt,
    track_id: u32,
) -> Result<FragmentIndex, Fault> {
    let mut index = FragmentIndex::default();
    // The boxes fill it, unless a length is damaged.
    let mut end = fragment.content;
    each(input, fragment, |found| {
        end = found.end;
        if &found.name != b"traf" {
            index.has_packets |= !IN_FRAGMENT.contains(&&found.name);
            return Ok(true);
        }
        let header = find(input, found, &[b"tfhd"])?;
        let id = header.map_or(Ok(track_id), |header| u32_at(input, header.content + 4))?;
        if id != track_id {
            return Ok(true);
        }
        let flags = header.map_or(Ok(0), |header| u32_at(input, header.content))?;
        let mut most = None;
        each(input, found, |run| {
            if &run.name == b"trun" {
                most = most.max(Some(u32_at(input, run.content + 4)?));
            }
            Ok(true)
        })?;
        // One without a run of packets is damaged, unless it says that it is empty.
        index.has_packets |= flags & IS_EMPTY == 0 && most != Some(0);
        if let (None, Some(time)) = (index.first_ticks, find(input, found, &[b"tfdt"])?) {
            index.first_ticks = Some(match version(input, time)? {
                1 => u64_at(input, time.content + 4)?,
                _ => u64::from(u32_at(input, time.content + 4)?),
            });
        }
        Ok(true)
    })?;
    index.has_packets |= end != fragment.end;
    Ok(index)
}

/// Returns whether a fragment, if it is one, claims no more packets than there can be.
pub(super) fn is_sane(input: &Handle, fragment: BoxAt) -> Result<bool, Fault> {
    let mut is_sane = true;
    if &fragment.name != b"moof" {
        return Ok(true);
    }
    each(input, fragment, |track| {
        if &track.name == b"traf" {
            each(input, track, |run| {
                let is_run = &run.name == b"trun";
                is_sane &= !is_run || u32_at(input, run.content + 4)? <= RUN_PACKETS_MAX;
                Ok(is_sane)
            })?;
        }
        Ok(is_sane)
    })?;
    Ok(is_sane)
}

/// Returns whether a box of this name may stand between fragments.
pub(super) fn is_known(found: &BoxAt) -> bool {
    const NAMES: [&[u8; 4]; 14] = [
        b"moof", b"mdat", b"styp", b"sidx", b"ssix", b"prft", b"emsg", b"mfra", b"free", b"skip",
        b"uuid", b"meta", b"wide", b"udta",
    ];
    NAMES.contains(&&found.name)
}

/// Returns whether a fragment starts here: its name behind a length, and that of its first box behind another.
pub(super) fn is_fragment(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"moof") && bytes.get(12..16) == Some(b"mfhd")
}
