//! What a manager may do, all of it changeable while it works.

use std::time::Duration;

use super::super::{KvType, Quantization, ServerTraits, Version};

/// Settings of a [`Manager`](super::Manager). Changes act at the next load, the next job or the next
/// [`tick`](super::Manager::tick), whichever comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Whether weights are mapped. Off by default: on a CPU mapping makes the resident size larger, by the copy of the
    /// weights that is repacked.
    pub memory_mapping: bool,
    /// Bytes that all models together may take by their estimates.
    pub models_bytes_max: u64,
    /// Models that the server holds at the same time, those of other programs among them: its
    /// `OLLAMA_MAX_LOADED_MODELS`, by default three on a CPU and three for each GPU. Beyond it the server unloads by its
    /// own rules, which do not know who is leased.
    pub models_max: usize,
    /// How long an unused model stays. `None`: until somebody unloads it.
    pub idle_timeout: Option<Duration>,
    /// Largest context that is asked for.
    pub ctx_max: u32,
    /// Smallest context that is of use: rather than go below it, an unused model is unloaded, or the load refused.
    pub ctx_min: u32,
    /// Bytes of the machine that loads leave free.
    pub reserve_bytes: u64,
    /// Private bytes of a process beyond what the server claims for its model, above which the model is unloaded after
    /// a job: `llama-server` keeps up to 8 GiB of prompts that no figure of the server counts.
    pub unclaimed_bytes_max: u64,
    /// How long an unload may take before it is reported as stuck.
    pub unload_max: Duration,
    /// Whether a process that is stuck, then, is killed, though we did not start it: a job of another program that uses
    /// it dies with it. Off by default; only the user can know.
    pub kill_stuck: bool,
    /// How long a load may show no progress, in its process and on its connection, before it is given up.
    pub load_stall_max: Duration,
    /// Type of the server's KV cache, which it does not tell.
    pub kv_type: KvType,
    /// Bits of the weights that are enough. A model cannot be loaded with fewer than its file has, so a report
    /// recommends another one: installed, or to be pulled. `None`: nothing is recommended.
    pub quantization: Option<Quantization>,
    /// Layers on the GPU: `None` lets the server choose, 0 keeps models on the CPU.
    pub num_gpu: Option<i32>,
    /// Threads; `None` lets the server choose.
    pub num_thread: Option<u32>,
}

impl Default for Settings {
    /// What suits a desktop of 8 GB beside a speech model.
    fn default() -> Self {
        Self {
            memory_mapping: false,
            models_bytes_max: u64::MAX,
            models_max: 3,
            idle_timeout: Some(Duration::from_secs(300)),
            ctx_max: 8192,
            ctx_min: 2048,
            reserve_bytes: 512 << 20,
            unclaimed_bytes_max: 512 << 20,
            unload_max: Duration::from_secs(30),
            kill_stuck: false,
            load_stall_max: Duration::from_secs(600),
            kv_type: KvType::F16,
            quantization: None,
            num_gpu: None,
            num_thread: None,
        }
    }
}

impl Settings {
    pub(super) fn server_traits(&self, version: &Version) -> ServerTraits {
        ServerTraits {
            kv_type: self.kv_type,
            ..ServerTraits::of(version)
        }
    }
}
