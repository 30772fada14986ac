//! Keeps a local AI app (speech model, LLM, web view, backend) under one memory budget: what each part really costs, where
//! it is going, and who must know.
//!
//! ```text
//! reader ──▶ sample ──▶ series ──▶ pressure · trend · leak ──▶ alert ──▶ report
//!    ▲                                                                     │
//!  gauge ◀── pipelines publish                                      history · server
//! ```
//!
//! Nothing here knows of audio: an app without a speech model uses it as it is.

pub mod component;
pub mod gauge;
pub mod membership;
#[cfg(feature = "ollama")]
pub mod ollama;
pub mod reader;
pub mod sample;

pub use component::Component;
pub use gauge::{Gauge, Gauges, RatioGauge};
