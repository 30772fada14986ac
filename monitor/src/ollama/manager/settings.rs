//! What a manager may do. Every setting can change while it works.

use std::time::Duration;

use crate::ollama::client::profile::KeepAlive;
use crate::ollama::client::server::Version;
use crate::ollama::plan::estimate::{KvType, ServerTraits};
use crate::ollama::plan::quantization::Quantization;
use crate::ollama::probe::ModelMemory;

/// How much longer than our idle time the server keeps a model. The server's own timer matters
/// only if this process ends first.
const KEEP_ALIVE_SLACK: Duration = Duration::from_secs(30);

/// Settings of a [`Manager`](crate::ollama::Manager). A change takes effect at the next load, the
/// next lease or the next [`tick`](crate::ollama::Manager::tick), whichever comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Whether to map weights. Off by default: on a CPU, mapping increases the resident size by
    /// the repacked copy of the weights.
    pub memory_mapping: bool,
    /// Limit for the sum of all estimates, in bytes.
    pub models_bytes_max: u64,
    /// Models that the server holds at the same time, including those of other programs: its
    /// `OLLAMA_MAX_LOADED_MODELS`, by default three on a CPU and three for each GPU. Above it, the
    /// server unloads models by its own rules, which ignore leases.
    pub models_max: usize,
    /// How long an unused model stays in memory. `None` keeps it until it is unloaded explicitly.
    pub idle_timeout: Option<Duration>,
    /// Largest context to request, in tokens.
    pub ctx_max: u32,
    /// Smallest useful context, in tokens. Below it, an unused model is unloaded or the load is
    /// refused.
    pub ctx_min: u32,
    /// Bytes of available memory that a load must leave free. `None` uses the reserve of the
    /// [`ModelMemory`], which depends on the machine.
    pub reserve_bytes: Option<u64>,
    /// Private bytes of a runner beyond the server's claim, above which the model is unloaded
    /// after a job. `llama-server` keeps up to 8 GiB of prompts that the server does not report.
    pub unclaimed_bytes_max: u64,
    /// How long an unload may take before the model is reported as stuck, and how long an unload
    /// waits for a load in flight.
    pub unload_max: Duration,
    /// Whether to kill the process of a stuck model, although another program may have started it.
    /// A job of another program that uses it is lost. Off by default, because only the user can
    /// decide that.
    pub kill_stuck: bool,
    /// How long a load may make no progress, in its process and on its connection, before it is
    /// aborted.
    pub load_stall_max: Duration,
    /// Type of the server's KV cache, which the API does not report.
    pub kv_type: KvType,
    /// Level of quantization that is sufficient. A model cannot be loaded with fewer bits than its
    /// file has, so reports recommend another model. `None` recommends nothing.
    pub quantization: Option<Quantization>,
    /// Layers on the GPU. `None` leaves the choice to the server; 0 keeps models on the CPU.
    pub num_gpu: Option<i32>,
    /// Threads. `None` leaves the choice to the server.
    pub num_thread: Option<u32>,
}

impl Default for Settings {
    /// Returns settings for a desktop with 8 GB, beside a speech model.
    fn default() -> Self {
        Self {
            memory_mapping: false,
            models_bytes_max: u64::MAX,
            models_max: 3,
            idle_timeout: Some(Duration::from_secs(300)),
            ctx_max: 8192,
            ctx_min: 2048,
            reserve_bytes: None,
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
    /// Returns how long the server keeps a model after each request: slightly longer than the idle
    /// time, because only an unload by the manager is verified.
    #[must_use]
    pub fn keep_alive(&self) -> KeepAlive {
        match self.idle_timeout {
            Some(timeout) => KeepAlive::For(timeout.saturating_add(KEEP_ALIVE_SLACK)),
            None => KeepAlive::Forever,
        }
    }

    pub(super) fn server_traits(&self, version: &Version) -> ServerTraits {
        ServerTraits {
            kv_type: self.kv_type,
            ..ServerTraits::of(version)
        }
    }

    /// Replaces the reserve of a capacity, if one is set.
    pub(super) fn with_reserve(&self, capacity: ModelMemory) -> ModelMemory {
        ModelMemory {
            reserve_bytes: self.reserve_bytes.unwrap_or(capacity.reserve_bytes),
            ..capacity
        }
    }
}
