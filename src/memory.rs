//! Settings of the process that return unused memory to the system.
//!
//! Whisper's state is allocated by C++. When it is freed, glibc may keep the memory: after each
//! large block that is freed, it takes blocks of that size from its heap instead of the system, and
//! a heap shrinks only from its end. After a state was made, used and freed ten times, 93 to 120 MB
//! remain, of which 91 MB are the model's.

/// Size from which blocks are allocated by the system and returned to it when they are freed:
/// glibc's initial value.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD_BYTES: libc::c_int = 128 << 10;

/// Makes the allocator return large blocks to the system as soon as they are freed, for the life of
/// the process. Returns whether the allocator has such a setting: only glibc's has.
///
/// The program should decide this at its start, because it affects all of its parts. It costs a
/// system call and fresh pages for each block of 128 KiB or more.
#[allow(unsafe_code, reason = "mallopt has no safe wrapper")]
pub fn return_large_blocks() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two numbers and no pointers. It stores the threshold in a word of its
    // own, with its arena locked. An allocation that runs meanwhile in another thread reads either
    // the old or the new value, and both are right: how a block was obtained is recorded in it.
    let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES) == 1 };
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let done = false;
    done
}

/// Returns free memory of the allocator's heaps to the system. Returns whether there was any, which
/// is always false for other allocators than glibc's. Takes about a millisecond.
#[allow(unsafe_code, reason = "malloc_trim has no safe wrapper")]
pub fn trim() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes a number, locks each arena that it works on, and touches only
    // free pages.
    let released = unsafe { libc::malloc_trim(0) == 1 };
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let released = false;
    released
}

/// Restricts this process, and those that it starts, to small pages. Returns whether the kernel can
/// do that: only Linux can.
///
/// If all programs get huge pages (`/sys/kernel/mm/transparent_hugepage/enabled` is `[always]`),
/// the first access to one byte may make 2 MiB private: 3 MB in all with the fixture model, and
/// more with every thread, beyond the [`Plan`](crate::budget::Plan). Small pages cost 10 to 15 % of
/// the speed of encoding there, so this is for programs that must keep to a budget. If only
/// programs that ask get huge pages (`[madvise]`), nothing changes. Call it at the start of the
/// program: existing huge pages remain.
#[allow(unsafe_code, reason = "prctl has no safe wrapper")]
pub fn keep_pages_small() -> bool {
    #[cfg(target_os = "linux")]
    // SAFETY: with this option `prctl` takes a number, the rest must be zero. It changes a flag of
    // the process that the kernel reads when it next chooses a page size. Existing memory stays as
    // it is.
    let done = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 };
    #[cfg(not(target_os = "linux"))]
    let done = false;
    done
}
