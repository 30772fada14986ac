//! Values of arguments.

use steadyscribe_monitor::Component;

/// `NAME=PID`.
pub(super) fn component(text: &str) -> Result<(Component, u32), String> {
    let (name, pid) = text.split_once('=').ok_or("expected NAME=PID")?;
    let pid = pid
        .parse()
        .map_err(|_| format!("`{pid}` is not a process number"))?;
    Ok((named(name)?, pid))
}

/// `NAME=BYTES`.
pub(super) fn limit(text: &str) -> Result<(Component, u64), String> {
    let (name, amount) = text.split_once('=').ok_or("expected NAME=BYTES")?;
    Ok((named(name)?, bytes(amount)?))
}

fn named(name: &str) -> Result<Component, String> {
    Component::from_name(name).ok_or_else(|| {
        let names = Component::ALL
            .map(Component::name)
            .join(", ")
            .to_lowercase();
        format!("unknown component `{name}`; expected one of {names}")
    })
}

/// `512M`, `4G` (powers of 1,024) or plain bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale: u64 = match text[digits.len()..]
        .to_ascii_uppercase()
        .trim_end_matches("IB")
    {
        "" | "B" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        unit => return Err(format!("unknown unit `{unit}`; expected K, M or G")),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("`{text}` is not a number of bytes; write 800M or 4G"))?;
    number
        .checked_mul(scale)
        .ok_or_else(|| format!("`{text}` is more than {} bytes", u64::MAX))
}

/// A rate above 0.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is not a number"))?;
    if rate > 0.0 && rate.is_finite() {
        Ok(rate)
    } else {
        Err(format!("the rate is {text} MB/h; it must be above 0"))
    }
}

/// 0.1 s to a day.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is not a number of seconds"))?;
    if (0.1..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!(
            "{seconds} s is out of range; expected 0.1 to 86,400"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        for (text, expected) in [
            ("0", Some(0)),
            ("12K", Some(12 << 10)),
            ("4g", Some(4 << 30)),
            ("3MiB", Some(3 << 20)),
            ("x", None),
            ("5T", None),
            ("", None),
            ("99999999999G", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
        assert_eq!(component("OLLAMA=7"), Ok((Component::Ollama, 7)));
        assert!(component("ollama").is_err() && component("x=7").is_err());
        assert!(seconds("0").is_err() && seconds("nan").is_err());
    }
}
