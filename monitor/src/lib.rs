//! Keeps a local AI app (speech model, LLM, web view, backend) under one memory budget: what each part really costs, where
//! it is going, and who must know.
//!
//! ```text
//! reader ──▶ sample ──▶ series ──▶ pressure · trend · leak ──▶ alert ──▶ report
//!    ▲                                                                     │
//!  gauge ◀── pipelines publish                                      history · server
//! ```
//!
//! | question | module |
//! |---|---|
//! | How do I start? | [`monitor`] |
//! | What does a process, the machine, a control group hold? | [`reader`] |
//! | Whose is a process? | [`membership`], [`component`] |
//! | What does a pipeline say of itself, which models are loaded? | [`gauge`], [`model`] |
//! | How short is memory, and why? | [`pressure`] |
//! | Does something leak? | [`leak`], [`trend`] |
//! | Who is told, how often, and what if nobody listens? | [`alert`] |
//! | What is reported, under which names? | [`report`], `types/steadyscribe-monitor.d.ts` |
//! | What outlives the program? | [`history`], [`alert::journal`] |
//!
//! Nothing here knows of audio: an app without a speech model uses it as it is.

pub mod alert;
pub mod component;
pub mod gauge;
pub mod history;
pub mod leak;
pub mod membership;
pub mod model;
pub mod monitor;
#[cfg(feature = "ollama")]
pub mod ollama;
pub mod pressure;
pub mod reader;
pub mod report;
pub mod sample;
pub mod series;
#[cfg(feature = "dashboard")]
pub mod server;
pub mod trend;
pub mod watcher;

// Its examples use what the feature brings.
#[cfg(all(doctest, feature = "ollama"))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use component::Component;
pub use gauge::{Gauge, Gauges, RatioGauge};
pub use model::Model;
pub use monitor::{Monitor, Options};
