//! Searches an input for a place from which reading can go on.

use std::io;

use crate::decode::shared_input::SharedInput;

/// Bytes that are searched at once.
const SEARCH_BYTES: usize = 32 << 10;

/// Most bytes that `starts` looks at.
const SEEN_BYTES: usize = 16;

/// Searches from `from` on for the first position at which `starts` returns true for the bytes.
///
/// # Memory
///
/// A buffer of 32 KiB during the search.
pub(super) fn search(
    input: &SharedInput,
    from: u64,
    starts: fn(&[u8]) -> bool,
) -> io::Result<Option<u64>> {
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
