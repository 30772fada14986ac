//! What an input is, and what of it the demuxer is to be shown.
//!
//! Headers are read here before the demuxer reads them: to name what is not supported, to leave out what costs
//! memory and holds no sound, to know where the audio starts and ends when the demuxer does not tell, and to find the
//! places at which reading can start again behind damage.

use std::io;
use std::sync::Arc;

use super::codec::Fault;
use super::input::Handle;
use super::passed::PIECE_BYTES;
use super::view::View;
use crate::time::Time;

mod aiff;
mod boxes;
pub(super) mod cluster_watch;
mod flac;
pub(super) mod fragments;
pub(super) mod matroska;
mod mp4;
mod piped;
mod signature;
mod wave;

use signature::Kind;

/// ID3v2 blocks in front of an input that are passed over. One is usual, two come from careless programs.
const ID3_BLOCKS_MAX: usize = 16;

/// How to read an input.
pub(super) struct Layout {
    /// What the demuxer is shown, or the first part of it.
    pub(super) view: View,
    /// The container's name, where the demuxer is shown another.
    pub(super) container: Option<&'static str>,
    /// Length as the headers declare it, where the demuxer cannot know.
    pub(super) declared: Option<Time>,
    /// The time stamp at which the time line starts, in ticks of the track, where the demuxer does not tell.
    pub(super) origin_ticks: Option<i64>,
    /// Frames of audio before the encoder's padding, in ticks of the track, where the demuxer does not tell.
    pub(super) end_ticks: Option<u64>,
    /// The first byte after the audio, as the headers say. An input that ends before was cut off.
    pub(super) data_end: Option<u64>,
    /// Several audio tracks are shown: the headers are to be read again when it is known which can be decoded.
    pub(super) is_ambiguous: bool,
    /// What comes after the first part, and after damage.
    pub(super) parts: Parts,
}

/// How reading goes on when the demuxer is through with what it was shown.
pub(super) enum Parts {
    /// There is one part only.
    One,
    /// A Matroska file: it goes on at any cluster.
    Clusters(matroska::Clusters),
    /// A fragmented mp4: it is shown fragment by fragment.
    Fragments(fragments::Fragments),
}

impl Layout {
    /// Shows all of an input from `at` on.
    fn plain(input: &Arc<Handle>, at: u64) -> Self {
        Self {
            view: View::new(Arc::clone(input), at),
            container: None,
            declared: None,
            origin_ticks: None,
            end_ticks: None,
            data_end: None,
            is_ambiguous: false,
            parts: Parts::One,
        }
    }

    /// Reads an input's headers, to show the audio track that was `chosen` of several.
    pub(super) fn of(input: &Arc<Handle>, chosen: Option<u32>) -> Result<Self, Fault> {
        let (at, head) = pass_id3(input)?;
        match signature::identify(&head) {
            Kind::Wave(form) => wave::layout(input, at, form),
            Kind::Aiff => aiff::layout(input, at),
            Kind::Flac => flac::layout(input, at),
            Kind::Mp4 if input.is_seekable() => mp4::layout(input, at, chosen),
            Kind::Matroska => matroska::layout(input, at),
            Kind::Unsupported(what) => Err(Fault::Unsupported(what.into())),
            Kind::Mp4 => piped::layout(input, at),
            Kind::Ogg => Ok(Self::plain(input, at)),
            Kind::Other => {
                let mut layout = Self::plain(input, at);
                layout.view.piece_bytes = PIECE_BYTES;
                Ok(layout)
            }
        }
    }
}

/// Passes over ID3v2 blocks, whose covers the demuxer would read into memory, twice. Returns the position behind
/// them and the first bytes there.
///
/// Source: id3.org, "ID3 tag version 2.4.0 – Main Structure", section 3.1.
fn pass_id3(input: &Handle) -> io::Result<(u64, Vec<u8>)> {
    let mut at = 0;
    let mut head = input.look_at(at)?;
    for _ in 0..ID3_BLOCKS_MAX {
        let &[b'I', b'D', b'3', _, _, flags, a, b, c, d, ..] = &head[..] else {
            break;
        };
        if [a, b, c, d].iter().any(|byte| byte & 0x80 != 0) {
            break;
        }
        let size = [a, b, c, d]
            .iter()
            .fold(0, |size, byte| size << 7 | u64::from(*byte));
        let footer = if flags & 0x10 != 0 { 10 } else { 0 };
        let behind = at + 10 + size + footer;
        // A block that is longer than the file is no block.
        if input.byte_len().is_some_and(|len| behind >= len) {
            break;
        }
        at = behind;
        head = input.look_at(at)?;
    }
    Ok((at, head))
}

/// Bytes that are searched at once.
const SEARCH_BYTES: usize = 32 << 10;

/// Bytes that are shown of a place when it is asked whether what is searched for starts there.
const SEEN_BYTES: usize = 16;

/// Searches from `from` on for a place where `starts` holds.
///
/// # Memory
///
/// A buffer of 32 KiB while it searches.
fn search(input: &Handle, from: u64, starts: fn(&[u8]) -> bool) -> io::Result<Option<u64>> {
    let mut block = vec![0; SEARCH_BYTES];
    let mut at = from;
    loop {
        let count = input.read_at(at, &mut block)?;
        if let Some(index) = (0..count).find(|index| starts(&block[*index..count])) {
            return Ok(Some(at + index as u64));
        }
        if count < block.len() {
            return Ok(None);
        }
        at += (count - SEEN_BYTES) as u64;
    }
}
