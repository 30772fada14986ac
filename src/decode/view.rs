//! What the demuxer is shown of an input.
//!
//! A demuxer believes a file: that here come 60 MB of cover, that the table of contents is whole, that the recording
//! ends after four gigabytes. The [`View`] shows it the same audio without that: a header made here, a stretch of the
//! input, and a few bytes that read differently than they are written.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;

use symphonia::core::io::MediaSource;

use super::input::Handle;
use super::layout::cluster_watch::ClusterWatch;

/// What the demuxer sees: `head`, then the input's bytes from `start` to `end`, with `patches` over them.
pub(super) struct View {
    input: Arc<Handle>,
    /// Bytes that stand before those of the input. A few hundred.
    pub(super) head: Vec<u8>,
    /// The input's first byte that is shown.
    pub(super) start: u64,
    /// The input's first byte that is not shown any more.
    pub(super) end: Option<u64>,
    /// Bytes that are shown in place of the input's, with their position in the input. A handful.
    pub(super) patches: Vec<(u64, Vec<u8>)>,
    pub(super) seekable: bool,
    /// Bytes that are read at once.
    pub(super) piece_bytes: usize,
    /// Who is to see what is shown of the input, which is then read forward.
    pub(super) watch: Option<ClusterWatch>,
    /// Position in the view.
    at: u64,
}

impl View {
    /// Shows an input from `start` on.
    pub(super) fn new(input: Arc<Handle>, start: u64) -> Self {
        let seekable = input.is_seekable();
        Self {
            input,
            head: Vec::new(),
            start,
            end: None,
            patches: Vec::new(),
            seekable,
            piece_bytes: usize::MAX,
            watch: None,
            at: 0,
        }
    }

    /// Returns where in the input a position of the view lies.
    fn input_position(&self, at: u64) -> u64 {
        self.start
            .saturating_add(at.saturating_sub(self.head.len() as u64))
    }
}

impl Read for View {
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
            // Nobody comes back to it, and the index of a long film is large.
            self.at -= self.head.len() as u64;
            self.head = Vec::new();
        }
        let position = self.input_position(self.at);
        let left = self
            .end
            .map_or(u64::MAX, |end| end.saturating_sub(position));
        let count = usize::try_from(left).unwrap_or(usize::MAX);
        let count = count.min(buffer.len()).min(self.piece_bytes);
        let count = self.input.demux(position, &mut buffer[..count])?;
        for (at, patch) in &self.patches {
            overlay(&mut buffer[..count], position, patch, *at);
        }
        if let Some(watch) = &mut self.watch {
            watch.pass(&buffer[..count]);
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// Lays `patch`, which stands at `patch_at`, over bytes that stand at `at`.
fn overlay(bytes: &mut [u8], at: u64, patch: &[u8], patch_at: u64) {
    let from = at.max(patch_at);
    let to = (at + bytes.len() as u64).min(patch_at + patch.len() as u64);
    let index = |position: u64, base: u64| usize::try_from(position - base).unwrap_or(usize::MAX);
    if from < to {
        bytes[index(from, at)..index(to, at)]
            .copy_from_slice(&patch[index(from, patch_at)..index(to, patch_at)]);
    }
}

impl Seek for View {
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

impl MediaSource for View {
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
    use super::super::input::tests::input;
    use super::*;

    fn shown(mut view: View) -> Vec<u8> {
        let mut all = Vec::new();
        let mut byte = [0];
        while view.read(&mut byte).unwrap() == 1 {
            all.push(byte[0]);
        }
        all
    }

    #[test]
    fn head_stretch_and_patch_are_shown() {
        for seekable in [true, false] {
            let mut view = View::new(input(seekable), 10);
            view.head = vec![200, 201];
            view.end = Some(20);
            view.patches = vec![(8, vec![250; 3]), (13, vec![251; 3]), (19, vec![252; 3])];
            let expected = [200, 201, 250, 11, 12, 251, 251, 251, 16, 17, 18, 252];
            assert_eq!(shown(view), expected, "seekable: {seekable}");
        }
    }

    #[test]
    fn patch_at_every_seam_of_reads() {
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
    fn position_is_the_inputs() {
        let input = input(false);
        assert_eq!(
            shown(View::new(Arc::clone(&input), 45)),
            (45..100).collect::<Vec<u8>>()
        );
        assert_eq!(input.position(), 100);
    }

    #[test]
    fn length_is_of_what_is_shown() {
        let mut view = View::new(input(true), 90);
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
