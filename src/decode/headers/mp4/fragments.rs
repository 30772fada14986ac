//! A fragmented mp4: shown fragment by fragment.
//!
//! The demuxer keeps every fragment's index for good, takes the times of fragments as if none were
//! missing, and panics on some that are damaged. So it is shown one at a time, each time behind the
//! same header.

use std::sync::Arc;

use super::boxes::{BOXES_MAX, BoxAt, box_at};
use super::fragment::{Fragment, FragmentIndex, is_fragment, is_known, is_sane, read_index};
use super::piped_fragments::PipedFragments;
use crate::decode::fault::Fault;
use crate::decode::headers::search::search;
use crate::decode::shared_input::SharedInput;
use crate::decode::view::DemuxerView;

/// The fragments that were not shown yet.
pub(in crate::decode) enum Fragments {
    /// Those of an input that can seek.
    File(FileFragments),
    /// Those of one that cannot.
    Pipe(PipedFragments),
}

impl Fragments {
    /// Takes the fragments of a file from the `first` on. `patches` hide parts of the header, which
    /// begins at `start`.
    pub(super) fn of_file(
        patches: Vec<(u64, Vec<u8>)>,
        start: u64,
        first: BoxAt,
        track_id: u32,
    ) -> Self {
        Self::File(FileFragments {
            patches,
            start,
            header_end: first.start,
            next: Some(first.start),
            data_end: first.end,
            track_id,
        })
    }

    /// Takes the fragments of a pipe from the `first` on, behind a header that was read before.
    pub(super) fn of_pipe(header: Vec<u8>, first: BoxAt, track_id: u32) -> Self {
        Self::Pipe(PipedFragments::new(header, first, track_id))
    }

    /// Shows the next fragment, or nothing behind the last.
    pub(in crate::decode) fn next(
        &mut self,
        input: &Arc<SharedInput>,
    ) -> Result<Option<Fragment>, Fault> {
        match self {
            Self::File(fragments) => fragments.next(input),
            Self::Pipe(fragments) => fragments.next(input),
        }
    }

    /// Returns the end of the last box that was read, or `u64::MAX` if more bytes follow it that
    /// are not a box.
    pub(in crate::decode) fn data_end(&self) -> u64 {
        match self {
            Self::File(fragments) => fragments.data_end,
            Self::Pipe(fragments) => fragments.data_end,
        }
    }
}

/// The fragments of an input that can seek.
pub(in crate::decode) struct FileFragments {
    /// Patches that hide parts of the header.
    patches: Vec<(u64, Vec<u8>)>,
    /// Position of the header.
    start: u64,
    /// End of the header, which is the position of the first fragment.
    header_end: u64,
    /// Position of the next fragment.
    next: Option<u64>,
    data_end: u64,
    track_id: u32,
}

impl FileFragments {
    fn next(&mut self, input: &Arc<SharedInput>) -> Result<Option<Fragment>, Fault> {
        let Some(first) = self.next.take() else {
            return Ok(None);
        };
        let mut view = DemuxerView::new(Arc::clone(input), self.start);
        view.patches.clone_from(&self.patches);
        if first > self.header_end {
            // The fragments before this one are shown as free space. The first is larger than the
            // header of that space.
            let skipped = (first - self.header_end).to_be_bytes();
            let header = [&[0, 0, 0, 1], &b"free"[..], &skipped].concat();
            view.patches.push((self.header_end, header));
        }
        let (end, index) = self.read_fragment(input, first)?;
        view.end = Some(end);
        Ok(Some(Fragment { view, index }))
    }

    /// Finds the end of a fragment and the start of the next. Returns the end, and the index.
    fn read_fragment(
        &mut self,
        input: &SharedInput,
        first: u64,
    ) -> Result<(u64, FragmentIndex), Fault> {
        let len = input.byte_len().unwrap_or(u64::MAX);
        let (mut at, mut index) = (first, FragmentIndex::default());
        for _ in 0..BOXES_MAX {
            let found = box_at(input, at, len)?.filter(is_known);
            let is_sane = found.map_or(Ok(true), |found| is_sane(input, found))?;
            let Some(found) = found.filter(|_| is_sane) else {
                // The chain of boxes is broken, or has ended.
                self.next = search(input, at + 1, is_fragment)?;
                if self.next.is_none() && input.end() > at {
                    self.data_end = u64::MAX;
                }
                return Ok((at, index));
            };
            if &found.name == b"moof" {
                if at > first {
                    self.next = Some(at);
                    return Ok((at, index));
                }
                index = read_index(input, found, self.track_id)?;
            }
            at = found.end;
            self.data_end = self.data_end.max(at);
        }
        Ok((at, index))
    }
}
