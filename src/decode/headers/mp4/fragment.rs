//! One fragment of an mp4: its index (`moof`) and its audio (`mdat`).
//!
//! Source: ISO/IEC 14496-12, section 8.8.

use super::boxes::{BoxAt, each, find, u32_at, u64_at, version};
use crate::decode::fault::Fault;
use crate::decode::shared_input::SharedInput;
use crate::decode::view::DemuxerView;

/// Most packets that one run of a fragment may claim: six hours of AAC. The demuxer counts to
/// whatever is claimed.
const RUN_PACKETS_MAX: u32 = 1 << 20;

/// The flag of a track that has no packets in a fragment.
const IS_EMPTY: u32 = 0x01_0000;

/// Boxes that may occur in a fragment's index beside the tracks.
const IN_FRAGMENT: [&[u8; 4]; 7] = [
    b"mfhd", b"pssh", b"free", b"skip", b"uuid", b"meta", b"udta",
];

/// A fragment to show.
pub(in crate::decode) struct Fragment {
    pub(in crate::decode) view: DemuxerView,
    pub(in crate::decode) index: FragmentIndex,
}

/// What the index of a fragment declares of the track.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::decode) struct FragmentIndex {
    /// The time stamp of the first packet, if it is declared.
    pub(in crate::decode) first_ticks: Option<u64>,
    /// There should be packets: the track is named, or the index is damaged.
    pub(in crate::decode) has_packets: bool,
}

/// Reads what the index of a fragment declares of a track.
pub(super) fn read_index(
    input: &SharedInput,
    fragment: BoxAt,
    track_id: u32,
) -> Result<FragmentIndex, Fault> {
    let mut index = FragmentIndex::default();
    // The boxes fill the index, unless a length is damaged.
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
        // A track without a run of packets is damaged, unless it is flagged as empty.
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

/// Returns whether a box claims a possible number of packets, if it is the index of a fragment.
pub(super) fn is_sane(input: &SharedInput, fragment: BoxAt) -> Result<bool, Fault> {
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

/// Returns whether a fragment starts here: its length and name, and those of its first box.
pub(super) fn is_fragment(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"moof") && bytes.get(12..16) == Some(b"mfhd")
}
