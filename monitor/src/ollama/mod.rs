//! Loads the models of an Ollama server when they are needed, and verifies that they leave memory.
//!
//! ```text
//!  Manager ──▶ plan ──▶ Estimate ◀── ModelShape ◀── show     what fits, before anything is loaded
//!     │──────▶ Lease ──▶ Client ──▶ server                   one LoadProfile in every request
//!     │──────▶ unload ─▶ list + process + free memory        gone, or stuck with a remedy
//!     └──────▶ ModelMemoryReport                             claimed and measured, side by side
//! ```
//!
//! | question | file |
//! |---|---|
//! | How are requests sent, and what do they contain? | `client` |
//! | How are amounts of memory put into words? | `figures` |
//! | How much memory does a model take, and which context fits? | `plan` |
//! | What do the machine and its processes show? | `probe` |
//! | Which model is it, and in which state? | `state` |
//! | What was the result, and why did something fail? | `outcome` |
//! | How is an unload verified? | `unload` |
//! | What do models cost, and what would save memory? | `report` |
//! | When is a model loaded, shared and unloaded? | `manager` |
//! | How is a server of the app's own started? | `own_server` |
//!
//! Each module uses only modules above it in this table.
//!
//! All calls block. The module starts no thread, and connects over plain HTTP.
//!
//! # Examples
//!
//! ```no_run
//! use std::sync::Arc;
//! use steadyscribe_monitor::ollama::{Cancel, Client, Host, LocalProbe, Manager, Prompt, Settings};
//!
//! let host = Host::from_env()?;
//! let probe = Arc::new(LocalProbe::of_host(&host));
//! let manager = Manager::new(Client::new(host), probe, Settings::default());
//! let lease = manager.lease("llama3.2:3b", &Cancel::new())?; // plans a context, then loads
//! let prompt = Prompt::text("Why is the sky blue?");
//! let (text, _) = lease.generate(&prompt, &Cancel::new())?.collect_text()?;
//! lease.finish()?; // unloads the model if its process has grown too large
//! let result = manager.unload_unused_models()?; // verified by list, process and free memory
//! println!("{text}\n{} bytes were freed", result.memory_freed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//!
//! * A leased model is never unloaded, under any of its names.
//! * A model is loaded once, with one profile, which every request repeats.
//! * At every load, the estimates of all managed models stay within the limit.
//! * No process is killed, with two exceptions: an [`OwnServer`] with its runners, and, if the user
//!   allows it, a runner that is stuck or whose server has ended.

mod client;
mod figures;
mod manager;
mod outcome;
mod own_server;
mod plan;
mod probe;
mod report;
mod state;
mod unload;

pub use client::error::OllamaError;
pub use client::profile::{KeepAlive, LoadProfile, NUM_BATCH};
pub use client::server::{Host, HostError, Version};
pub use client::stream::ResponseStream;
pub use client::transport::{Cancel, StallPolicy, StallTimeout};
pub use client::wire::{
    Chunk, InstalledModel, Message, ModelDescription, ModelDetails, PullProgress, RunningModel,
};
pub use client::{Client, Prompt};
pub use manager::{Lease, Manager, Settings};
pub use outcome::{
    KeptModel, ManagerError, ModelEvent, ModelUnloadResult, Stuck, UnloadReason, UnloadedModel,
};
pub use own_server::{OwnServer, ServerPreset, StartError};
pub use plan::estimate::{Estimate, KvType, ServerTraits};
pub use plan::quantization::{Quantization, QuantizationAdvice};
pub use plan::shape::{ModelShape, ShapeError};
pub use plan::{DoesNotFit, Plan, PlanOptions, plan};
pub use probe::{LocalProbe, ModelMemory, Probe, Runner};
pub use report::{LoadedModel, ModelMemoryReport};
pub use state::ModelState;
