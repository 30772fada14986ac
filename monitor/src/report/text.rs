//! Times, amounts and verdicts in words.

use crate::leak::{Cause, Finding, Verdict};

/// Writes a time as `2026-01-31T12:00:00.000Z`.
///
/// Source: Howard Hinnant, chrono-compatible low-level date algorithms, `civil_from_days`.
#[must_use]
pub fn iso8601(unix_ms: u64) -> String {
    let (days, of_day_ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (of_day_ms / 3_600_000, of_day_ms / 60_000 % 60);
    let (second, ms) = (of_day_ms / 1_000 % 60, of_day_ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Writes bytes for people: `1.25 GiB`, `340 MiB`, `12 KiB`.
#[must_use]
pub fn bytes_text(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib >= 1_024.0 {
        format!("{:.2} GiB", mib / 1_024.0)
    } else if mib >= 100.0 {
        format!("{mib:.0} MiB")
    } else if mib >= 1.0 {
        format!("{mib:.1} MiB")
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

/// Writes bytes that may be unknown.
#[must_use]
pub fn figure_text(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown".to_owned(), bytes_text)
}

/// Writes the leak verdicts of a component: `none seen`, `confirmed: 12 MB/h (10 to 14)`, with the
/// memory that meetings leave behind.
#[must_use]
pub fn leak_text(leak: &Finding, meeting_leak: &Finding) -> String {
    let verdict = |verdict| match verdict {
        Verdict::None => "none seen",
        Verdict::Suspected => "suspected",
        Verdict::Confirmed => "confirmed",
    };
    let mut text = match leak.rate_mb_per_hour {
        None => "too early to judge".to_owned(),
        Some(rate) if leak.verdict > Verdict::None => {
            let (low, high) = leak.rate_interval_mb_per_hour.unwrap_or((rate, rate));
            format!(
                "{}: {rate:.0} MB/h ({low:.0} to {high:.0})",
                verdict(leak.verdict)
            )
        }
        Some(_) => verdict(leak.verdict).to_owned(),
    };
    if leak.cause == Some(Cause::Fragmentation) {
        text.push_str(", fragmentation");
    }
    if meeting_leak.verdict > Verdict::None {
        text.push_str("; ");
        text.push_str(&meeting_leak.evidence);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso8601(ms), expected);
        }
    }

    #[test]
    fn bytes_are_readable() {
        for (bytes, expected) in [
            (0, "0 KiB"),
            (1 << 20, "1.0 MiB"),
            (340 << 20, "340 MiB"),
            (5 << 28, "1.25 GiB"),
        ] {
            assert_eq!(bytes_text(bytes), expected);
        }
    }
}
