//! Shows the demuxer a part of an input.
//!
//! A demuxer believes every header: that 60 MB of cover follow, that the index is whole, that the
//! recording ends after four gigabytes. A [`DemuxerView`] shows it the same audio without those: a
//! header that is made here, a range of the input, and a few bytes that differ from the file's.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;

use symphonia::core::io::MediaSource;

use super::shared_input::SharedInput;

/// Looks at the bytes of the input that go by, in order.
pub(super) type Observer = Box<dyn FnMut(&[u8]) + Send + Sync>;

/// What the demuxer reads: `head`, then the input from `start` to `end` with `patches` over it.
pub(super) struct DemuxerView {
    input: Arc<SharedInput>,
    /// Bytes that precede those of the input: a few hundred.
    pub(super) head: Vec<u8>,
    /// The input's first byte that is shown.
    pub(super) start: u64,
    /// The input's first byte that is no longer shown.
    pub(super) end: Option<u64>,
    /// Bytes that are shown instead of the input's, with their position in the input: a handful.
    pub(super) patches: Vec<(u64, Vec<u8>)>,
    pub(super) seekable: bool,
    /// Most bytes that one read returns.
    pub(super) piece_bytes: usize,
    /// Sees every byte of the input that the demuxer reads. Only for views that are read forward.
    pub(super) observer: Option<Observer>,
    /// Position in the view.
    at: u64,
}

impl DemuxerView {
    /// Makes a view of an input from `start` to its end.
    pub(super) fn new(input: Arc<SharedInput>, start: u64) -> Self {
        let seekable = input.is_seekable();
        Self {
            input,
            head: Vec::new(),
            start,
            end: None,
            patches: Vec::new(),
            seekable,
            piece_bytes: usize::MAX,
            observer: None,
            at: 0,
        }
    }

    /// Converts a position in the view to one in the input.
    fn input_position(&self, at: u64) -> u64 {
        self.start
            .saturating_add(at.saturating_sub(self.head.len() as u64))
    }
}

impl Read for DemuxerView {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let in_head = usize::try_from(self.at)
            .ok()
            .and_then(|at| self.head.get(at..));
        if let Some(mut rest) = in_head.filter(|rest| !rest.is_empty()) {
            let count = rest.read(buffer)?;
            self.at += count as u64;
            return Ok(count);
        }
        if !self.seekable {
            // It is not read again, and the index of a long film is large.
            self.at -= self.head.len() as u64;
            self.head = Vec::new();
        }
        let position = self.input_position(self.at);
        let left = self
            .end
            .map_or(u64::MAX, |end| end.saturating_sub(position));
        let count = usize::try_from(left).unwrap_or(usize::MAX);
        let count = count.min(buffer.len()).min(self.piece_bytes);
        let count = self
            .input
            .read_for_demuxer(position, &mut buffer[..count])?;
        for (at, patch) in &self.patches {
            overlay(&mut buffer[..count], position, patch, *at);
        }
        if let Some(observe) = &mut self.observer {
            observe(&buffer[..count]);
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// Copies the part of `patch`, which starts at `patch_at`, that lies over `bytes`, which start at
/// `at`.
fn overlay(bytes: &mut [u8], at: u64, patch: &[u8], patch_at: u64) {
    let from = at.max(patch_at);
    let to = (at + bytes.len() as u64).min(patch_at + patch.len() as u64);
    let index = |position: u64, base: u64| usize::try_from(position - base).unwrap_or(usize::MAX);
    if from < to {
        bytes[index(from, at)..index(to, at)]
            .copy_from_slice(&patch[index(from, patch_at)..index(to, patch_at)]);
    }
}

impl Seek for DemuxerView {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.byte_len().and_then(|len| len.checked_add_signed(by)),
        };
        self.at = target.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl MediaSource for DemuxerView {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        let len = self.input.byte_len();
        let end = self
            .end
            .map_or(len, |end| Some(len.map_or(end, |len| end.min(len))))?;
        Some(self.head.len() as u64 + end.saturating_sub(self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::super::shared_input::tests::input;
    use super::*;

    fn shown(mut view: DemuxerView) -> Vec<u8> {
        let mut all = Vec::new();
        let mut byte = [0];
        while view.read(&mut byte).unwrap() == 1 {
            all.push(byte[0]);
        }
        all
    }

    #[test]
    fn head_range_and_patches_are_shown() {
        for seekable in [true, false] {
            let mut view = DemuxerView::new(input(seekable), 10);
            view.head = vec![200, 201];
            view.end = Some(20);
            view.patches = vec![(8, vec![250; 3]), (13, vec![251; 3]), (19, vec![252; 3])];
            let expected = [200, 201, 250, 11, 12, 251, 251, 251, 16, 17, 18, 252];
            assert_eq!(shown(view), expected, "seekable: {seekable}");
        }
    }

    #[test]
    fn patch_at_every_boundary_of_reads() {
        for at in 0..12 {
            for len in 1..6 {
                let mut bytes: Vec<u8> = (0..10).collect();
                overlay(&mut bytes, 2, &vec![9; len], at);
                let inside = |i: u64| (at..at + len as u64).contains(&(i + 2));
                let expected: Vec<u8> = (0..10u8)
                    .map(|i| if inside(i.into()) { 9 } else { i })
                    .collect();
                assert_eq!(bytes, expected);
            }
        }
    }

    #[test]
    fn position_is_that_of_the_input() {
        let input = input(false);
        assert_eq!(
            shown(DemuxerView::new(Arc::clone(&input), 45)),
            (45..100).collect::<Vec<u8>>()
        );
        assert_eq!(input.position(), 100);
    }

    #[test]
    fn length_is_that_of_the_view() {
        let mut view = DemuxerView::new(input(true), 90);
        view.head = vec![0; 7];
        assert_eq!(view.byte_len(), Some(17));
        view.end = Some(1_000);
        assert_eq!(view.byte_len(), Some(17));
        view.end = Some(95);
        assert_eq!(view.byte_len(), Some(12));
        assert_eq!(view.seek(SeekFrom::End(-1)).unwrap(), 11);
        assert_eq!(view.input_position(11), 94);
    }
}
