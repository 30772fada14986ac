//! A fixed number of blocks of audio, made once and handed round.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};

use crate::cancel::Cancel;
use crate::config::{BLOCK_SAMPLES, POOL_BLOCKS_MAX, POOL_BLOCKS_MIN};
use crate::error::ConfigError;

/// Blocks of decoded audio, all allocated in [`Pool::new`]. After that, no memory is allocated: [`Pool::acquire`] waits
/// for a block that somebody gives back.
///
/// # Memory
///
/// `slots` x 32,000 bytes, for the life of the pool.
#[derive(Debug)]
pub struct Pool {
    free: Receiver<Box<[f32]>>,
    home: Arc<Home>,
    slots: usize,
}

/// Where blocks go back to, with the account of them.
#[derive(Debug)]
struct Home {
    free: Sender<Box<[f32]>>,
    /// Blocks that exist, free or lent.
    alive: AtomicUsize,
    /// Blocks that may exist.
    limit: AtomicUsize,
    acquired: AtomicU64,
    released: AtomicU64,
    lent_peak: AtomicU64,
}

/// The wait for a block has ended without one: cancelled, or nobody takes blocks any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody wants a block any more")]
#[non_exhaustive]
pub struct Stopped;

impl Pool {
    /// Makes a pool of `slots` blocks, 2 to 1,024.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for any other number: with one slot, filling and reading would wait for each other.
    pub fn new(slots: usize) -> Result<Self, ConfigError> {
        within(slots, POOL_BLOCKS_MAX)?;
        let (sender, free) = bounded(slots);
        for _ in 0..slots {
            // The receiver is alive and has room for each slot.
            let _ = sender.send(new_block());
        }
        let home = Home {
            free: sender,
            alive: AtomicUsize::new(slots),
            limit: AtomicUsize::new(slots),
            acquired: AtomicU64::new(0),
            released: AtomicU64::new(0),
            lent_peak: AtomicU64::new(0),
        };
        Ok(Self {
            free,
            home: Arc::new(home),
            slots,
        })
    }

    /// Takes a block, empty. Waits until one is free.
    ///
    /// `taker` carries nothing: it disconnects when nobody takes filled blocks any more. Those that wait in a queue then
    /// never come back. It must have room for one: to wait on a channel without any takes an allocation each time.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when `cancel` is raised or `taker` has gone, before or during the wait.
    pub fn acquire(&self, cancel: &Cancel, taker: &Receiver<()>) -> Result<Block, Stopped> {
        let samples = select_biased! {
            recv(cancel.raised()) -> _ => return Err(Stopped),
            recv(taker) -> _ => return Err(Stopped),
            // The pool itself holds a sender, so the channel cannot be disconnected.
            recv(self.free) -> block => block.map_err(|_| Stopped)?,
        };
        let acquired = self.home.acquired.fetch_add(1, Ordering::Relaxed) + 1;
        let lent = acquired.saturating_sub(self.home.released.load(Ordering::Relaxed));
        self.home.lent_peak.fetch_max(lent, Ordering::Relaxed);
        Ok(Block {
            samples,
            len: 0,
            home: Arc::clone(&self.home),
        })
    }

    /// Returns the handle that changes how many blocks there are.
    #[must_use]
    pub fn resizer(&self) -> Resize {
        Resize {
            free: self.free.clone(),
            home: Arc::clone(&self.home),
            slots: self.slots,
        }
    }

    /// Returns the bytes of all blocks that exist, free or lent.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        (self.home.alive.load(Ordering::Relaxed) * BLOCK_SAMPLES * size_of::<f32>()) as u64
    }

    /// Returns how many blocks the pool was made with.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Returns how many blocks can be taken without waiting.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Returns the pool's account.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            acquired: self.home.acquired.load(Ordering::Relaxed),
            released: self.home.released.load(Ordering::Relaxed),
            lent_peak: self.home.lent_peak.load(Ordering::Relaxed),
        }
    }
}

/// Changes how many blocks a pool has. Clones change the same pool.
#[derive(Clone, Debug)]
pub struct Resize {
    free: Receiver<Box<[f32]>>,
    home: Arc<Home>,
    slots: usize,
}

impl Resize {
    /// Lets the pool have `blocks` blocks, 2 to what it was made with. Free blocks above that are dropped at once, lent
    /// ones when they come back; missing ones are allocated.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for any other number; nothing changes then.
    pub fn resize(&self, blocks: usize) -> Result<(), ConfigError> {
        within(blocks, self.slots)?;
        self.home.limit.store(blocks, Ordering::Relaxed);
        while self.home.alive.load(Ordering::Relaxed) > blocks {
            let Ok(block) = self.free.try_recv() else {
                break;
            };
            self.home.give_back(block);
        }
        while self.home.is_short() {
            // There is room: no more blocks than slots are ever alive.
            let _ = self.home.free.try_send(new_block());
        }
        Ok(())
    }
}

impl Home {
    /// Puts a block back among the free ones, or drops it if there are too many.
    fn give_back(&self, block: Box<[f32]>) {
        let excess = |alive: usize| {
            alive
                .checked_sub(1)
                .filter(|_| alive > self.limit.load(Ordering::Relaxed))
        };
        let dropped = self
            .alive
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, excess)
            .is_ok();
        if !dropped {
            // There is room for each slot; it fails only when the pool is gone, and then the block goes with it.
            let _ = self.free.try_send(block);
        }
    }

    /// Counts one more block as alive if the limit allows it.
    fn is_short(&self) -> bool {
        let missing =
            |alive: usize| (alive < self.limit.load(Ordering::Relaxed)).then_some(alive + 1);
        self.alive
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, missing)
            .is_ok()
    }
}

fn new_block() -> Box<[f32]> {
    vec![0.0; BLOCK_SAMPLES].into_boxed_slice()
}

/// Checks a number of blocks against the least that works and `max`.
#[expect(clippy::cast_precision_loss, reason = "shown to people only")]
fn within(blocks: usize, max: usize) -> Result<(), ConfigError> {
    if (POOL_BLOCKS_MIN..=max).contains(&blocks) {
        return Ok(());
    }
    let (min, max) = (POOL_BLOCKS_MIN as f64, max as f64);
    Err(ConfigError::OutOfRange {
        what: "pool_blocks",
        asked: blocks as f64,
        min,
        max,
    })
}

/// The account of a pool, from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Blocks that were taken.
    pub acquired: u64,
    /// Blocks that were given back.
    pub released: u64,
    /// Most blocks that were out at once.
    pub lent_peak: u64,
}

/// One slot's worth of samples, 16 kHz mono. It goes back to its pool when it is dropped; [`Block::release`] says so
/// in the code.
pub struct Block {
    samples: Box<[f32]>,
    len: usize,
    home: Arc<Home>,
}

impl Block {
    /// Appends as many of `samples` as fit, and returns how many did.
    pub fn fill(&mut self, samples: &[f32]) -> usize {
        let taken = samples.len().min(BLOCK_SAMPLES - self.len);
        self.samples[self.len..self.len + taken].copy_from_slice(&samples[..taken]);
        self.len += taken;
        taken
    }

    /// Returns whether no sample fits any more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len == BLOCK_SAMPLES
    }

    /// Gives the block back to its pool.
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
        // Counted before it can be taken again, so that `acquired - released` never exceeds the slots.
        self.home.released.fetch_add(1, Ordering::Relaxed);
        self.home.give_back(std::mem::take(&mut self.samples));
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
    fn a_taker_that_has_gone_ends_the_wait() {
        let (pool, cancel) = (pool(2), Cancel::new());
        let _queued = [
            pool.acquire(&cancel, &never()),
            pool.acquire(&cancel, &never()),
        ];
        let (alive, taker) = bounded(1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.acquire(&cancel, &taker).map(drop));
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
        third.release(); // one too many: dropped
        assert_eq!((pool.free(), pool.held_bytes()), (0, 2 * 32_000));
        drop((first, second));
        assert_eq!((pool.free(), pool.held_bytes()), (2, 2 * 32_000));
        resizer.resize(4).expect("a valid number");
        assert_eq!((pool.free(), pool.held_bytes()), (4, 4 * 32_000));
    }

    proptest! {
        /// Whatever is taken and given back in whatever order: free + lent = slots, and nothing is lost or doubled.
        #[test]
        fn slots_are_conserved(slots in 2_usize..12, steps in prop::collection::vec(any::<u8>(), 1..200)) {
            let (pool, cancel) = (pool(slots), Cancel::new());
            let mut lent: Vec<Block> = Vec::new();
            for step in steps {
                if step % 2 == 0 && pool.free() > 0 {
                    let block = pool.acquire(&cancel, &never()).expect("one is free");
                    prop_assert!(block.is_empty());
                    prop_assert!(lent.iter().all(|other| other.samples.as_ptr() != block.samples.as_ptr()));
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
