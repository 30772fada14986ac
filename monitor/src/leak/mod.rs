//! Leak verdicts: memory that is acquired and never given back, hour after hour.
//!
//! # Method
//!
//! The **retained floor** of a component at a minute is the least that it held from that minute on,
//! over the window without its last hour: the memory that was acquired by then and not given back
//! since. Saw-teeth of garbage collectors, meetings and caches that empty within the hour leave no
//! trace in it, whatever their period. A leak is a floor that grows in most parts of the window,
//! without slowing down (warm-up, a cache that fills) and not in one jump (a model loaded).
//!
//! # Error rates
//!
//! With one verdict after 24 h on 1,000 labelled traces for each class, target 10 MB/h
//! (`tests/it/leaks.rs` asserts them): stationary behaviour raises `suspected` at most 5 in 1,000
//! times in any class; 10 MB/h is found at least 90 in 100 times. A load that is never undone
//! (about 3 %) and a cache that fills all day (1.3 % of 8,000 traces) look like leaks: declare the
//! load with [`Monitor::reset_leak_verdicts`], and the cache with [`Monitor::declare_cache_bytes`].
//!
//! # Other verdicts
//!
//! [`Meetings`] compares the memory of a component between meetings: "each meeting leaves 40 MB
//! behind" is known after a few of them and says more than a rate. [`cause`](cause()) distinguishes
//! growth of the memory that the program holds from growth of the memory that its allocator keeps.
//!
//! A minute without a known value counts as unchanged, so that a blind reading neither raises nor
//! clears a verdict.
//!
//! [`Monitor::reset_leak_verdicts`]: crate::Monitor::reset_leak_verdicts
//! [`Monitor::declare_cache_bytes`]: crate::Monitor::declare_cache_bytes

mod cause;
mod detector;
mod finding;
mod floor;
mod judge;
mod meetings;

pub use cause::cause;
pub use detector::Detector;
pub use finding::{Cause, Finding, Verdict};
pub use floor::WINDOW_MINUTES;
pub use judge::judge;
pub use meetings::{Meetings, judge_meetings};
