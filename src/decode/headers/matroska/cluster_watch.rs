//! Finds out whether a Matroska stream ends inside an element or with an unknown one.
//!
//! The demuxer returns the same error at the end of a whole stream and of one that is cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ebml::{CLUSTER, HEADER_BYTES_MAX, SEGMENT, element};

/// Ids of four bytes that may follow a cluster: EBML header, index of the segment, information,
/// tracks, index of clusters, attachments, chapters, tags.
const BESIDE_CLUSTERS: [u32; 8] = [
    0x1a45_dfa3,
    0x114d_9b74,
    0x1549_a966,
    0x1654_ae6b,
    0x1c53_bb6b,
    0x1941_a469,
    0x1043_a770,
    0x1254_c367,
];

/// Follows the elements of clusters while their bytes go by.
#[derive(Debug, Default)]
pub(super) struct ClusterWatch {
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    /// Bytes of the current element that are still to come.
    left: u64,
    /// An element with an unknown id follows the last cluster: perhaps a cluster with a damaged id.
    is_odd: bool,
    is_inside: Arc<AtomicBool>,
}

impl ClusterWatch {
    /// Starts at the first byte of a cluster. From then on `is_inside` holds whether the bytes that
    /// went by end inside an element, or with an unknown one.
    pub(super) fn new(is_inside: Arc<AtomicBool>) -> Self {
        is_inside.store(false, Ordering::Relaxed);
        Self {
            is_inside,
            ..Self::default()
        }
    }

    /// Follows the next bytes.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let passed = usize::try_from(self.left).unwrap_or(usize::MAX);
                let passed = passed.min(bytes.len());
                self.left -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            self.header[self.header_len] = *first;
            self.header_len += 1;
            bytes = rest;
            match element(&self.header[..self.header_len]) {
                // Their children are followed.
                Some((CLUSTER | SEGMENT, ..)) => {
                    self.is_odd = false;
                    self.header_len = 0;
                }
                Some((id, _, len)) => {
                    self.is_odd |= id >> 24 > 0 && !BESIDE_CLUSTERS.contains(&id);
                    self.left = len.unwrap_or(0);
                    self.header_len = 0;
                }
                // No header is longer, so this is not one, and what follows is unknown.
                None if self.header_len == HEADER_BYTES_MAX => self.header_len = 0,
                None => {}
            }
        }
        let is_inside = self.left > 0 || self.header_len > 0 || self.is_odd;
        self.is_inside.store(is_inside, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_with_a_damaged_id_shows_at_the_end() {
        let cluster = b"\x1f\x43\xb6\x75\x83\xe7\x81\x00";
        let damaged = b"\x1f\x43\xb6\x74\x83\xe7\x81\x00";
        let tags = b"\x12\x54\xc3\x67\x80";
        for (bytes, expected) in [
            ([&cluster[..], damaged].concat(), true),
            ([&cluster[..], damaged, tags].concat(), true),
            ([&cluster[..], damaged, cluster, tags].concat(), false),
        ] {
            let is_inside = Arc::new(AtomicBool::new(false));
            ClusterWatch::new(Arc::clone(&is_inside)).pass(&bytes);
            assert_eq!(is_inside.load(Ordering::Relaxed), expected);
        }
    }

    #[test]
    fn ends_inside_unless_between_elements() {
        // A cluster of unknown length with a time stamp and a block, then another element.
        let bytes =
            b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x81\x00\xa3\x84\x81\x00\x00\x80\
                      \xec\x40\x01\x00";
        let between = [0, 12, 15, 21, bytes.len()];
        for len in 0..=bytes.len() {
            for step in [1, 5, 100] {
                let is_inside = Arc::new(AtomicBool::new(true));
                let mut watch = ClusterWatch::new(Arc::clone(&is_inside));
                for piece in bytes[..len].chunks(step) {
                    watch.pass(piece);
                }
                let expected = !between.contains(&len);
                assert_eq!(
                    is_inside.load(Ordering::Relaxed),
                    expected,
                    "{len} by {step}"
                );
            }
        }
    }
}
