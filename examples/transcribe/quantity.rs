//! Parses and writes sizes and times as people write them.

use steadyscribe::Time;

/// Units of bytes. A single letter is a power of 1,000, as in the sizes of disks.
const UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
];

/// Longest accepted time, in seconds: 1,000 days.
const SECONDS_MAX: f64 = 86_400_000.0;

/// Why a quantity is refused.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum QuantityError {
    #[error("expected a number with K, M, G, KiB, MiB or GiB, such as 600M")]
    Bytes,
    #[error("expected seconds or hours:minutes:seconds, such as 90.5 or 1:30:00")]
    Time,
}

/// Parses a size, such as `600M`, `1.5 GB` or `512MiB`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
pub(crate) fn bytes(text: &str) -> Result<u64, QuantityError> {
    let digits = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.trim().parse().map_err(|_| QuantityError::Bytes)?;
    let (_, factor) = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))
        .ok_or(QuantityError::Bytes)?;
    let bytes = number * *factor as f64;
    if !(1.0..1e18).contains(&bytes) {
        return Err(QuantityError::Bytes);
    }
    Ok(bytes as u64)
}

/// Parses a time, such as `90.5`, `1:30` or `1:02:03.5`.
pub(crate) fn time(text: &str) -> Result<Time, QuantityError> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return Err(QuantityError::Time);
    }
    let mut seconds = 0.0;
    for (n, part) in parts.iter().enumerate() {
        // Only digits and a point: `parse` also takes signs, exponents and infinity.
        if !part
            .chars()
            .all(|c| c.is_ascii_digit() || (c == '.' && n + 1 == parts.len()))
        {
            return Err(QuantityError::Time);
        }
        let value: f64 = part.parse().map_err(|_| QuantityError::Time)?;
        if n > 0 && value >= 60.0 {
            return Err(QuantityError::Time);
        }
        seconds = seconds * 60.0 + value;
    }
    if seconds > SECONDS_MAX {
        return Err(QuantityError::Time);
    }
    Ok(Time::from_seconds(seconds))
}

/// Formats a length of time for people, to the second.
pub(crate) fn clock(seconds: f64) -> String {
    let whole = Time::from_seconds(seconds).milliseconds() / 1_000;
    let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// Formats a size for people, in millions of bytes, rounded up.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [
            ("1", 1),
            ("600M", 600_000_000),
            ("600 mb", 600_000_000),
            ("1.5G", 1_500_000_000),
            ("2k", 2_000),
            ("512MiB", 512 << 20),
            ("0.5gib", 512 << 20),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "", "M", "0", "-5M", "600X", "6e3M", "nan", "inf", "1e30", "6 0 M", "600 M B", "é",
        ] {
            assert_eq!(bytes(text), Err(QuantityError::Bytes), "{text}");
        }
    }

    #[test]
    fn times_are_seconds_or_clocks() {
        for (text, expected_s) in [
            ("0", 0.0),
            ("90.5", 90.5),
            ("1:30", 90.0),
            ("01:02:03.25", 3_723.25),
            ("100:00:00", 360_000.0),
        ] {
            assert_eq!(time(text), Ok(Time::from_seconds(expected_s)), "{text}");
        }
        for text in [
            "",
            ":",
            "1:",
            "-1",
            "+1",
            "1e3",
            "1:60",
            "1.5:00",
            "1:2:3:4",
            "90s",
            "99999999999",
            ".",
        ] {
            assert_eq!(time(text), Err(QuantityError::Time), "{text}");
        }
    }

    #[test]
    fn lengths_are_shown_to_the_second() {
        assert_eq!(clock(59.99), "0:59");
        assert_eq!(clock(3_725.0), "1:02:05");
        assert_eq!(megabytes(1), "1 MB");
    }
}
