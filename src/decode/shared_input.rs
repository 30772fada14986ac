//! One input with two users: the readers of headers in `headers/`, and the demuxer.

use std::io::{self, Cursor, ErrorKind, Read, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::source::Bytes;

/// Bytes that `head_at` returns: enough for every signature.
const HEAD_BYTES: usize = 1_024;

/// Bytes that are kept of an input that cannot seek, so that they can be read a second time:
/// headers, which the demuxer reads again, and the bytes that were searched for a place to go on.
const KEPT_BYTES: usize = 32 << 10;

/// An input that is read at any position if it can seek, and only forward if it cannot.
///
/// # Memory
///
/// Up to 32 KiB for an input that cannot seek. Nothing is allocated while the demuxer reads.
pub(super) struct SharedInput {
    inner: Mutex<Inner>,
    seekable: bool,
    /// Where the demuxer has read to.
    position: AtomicU64,
    /// Bytes that the demuxer may still read before it has to return a packet.
    allowance: AtomicU64,
    /// The first error of the input itself, which a demuxer swallows or replaces with its own.
    error: Mutex<Option<io::Error>>,
}

struct Inner {
    bytes: Box<dyn Bytes>,
    /// Position of `bytes`.
    at: u64,
    kept: Vec<u8>,
    kept_at: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in a read leaves no wrong state behind: positions are set after the read.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedInput {
    /// Wraps bytes that are at their start. If not `may_seek`, they are read forward only.
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
            allowance: AtomicU64::new(u64::MAX),
            error: Mutex::new(None),
        })
    }

    /// Makes an input of bytes that were read before.
    pub(super) fn of_memory(bytes: &[u8]) -> Arc<Self> {
        Self::new(Box::new(Cursor::new(bytes.to_vec())), true)
    }

    pub(super) fn is_seekable(&self) -> bool {
        self.seekable
    }

    /// Returns the length in bytes, if it is known.
    pub(super) fn byte_len(&self) -> Option<u64> {
        lock(&self.inner).bytes.byte_len()
    }

    /// Returns the position to which the demuxer has read, in bytes of the input.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Returns the length in bytes or, if it is unknown, the position to which anything was read.
    pub(super) fn end(&self) -> u64 {
        let inner = lock(&self.inner);
        inner.bytes.byte_len().unwrap_or(inner.at)
    }

    /// Limits the demuxer to `bytes` more bytes.
    pub(super) fn allow(&self, bytes: u64) {
        self.allowance.store(bytes, Ordering::Relaxed);
    }

    /// Reads for the demuxer: at least one byte at `at`, or none at the end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::FileTooLarge`] when the allowance is used up.
    pub(super) fn read_for_demuxer(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let allowance = self.allowance.load(Ordering::Relaxed);
        if allowance == 0 {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let count = self.read_some(at, buffer)?;
        self.allowance
            .store(allowance.saturating_sub(count as u64), Ordering::Relaxed);
        self.position.store(at + count as u64, Ordering::Relaxed);
        Ok(count)
    }

    /// Removes and returns the first error of the input.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        lock(&self.error).take()
    }

    /// Fills `buffer` from `at` on and returns the count of bytes, which is smaller at the end.
    ///
    /// If the input cannot seek, up to `KEPT_BYTES` that were read last can be read a second time.
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

    /// Returns up to `HEAD_BYTES` bytes from `at` on.
    pub(super) fn head_at(&self, at: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; HEAD_BYTES];
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
            // This one is no error of the input: damaged lengths send readers backwards.
            if kind != ErrorKind::NotSeekable {
                lock(&self.error).get_or_insert(error);
            }
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

    /// Keeps bytes that were read, unless they are kept already.
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

/// A source in memory, for the tests here and of the view.
#[cfg(test)]
pub(super) mod tests {
    use std::io::Seek;

    use super::*;

    struct Memory(io::Cursor<Vec<u8>>, bool);

    impl Read for Memory {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // At most five bytes at a time, so that every boundary is met.
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

    pub(in crate::decode) fn input(seekable: bool) -> Arc<SharedInput> {
        SharedInput::new(
            Box::new(Memory(io::Cursor::new((0..100).collect()), seekable)),
            true,
        )
    }

    #[test]
    fn last_bytes_can_be_read_a_second_time() {
        let input = input(false);
        assert_eq!(input.head_at(40).unwrap().len(), 60);
        let mut bytes = [0; 60];
        assert_eq!(input.read_at(40, &mut bytes[..55]).unwrap(), 55);
        assert!(bytes[..55].iter().copied().eq(40..95));
        let error = input.read_at(3, &mut bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSeekable);
    }

    #[test]
    fn allowance_is_an_end_that_can_be_moved() {
        let input = input(true);
        let mut bytes = [0; 5];
        input.allow(7);
        assert_eq!(input.read_for_demuxer(0, &mut bytes).unwrap(), 5);
        assert_eq!(input.read_for_demuxer(5, &mut bytes).unwrap(), 5);
        assert_eq!(
            input.read_for_demuxer(10, &mut bytes).unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
        input.allow(1);
        assert_eq!(input.read_for_demuxer(10, &mut bytes).unwrap(), 5);
        assert_eq!(input.position(), 15);
        // That is no error of the input.
        assert!(input.take_error().is_none());
    }
}
