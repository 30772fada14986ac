//! The ISO base media format (mp4, m4a, mov): shown with one track.
//!
//! The demuxer keeps the tables of every track, reads video frames only to drop them, and looks tables of time up
//! from their start for each packet: quadratic for video of varying rate. So the other tracks and the covers are
//! shown as `free` space. What it does not tell is read here: the edit list, which says where the audio starts.
//!
//! Sources: ISO/IEC 14496-12, sections 4.2 and 8; Apple, "QuickTime File Format".

use std::sync::Arc;

use super::boxes::{BOXES_MAX, BoxAt, box_at, each, find, u32_at, u64_at, version};
use super::fragments::Fragments;
use super::{Layout, Parts};
use crate::decode::codec::Fault;
use crate::decode::input::Handle;

/// Tracks that are looked at. A film with all languages has forty.
const TRACKS_MAX: usize = 256;

/// Entries of an edit list that are looked at.
const EDITS_MAX: u32 = 64;

/// Largest tables of the audio track: 28 hours of AAC. The demuxer keeps them in memory.
pub(super) const TABLE_BYTES_MAX: u64 = 32 << 20;

/// Longest start that an edit list may cut from a file whose length it does not tell, in seconds.
const CUT_S_MAX: u64 = 10;

/// Most padding that is cut at the end, in seconds. An edit list that cuts more was made by a person with an editor,
/// or is wrong: to be safe, everything is heard.
const PADDING_S_MAX: u64 = 1;

/// Returns the fields "timescale" and "duration" of a movie or media header.
fn clock(input: &Handle, header: BoxAt) -> Result<(u32, u64), Fault> {
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

/// A track as far as it matters here.
struct Track {
    this: BoxAt,
    id: u32,
    is_audio: bool,
    /// Name of the codec's entry, such as `mp4a`.
    codec: [u8; 4],
}

/// What an mp4's index says of the track that is shown.
pub(super) struct Index {
    /// What hides all else.
    pub(super) patches: Vec<(u64, Vec<u8>)>,
    pub(super) track_id: u32,
    /// Several tracks are shown.
    is_ambiguous: bool,
    pub(super) edit: Option<Edit>,
    /// All audio stands in fragments.
    pub(super) is_fragmented: bool,
    outline: Outline,
    movie: BoxAt,
}

/// Reads the index. Of several audio tracks all are shown unless one is `chosen`: which of them can be decoded, only
/// the demuxer and the decoder know.
pub(super) fn index(input: &Handle, at: u64, chosen: Option<u32>) -> Result<Index, Fault> {
    let len = input.byte_len().unwrap_or(u64::MAX);
    let outline = outline(input, at, len)?;
    let movie = outline.movie.ok_or_else(no_index)?;
    let tracks = tracks(input, movie)?;
    let shown = shown(&tracks, chosen)?;
    for track in &shown {
        check_tables(input, track)?;
    }
    let track = shown[0];
    let extends = find(input, movie, &[b"mvex"])?.is_some();
    let sizes = find(input, track.this, &[b"mdia", b"minf", b"stbl", b"stsz"])?;
    let in_movie = sizes.map_or(Ok(0), |sizes| u32_at(input, sizes.content + 8))?;
    Ok(Index {
        patches: hidden(input, &outline, movie, &tracks, &shown)?,
        track_id: track.id,
        is_ambiguous: shown.len() > 1,
        edit: edit(input, movie, track, extends)?,
        is_fragmented: extends && in_movie == 0,
        outline,
        movie,
    })
}

/// Says that there is no index.
pub(super) fn no_index() -> Fault {
    let reason =
        "its index (moov) is missing: the recording was not finished, or the file is cut off";
    Fault::Damaged(reason.into())
}

/// Reads the boxes up to the audio of a file.
pub(super) fn layout(input: &Arc<Handle>, at: u64, chosen: Option<u32>) -> Result<Layout, Fault> {
    let index = index(input, at, chosen)?;
    let end = index.outline.end;
    let mut layout = Layout::plain(input, at);
    layout.view.patches = index.patches;
    layout.data_end = Some(end);
    // A demuxer that may seek looks for the end first, and gives up where that is cut off.
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
        layout.parts = Parts::Fragments(Fragments::new(patches, at, first, index.track_id));
    }
    Ok(layout)
}

/// The outermost boxes.
struct Outline {
    movie: Option<BoxAt>,
    /// The first fragment.
    fragment: Option<BoxAt>,
    /// Indexes of segments, whose time base the demuxer takes for the track's.
    segments: Vec<BoxAt>,
    /// Where the last box ends that was looked at, or should.
    end: u64,
}

fn outline(input: &Handle, at: u64, len: u64) -> Result<Outline, Fault> {
    let mut outline = Outline {
        movie: None,
        fragment: None,
        segments: Vec::new(),
        end: 0,
    };
    let mut next = at;
    for _ in 0..BOXES_MAX {
        let Some(found) = box_at(input, next, len)? else {
            break;
        };
        outline.end = outline.end.max(found.end);
        match &found.name {
            b"moov" if found.end <= len => outline.movie = Some(found),
            b"sidx" if outline.segments.len() < TRACKS_MAX => outline.segments.push(found),
            b"moof" if outline.fragment.is_none() => outline.fragment = Some(found),
            _ => {}
        }
        if outline.movie.is_some() && outline.fragment.is_some() {
            break;
        }
        next = found.end;
    }
    Ok(outline)
}

fn tracks(input: &Handle, movie: BoxAt) -> Result<Vec<Track>, Fault> {
    let mut tracks = Vec::new();
    each(input, movie, |found| {
        if &found.name == b"trak" {
            tracks.push(track(input, found)?);
        }
        Ok(tracks.len() < TRACKS_MAX)
    })?;
    Ok(tracks)
}

fn track(input: &Handle, this: BoxAt) -> Result<Track, Fault> {
    let mut id = 0;
    if let Some(header) = find(input, this, &[b"tkhd"])? {
        let id_at = if version(input, header)? == 1 { 20 } else { 12 };
        id = u32_at(input, header.content + id_at)?;
    }
    let handler = find(input, this, &[b"mdia", b"hdlr"])?;
    let handler = handler.map_or(Ok(0), |handler| u32_at(input, handler.content + 8))?;
    let entries = find(input, this, &[b"mdia", b"minf", b"stbl", b"stsd"])?;
    let codec = entries.map_or(Ok(0), |entries| u32_at(input, entries.content + 12))?;
    let is_audio = handler.to_be_bytes() == *b"soun";
    Ok(Track {
        this,
        id,
        is_audio,
        codec: codec.to_be_bytes(),
    })
}

/// Returns the audio tracks that are shown: the chosen one, or those that may be decoded.
fn shown(tracks: &[Track], chosen: Option<u32>) -> Result<Vec<&Track>, Fault> {
    let audio = || tracks.iter().filter(|track| track.is_audio);
    if let Some(track) = audio().find(|track| Some(track.id) == chosen) {
        return Ok(vec![track]);
    }
    let shown: Vec<&Track> = audio()
        .filter(|track| foreign(track.codec).is_none())
        .collect();
    if shown.is_empty() {
        let codec = audio().find_map(|track| foreign(track.codec));
        let what = codec.unwrap_or("a file without an audio track");
        return Err(Fault::Unsupported(what.into()));
    }
    Ok(shown)
}

/// Names codecs that are not decoded. Source: the MP4 registration authority's list of codecs.
fn foreign(codec: [u8; 4]) -> Option<&'static str> {
    Some(match &codec {
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        b"ac-4" => "AC-4",
        b"dtsc" | b"dtse" | b"dtsh" | b"dtsl" | b"dtsx" => "DTS",
        b"mlpa" => "Dolby TrueHD",
        b"mha1" | b"mhm1" => "MPEG-H audio",
        b"samr" | b"sawb" | b"sawp" => "AMR",
        b"enca" | b"drms" => "encrypted audio (DRM)",
        b"QDM2" | b"QDMC" => "QDesign Music",
        b"agsm" => "GSM 6.10",
        b"wma " => "Windows Media",
        _ => return None,
    })
}

/// Returns what hides the other tracks, the covers and the indexes of segments: their boxes are named `free`.
fn hidden(
    input: &Handle,
    outline: &Outline,
    movie: BoxAt,
    tracks: &[Track],
    shown: &[&Track],
) -> Result<Vec<(u64, Vec<u8>)>, Fault> {
    let mut patches = Vec::new();
    let mut hide = |found: BoxAt| patches.push((found.start + 4, b"free".to_vec()));
    outline.segments.iter().copied().for_each(&mut hide);
    let is_shown = |id| shown.iter().any(|track| track.id == id);
    for track in tracks.iter().filter(|track| !is_shown(track.id)) {
        hide(track.this);
    }
    each(input, movie, |found| {
        if [*b"udta", *b"meta"].contains(&found.name) {
            hide(found);
        }
        Ok(true)
    })?;
    // Each track has an entry with its defaults for fragments, which the demuxer counts.
    if let Some(extends) = find(input, movie, &[b"mvex"])? {
        each(input, extends, |found| {
            if &found.name == b"trex" && !is_shown(u32_at(input, found.content + 4)?) {
                hide(found);
            }
            Ok(true)
        })?;
    }
    Ok(patches)
}

/// Checks that the tables are of a size that can be kept.
fn check_tables(input: &Handle, track: &Track) -> Result<(), Fault> {
    let Some(table) = find(input, track.this, &[b"mdia", b"minf", b"stbl"])? else {
        return Ok(());
    };
    let mut bytes = 0;
    each(input, table, |found| {
        bytes += found.end - found.start;
        Ok(true)
    })?;
    if bytes > TABLE_BYTES_MAX {
        let what = format!(
            "an mp4 index of {} MB (at most {} MB)",
            bytes.div_ceil(1_000_000),
            TABLE_BYTES_MAX / 1_000_000
        );
        return Err(Fault::Unsupported(what));
    }
    Ok(())
}

/// What an edit list says.
pub(super) struct Edit {
    /// The stamp that stands for the start of the time line.
    pub(super) origin_ticks: i64,
    /// Frames before the encoder's padding.
    pub(super) end_ticks: Option<u64>,
}

/// Reads the edit list: what precedes the audio, where it starts and how long it is.
fn edit(
    input: &Handle,
    movie: BoxAt,
    track: &Track,
    is_fragmented: bool,
) -> Result<Option<Edit>, Fault> {
    let (Some(list), Some(movie_header), Some(media_header)) = (
        find(input, track.this, &[b"edts", b"elst"])?,
        find(input, movie, &[b"mvhd"])?,
        find(input, track.this, &[b"mdia", b"mdhd"])?,
    ) else {
        return Ok(None);
    };
    let (movie_scale, _) = clock(input, movie_header)?;
    let (scale, media_len) = clock(input, media_header)?;
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
        // A start of zero is what programs write that were not told of a delay.
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

/// Returns the lengths and starts in an edit list. A start of −1 stands for nothing being heard.
fn entries(input: &Handle, list: BoxAt) -> Result<Vec<(u64, i64)>, Fault> {
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
