//! The file behind the memory: a first-in first-out of samples on disk.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{MmapMut, MmapOptions};

use super::{LiveError, SPILL_BYTES_MIN};

/// Samples in one mapped piece of the file: 1 MiB, 16 seconds. Two pieces are mapped at most, so that a backlog of hours
/// does not appear in the process's resident memory. It is a multiple of every page size.
const SEGMENT_SAMPLES: u64 = SPILL_BYTES_MIN / size_of::<f32>() as u64;

/// Samples in a file of fixed size, oldest out first.
///
/// The file has no name: it is gone when it is closed, also by a crash. Its space is taken from the disk when it is made,
/// so that a write to a mapped page cannot fail for want of space, which would be a bus error. File systems that write
/// elsewhere whatever is written again (btrfs, ZFS) keep that promise for the first turn of the file only: on a disk that is
/// full to the last block, give another directory.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    capacity: u64,
    /// Samples that were read, counted from when the file was last empty.
    head: u64,
    /// Samples that were written.
    tail: u64,
    writing: Option<View>,
    reading: Option<View>,
}

/// A mapped segment.
#[derive(Debug)]
struct View {
    segment: u64,
    map: MmapMut,
}

impl Spill {
    /// Makes a file of `bytes` in `dir` and takes its space from the disk.
    pub(super) fn create(dir: &Path, bytes: u64) -> Result<Self, LiveError> {
        let bytes = bytes.next_multiple_of(SPILL_BYTES_MIN);
        let failed = |source| LiveError::Spill {
            dir: dir.to_path_buf(),
            bytes,
            source,
        };
        let mut file = tempfile::tempfile_in(dir).map_err(failed)?;
        if let Some(free_bytes) = free_bytes(&file).filter(|free| *free < bytes) {
            // Asked first, because reserving takes what there is before it fails.
            return Err(LiveError::NoSpace {
                dir: dir.to_path_buf(),
                bytes,
                free_bytes,
            });
        }
        reserve(&mut file, bytes).map_err(failed)?;
        let mut spill = Self {
            file,
            capacity: bytes / size_of::<f32>() as u64,
            head: 0,
            tail: 0,
            writing: None,
            reading: None,
        };
        // A file system that cannot map says so now.
        view(&spill.file, &mut spill.writing, 0).map_err(failed)?;
        spill.writing = None;
        Ok(spill)
    }

    /// Returns how many samples are in the file.
    pub(super) fn len(&self) -> u64 {
        self.tail - self.head
    }

    /// Returns for how many samples there is room.
    pub(super) fn free(&self) -> u64 {
        self.capacity - self.len()
    }

    /// Returns how many samples fit at once.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Writes as many samples as there is room for, and returns how many.
    pub(super) fn push(&mut self, samples: &[f32]) -> io::Result<usize> {
        let mut rest = &samples[..count(self.free(), samples.len())];
        let taken = rest.len();
        while !rest.is_empty() {
            let (segment, from) = self.place(self.tail);
            let to = &mut view(&self.file, &mut self.writing, segment)?[from..];
            let (now, later) = rest.split_at(rest.len().min(to.len()));
            to[..now.len()].copy_from_slice(now);
            self.tail += now.len() as u64;
            rest = later;
        }
        Ok(taken)
    }

    /// Reads the oldest samples into `out`, as many as there are, and returns how many.
    pub(super) fn read(&mut self, out: &mut [f32]) -> io::Result<usize> {
        let mut left = count(self.len(), out.len());
        let taken = left;
        while left > 0 {
            let (segment, from) = self.place(self.head);
            let stored = &view(&self.file, &mut self.reading, segment)?[from..];
            let now = left.min(stored.len());
            out[taken - left..][..now].copy_from_slice(&stored[..now]);
            left -= now;
            self.skip(now);
        }
        Ok(taken)
    }

    /// Forgets the oldest samples.
    pub(super) fn skip(&mut self, count: usize) {
        self.head += count as u64;
        if self.head == self.tail {
            // From the start again: what was touched last is touched next, and nothing stays mapped.
            (self.head, self.tail) = (0, 0);
            (self.writing, self.reading) = (None, None);
        }
    }

    /// Returns the segment of a sample, and the sample's index in it.
    fn place(&self, at: u64) -> (u64, usize) {
        let at = at % self.capacity;
        let index = count(at % SEGMENT_SAMPLES, usize::MAX);
        (at / SEGMENT_SAMPLES, index)
    }
}

/// Returns a number of samples as an index, at most `limit`.
fn count(samples: u64, limit: usize) -> usize {
    usize::try_from(samples).unwrap_or(usize::MAX).min(limit)
}

/// Maps a segment of the file, unless it is mapped already.
#[allow(unsafe_code, reason = "mapping a file has no safe form")]
fn view<'a>(file: &File, slot: &'a mut Option<View>, segment: u64) -> io::Result<&'a mut [f32]> {
    if slot.as_ref().is_none_or(|view| view.segment != segment) {
        // Before the new one, so that there are never three.
        *slot = None;
        // SAFETY: nobody else can change or cut the file under the mapping: it has no name and its handle is given to no
        // one. It has its whole length and its space since `create`. The two views of a spill may show the same segment, at
        // different addresses; slices of them do not outlive a call of a method that takes the spill by `&mut`, so none is
        // read while another is written.
        let map = unsafe {
            MmapOptions::new()
                .offset(segment * SPILL_BYTES_MIN)
                .len(count(SPILL_BYTES_MIN, usize::MAX))
                .map_mut(file)?
        };
        *slot = Some(View { segment, map });
    }
    match slot {
        Some(view) => Ok(bytemuck::cast_slice_mut(&mut view.map)),
        None => unreachable!("it was mapped above"),
    }
}

/// Returns how many bytes of the file's disk this user may take, if the system says.
fn free_bytes(file: &File) -> Option<u64> {
    #[cfg(unix)]
    return rustix::fs::fstatvfs(file)
        .ok()
        .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    #[cfg(not(unix))]
    {
        let _ = file;
        None
    }
}

/// Takes the file's space from the disk.
fn reserve(file: &mut File, bytes: u64) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::io::Errno;
        let whole = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&*file, whole, 0, bytes) {
            // File systems that cannot reserve: NFS before 4.2, FAT, some in user space.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            done => return done.map_err(io::Error::from),
        }
    }
    // What was written has its space.
    io::copy(&mut io::Read::take(io::repeat(0), bytes), file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// Two segments.
    fn small() -> Spill {
        Spill::create(&std::env::temp_dir(), 2 * SPILL_BYTES_MIN).unwrap()
    }

    #[test]
    fn a_full_file_takes_no_more_and_an_empty_one_gives_nothing() {
        let mut spill = small();
        let capacity = count(spill.capacity(), usize::MAX);
        assert_eq!(spill.read(&mut [0.0]).unwrap(), 0);
        assert_eq!(spill.push(&vec![0.5; capacity + 1]).unwrap(), capacity);
        assert_eq!(spill.push(&[0.5]).unwrap(), 0);
        assert_eq!((spill.len(), spill.free()), (spill.capacity(), 0));
        assert_eq!(spill.read(&mut vec![0.0; capacity + 1]).unwrap(), capacity);
        assert_eq!(spill.len(), 0);
    }

    #[test]
    fn space_is_taken_when_it_is_made() {
        let spill = small();
        let length = spill.file.metadata().unwrap().len();
        assert_eq!(length, 2 * SPILL_BYTES_MIN);
        #[cfg(unix)]
        {
            let blocks = std::os::unix::fs::MetadataExt::blocks(&spill.file.metadata().unwrap());
            assert!(
                blocks * 512 >= length,
                "{blocks} blocks are no {length} bytes"
            );
        }
    }

    #[test]
    fn more_than_the_disk_has_is_refused_before_anything_is_taken() {
        let error = Spill::create(&std::env::temp_dir(), 1 << 60).unwrap_err();
        assert!(matches!(error, LiveError::NoSpace { .. }), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 20, ..Default::default() })]

        /// However it is written and read, what comes out is what went in, in order, over many times its size.
        #[test]
        fn first_in_is_first_out(
            steps in prop::collection::vec((0_usize..400_000, 0_usize..400_000), 1..40),
        ) {
            let mut spill = small();
            let mut model = VecDeque::new();
            let mut next = 0_u32;
            for (written, read) in steps {
                #[expect(clippy::cast_precision_loss, reason = "whole numbers below 2^24")]
                let samples: Vec<f32> = (0..written)
                    .map(|_| { next = (next + 1) % (1 << 24); next as f32 })
                    .collect();
                let taken = spill.push(&samples).unwrap();
                prop_assert_eq!(taken as u64, (written as u64).min(spill.capacity() - model.len() as u64));
                model.extend(&samples[..taken]);
                let mut out = vec![0.0; read];
                let got = spill.read(&mut out).unwrap();
                let expected: Vec<f32> = model.drain(..read.min(model.len())).collect();
                prop_assert!(out[..got] == expected[..]);
                prop_assert_eq!(spill.len(), model.len() as u64);
            }
        }
    }
}
