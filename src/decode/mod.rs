//! Decodes the bytes of a file or a pipe to frames on one time line without holes.
//!
//! ```text
//! Source::open ─▶ SharedInput ─▶ DemuxerView ─▶ Container ─▶ Codec ─▶ Timeline ─▶ Chunk
//! bytes           one reader,    the part that  packets      frames   silence for what is lost,
//!                 two users      is shown                             cuts for what comes twice
//! ```
//!
//! To follow a sample, read `source/file.rs` (bytes), this file, and `decoder.rs`: `Decoder::open`
//! reads the headers, `Decoder::next` returns frames, and `decode_packet` is the way of one packet.
//! The other files answer one question each:
//!
//! | question | file |
//! |---|---|
//! | Which formats are recognized, and which are refused by name? | `headers/signature.rs` |
//! | Which headers are read here, before the demuxer reads them, and why? | `headers/mod.rs` |
//! | What is special about a format? | `headers/{wave,aiff,flac}.rs`, `headers/{mp4,matroska}/` |
//! | How is the demuxer kept from reading covers and broken indexes? | `view.rs` |
//! | Which track is decoded, and where does reading go on behind damage? | `container.rs` |
//! | Which codecs are decoded, and which are refused by name? | `codec.rs` |
//! | When is a packet played, and what is the encoder's delay? | `clock.rs` |
//! | What becomes of holes, overlaps and absurd time stamps? | `timeline.rs` |
//! | How is the encoder's padding at the end cut? | `tail.rs` |
//! | How is damage measured in streams without time stamps? | `resync.rs` |
//! | Which errors are there, and which remedies do they name? | `fault.rs` |
//! | What does the caller get? | `output.rs` |
//!
//! Recordings are often damaged: cut off when a battery died, joined without re-encoding, or with
//! wrong headers. Whatever can be decoded is decoded and keeps its time; silence of the same length
//! stands in for the rest, and [`DecodeStats`] lists where. An error means that nothing at all
//! could be decoded.
//!
//! # Memory
//!
//! Nothing of ours is allocated per packet: samples, silence and views of the input are allocated
//! once and grow to the largest packet. The demuxer (symphonia) allocates each packet, one to three
//! times, and frees it before the one after the next; the decoders allocate nothing. For each
//! fragment of an mp4 a new demuxer is made. Besides, a demuxer holds 64 KiB of input, and of an
//! mp4 the sample tables of the audio track: 1.1 MB per hour of AAC, refused above 33 MB. Covers,
//! attachments, other tracks, indexes and decoded fragments of an mp4 are not kept. From a pipe,
//! what precedes the audio of an mp4 is kept until the demuxer has read it: refused above 67 MB.
//!
//! # Panics
//!
//! A panic of a dependency on damaged data is caught and counts as damage. The panic hook still
//! reports it.

use std::path::Path;

use crate::error::InputError;
use crate::source::FileSource;

mod clock;
mod codec;
mod container;
mod decoder;
mod fault;
mod headers;
mod output;
mod resync;
mod shared_input;
mod tail;
mod timeline;
mod view;

pub use decoder::Decoder;
pub use output::{Chunk, DecodeStats, MediaInfo};

/// Reads what a file's headers state, without decoding.
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
/// # Ok::<(), steadyscribe::InputError>(())
/// ```
pub fn probe(path: impl AsRef<Path>) -> Result<MediaInfo, InputError> {
    Decoder::probe(&mut FileSource::open(path)?)
}
