//! What a model is loaded with, and how long the server keeps it.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Batch size of every request, in tokens.
///
/// Without it the server picks 1024 above 4096 tokens of context and 2048 above 32768, and the
/// compute buffer grows in proportion.
pub const NUM_BATCH: u32 = 512;

/// Options that make the server reload a model when a request changes them. `shift` belongs to
/// no profile, because it is never sent.
const LOAD_OPTIONS: [&str; 8] = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
    "shift",
];

/// The options that take effect when a model is loaded.
///
/// Every request for the model repeats them. The server reloads the model at the first request
/// that differs, even if it asks for a smaller context.
///
/// Source: Ollama 0.33, server/sched.go, `needsReload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LoadProfile {
    /// Context in tokens.
    pub num_ctx: u32,
    /// Tokens that are computed at once.
    pub num_batch: u32,
    /// Layers on the GPU. `None` leaves the choice to the server; 0 keeps the model on the CPU.
    pub num_gpu: Option<i32>,
    /// Whether the weights are memory-mapped. `None` leaves the choice to the server.
    pub use_mmap: Option<bool>,
    /// Threads. `None` leaves the choice to the server.
    pub num_thread: Option<u32>,
}

impl LoadProfile {
    /// Creates a profile with this context and a batch of [`NUM_BATCH`]. The server chooses the
    /// other options.
    #[must_use]
    pub fn new(num_ctx: u32) -> Self {
        Self {
            num_ctx,
            num_batch: NUM_BATCH,
            num_gpu: None,
            use_mmap: None,
            num_thread: None,
        }
    }

    /// Returns the options of a request without sampling options.
    pub(super) fn options(&self) -> Value {
        self.options_with(&Map::new())
    }

    /// Returns sampling options combined with the profile, which takes precedence.
    pub(super) fn options_with(&self, sampling: &Map<String, Value>) -> Value {
        let mut options: Map<String, Value> = sampling
            .iter()
            .filter(|(name, _)| !LOAD_OPTIONS.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let pinned = [
            ("num_ctx", Some(self.num_ctx.into())),
            ("num_batch", Some(self.num_batch.into())),
            ("num_gpu", self.num_gpu.map(Value::from)),
            ("use_mmap", self.use_mmap.map(Value::from)),
            ("num_thread", self.num_thread.map(Value::from)),
        ];
        let chosen = pinned
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        options.extend(chosen);
        Value::Object(options)
    }
}

/// How long the server keeps a model in memory after a request.
///
/// It is sent as a number of seconds, which every version accepts; the server rejects a string
/// without a unit. Any later request, of any program, replaces the value. A request without one
/// keeps it.
///
/// Source: Ollama 0.33, api/types.go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepAlive {
    /// Until something unloads the model.
    Forever,
    /// For this long after the request has ended. Zero unloads the model at once.
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
            // Whole seconds are sent as an integer, which is easier to read in the server's log.
            Self::For(time) if time.subsec_nanos() == 0 => serializer.serialize_u64(time.as_secs()),
            Self::For(time) => serializer.serialize_f64(time.as_secs_f64()),
        }
    }
}

impl fmt::Display for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::For(time) => write!(f, "{} s", time.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overrides_the_profile() {
        let mut profile = LoadProfile::new(8192);
        profile.use_mmap = Some(true);
        let sampling = serde_json::json!({
            "temperature": 0.1, "num_ctx": 4, "num_gpu": 9, "shift": false, "main_gpu": 1
        });
        assert_eq!(
            profile.options_with(sampling.as_object().unwrap()),
            serde_json::json!({
                "temperature": 0.1, "num_ctx": 8192, "num_batch": 512, "use_mmap": true
            })
        );
    }

    #[test]
    fn keep_alive_is_sent_in_seconds() {
        for (keep_alive, expected) in [
            (KeepAlive::Forever, "-1"),
            (KeepAlive::UNLOAD, "0"),
            (KeepAlive::For(Duration::from_secs(300)), "300"),
            (KeepAlive::For(Duration::from_millis(1500)), "1.5"),
        ] {
            assert_eq!(serde_json::to_string(&keep_alive).unwrap(), expected);
        }
    }
}
