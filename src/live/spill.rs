//! The file behind the queue's memory: a first-in first-out of samples on disk.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::{LiveError, SPILL_BYTES_MIN};

/// Bytes that the file grows by: 1 MiB, 16 s.
const SEGMENT_BYTES: u64 = SPILL_BYTES_MIN;

/// Samples in one segment of the file.
const SEGMENT_SAMPLES: u64 = SEGMENT_BYTES / size_of::<f32>() as u64;

/// Samples in a file of limited size, oldest out first.
///
/// The file has no name: it is gone when it is closed, also by a crash. It grows by a segment when
/// a sample needs one, reuses segments that were read, and shrinks to one segment when it is empty.
///
/// A segment's space is reserved on the disk before a sample is written to it, so that a full disk
/// is an error of [`push`](Self::push) and never a loss that shows up when samples are read. File
/// systems that write every change to a new place (btrfs, ZFS, APFS) keep that promise for the
/// first use of a segment only.
///
/// # Memory
///
/// Eight bytes for each segment of the limit, allocated when the file is made.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    /// Segments that the file may have.
    segments_max: usize,
    /// Segments that it has: their numbers are those below this one.
    segments: u32,
    /// Numbers of the segments that hold samples, oldest first.
    filled: VecDeque<u32>,
    /// Numbers of the others.
    free: Vec<u32>,
    /// Samples at the start of the first filled segment that were skipped.
    head: u64,
    /// Samples in the file.
    len: u64,
    /// The last attempt to grow failed.
    is_stuck: bool,
}

impl Spill {
    /// Makes a file in `dir` that may grow to `bytes`, rounded up to whole segments, and reserves
    /// its first segment.
    pub(super) fn create(dir: &Path, bytes: u64) -> Result<Self, LiveError> {
        let failed = |source| LiveError::Spill {
            dir: dir.to_path_buf(),
            source,
        };
        let file = tempfile::tempfile_in(dir).map_err(failed)?;
        if let Some(free_bytes) = free_bytes(&file).filter(|free| *free < bytes) {
            tracing::warn!(
                dir = %dir.display(),
                limit_mb = bytes / 1_000_000,
                free_mb = free_bytes / 1_000_000,
                "live: the disk has less free space than the limit of the spill file"
            );
        }
        let mut spill = Self::over(file, bytes.div_ceil(SEGMENT_BYTES));
        spill.grow().map_err(failed)?;
        Ok(spill)
    }

    /// Makes an empty queue over an empty file.
    fn over(file: File, segments_max: u64) -> Self {
        let segments_max = index(segments_max);
        Self {
            file,
            segments_max,
            segments: 0,
            filled: VecDeque::with_capacity(segments_max),
            free: Vec::with_capacity(segments_max),
            head: 0,
            len: 0,
            is_stuck: false,
        }
    }

    /// Returns how many samples are in the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Returns for how many samples there is room: those of the limit, or, while the disk is full,
    /// those of the segments that the file has.
    pub(super) fn free(&self) -> u64 {
        let segments = if self.is_stuck {
            self.segments.into()
        } else {
            self.segments_max as u64
        };
        segments * SEGMENT_SAMPLES - self.head - self.len
    }

    /// Returns how many samples fit within the limit.
    pub(super) fn capacity(&self) -> u64 {
        self.segments_max as u64 * SEGMENT_SAMPLES
    }

    /// Lets the next push try to grow the file again.
    pub(super) fn retry_growing(&mut self) {
        self.is_stuck = false;
    }

    /// Writes as many samples as there is room for.
    ///
    /// # Errors
    ///
    /// When the disk is full or the file cannot be written. What was written before counts:
    /// [`len`](Self::len) says how much. [`free`](Self::free) then promises no new segment until
    /// [`retry_growing`](Self::retry_growing) is called or the file is empty.
    pub(super) fn push(&mut self, samples: &[f32]) -> io::Result<()> {
        let room = index(self.free()).min(samples.len());
        let mut rest = &samples[..room];
        while !rest.is_empty() {
            let at = self.head + self.len;
            let filled = index(at / SEGMENT_SAMPLES);
            if filled == self.filled.len() {
                if self.free.is_empty() {
                    self.grow().inspect_err(|_| self.is_stuck = true)?;
                }
                self.filled.extend(self.free.pop());
            }
            let within = at % SEGMENT_SAMPLES;
            let (now, later) = rest.split_at(rest.len().min(index(SEGMENT_SAMPLES - within)));
            let written = self
                .seek(filled, within)
                .and_then(|()| self.file.write_all(bytemuck::cast_slice(now)));
            written.inspect_err(|_| self.is_stuck = true)?;
            self.len += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Copies the samples from `offset` on into `out`, as many as there are, and returns how many.
    /// They stay in the file. Offset 0 is the oldest sample.
    pub(super) fn read_at(&mut self, offset: u64, out: &mut [f32]) -> io::Result<usize> {
        let count = index(self.len.saturating_sub(offset)).min(out.len());
        let mut rest = &mut out[..count];
        let mut at = self.head + offset;
        while !rest.is_empty() {
            let within = at % SEGMENT_SAMPLES;
            let now = rest.len().min(index(SEGMENT_SAMPLES - within));
            let (part, later) = rest.split_at_mut(now);
            self.seek(index(at / SEGMENT_SAMPLES), within)?;
            self.file.read_exact(bytemuck::cast_slice_mut(part))?;
            at += now as u64;
            rest = later;
        }
        Ok(count)
    }

    /// Removes the oldest samples, at most all.
    pub(super) fn skip(&mut self, count: u64) {
        let count = count.min(self.len);
        self.head += count;
        self.len -= count;
        while self.head >= SEGMENT_SAMPLES {
            self.head -= SEGMENT_SAMPLES;
            self.free.extend(self.filled.pop_front());
        }
        if self.len == 0 {
            self.shrink();
        }
    }

    /// Adds a segment to the file, with its space on the disk.
    fn grow(&mut self) -> io::Result<()> {
        reserve(&mut self.file, u64::from(self.segments) * SEGMENT_BYTES)?;
        self.free.push(self.segments);
        self.segments += 1;
        Ok(())
    }

    /// Returns the disk space of an empty file, but for one segment: a backlog that comes and goes
    /// around the size of the memory then finds its space again.
    fn shrink(&mut self) {
        self.head = 0;
        self.is_stuck = false;
        self.free.extend(self.filled.drain(..));
        if self.segments > 1 && self.file.set_len(SEGMENT_BYTES).is_ok() {
            self.segments = 1;
            self.free.clear();
            self.free.push(0);
        }
    }

    /// Moves the file's position to a sample of one of the filled segments.
    fn seek(&mut self, filled: usize, within: u64) -> io::Result<()> {
        let at = u64::from(self.filled[filled]) * SEGMENT_BYTES + within * size_of::<f32>() as u64;
        self.file.seek(SeekFrom::Start(at)).map(drop)
    }
}

/// Returns a count as an index, which saturates on machines of 32 bits.
fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
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

/// Reserves the space of a segment at the end of the file.
fn reserve(file: &mut File, at: u64) -> io::Result<()> {
    // Not on Apple's systems, where a reservation counts from the end of what is reserved already:
    // to reserve segment by segment would take the square of the space.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::io::Errno;
        let whole = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&*file, whole, at, SEGMENT_BYTES) {
            // File systems that cannot reserve: NFS before 4.2, FAT, some in user space.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            done => return done.map_err(io::Error::from),
        }
    }
    write_zeros(file, at)
}

/// Reserves the space of a segment where the system has no call for it.
fn write_zeros(file: &mut File, at: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    io::copy(&mut io::repeat(0).take(SEGMENT_BYTES), file)?;
    // A file system on a network takes writes before it knows that there is room for them.
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spill(segments: u64) -> Spill {
        Spill::create(&std::env::temp_dir(), segments * SEGMENT_BYTES).unwrap()
    }

    /// Reads and removes the oldest samples.
    fn take(spill: &mut Spill, count: usize) -> Vec<f32> {
        let mut out = vec![0.0; count];
        let count = spill.read_at(0, &mut out).unwrap();
        spill.skip(count as u64);
        out.truncate(count);
        out
    }

    #[test]
    fn a_full_file_takes_no_more_and_an_empty_one_has_nothing() {
        let mut spill = spill(2);
        let capacity = index(spill.capacity());
        assert_eq!(spill.read_at(0, &mut [0.0]).unwrap(), 0);
        spill.push(&vec![0.5; capacity + 1]).unwrap();
        assert_eq!((spill.len(), spill.free()), (spill.capacity(), 0));
        spill.push(&[0.5]).unwrap();
        assert_eq!(spill.len(), spill.capacity());
        assert_eq!(take(&mut spill, capacity + 1).len(), capacity);
        assert_eq!((spill.len(), spill.free()), (0, spill.capacity()));
    }

    #[test]
    fn reading_leaves_the_samples_where_they_are() {
        let mut spill = spill(2);
        spill.push(&[1.0, 2.0, 3.0]).unwrap();
        let mut out = [0.0; 4];
        for _ in 0..2 {
            assert_eq!(spill.read_at(1, &mut out).unwrap(), 2);
            assert_eq!(out, [2.0, 3.0, 0.0, 0.0]);
        }
        assert_eq!(spill.read_at(3, &mut out).unwrap(), 0);
        assert_eq!(spill.read_at(9, &mut out).unwrap(), 0);
    }

    /// Bytes that the file has, and bytes that it takes of the disk.
    fn size(spill: &Spill) -> (u64, u64) {
        let metadata = spill.file.metadata().unwrap();
        #[cfg(unix)]
        let taken = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
        #[cfg(not(unix))]
        let taken = metadata.len();
        (metadata.len(), taken)
    }

    #[test]
    fn the_disk_is_taken_as_the_backlog_needs_it() {
        let mut spill = spill(1 << 20); // a limit of 1 TiB
        assert_eq!(size(&spill).0, SEGMENT_BYTES);
        let segment = vec![0.5; index(SEGMENT_SAMPLES)];
        for segments in 1..=3 {
            spill.push(&segment).unwrap();
            assert_eq!(size(&spill).0, segments * SEGMENT_BYTES);
            assert!(size(&spill).1 >= segments * SEGMENT_BYTES);
        }
        // A segment that was read is used again, however long the file is in use.
        for _ in 0..10 {
            take(&mut spill, segment.len());
            spill.push(&segment).unwrap();
        }
        assert_eq!(size(&spill).0, 3 * SEGMENT_BYTES);
        take(&mut spill, 3 * segment.len());
        assert_eq!(size(&spill).0, SEGMENT_BYTES);
        spill.push(&segment).unwrap();
        assert_eq!(take(&mut spill, segment.len()), segment);
    }

    #[test]
    fn space_can_be_reserved_without_a_call_for_it() {
        let mut file = tempfile::tempfile().unwrap();
        write_zeros(&mut file, SEGMENT_BYTES).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 2 * SEGMENT_BYTES);
    }

    /// A file that cannot be written stands for a disk that is full.
    #[test]
    fn a_file_that_cannot_grow_has_no_room_until_it_is_tried_again() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let mut spill = Spill::over(File::open(path.path()).unwrap(), 2);
        assert_eq!(spill.free(), spill.capacity());
        spill.push(&[0.5]).unwrap_err();
        assert_eq!((spill.len(), spill.free()), (0, 0));
        spill.push(&[0.5]).unwrap();
        assert_eq!(spill.len(), 0);
        spill.retry_growing();
        assert_eq!(spill.free(), spill.capacity());
        spill.file = tempfile::tempfile().unwrap();
        spill.push(&[0.5]).unwrap();
        assert_eq!(take(&mut spill, 2), [0.5]);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, cases: 20, ..Default::default()
        })]

        /// However it is written and read, what comes out is what went in, in order, over many
        /// times its size.
        #[test]
        fn first_in_is_first_out(
            steps in prop::collection::vec((0_usize..400_000, 0_usize..400_000), 1..40),
        ) {
            let mut spill = spill(2);
            let mut model = VecDeque::new();
            let mut next = 0_u32;
            for (written, read) in steps {
                #[expect(clippy::cast_precision_loss, reason = "whole numbers below 2^24")]
                let samples: Vec<f32> = (0..written)
                    .map(|_| { next = (next + 1) % (1 << 24); next as f32 })
                    .collect();
                let room = spill.free();
                prop_assert!(room + spill.len() + SEGMENT_SAMPLES > spill.capacity());
                spill.push(&samples).unwrap();
                let taken = index(spill.len()) - model.len();
                prop_assert_eq!(taken, samples.len().min(index(room)));
                model.extend(&samples[..taken]);
                let expected: Vec<f32> = model.drain(..read.min(model.len())).collect();
                prop_assert!(take(&mut spill, read) == expected);
                prop_assert_eq!(spill.len(), model.len() as u64);
            }
        }
    }
}
