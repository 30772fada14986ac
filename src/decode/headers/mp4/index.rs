//! The index of an mp4 (`moov`): which tracks there are, and which boxes are hidden.
//!
//! The demuxer keeps the tables of every track, reads video frames only to drop them, and looks up
//! times from the start of a table for each packet: quadratic for video of varying rate. So the
//! other tracks and the covers are shown as `free` space.
//!
//! Source: ISO/IEC 14496-12, section 8.

use super::boxes::{BOXES_MAX, BoxAt, box_at, each, find, u32_at, version};
use super::edit::{self, Edit};
use crate::decode::fault::Fault;
use crate::decode::shared_input::SharedInput;

/// Most tracks that are read. A film with all languages has forty.
const TRACKS_MAX: usize = 256;

/// Largest tables of the audio track: 28 hours of AAC. The demuxer keeps them in memory.
pub(super) const TABLE_BYTES_MAX: u64 = 32 << 20;

/// A track, as far as headers are read here.
struct Mp4Track {
    this: BoxAt,
    id: u32,
    is_audio: bool,
    /// Name of the codec's entry, such as `mp4a`.
    codec: [u8; 4],
}

/// What the index declares of the track that is shown.
pub(super) struct Mp4Index {
    /// Patches that hide all else.
    pub(super) patches: Vec<(u64, Vec<u8>)>,
    pub(super) track_id: u32,
    /// Several tracks are shown.
    pub(super) is_ambiguous: bool,
    pub(super) edit: Option<Edit>,
    /// All audio is in fragments.
    pub(super) is_fragmented: bool,
    pub(super) outline: Outline,
    pub(super) movie: BoxAt,
}

/// Reads the index. All of several audio tracks are shown unless one is `chosen`, because only the
/// demuxer and the decoder know which of them can be decoded.
pub(super) fn read(input: &SharedInput, at: u64, chosen: Option<u32>) -> Result<Mp4Index, Fault> {
    let len = input.byte_len().unwrap_or(u64::MAX);
    let outline = outline(input, at, len)?;
    let movie = outline.movie.ok_or_else(missing)?;
    let tracks = tracks(input, movie)?;
    let shown = shown(&tracks, chosen)?;
    for track in &shown {
        check_tables(input, track)?;
    }
    let track = shown[0];
    let extends = find(input, movie, &[b"mvex"])?.is_some();
    let sizes = find(input, track.this, &[b"mdia", b"minf", b"stbl", b"stsz"])?;
    let in_movie = sizes.map_or(Ok(0), |sizes| u32_at(input, sizes.content + 8))?;
    Ok(Mp4Index {
        patches: hidden(input, &outline, movie, &tracks, &shown)?,
        track_id: track.id,
        is_ambiguous: shown.len() > 1,
        edit: edit::read(input, movie, track.this, extends)?,
        is_fragmented: extends && in_movie == 0,
        outline,
        movie,
    })
}

/// Returns the fault of a file without an index.
pub(super) fn missing() -> Fault {
    let reason = "its index (moov) is missing because the recording was not finished or the file \
                  is cut off";
    Fault::Damaged(reason.into())
}

/// The outermost boxes.
pub(super) struct Outline {
    movie: Option<BoxAt>,
    /// The first fragment.
    pub(super) fragment: Option<BoxAt>,
    /// Indexes of segments, whose time base the demuxer takes for the track's.
    segments: Vec<BoxAt>,
    /// Declared end of the last box that was read.
    pub(super) end: u64,
}

fn outline(input: &SharedInput, at: u64, len: u64) -> Result<Outline, Fault> {
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

fn tracks(input: &SharedInput, movie: BoxAt) -> Result<Vec<Mp4Track>, Fault> {
    let mut tracks = Vec::new();
    each(input, movie, |found| {
        if &found.name == b"trak" {
            tracks.push(track(input, found)?);
        }
        Ok(tracks.len() < TRACKS_MAX)
    })?;
    Ok(tracks)
}

fn track(input: &SharedInput, this: BoxAt) -> Result<Mp4Track, Fault> {
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
    Ok(Mp4Track {
        this,
        id,
        is_audio,
        codec: codec.to_be_bytes(),
    })
}

/// Returns the audio tracks that are shown: the chosen one, or those that may be decoded.
fn shown(tracks: &[Mp4Track], chosen: Option<u32>) -> Result<Vec<&Mp4Track>, Fault> {
    let audio = || tracks.iter().filter(|track| track.is_audio);
    if let Some(track) = audio().find(|track| Some(track.id) == chosen) {
        return Ok(vec![track]);
    }
    let shown: Vec<&Mp4Track> = audio()
        .filter(|track| foreign(track.codec).is_none())
        .collect();
    if shown.is_empty() {
        let codec = audio().find_map(|track| foreign(track.codec));
        return Err(match codec {
            Some(codec) => Fault::Unsupported(codec.into()),
            None => Fault::NotAudio("a file without an audio track"),
        });
    }
    Ok(shown)
}

/// Names codecs that are not supported. Source: the MP4 registration authority's list of codecs.
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

/// Returns the patches that hide the other tracks, the covers and the indexes of segments: their
/// boxes are renamed to `free`.
fn hidden(
    input: &SharedInput,
    outline: &Outline,
    movie: BoxAt,
    tracks: &[Mp4Track],
    shown: &[&Mp4Track],
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
    // The demuxer counts the entries with defaults for fragments: one for each track.
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

/// Checks that the tables are small enough to be kept.
fn check_tables(input: &SharedInput, track: &Mp4Track) -> Result<(), Fault> {
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
