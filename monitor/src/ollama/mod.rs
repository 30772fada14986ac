//! Ollama's models: in memory only when they pay for it, and provably out again.

mod answers;
mod cancel;
mod client;
#[cfg(feature = "cli")]
pub mod command;
mod error;
mod estimate;
mod host;
mod info;
mod keep_alive;
mod manager;
mod plan;
mod profile;
mod report;
mod shape;
mod sight;
mod state;
mod transport;
mod unload;
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
pub use manager::{Event, Lease, Manager, ManagerError, Settings, UnloadReason};
pub use plan::{CTX_STEPS, DoesNotFit, Plan, PlanOptions, plan};
pub use profile::{LoadProfile, NUM_BATCH};
pub use report::{LoadedModel, ModelMemoryReport};
pub use shape::{ModelShape, ShapeError};
pub use sight::{Local, Runner, Sight};
pub use state::ModelState;
pub use transport::{Patience, Within};
pub use unload::{KeptModel, ModelUnloadResult, Stuck, UnloadedModel};
pub use version::Version;
pub use wire::{Details, InstalledModel, Message, Piece, PullStep, RunningModel, Show, is_cloud};
