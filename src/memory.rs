//! Settings of the C library's allocator that keep freed memory from staying with the process.
//!
//! Whisper's state is allocated by C++. When it is given back, glibc may keep it: it learns from each large
//! block that is freed to carve blocks of that size out of its heap instead of asking the system for them,
//! and a heap only shrinks from its end. Ten times a state made, used and freed: 93 to 120 MB remain where 91
//! MB are the model's.

/// Blocks from this size come from the system and go back to it when they are freed. glibc's own starting
/// value.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD_BYTES: libc::c_int = 128 << 10;

/// Has the allocator give large blocks back to the system as soon as they are freed, for the life of the
/// process. Returns whether the allocator has such a setting: glibc's has.
///
/// It is for the program to decide, at its start: it concerns every part of it. It costs a system call and
/// fresh pages for each block of 128 KiB or more.
#[allow(unsafe_code, reason = "mallopt has no safe wrapper")]
pub fn return_large_blocks() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two numbers and no pointers. It stores the threshold in a word of its own, with
    // its arena locked; an allocation that runs meanwhile in another thread reads either the old or the new
    // value, and both are right for it: how a block was obtained is recorded in the block.
    let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES) == 1 };
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let done = false;
    done
}

/// Gives what is free in the allocator's heaps back to the system. Returns whether there was anything: never
/// where the allocator is not glibc's. Takes about a millisecond.
#[allow(unsafe_code, reason = "malloc_trim has no safe wrapper")]
pub fn trim() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes a number, locks each arena that it works on, and touches only pages that
    // are free.
    let released = unsafe { libc::malloc_trim(0) == 1 };
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let released = false;
    released
}
