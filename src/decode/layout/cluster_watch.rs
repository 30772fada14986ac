//! Whether a Matroska stream ended inside an element: the demuxer gives the same error at a whole stream's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::matroska::{CLUSTER, SEGMENT, element};

/// Longest header of an element: a name of four bytes and a length of eight.
const HEADER_BYTES_MAX: usize = 12;

/// Follows the elements of clusters as their bytes go by.
#[derive(Debug, Default)]
pub(in crate::decode) struct ClusterWatch {
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    /// Bytes of the element that are still to come.
    left: u64,
    is_inside: Arc<AtomicBool>,
}

impl ClusterWatch {
    /// Begins where a cluster does. `is_inside` tells from then on whether what went by ends inside an element.
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
                Some((CLUSTER | SEGMENT, ..)) => self.header_len = 0,
                Some((_, _, len)) => {
                    self.left = len.unwrap_or(0);
                    self.header_len = 0;
                }
                // No header is longer: this is none, and what follows cannot be told.
                None if self.header_len == HEADER_BYTES_MAX => self.header_len = 0,
                None => {}
            }
        }
        let is_inside = self.left > 0 || self.header_len > 0;
        self.is_inside.store(is_inside, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
