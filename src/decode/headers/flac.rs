//! Native FLAC: the demuxer is shown the stream information and the frames alone.
//!
//! Between them are covers of up to 16 MB each and a seek table, which a demuxer keeps in memory.

use std::sync::Arc;

use super::layout::Layout;
use crate::decode::fault::Fault;
use crate::decode::shared_input::SharedInput;

/// Most metadata blocks that are skipped. Files with more than a dozen were not seen.
const BLOCKS_MAX: usize = 1_024;

/// Size of the stream information block without its header. Source: RFC 9639, section 8.2.
const STREAM_INFO_LEN: usize = 34;

/// The type of the stream information block, and the flag of the last block.
const STREAM_INFO: u8 = 0;
const LAST: u8 = 0x80;

/// Reads the metadata blocks. Source: RFC 9639, section 8.
pub(super) fn layout(input: &Arc<SharedInput>, at: u64) -> Result<Layout, Fault> {
    let mut stream_info = None;
    let mut next = at + 4;
    for _ in 0..BLOCKS_MAX {
        let Some([flags, a, b, c]) = input.array_at(next)? else {
            break;
        };
        let len = u64::from(u32::from_be_bytes([0, a, b, c]));
        if flags & !LAST == STREAM_INFO && len == STREAM_INFO_LEN as u64 {
            stream_info = input.array_at::<STREAM_INFO_LEN>(next + 4)?;
        }
        next += 4 + len;
        if flags & LAST != 0 {
            break;
        }
    }
    let Some(stream_info) = stream_info else {
        return Err(Fault::Damaged(
            "the stream information block is missing".into(),
        ));
    };
    let mut layout = Layout::plain(input, next);
    layout.view.head = [b"fLaC", &[LAST | STREAM_INFO, 0, 0, 34][..], &stream_info].concat();
    Ok(layout)
}
