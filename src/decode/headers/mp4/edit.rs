//! The edit list of a track: where its audio starts and how long it is.
//!
//! Sources: ISO/IEC 14496-12, section 8.6.6; Apple, "QuickTime File Format".

use super::boxes::{BoxAt, find, u32_at, u64_at, version};
use crate::decode::fault::Fault;
use crate::decode::shared_input::SharedInput;

/// Most entries of an edit list that are read.
const EDITS_MAX: u32 = 64;

/// Longest start that an edit list may cut from a file whose length it does not know, in seconds.
const CUT_S_MAX: u64 = 10;

/// Most padding that is cut at the end, in seconds. An edit list that cuts more comes from a person
/// with an editor, or is wrong. To be safe, nothing is cut then.
const PADDING_S_MAX: u64 = 1;

/// The range of a track that is played, in ticks of the track.
pub(super) struct Edit {
    /// The stamp at which the time line starts.
    pub(super) origin_ticks: i64,
    /// Length without the encoder's padding.
    pub(super) end_ticks: Option<u64>,
}

/// Reads the edit list of `track`, a box of `movie`, if it has one.
pub(super) fn read(
    input: &SharedInput,
    movie: BoxAt,
    track: BoxAt,
    is_fragmented: bool,
) -> Result<Option<Edit>, Fault> {
    let (Some(list), Some(movie_header), Some(media_header)) = (
        find(input, track, &[b"edts", b"elst"])?,
        find(input, movie, &[b"mvhd"])?,
        find(input, track, &[b"mdia", b"mdhd"])?,
    ) else {
        return Ok(None);
    };
    let (movie_scale, _) = scale_and_length(input, movie_header)?;
    let (scale, media_len) = scale_and_length(input, media_header)?;
    if movie_scale == 0 || scale == 0 {
        return Ok(None);
    }
    let ticks = |movie_ticks: u64| {
        let ticks = (u128::from(movie_ticks) * u128::from(scale)).div_ceil(movie_scale.into());
        u64::try_from(ticks).unwrap_or(u64::MAX)
    };
    let latest = if is_fragmented {
        u64::from(scale) * CUT_S_MAX
    } else {
        media_len
    };
    let entries = entries(input, list)?;
    let mut empty = 0_u64;
    for (index, (len, start)) in entries.iter().enumerate() {
        let Ok(start) = u64::try_from(*start) else {
            empty = empty.saturating_add(ticks(*len));
            continue;
        };
        // Programs that do not know the delay write a start of zero.
        if start > latest || (start == 0 && empty == 0) {
            return Ok(None);
        }
        let padding = media_len.saturating_sub(start.saturating_add(ticks(*len)));
        let is_end = !is_fragmented && *len > 0 && index + 1 == entries.len();
        let is_padding = padding <= u64::from(scale) * PADDING_S_MAX;
        return Ok(Some(Edit {
            origin_ticks: start.cast_signed().saturating_sub_unsigned(empty),
            end_ticks: (is_end && is_padding).then(|| empty.saturating_add(ticks(*len))),
        }));
    }
    Ok(None)
}

/// Returns the fields "timescale" and "duration" of a movie or media header.
fn scale_and_length(input: &SharedInput, header: BoxAt) -> Result<(u32, u64), Fault> {
    if version(input, header)? == 1 {
        return Ok((
            u32_at(input, header.content + 20)?,
            u64_at(input, header.content + 24)?,
        ));
    }
    let duration = u32_at(input, header.content + 16)?;
    let known = if duration == u32::MAX {
        0
    } else {
        u64::from(duration)
    };
    Ok((u32_at(input, header.content + 12)?, known))
}

/// Returns the lengths and starts in an edit list. A start of −1 means that nothing is played.
fn entries(input: &SharedInput, list: BoxAt) -> Result<Vec<(u64, i64)>, Fault> {
    let is_wide = version(input, list)? == 1;
    let count = u32_at(input, list.content + 4)?.min(EDITS_MAX);
    let entry = |index| {
        let at = list.content + 8 + index * if is_wide { 20 } else { 12 };
        if is_wide {
            return Ok((u64_at(input, at)?, u64_at(input, at + 8)?.cast_signed()));
        }
        let start = u32_at(input, at + 4)?.cast_signed();
        Ok((u64::from(u32_at(input, at)?), i64::from(start)))
    };
    (0..u64::from(count)).map(entry).collect()
}
