//! Ollama's models: in memory only when they pay for it, and provably out again.

mod answers;
mod cancel;
mod client;
mod error;
mod estimate;
mod host;
mod info;
mod keep_alive;
mod plan;
mod profile;
mod shape;
mod transport;
mod version;
mod wire;

pub use answers::{Answers, Line};
pub use cancel::Cancel;
pub use client::{Client, Prompt};
pub use error::OllamaError;
pub use estimate::{Estimate, KvType, ServerTraits};
pub use host::{Host, HostError};
pub use info::{Info, ModelInfo};
pub use keep_alive::KeepAlive;
pub use plan::{CTX_STEPS, DoesNotFit, Plan, PlanOptions, plan};
pub use profile::{LoadProfile, NUM_BATCH};
pub use shape::{ModelShape, ShapeError};
pub use transport::{Patience, Within};
pub use version::Version;
pub use wire::{Details, InstalledModel, Message, Piece, PullStep, RunningModel, Show, is_cloud};
