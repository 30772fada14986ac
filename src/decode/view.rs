//! An input that several readers read, and what of it the demuxer is shown.
//!
//! A demuxer believes a file: that here come 60 MB of cover, that the table of contents is whole, that the recording
//! ends after four gigabytes. The [`View`] shows it the same audio without that: a header made here, a stretch of the
//! input, and a few bytes that read differently than they are written.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use symphonia::core::io::MediaSource;

use crate::source::Bytes;

/// Bytes of headers that are kept of an input that cannot seek, to be read again by the demuxer.
const KEPT_BYTES: usize = 1_024;

/// An input, read at any place if it can seek and ever further on if it cannot.
///
/// # Memory
///
/// One kilobyte. Nothing is allocated while reading.
pub(super) struct Handle {
    inner: Mutex<Inner>,
    seekable: bool,
    /// How far the demuxer has read.
    position: AtomicU64,
    /// The first error of the input itself: a demuxer swallows it or makes it its own.
    error: Mutex<Option<io::Error>>,
}

struct Inner {
    bytes: Box<dyn Bytes>,
    /// Where `bytes` stands.
    at: u64,
    kept: Vec<u8>,
    kept_at: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while reading leaves nothing half done that matters: positions are set after the act.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handle {
    /// Takes bytes that stand at their start.
    pub(super) fn new(bytes: Box<dyn Bytes>, may_seek: bool) -> Arc<Self> {
        Arc::new(Self {
            seekable: may_seek && bytes.is_seekable(),
            inner: Mutex::new(Inner {
                bytes,
                at: 0,
                kept: Vec::new(),
                kept_at: 0,
            }),
            position: AtomicU64::new(0),
            error: Mutex::new(None),
        })
    }

    pub(super) fn is_seekable(&self) -> bool {
        self.seekable
    }

    /// Returns the length in bytes, if it is known.
    pub(super) fn byte_len(&self) -> Option<u64> {
        lock(&self.inner).bytes.byte_len()
    }

    /// Returns how far the demuxer has read, in bytes of the input.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Takes the first error of the input.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        lock(&self.error).take()
    }

    /// Fills `buffer` from `at` on as far as the input goes, and returns how far that was.
    ///
    /// Where the input cannot seek, up to `KEPT_BYTES` that were read last can be read once more.
    pub(super) fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(at + filled as u64, &mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        if !self.seekable && filled <= KEPT_BYTES {
            lock(&self.inner).keep(at, &buffer[..filled]);
        }
        Ok(filled)
    }

    /// Returns `N` bytes at `at`, or `None` where the input is shorter.
    pub(super) fn array_at<const N: usize>(&self, at: u64) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        Ok((self.read_at(at, &mut bytes)? == N).then_some(bytes))
    }

    /// Returns up to `KEPT_BYTES` bytes at `at`.
    pub(super) fn look_at(&self, at: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; KEPT_BYTES];
        let count = self.read_at(at, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Reads at least one byte at `at`, or none at the end.
    fn read_some(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inner = lock(&self.inner);
        let result = inner.read_some(at, buffer, self.seekable);
        result.map_err(|error| {
            let kind = error.kind();
            lock(&self.error).get_or_insert(error);
            io::Error::from(kind)
        })
    }
}

impl Inner {
    fn read_some(&mut self, at: u64, buffer: &mut [u8], seekable: bool) -> io::Result<usize> {
        let in_kept = at
            .checked_sub(self.kept_at)
            .and_then(|skip| usize::try_from(skip).ok());
        let kept = in_kept
            .and_then(|skip| self.kept.get(skip..))
            .unwrap_or_default();
        if !kept.is_empty() {
            return (&mut &*kept).read(buffer);
        }
        if at != self.at && seekable {
            self.at = self.bytes.seek(SeekFrom::Start(at))?;
        }
        while self.at < at {
            let mut passed = [0; 4_096];
            let count = usize::try_from(at - self.at)
                .unwrap_or(usize::MAX)
                .min(passed.len());
            match self.read_on(&mut passed[..count])? {
                0 => return Ok(0),
                count => self.at += count as u64,
            }
        }
        if self.at > at {
            return Err(ErrorKind::NotSeekable.into());
        }
        let count = self.read_on(buffer)?;
        self.at += count as u64;
        Ok(count)
    }

    /// Keeps what was read, unless it is kept already.
    fn keep(&mut self, at: u64, bytes: &[u8]) {
        if at + bytes.len() as u64 > self.kept_at + self.kept.len() as u64 {
            self.kept.clear();
            self.kept.extend_from_slice(bytes);
            self.kept_at = at;
        }
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.bytes.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

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
        let position = self.input_position(self.at);
        let left = self
            .end
            .map_or(u64::MAX, |end| end.saturating_sub(position));
        let count = usize::try_from(left).unwrap_or(usize::MAX);
        let count = count.min(buffer.len()).min(self.piece_bytes);
        let count = self.input.read_some(position, &mut buffer[..count])?;
        for (at, patch) in &self.patches {
            overlay(&mut buffer[..count], position, patch, *at);
        }
        self.at += count as u64;
        self.input
            .position
            .store(position + count as u64, Ordering::Relaxed);
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
    use super::*;

    struct Memory(io::Cursor<Vec<u8>>, bool);

    impl Read for Memory {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // At most five bytes at a time, so that every seam is met.
            let len = buffer.len().min(5);
            self.0.read(&mut buffer[..len])
        }
    }

    impl Seek for Memory {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            assert!(self.1, "an input that cannot seek is not asked to");
            self.0.seek(to)
        }
    }

    impl Bytes for Memory {
        fn is_seekable(&self) -> bool {
            self.1
        }

        fn byte_len(&self) -> Option<u64> {
            self.1.then_some(self.0.get_ref().len() as u64)
        }
    }

    fn input(seekable: bool) -> Arc<Handle> {
        Handle::new(
            Box::new(Memory(io::Cursor::new((0..100).collect()), seekable)),
            true,
        )
    }

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
    fn what_was_looked_at_is_read_again() {
        let input = input(false);
        assert_eq!(input.look_at(40).unwrap().len(), 60);
        assert_eq!(
            shown(View::new(Arc::clone(&input), 45)),
            (45..100).collect::<Vec<u8>>()
        );
        assert_eq!(input.position(), 100);
        let error = input.read_at(3, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSeekable);
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
