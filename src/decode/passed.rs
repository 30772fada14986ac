//! How much an MP3 or ADTS demuxer passed over in search of the next frame.
//!
//! These streams have no time stamps: after damage, the demuxer finds the next frame and says nothing of what lay
//! between, so that everything behind comes too early. But it can be seen how far it had to read.

use symphonia::core::formats::FormatId;
use symphonia::core::formats::well_known::FORMAT_ID_ADTS;

use super::input::Handle;

/// Bytes that such a demuxer is given at once, so that what it has read says where it stands, to this much: 64 ms of
/// 128 kbit/s.
pub(super) const PIECE_BYTES: usize = 1_024;

/// Bytes that may be passed over without being a loss: a header of a joined file, padding.
const PASSED_BYTES_MIN: u64 = 2 * PIECE_BYTES as u64;

/// Bytes of an ADTS frame that are not in its packet. Those of MPEG audio all are.
const ADTS_HEADER_BYTES: u64 = 7;

/// Longest packet of ADTS: 6,144 bits for each of two channels. One that is longer has swallowed others. The headers of
/// MPEG audio cannot claim too much.
///
/// Source: ISO/IEC 14496-3, 4.5.3.3.
const ADTS_PACKET_BYTES_MAX: u64 = 2 * 768;

/// What tags start with that stand in the middle of joined files.
const TAGS: [&[u8]; 4] = [b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN"];

/// Measures what is passed over.
#[derive(Debug)]
pub(super) struct Passed {
    /// Bytes of a frame that are not in its packet.
    header_bytes: u64,
    /// Most bytes of a packet.
    packet_bytes_max: u64,
    packets: u64,
    bytes: u64,
    /// How far was read when the last packet came.
    position: u64,
}

impl Passed {
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

    /// Takes notice of a packet of `len` bytes. Returns how many packets of mean length could have stood in what was
    /// passed over before it or swallowed by it, in thousandths.
    pub(super) fn packet(&mut self, len: usize, input: &Handle) -> u64 {
        let (from, to) = (self.position, input.position());
        self.position = to;
        let is_first = self.packets == 0;
        let mean_bytes = self.bytes.checked_div(self.packets).unwrap_or(0).max(1);
        let len = len as u64;
        let own = match len > self.packet_bytes_max && !is_first {
            true => mean_bytes,
            false => len,
        };
        let passed = to.saturating_sub(from);
        let passed = passed.saturating_sub(len + self.header_bytes);
        let is_passed = !is_first && passed >= PASSED_BYTES_MIN && !has_tag(input, from);
        let lost = (len - own) + if is_passed { passed } else { 0 };
        self.packets += 1;
        self.bytes += own;
        lost.saturating_mul(1_000) / (mean_bytes + self.header_bytes)
    }
}

/// Returns whether a tag starts where the demuxer stood, as far as that is known.
fn has_tag(input: &Handle, position: u64) -> bool {
    if !input.is_seekable() {
        return false;
    }
    let mut bytes = [0; 2 * PIECE_BYTES];
    let from = position.saturating_sub(PIECE_BYTES as u64);
    // An input that cannot be read here fails at the next packet, which says so.
    let count = input.read_at(from, &mut bytes).unwrap_or(0);
    let starts = |tag: &[u8]| {
        bytes[..count]
            .windows(tag.len())
            .any(|window| window == tag)
    };
    TAGS.into_iter().any(starts)
}
