//! The difference between a leak and fragmentation.

use super::finding::Cause;

/// Distinguishes a leak from fragmentation by the growth of the private bytes and of the bytes that
/// the program itself has allocated.
#[must_use]
pub fn cause(private_grown_mb: f64, allocated_grown_mb: f64) -> Cause {
    // An allocator's own rounding keeps a few percent, and growth of less than a quarter explains
    // nothing.
    if allocated_grown_mb < 0.25 * private_grown_mb {
        Cause::Fragmentation
    } else {
        Cause::Held
    }
}
