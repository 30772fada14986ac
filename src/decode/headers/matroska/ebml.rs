//! The elements of which Matroska files are made.
//!
//! Source: RFC 8794 (EBML).

/// The id of a segment.
pub(super) const SEGMENT: u32 = 0x1853_8067;

/// The id of a cluster.
pub(super) const CLUSTER: u32 = 0x1f43_b675;

/// Longest header of an element: an id of four bytes and a length of eight.
pub(super) const HEADER_BYTES_MAX: usize = 12;

/// Parses the header of an element. Returns its id, the length of the header, and that of the
/// content if it is known.
pub(super) fn element(bytes: &[u8]) -> Option<(u32, u64, Option<u64>)> {
    let id_len = bytes.first()?.leading_zeros() as usize + 1;
    if id_len > 4 {
        return None;
    }
    let id = bytes
        .get(..id_len)?
        .iter()
        .fold(0, |id, byte| id << 8 | u32::from(*byte));
    let size = bytes.get(id_len..)?;
    let size_len = size.first()?.leading_zeros() as usize + 1;
    if size_len > 8 {
        return None;
    }
    let size = size
        .get(..size_len)?
        .iter()
        .fold(0, |len, byte| len << 8 | u64::from(*byte));
    let marker = 1 << (7 * size_len);
    let len = size & (marker - 1);
    // All ones mean that the length is unknown.
    let is_known = len != marker - 1;
    Some((id, (id_len + size_len) as u64, is_known.then_some(len)))
}

/// Iterates over the children in a master element's content: their ids and contents.
pub(super) fn children(mut content: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (id, header, len) = element(content)?;
        let start = usize::try_from(header).ok()?;
        let end = start.checked_add(usize::try_from(len?).ok()?)?;
        let child = content.get(start..end)?;
        content = &content[end..];
        Some((id, child))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_headers() {
        for (bytes, expected) in [
            (&[0xe7, 0x81][..], Some((0xe7, 2, Some(1)))),
            (
                &[0x1f, 0x43, 0xb6, 0x75, 0x01, 0, 0, 0, 0, 0, 1, 2],
                Some((CLUSTER, 12, Some(258))),
            ),
            (&[0x1f, 0x43, 0xb6, 0x75, 0xff], Some((CLUSTER, 5, None))),
            (&[0x42, 0x86, 0x40, 0x02], Some((0x4286, 4, Some(2)))),
            (&[0x08, 0x81], None),
            (&[0xe7, 0x00], None),
            (&[0xe7, 0x40], None),
            (&[], None),
        ] {
            assert_eq!(element(bytes), expected, "{bytes:x?}");
        }
    }
}
