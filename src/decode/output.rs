//! What a decoder returns: facts from the headers, frames, and an account of the damage.

use crate::audio::Format;
use crate::config::SPANS_MAX;
use crate::time::{Span, Time};

/// Facts that an input's headers state.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MediaInfo {
    /// Short name of the container, such as `isomp4`.
    pub container: &'static str,
    /// Short name of the codec, such as `aac`.
    pub codec: &'static str,
    /// Rate and channels of the decoded audio, as far as the headers state them. HE-AAC is decoded
    /// at the rate of its core, Opus at 16 kHz.
    pub format: Format,
    /// Length of the audio as the container declares it. Many inputs declare none or a wrong one:
    /// show progress by [`Decoder::position_bytes`](crate::decode::Decoder::position_bytes).
    pub duration: Option<Time>,
    /// Length of the input in bytes, if it is known.
    pub byte_len: Option<u64>,
}

/// Consecutive frames of equal format.
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

/// An account of the decoding so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DecodeStats {
    /// Packets of the audio track that were read.
    pub packets: u64,
    /// Packets that could not be decoded, or that are missing.
    pub damaged_packets: u64,
    /// Spans in which audio is missing and silence stands in for it, in order; at most
    /// [`SPANS_MAX`](crate::SPANS_MAX).
    pub damage: Vec<Span>,
    /// The reason why reading stopped before the end of the input, if it did.
    pub stopped_early: Option<String>,
}

impl DecodeStats {
    /// Adds a span in which silence stands in for audio; one that touches the last extends it.
    pub(super) fn add_damage(&mut self, start: Time, end: Time) {
        let span = Span::new(start, end);
        let is_full = self.damage.len() == SPANS_MAX;
        match self.damage.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ if is_full || span.is_empty() => {}
            _ => self.damage.push(span),
        }
    }
}
