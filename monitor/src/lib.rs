//! Keeps a local AI app (speech model, LLM, web view, backend) under one memory budget: it measures
//! what each part costs, judges where the memory is going, and alerts.
//!
//! ```text
//! reader ──▶ sample ──▶ series ──▶ pressure · trend · leak ──▶ alert ──▶ tracker ──▶ report
//!    ▲                                                                                  │
//!  gauge ◀── pipelines publish                                        monitor · history · server
//! ```
//!
//! | question | module |
//! |---|---|
//! | How do I start? | [`monitor`] |
//! | What does a process, the machine, a control group hold? | [`reader`] |
//! | What if a figure cannot be read? | [`Reading`] |
//! | How much memory is there, and how much may the app use? | [`capacity`] |
//! | To which component does a process belong? | [`membership`], [`Component`] |
//! | Which figures does a pipeline publish, which models are loaded? | [`gauge`], [`model`] |
//! | How short is memory, and why? | [`pressure`] |
//! | Does a component leak? | [`leak`], [`trend`] |
//! | Who receives an alert, how often, and what if it does not arrive? | [`alert`] |
//! | Which names do reports use? | [`report`], `types/steadyscribe-monitor.d.ts` |
//! | Which figures outlive the program? | [`history`], [`alert::journal`] |
//! | How do I show a page? | `server` (feature `dashboard`) |
//!
//! Nothing here knows about audio: an app without a speech model uses it as it is. Modules import
//! one way, from the reader to the server (`tests/it/layers.rs`).

pub mod alert;
pub mod capacity;
pub mod gauge;
pub mod history;
pub mod leak;
pub mod membership;
pub mod model;
pub mod monitor;
#[cfg(feature = "ollama")]
pub mod ollama;
#[cfg(feature = "ollama")]
pub mod ollama_models;
pub mod pressure;
pub mod reader;
pub mod report;
pub mod sample;
pub mod sampler;
pub mod series;
#[cfg(feature = "dashboard")]
pub mod server;
pub mod tracker;
pub mod trend;

mod component;
mod exclusive;
mod reading;

// Its examples use what the feature brings.
#[cfg(all(doctest, feature = "ollama"))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use component::Component;
pub use gauge::{Gauge, Gauges, RatioGauge};
pub use model::Model;
pub use monitor::{Monitor, Options};
pub use reading::Reading;
