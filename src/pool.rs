//! A fixed number of blocks of audio, allocated once and reused.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use steadyscribe_monitor::Gauge;

use crate::cancel::Cancel;
use crate::config::{BLOCK_SAMPLES, POOL_BLOCKS_MAX, POOL_BLOCKS_MIN};
use crate::error::ConfigError;

/// Blocks of decoded audio, all allocated in [`Pool::new`]. After that, no memory is allocated:
/// [`Pool::acquire`] waits until a block is released.
///
/// # Memory
///
/// `slots` x 32,000 bytes, for the life of the pool.
#[derive(Debug)]
pub struct Pool {
    free: Receiver<Box<[f32]>>,
    slots: Arc<Slots>,
}

/// The blocks of a pool, as the pool, its resizers and its lent blocks share them.
#[derive(Debug)]
struct Slots {
    free: Sender<Box<[f32]>>,
    /// Slots that the pool was made with.
    max: usize,
    size: Mutex<Size>,
    acquired: AtomicU64,
    released: AtomicU64,
    lent_peak: AtomicU64,
}

/// How many blocks there are and may be. One lock covers both numbers and every move of a block
/// back among the free ones, so that neither a resize nor a release acts on half of a change.
#[derive(Debug)]
struct Size {
    /// Blocks that exist, free or lent.
    alive: usize,
    /// Blocks that may exist.
    limit: usize,
    /// Where the bytes of the blocks are published.
    gauge: Option<Gauge>,
}

/// The wait for a block ended without one: it was cancelled, or the reader of filled blocks has
/// gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the wait for a block of audio was stopped")]
#[non_exhaustive]
pub struct Stopped;

impl Pool {
    /// Makes a pool of `slots` blocks, 2 to 1,024.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for any other number. With one slot, the thread that fills
    /// blocks and the thread that reads them would wait for each other.
    pub fn new(slots: usize) -> Result<Self, ConfigError> {
        within(slots, POOL_BLOCKS_MAX)?;
        let (sender, free) = bounded(slots);
        for _ in 0..slots {
            // The receiver is alive and has room for each slot.
            let _ = sender.send(new_block());
        }
        let slots = Slots {
            free: sender,
            max: slots,
            size: Mutex::new(Size {
                alive: slots,
                limit: slots,
                gauge: None,
            }),
            acquired: AtomicU64::new(0),
            released: AtomicU64::new(0),
            lent_peak: AtomicU64::new(0),
        };
        Ok(Self {
            free,
            slots: Arc::new(slots),
        })
    }

    /// Takes an empty block; waits until one is free.
    ///
    /// `reader` carries nothing: it disconnects when the reader of filled blocks ends, after which
    /// the blocks in its queue never come back. It must have room for one message, because waiting
    /// on a channel without room allocates each time.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when `cancel` is raised or `reader` disconnects, before or during the wait.
    pub fn acquire(&self, cancel: &Cancel, reader: &Receiver<()>) -> Result<Block, Stopped> {
        let samples = select_biased! {
            recv(cancel.raised()) -> _ => return Err(Stopped),
            recv(reader) -> _ => return Err(Stopped),
            // The pool itself holds a sender, so the channel cannot be disconnected.
            recv(self.free) -> block => block.map_err(|_| Stopped)?,
        };
        let acquired = self.slots.acquired.fetch_add(1, Ordering::Relaxed) + 1;
        let lent = acquired.saturating_sub(self.slots.released.load(Ordering::Relaxed));
        self.slots.lent_peak.fetch_max(lent, Ordering::Relaxed);
        Ok(Block {
            samples,
            len: 0,
            slots: Arc::clone(&self.slots),
        })
    }

    /// Returns a handle that changes how many blocks there are.
    #[must_use]
    pub(crate) fn resizer(&self) -> Resizer {
        Resizer {
            free: self.free.clone(),
            slots: Arc::clone(&self.slots),
        }
    }

    /// Adds the bytes of all blocks to a gauge, and keeps it up to date for as long as the blocks
    /// exist.
    pub(crate) fn publish(&self, gauge: Gauge) {
        let mut size = self.slots.size();
        gauge.add(size.bytes());
        size.gauge = Some(gauge);
    }

    /// Returns the bytes of all blocks that exist, free or lent.
    #[must_use]
    pub(crate) fn held_bytes(&self) -> u64 {
        self.slots.size().bytes()
    }

    /// Returns how many blocks the pool was made with.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.max
    }

    /// Returns how many blocks can be taken without waiting.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// Returns the counts of blocks taken and released.
    #[must_use]
    pub(crate) fn stats(&self) -> PoolStats {
        PoolStats {
            acquired: self.slots.acquired.load(Ordering::Relaxed),
            released: self.slots.released.load(Ordering::Relaxed),
            lent_peak: self.slots.lent_peak.load(Ordering::Relaxed),
        }
    }
}

/// Changes how many blocks a pool has, from any thread. Clones change the same pool.
#[derive(Clone, Debug)]
pub(crate) struct Resizer {
    free: Receiver<Box<[f32]>>,
    slots: Arc<Slots>,
}

impl Resizer {
    /// Limits the pool to `blocks` blocks, 2 to what it was made with. Free blocks above the limit
    /// are freed at once, lent ones when they are released; missing ones are allocated.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for any other number; nothing changes then.
    pub(crate) fn resize(&self, blocks: usize) -> Result<(), ConfigError> {
        within(blocks, self.slots.max)?;
        let mut size = self.slots.size();
        size.limit = blocks;
        while size.alive > size.limit && self.free.try_recv().is_ok() {
            size.shrink();
        }
        while size.alive < size.limit {
            size.grow();
            // There is room: no more blocks than slots are ever alive.
            let _ = self.slots.free.try_send(new_block());
        }
        Ok(())
    }
}

/// Bytes of one block.
const BLOCK_BYTES: u64 = (BLOCK_SAMPLES * size_of::<f32>()) as u64;

impl Size {
    fn bytes(&self) -> u64 {
        self.alive as u64 * BLOCK_BYTES
    }

    /// Counts a block that was allocated.
    fn grow(&mut self) {
        self.alive += 1;
        if let Some(gauge) = &self.gauge {
            gauge.add(BLOCK_BYTES);
        }
    }

    /// Counts a block that is freed.
    fn shrink(&mut self) {
        self.alive -= 1;
        if let Some(gauge) = &self.gauge {
            gauge.sub(BLOCK_BYTES);
        }
    }
}

impl Drop for Size {
    fn drop(&mut self) {
        if let Some(gauge) = &self.gauge {
            gauge.sub(self.bytes());
        }
    }
}

impl Slots {
    /// No code that holds the lock can panic between two related changes.
    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a block back among the free ones, or frees it if there are too many.
    fn give_back(&self, block: Box<[f32]>) {
        let mut size = self.size();
        if size.alive > size.limit {
            size.shrink();
        } else {
            // There is room for each slot, so this fails only when the pool has gone, and then the
            // block goes with it.
            let _ = self.free.try_send(block);
        }
    }
}

fn new_block() -> Box<[f32]> {
    vec![0.0; BLOCK_SAMPLES].into_boxed_slice()
}

/// Checks a number of blocks against the least that works and `max`.
#[expect(clippy::cast_precision_loss, reason = "slot counts are small")]
fn within(blocks: usize, max: usize) -> Result<(), ConfigError> {
    let [asked, min, max] = [blocks, POOL_BLOCKS_MIN, max].map(|blocks| blocks as f64);
    ConfigError::check_range("pool_blocks", asked, min, max)
}

/// Counts of a pool since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct PoolStats {
    /// Blocks that were taken.
    pub acquired: u64,
    /// Blocks that were released.
    pub released: u64,
    /// Most blocks that were lent at once.
    pub lent_peak: u64,
}

/// One slot's worth of samples, 16 kHz mono. Dropping it returns it to its pool;
/// [`Block::release`] does so visibly.
pub struct Block {
    samples: Box<[f32]>,
    len: usize,
    slots: Arc<Slots>,
}

impl Block {
    /// Appends as many of `samples` as fit, and returns how many did.
    pub fn fill(&mut self, samples: &[f32]) -> usize {
        let taken = samples.len().min(BLOCK_SAMPLES - self.len);
        self.samples[self.len..self.len + taken].copy_from_slice(&samples[..taken]);
        self.len += taken;
        taken
    }

    /// Returns whether the block has no room left.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.len == BLOCK_SAMPLES
    }

    /// Returns the block to its pool.
    pub fn release(self) {}
}

impl Deref for Block {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.samples[..self.len]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // Counted before it can be taken again, so that `acquired - released` never exceeds the
        // slots.
        self.slots.released.fetch_add(1, Ordering::Relaxed);
        self.slots.give_back(std::mem::take(&mut self.samples));
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::never;
    use proptest::prelude::*;

    use super::*;

    fn pool(slots: usize) -> Pool {
        Pool::new(slots).expect("a valid number of slots")
    }

    #[test]
    fn refuses_numbers_of_slots_that_cannot_work() {
        for slots in [0, 1, POOL_BLOCKS_MAX + 1] {
            assert!(
                matches!(Pool::new(slots), Err(ConfigError::OutOfRange { .. })),
                "{slots}"
            );
        }
        assert_eq!(pool(2).free(), 2);
    }

    #[test]
    fn acquire_waits_for_release() {
        let (pool, cancel) = (pool(2), Cancel::new());
        let first = pool.acquire(&cancel, &never()).expect("free");
        let second = pool.acquire(&cancel, &never()).expect("free");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.acquire(&cancel, &never()).map(|block| block.len()));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished(), "no slot is free");
            first.release();
            assert_eq!(waiting.join().expect("no panic"), Ok(0));
        });
        second.release();
        let expected = PoolStats {
            acquired: 3,
            released: 3,
            lent_peak: 2,
        };
        assert_eq!(pool.stats(), expected);
    }

    #[test]
    fn cancel_ends_the_wait() {
        let (pool, cancel) = (pool(2), Cancel::new());
        let _lent = [
            pool.acquire(&cancel, &never()).expect("free"),
            pool.acquire(&cancel, &never()).expect("free"),
        ];
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.acquire(&cancel, &never()).map(drop));
            cancel.cancel();
            assert_eq!(waiting.join().expect("no panic"), Err(Stopped));
        });
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_wait() {
        let (pool, cancel) = (pool(2), Cancel::new());
        let _queued = [
            pool.acquire(&cancel, &never()),
            pool.acquire(&cancel, &never()),
        ];
        let (alive, reader) = bounded(1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.acquire(&cancel, &reader).map(drop));
            drop(alive);
            assert_eq!(waiting.join().expect("no panic"), Err(Stopped));
        });
    }

    #[test]
    fn fill_takes_what_fits() {
        let pool = pool(2);
        let mut block = pool.acquire(&Cancel::new(), &never()).expect("free");
        assert_eq!(block.fill(&[0.5; BLOCK_SAMPLES - 1]), BLOCK_SAMPLES - 1);
        assert_eq!(block.fill(&[0.25; 3]), 1);
        assert!(block.is_full());
        assert_eq!(block.fill(&[0.25; 3]), 0);
        assert_eq!(block.last(), Some(&0.25));
        drop(pool); // the block outlives its pool
    }

    #[test]
    fn a_smaller_pool_frees_blocks_and_a_larger_one_has_them_again() {
        let (pool, cancel) = (pool(4), Cancel::new());
        let (first, second) = (
            pool.acquire(&cancel, &never()),
            pool.acquire(&cancel, &never()),
        );
        let third = pool.acquire(&cancel, &never()).expect("free");
        let resizer = pool.resizer();
        assert!(resizer.resize(1).is_err() && resizer.resize(5).is_err());
        resizer.resize(2).expect("a valid number");
        assert_eq!((pool.free(), pool.held_bytes()), (0, 3 * 32_000));
        third.release(); // one too many: freed
        assert_eq!((pool.free(), pool.held_bytes()), (0, 2 * 32_000));
        drop((first, second));
        assert_eq!((pool.free(), pool.held_bytes()), (2, 2 * 32_000));
        resizer.resize(4).expect("a valid number");
        assert_eq!((pool.free(), pool.held_bytes()), (4, 4 * 32_000));
    }

    /// Two threads that resize at the same time, each to its own size. Both calls return, and the
    /// pool ends with one of the two sizes.
    #[test]
    fn resizing_from_two_threads_ends_with_one_of_the_sizes() {
        let pool = pool(4);
        let (done, ended) = bounded(2);
        let both = Arc::new(std::sync::Barrier::new(2));
        for size in [2, 4] {
            let (resizer, done, both) = (pool.resizer(), done.clone(), Arc::clone(&both));
            std::thread::spawn(move || {
                both.wait();
                for _ in 0..100_000 {
                    std::thread::yield_now();
                    resizer.resize(size).expect("a valid number");
                }
                let _ = done.send(());
            });
        }
        for _ in 0..2 {
            ended
                .recv_timeout(Duration::from_secs(60))
                .expect("a resize that ends");
        }
        assert!([2, 4].contains(&pool.free()), "{}", pool.free());
        assert_eq!(pool.held_bytes(), pool.free() as u64 * 32_000);
    }

    proptest! {
        /// Whatever is taken and released in whatever order: free + lent = slots, and no block is
        /// lost or lent twice.
        #[test]
        fn slots_are_conserved(
            slots in 2_usize..12, steps in prop::collection::vec(any::<u8>(), 1..200),
        ) {
            let (pool, cancel) = (pool(slots), Cancel::new());
            let mut lent: Vec<Block> = Vec::new();
            for step in steps {
                if step % 2 == 0 && pool.free() > 0 {
                    let block = pool.acquire(&cancel, &never()).expect("one is free");
                    prop_assert!(block.is_empty());
                    let is_new = |other: &Block| other.samples.as_ptr() != block.samples.as_ptr();
                    prop_assert!(lent.iter().all(is_new));
                    lent.push(block);
                } else if !lent.is_empty() {
                    lent.swap_remove(usize::from(step) % lent.len()).release();
                }
                prop_assert_eq!(pool.free() + lent.len(), slots);
                let stats = pool.stats();
                prop_assert_eq!(stats.acquired - stats.released, lent.len() as u64);
            }
        }
    }
}
