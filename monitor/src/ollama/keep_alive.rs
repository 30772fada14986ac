//! How long the server keeps a model after a request.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// How long a model stays in memory after a request.
///
/// It is sent as a number of seconds, which every version reads; a string without a unit is refused by the server with
/// 400. A later request of anybody replaces it, and a request without it keeps it.
///
/// Source: Ollama 0.33, api/types.go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepAlive {
    /// Until something unloads it.
    Forever,
    /// For this long after the request has ended; zero unloads at once.
    For(Duration),
}

impl KeepAlive {
    /// Unloads the model when the request has ended.
    pub const UNLOAD: Self = Self::For(Duration::ZERO);
}

impl Serialize for KeepAlive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Forever => serializer.serialize_i64(-1),
            // Whole seconds go as an integer: "0" and "0.0" are both zero, but only the integer reads well in logs.
            Self::For(time) if time.subsec_nanos() == 0 => serializer.serialize_u64(time.as_secs()),
            Self::For(time) => serializer.serialize_f64(time.as_secs_f64()),
        }
    }
}

impl fmt::Display for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("for ever"),
            Self::For(time) => write!(f, "{} s", time.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keep_alive: KeepAlive, expected: &str) {
        assert_eq!(serde_json::to_string(&keep_alive).unwrap(), expected);
    }

    #[test]
    fn goes_as_seconds() {
        check(KeepAlive::Forever, "-1");
        check(KeepAlive::UNLOAD, "0");
        check(KeepAlive::For(Duration::from_secs(300)), "300");
        check(KeepAlive::For(Duration::from_millis(1500)), "1.5");
    }
}
