//! Counts the allocations of each thread.

#![expect(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

static ALL_LIVE: AtomicU64 = AtomicU64::new(0);
static ALL_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn count(bytes: isize) {
    ALL_LIVE.fetch_add(bytes as u64, Ordering::Relaxed); // wraps for a negative one, as it should
    ALL_ALLOCATIONS.fetch_add(u64::from(bytes > 0), Ordering::Relaxed);
    // A thread that ends frees memory after its counters are gone.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
    if bytes > 0 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    }
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What a piece of work took of the heap, on its own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    /// Most bytes that were held at once beyond those held before.
    pub(crate) peak_bytes: u64,
    /// Allocations, also those that were freed again.
    pub(crate) allocations: u64,
}

/// Keeps the panics of dependencies, which are caught, from being printed: with `RUST_BACKTRACE`
/// one takes 50 MB of the heap.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic
                .location()
                .is_some_and(|at| at.file().contains("symphonia"))
            {
                loud(panic);
            }
        }));
    });
}

/// Does a piece of work and says what it took.
pub(crate) fn measure<T>(work: impl FnOnce() -> T) -> (T, Heap) {
    hush();
    let before = LIVE.get();
    let allocations = ALLOCATIONS.get();
    PEAK.set(before);
    let result = work();
    let peak_bytes = (PEAK.get() - before).unsigned_abs() as u64;
    (
        result,
        Heap {
            peak_bytes,
            allocations: ALLOCATIONS.get() - allocations,
        },
    )
}

/// Allocations so far and bytes that are live now, of all threads.
pub(crate) fn process() -> (u64, u64) {
    (
        ALL_ALLOCATIONS.load(Ordering::Relaxed),
        ALL_LIVE.load(Ordering::Relaxed),
    )
}
