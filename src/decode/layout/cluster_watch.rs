//! Whether a Matroska stream ended inside an element, or with one that nobody knows: the demuxer gives the same error at a
//! whole stream's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::matroska::{CLUSTER, SEGMENT, element};

/// Longest header of an element: a name of four bytes and a length of eight.
const HEADER_BYTES_MAX: usize = 12;

/// What may stand beside clusters, with names of four bytes: head, index of it, information, tracks, index of clusters,
/// attachments, chapters, tags.
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

/// Follows the elements of clusters as their bytes go by.
#[derive(Debug, Default)]
pub(in crate::decode) struct ClusterWatch {
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    /// Bytes of the element that are still to come.
    left: u64,
    /// Behind the last cluster stands something that may be one, with a name that is damaged.
    is_odd: bool,
    is_inside: Arc<AtomicBool>,
}

impl ClusterWatch {
    /// Begins where a cluster does. `is_inside` tells from then on whether what went by ends inside an element, or with one that
    /// nobody knows.
    pub(in crate::decode) fn new(is_inside: Arc<AtomicBool>) -> Self {
        is_inside.store(false, Ordering::Relaxed);
        Self {
            is_inside,
            ..Self::default()
        }
    }

    /// Takes notice of the bytes that come next.
    pub(in crate::decode) fn pass(&mut self, mut bytes: &[u8]) {
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
                // Of these, the elements inside are followed.
                Some((CLUSTER | SEGMENT, ..)) => {
                    self.is_odd = false;
                    self.header_len = 0;
                }
                Some((id, _, len)) => {
                    self.is_odd |= id >> 24 > 0 && !BESIDE_CLUSTERS.contains(&id);
                    self.left = len.unwrap_or(0);
                    self.header_len = 0;
                }
                // No header is longer: this is none, and what follows cannot be told.
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
    fn cluster_with_a_damaged_name_is_told_at_the_end() {
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
        // A cluster of unknown length with a time stamp and a block, and an element behind it.
        let bytes = b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x81\x00\xa3\x84\x81\x00\x00\x80\xec\x40\x01\x00";
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
