//! Which server it is, and what follows from that.

use std::fmt;

/// A server's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    text: String,
    number: Option<(u32, u32)>,
}

impl Version {
    /// Reads a version such as `0.24.0` or `0.33.0-rc2`. A development build calls itself `0.0.0` and counts as newest.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.trim_start_matches('v').split(['.', '-']);
        let mut number = || parts.next()?.parse().ok();
        let number = number().zip(number());
        Self {
            text: text.to_owned(),
            number: number.filter(|n| *n != (0, 0)),
        }
    }

    /// Whether every model runs in a `llama-server` process, as since 0.30: no memory check on a CPU, an automatic
    /// batch, a hidden cache of prompts, and a model that loads is not listed.
    #[must_use]
    pub fn runs_llama_server(&self) -> bool {
        self.at_least(30)
    }

    /// Whether `/api/ps` says the context of a model, as since 0.10.
    #[must_use]
    pub fn lists_context(&self) -> bool {
        self.at_least(10)
    }

    /// The most requests for which a model's KV cache is made by default: four at once up to 0.9.
    #[must_use]
    pub fn parallel_default(&self) -> u32 {
        if self.at_least(10) { 1 } else { 4 }
    }

    fn at_least(&self, minor: u32) -> bool {
        self.number.is_none_or(|number| number >= (0, minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_follow_the_minor_version() {
        let check = |text: &str, expected: (bool, bool, u32)| {
            let version = Version::parse(text);
            let gates = (
                version.runs_llama_server(),
                version.lists_context(),
                version.parallel_default(),
            );
            assert_eq!(gates, expected, "{text}");
        };
        check("0.9.6", (false, false, 4));
        check("0.24.0", (false, true, 1));
        check("0.30.0", (true, true, 1));
        check("0.33.0-rc2", (true, true, 1));
        check("1.0.0", (true, true, 1));
        check("0.0.0", (true, true, 1));
        check("nightly", (true, true, 1));
    }
}
