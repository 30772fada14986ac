//! What the demuxer is shown of an input.
//!
//! A demuxer reads what a file says, also when the file says "here come 60 MB of cover" or is of a kind that it does
//! not know. The view shows it the same audio without that: a header made here, a stretch of the input, and bytes
//! that read differently than they are written.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use symphonia::core::io::MediaSource;

use crate::source::Bytes;

/// How far an input was read and what went wrong, shared with whoever shows progress.
#[derive(Debug, Default)]
pub(super) struct Reading {
    position: AtomicU64,
    /// The first error of the input itself. Demuxers swallow it or make it their own.
    error: Mutex<Option<io::Error>>,
}

impl Reading {
    /// Returns the position in the input, in bytes.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Takes the first error.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.error.lock().unwrap_or_else(|e| e.into_inner()).take()
    }

    /// Keeps an error and returns one of its kind for the demuxer.
    fn keep(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        self.error
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .get_or_insert(error);
        io::Error::from(kind)
    }
}

/// An input as the demuxer sees it: `head`, then the input's bytes from `start` to `end`.
///
/// # Memory
///
/// The head, which is a few hundred bytes. Nothing is allocated while reading.
pub(super) struct View {
    bytes: Box<dyn Bytes>,
    seekable: bool,
    head: Vec<u8>,
    /// The input's first byte behind the head.
    start: u64,
    /// The input's first byte that is not shown any more.
    end: Option<u64>,
    /// Position in the view.
    at: u64,
    reading: Arc<Reading>,
}

impl View {
    /// Shows the whole input, which stands at its start.
    pub(super) fn new(bytes: Box<dyn Bytes>, seekable: bool) -> Self {
        Self {
            seekable: seekable && bytes.is_seekable(),
            bytes,
            head: Vec::new(),
            start: 0,
            end: None,
            at: 0,
            reading: Arc::default(),
        }
    }

    /// Returns what others may know of the reading.
    pub(super) fn reading(&self) -> Arc<Reading> {
        Arc::clone(&self.reading)
    }

    fn head_len(&self) -> u64 {
        self.head.len() as u64
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
        let position = self.start + (self.at - self.head_len());
        let left = self
            .end
            .map_or(u64::MAX, |end| end.saturating_sub(position));
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = loop {
            match self.bytes.read(&mut buffer[..count]) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.reading.keep(error)),
            }
        };
        self.at += count as u64;
        self.reading
            .position
            .store(position + count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for View {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let from = |base: u64, by: i64| base.checked_add_signed(by);
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => from(self.at, by),
            SeekFrom::End(by) => self.byte_len().and_then(|len| from(len, by)),
        };
        let target = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let behind_head = target.saturating_sub(self.head_len());
        self.bytes
            .seek(SeekFrom::Start(self.start.saturating_add(behind_head)))
            .map_err(|error| self.reading.keep(error))?;
        self.at = target;
        Ok(target)
    }
}

impl MediaSource for View {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        let end = match self.end {
            Some(end) => end,
            None => self.bytes.byte_len()?,
        };
        Some(self.head_len() + end.saturating_sub(self.start))
    }
}
