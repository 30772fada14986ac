//! What a model is loaded with, and never anything else while it is loaded.

use serde::Serialize;
use serde_json::{Map, Value};

use super::wire::RunnerOptions;

/// Batch that every request asks for. The server raises its own to 1024 beyond 4096 tokens of context and to 2048
/// beyond 32768, and the compute buffer grows in proportion.
pub const NUM_BATCH: u32 = 512;

/// Options that make the server load a model again when a request differs in them. `shift` is one that has no place in
/// a profile: it is never sent.
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

/// The options that act when a model is loaded, pinned: every request for the model repeats them, because the server
/// loads it again at the first that differs, even for a smaller context.
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
    /// Layers on the GPU: `None` lets the server choose, 0 keeps the model on the CPU.
    pub num_gpu: Option<i32>,
    /// Whether the weights are mapped. `None` lets the server choose. A choice must be repeated in every request, too.
    pub use_mmap: Option<bool>,
    /// Threads; `None` lets the server choose.
    pub num_thread: Option<u32>,
}

impl LoadProfile {
    /// Makes a profile for a context, with a batch of [`NUM_BATCH`]; the rest is the server's choice.
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

    /// The options of a request that samples nothing.
    pub(super) fn options(&self) -> Value {
        self.options_over(&Map::new())
    }

    /// Options of sampling with the profile over them.
    pub(super) fn options_over(&self, sampling: &Map<String, Value>) -> Value {
        let mut options: Map<String, Value> = sampling
            .iter()
            .filter(|(name, _)| !LOAD_OPTIONS.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let pinned = RunnerOptions {
            num_ctx: self.num_ctx,
            num_batch: self.num_batch,
            num_gpu: self.num_gpu,
            use_mmap: self.use_mmap,
            num_thread: self.num_thread,
        };
        if let Ok(Value::Object(pinned)) = serde_json::to_value(pinned) {
            options.extend(pinned);
        }
        Value::Object(options)
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
            profile.options_over(sampling.as_object().unwrap()),
            serde_json::json!({ "temperature": 0.1, "num_ctx": 8192, "num_batch": 512, "use_mmap": true })
        );
    }
}
