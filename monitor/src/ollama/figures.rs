//! Puts amounts of memory into words.

/// Differences below this are treated as equal.
const SAME_BYTES: u64 = 8 << 20;

/// Formats bytes as `340 MiB` or `1.25 GiB`.
pub(super) fn gib(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    let mib = bytes.saturating_add(MIB / 2) / MIB;
    if mib < 1024 {
        return format!("{mib} MiB");
    }
    let hundredths = (u128::from(bytes) * 100 + (1 << 29)) >> 30;
    format!("{}.{:02} GiB", hundredths / 100, hundredths % 100)
}

/// Explains why a process holds more or less private memory than the server claims for its model.
///
/// `overhead` is the estimate of the process itself; `None` if it is unknown.
pub(super) fn claim_difference(
    claimed: u64,
    private: u64,
    reclaimable: Option<u64>,
    overhead: Option<u64>,
) -> String {
    let more = private.saturating_sub(claimed);
    let less = claimed.saturating_sub(private);
    if more.max(less) < SAME_BYTES {
        return format!(
            "private memory equals the server's claim of {}",
            gib(claimed)
        );
    }
    if less > 0 {
        return explain_less(less, reclaimable.unwrap_or(0));
    }
    let what = format!("{} more private memory than the server claims", gib(more));
    match overhead {
        Some(overhead) if more <= overhead.saturating_add(SAME_BYTES) => {
            format!("{what}: the process itself")
        }
        Some(overhead) => format!(
            "{what}: {} for the process itself, {} most likely for cached prompts",
            gib(overhead),
            gib(more - overhead)
        ),
        None => format!("{what}: the process itself and cached prompts"),
    }
}

fn explain_less(less: u64, reclaimable: u64) -> String {
    let mapped = reclaimable.min(less);
    let rest = less - mapped;
    let mut text = format!("{} less private memory than the server claims", gib(less));
    if mapped >= SAME_BYTES {
        text += &format!("; {} is mapped file pages", gib(mapped));
    }
    if rest >= SAME_BYTES {
        text += &format!(
            "; {} has not been touched yet, or the server counts it twice, as some versions do \
             with mapped weights",
            gib(rest)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn bytes_are_rounded() {
        assert_eq!(gib(0), "0 MiB");
        assert_eq!(gib(MIB * 5 / 2), "3 MiB");
        assert_eq!(gib((1 << 30) - 1), "1.00 GiB");
        assert_eq!(gib(1_610_612_736), "1.50 GiB");
        assert_eq!(gib(u64::MAX), "17179869184.00 GiB");
    }

    fn check(claimed: u64, private: u64, mapped: u64, overhead: Option<u64>, expected: &str) {
        let overhead = overhead.map(|mib| mib * MIB);
        let text = claim_difference(claimed * MIB, private * MIB, Some(mapped * MIB), overhead);
        assert_eq!(text, expected);
    }

    #[test]
    fn more_than_claimed_is_explained_by_its_parts() {
        check(
            2048,
            2050,
            0,
            None,
            "private memory equals the server's claim of 2.00 GiB",
        );
        check(
            2048,
            2152,
            0,
            Some(107),
            "104 MiB more private memory than the server claims: the process itself",
        );
        check(
            2048,
            3072,
            0,
            Some(103),
            "1.00 GiB more private memory than the server claims: 103 MiB for the process itself, \
             921 MiB most likely for cached prompts",
        );
        check(
            2048,
            3072,
            0,
            None,
            "1.00 GiB more private memory than the server claims: the process itself and cached \
             prompts",
        );
    }

    #[test]
    fn less_than_claimed_is_explained_by_its_parts() {
        check(
            3072,
            2048,
            2000,
            None,
            "1.00 GiB less private memory than the server claims; 1.00 GiB is mapped file pages",
        );
        check(
            3072,
            2048,
            512,
            None,
            "1.00 GiB less private memory than the server claims; 512 MiB is mapped file pages; \
             512 MiB has not been touched yet, or the server counts it twice, as some versions do \
             with mapped weights",
        );
    }
}
