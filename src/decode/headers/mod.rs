//! Reads an input's headers before the demuxer does, and decides what the demuxer is shown.
//!
//! There are four reasons: to refuse by name what is not supported, to hide what costs memory and
//! holds no sound, to learn where the audio starts and ends if the demuxer does not say, and to
//! find the places from which reading can go on behind damage.

use std::io;
use std::sync::Arc;

use super::fault::Fault;
use super::resync::PIECE_BYTES;
use super::shared_input::SharedInput;

mod aiff;
mod flac;
mod layout;
mod matroska;
mod mp4;
mod search;
mod signature;
mod wave;

pub(super) use layout::{Layout, Parts};
pub(super) use mp4::fragment::FragmentIndex;
use signature::Kind;

/// Most ID3v2 blocks in front of an input that are skipped. One is usual, two come from careless
/// programs.
const ID3_BLOCKS_MAX: usize = 16;

/// Reads an input's headers. Of several audio tracks of an mp4, the `chosen` one is shown, or all.
pub(super) fn read(input: &Arc<SharedInput>, chosen: Option<u32>) -> Result<Layout, Fault> {
    let (at, head) = skip_id3(input)?;
    match signature::identify(&head) {
        Kind::Wave(form) => wave::layout(input, at, form),
        Kind::Aiff => aiff::layout(input, at),
        Kind::Flac => flac::layout(input, at),
        Kind::Mp4 if input.is_seekable() => mp4::layout(input, at, chosen),
        Kind::Mp4 => mp4::piped_layout(input, at),
        Kind::Matroska => matroska::layout(input, at),
        Kind::Ogg => Ok(Layout::plain(input, at)),
        Kind::Unsupported(what) => Err(Fault::Unsupported(what.into())),
        Kind::NotAudio(what) => Err(Fault::NotAudio(what)),
        Kind::Other => {
            let mut layout = Layout::plain(input, at);
            layout.view.piece_bytes = PIECE_BYTES;
            Ok(layout)
        }
    }
}

/// Skips ID3v2 blocks, whose covers the demuxer would read into memory, twice. Returns the position
/// behind them and the first bytes there.
///
/// Source: id3.org, "ID3 tag version 2.4.0 – Main Structure", section 3.1.
fn skip_id3(input: &SharedInput) -> io::Result<(u64, Vec<u8>)> {
    let mut at = 0;
    let mut head = input.head_at(at)?;
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
        // A block that is longer than the file is not a block.
        if input.byte_len().is_some_and(|len| behind >= len) {
            break;
        }
        at = behind;
        head = input.head_at(at)?;
    }
    Ok((at, head))
}
