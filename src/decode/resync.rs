//! Measures how much an MP3 or ADTS demuxer skipped in search of the next frame.
//!
//! These streams have no time stamps. After damage the demuxer looks for the next frame and does
//! not report how much it skipped, so that everything behind would come too early. The positions to
//! which it had to read show it.

use symphonia::core::formats::FormatId;
use symphonia::core::formats::well_known::FORMAT_ID_ADTS;

use super::shared_input::SharedInput;

/// Most bytes that one read of such a demuxer returns. Its position is known to this precision: 64
/// ms of 128 kbit/s.
pub(super) const PIECE_BYTES: usize = 1_024;

/// Fewest skipped bytes that count as a loss. Fewer are a header of a joined file, or padding.
const SKIPPED_BYTES_MIN: u64 = 2 * PIECE_BYTES as u64;

/// Bytes of an ADTS frame that are not in its packet. Packets of MPEG audio hold whole frames.
const ADTS_HEADER_BYTES: u64 = 7;

/// Longest packet of ADTS: 6,144 bits for each of two channels. A longer one has swallowed others.
/// The headers of MPEG audio cannot claim too much.
///
/// Source: ISO/IEC 14496-3, 4.5.3.3.
const ADTS_PACKET_BYTES_MAX: u64 = 2 * 768;

/// First bytes of tags, which appear in the middle of joined files.
const TAGS: [&[u8]; 4] = [b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN"];

/// Compares the demuxer's position with the lengths of its packets.
#[derive(Debug)]
pub(super) struct SkipMeter {
    /// Bytes of a frame that are not in its packet.
    header_bytes: u64,
    packet_bytes_max: u64,
    packets: u64,
    bytes: u64,
    /// Position of the demuxer after the last packet.
    position: u64,
}

impl SkipMeter {
    pub(super) fn new(format: FormatId) -> Self {
        let (header_bytes, packet_bytes_max) = match format {
            FORMAT_ID_ADTS => (ADTS_HEADER_BYTES, ADTS_PACKET_BYTES_MAX),
            _ => (0, u64::MAX),
        };
        Self {
            header_bytes,
            packet_bytes_max,
            packets: 0,
            bytes: 0,
            position: 0,
        }
    }

    /// Counts a packet of `len` bytes. Returns how many packets of mean length were skipped before
    /// it or swallowed by it, in thousandths of a packet.
    pub(super) fn count(&mut self, len: usize, input: &SharedInput) -> u64 {
        let (from, to) = (self.position, input.position());
        self.position = to;
        let is_first = self.packets == 0;
        let mean_bytes = self.bytes.checked_div(self.packets).unwrap_or(0).max(1);
        let len = len as u64;
        let own = match len > self.packet_bytes_max && !is_first {
            true => mean_bytes,
            false => len,
        };
        let skipped = to.saturating_sub(from);
        let skipped = skipped.saturating_sub(len + self.header_bytes);
        let is_loss = !is_first && skipped >= SKIPPED_BYTES_MIN && !has_tag(input, from);
        let lost = (len - own) + if is_loss { skipped } else { 0 };
        self.packets += 1;
        self.bytes += own;
        lost.saturating_mul(1_000) / (mean_bytes + self.header_bytes)
    }
}

/// Returns whether a tag starts near `position`, as far as the input can be read there.
fn has_tag(input: &SharedInput, position: u64) -> bool {
    if !input.is_seekable() {
        return false;
    }
    let mut bytes = [0; 2 * PIECE_BYTES];
    let from = position.saturating_sub(PIECE_BYTES as u64);
    // If the input cannot be read here, the next packet fails and reports why.
    let count = input.read_at(from, &mut bytes).unwrap_or(0);
    let starts = |tag: &[u8]| {
        bytes[..count]
            .windows(tag.len())
            .any(|window| window == tag)
    };
    TAGS.into_iter().any(starts)
}
