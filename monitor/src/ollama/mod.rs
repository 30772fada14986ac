//! Ollama's models: in memory only when they pay for it, and provably out again.
//!
//! ```text
//!  Manager ──▶ plan ──▶ Estimate ◀── ModelShape ◀── show        what fits, before anything is loaded
//!     │──────▶ Lease ──▶ Client ──▶ the server                  one LoadProfile in every request
//!     │──────▶ unload ─▶ list + process + free memory           gone, or stuck with a remedy
//!     └──────▶ ModelMemoryReport                                what the server claims beside what the system shows
//! ```
//!
//! | question | file |
//! |---|---|
//! | What may be sent, what comes back? | `client`, `wire`, `answers`, `profile`, `keep_alive`, `host` |
//! | How is it sent, and for how long is it waited? | `exchange`, `transport`, `cancel` |
//! | What went wrong, and what now? | `error` |
//! | How much memory, and which context fits? | `info`, `shape`, `estimate`, `plan`, `quantization` |
//! | Who goes first, when is a model unloaded? | `manager/books`, `manager/admit` (policy), `manager/load`, `manager/unloading` (deeds) |
//! | Is it really gone? In which state is it? | `unload`, `outcome`, `state`, `sight` |
//! | What does it cost? | `report`, `advice`, `manager/usage` |
//! | A server of our own | `serve` |
//!
//! It blocks, speaks plain HTTP to loopback, and uses no thread of its own: call it from a thread that may wait.
//!
//! # Examples
//!
//! ```no_run
//! use std::sync::Arc;
//! use steadyscribe_monitor::ollama::{Cancel, Client, Host, Local, Manager, Prompt, Settings};
//!
//! let host = Host::from_env()?;
//! let sight = Arc::new(Local::of_host(&host));
//! let manager = Manager::new(Client::new(host), sight, Settings::default());
//! let lease = manager.lease("llama3.2:3b", &Cancel::new())?; // planned, admitted, loaded once for all callers
//! let (text, _) = lease.generate(&Prompt::text("Why is the sky blue?"), &Cancel::new())?.whole()?;
//! lease.finish()?; // frees what the job left in the process
//! let result = manager.unload_unused_models()?; // list, process and memory say that it is gone
//! println!("{text}, and {} bytes are free again", result.memory_freed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//!
//! A model that is leased is never unloaded, under whichever of its names. A model is loaded once, with one profile,
//! which every request repeats. The estimates of all models stay within the limit at every load. No process is ever
//! killed but a server of our own with its models' processes and, where the user has allowed that, one that holds a
//! model and does not go, or whose server has ended.

mod advice;
mod answers;
mod cancel;
mod client;
#[cfg(feature = "cli")]
pub mod command;
mod error;
mod estimate;
mod exchange;
mod host;
mod info;
mod keep_alive;
mod manager;
mod outcome;
mod plan;
mod profile;
mod quantization;
mod report;
mod serve;
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
pub use outcome::{KeptModel, ModelUnloadResult, Stuck, UnloadedModel};
pub use plan::{CTX_STEPS, DoesNotFit, Plan, PlanOptions, plan};
pub use profile::{LoadProfile, NUM_BATCH};
pub use quantization::{Quantization, QuantizationAdvice, recommend};
pub use report::{LoadedModel, ModelMemoryReport};
pub use serve::{OwnServer, Preset, ServeError};
pub use shape::{ModelShape, ShapeError};
pub use sight::{Local, Runner, Sight};
pub use state::ModelState;
pub use transport::{Patience, Within};

pub use version::Version;
pub use wire::{Details, InstalledModel, Message, Piece, PullStep, RunningModel, Show, is_cloud};
