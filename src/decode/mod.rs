//! From the bytes of a file to frames on one time line without holes.
//!
//! ```text
//! Source ─▶ view ─▶ container ─▶ codec ─▶ timeline ─▶ Chunk
//!           what    packets      frames   silence for what is lost,
//!           is shown                      cuts for what is there twice
//! ```
//!
//! Recordings are damaged more often than one thinks: cut off when a battery died, joined without re-encoding, with
//! headers that lie. What can be decoded is decoded and stands at its right time; what cannot is silence of the same
//! length, and [`DecodeStats`] says where. An error is only for an input from which nothing at all can be decoded.
//!
//! # Memory
//!
//! Nothing of ours is allocated per packet: samples, silence and views of the input are made once and grow to the
//! largest packet. The demuxer (symphonia) allocates each packet, one to three times, and frees it before the one after
//! the next; the decoders allocate nothing. For each fragment of an mp4 it is made anew. Beside that a demuxer holds 64 KiB of input, and of an mp4 the sample tables
//! of the audio track: 1.1 MB per hour of AAC in memory, refused above 33 MB. Covers, attachments, other tracks,
//! indices and the fragments of an mp4 that were heard are not kept. From a pipe, what stands before the audio of an mp4
//! is kept until it is passed on: refused above 67 MB.
//!
//! # Panics
//!
//! A panic of a dependency over damaged data is caught and counts as damage. The panic hook still reports it.

use std::path::Path;

use crate::audio::Format;
use crate::error::InputError;
use crate::source::FileSource;
use crate::time::{Span, Time};

mod clock;
mod codec;
mod container;
mod decoder;
mod input;
mod layout;
mod open;
mod passed;
mod tail;
mod timeline;
mod view;

pub use decoder::Decoder;

/// What an input's headers say.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MediaInfo {
    /// Short name of the container, such as `isomp4`.
    pub container: &'static str,
    /// Short name of the codec, such as `aac`.
    pub codec: &'static str,
    /// Rate and channels that the audio is decoded to, as far as the headers tell. HE-AAC is decoded to its core's rate, Opus to 16 kHz.
    pub format: Format,
    /// Length of the audio as the container declares it. It is missing or wrong for many inputs: show progress by
    /// [`Decoder::position_bytes`] instead.
    pub duration: Option<Time>,
    /// Length of the input in bytes, if it is known.
    pub byte_len: Option<u64>,
}

/// Frames in their order.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a plain pair that callers take apart"
)]
pub struct Chunk<'a> {
    /// Rate and channels, which may differ from those of the chunk before.
    pub format: Format,
    /// Interleaved samples of whole frames, nominally in −1.0..=1.0.
    pub samples: &'a [f32],
}

/// How decoding went so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DecodeStats {
    /// Packets of the audio track that were read.
    pub packets: u64,
    /// Packets that could not be decoded, or that are missing.
    pub damaged_packets: u64,
    /// Where audio is missing and silence stands for it, in order; at most [`SPANS_MAX`](crate::SPANS_MAX) spans.
    pub damage: Vec<Span>,
    /// Why reading stopped before the input's end, if it did.
    pub stopped_early: Option<String>,
}

/// Reads what a file's headers say, without decoding.
///
/// # Errors
///
/// Those of [`Decoder::open`], as far as headers show them.
///
/// # Examples
///
/// ```
/// use steadyscribe::decode::probe;
///
/// let info = probe("fixtures/formats/opus.webm")?;
/// assert_eq!((info.container, info.codec), ("matroska", "opus"));
/// assert_eq!(info.format.rate_hz, 16_000);
/// # Ok::<(), steadyscribe::Error>(())
/// ```
pub fn probe(path: impl AsRef<Path>) -> Result<MediaInfo, InputError> {
    open::forward_if_need_be(&mut FileSource::open(path)?, open::headers).map(|opened| opened.info)
}
