//! The wiring: the only place that knows all stages. Three threads, bounded queues, shutdown.
//!
//! ```text
//!  scribe-decode                     scribe-engine                              caller
//!  decoding ─ blocks ─▶ audio_buffer ▶ schedule ▶ attempt ▶ stitch ─ segments ─▶ threads::deliver
//!  source, decode, resample         window, vad   engine                         sink
//! ```
//!
//! | question | file |
//! |---|---|
//! | what can a caller do? | `transcriber.rs`, `segments.rs`, `controls.rs`, `progress.rs` |
//! | how do the threads of one input start, stop and fail? | `run.rs`, `outcome.rs`, `threads.rs` |
//! | how do bytes become blocks? | `decoding.rs` |
//! | how do blocks become segments? | `recognizing.rs`: the table there leads on |
//! | when is live speech transcribed? | `live_edge.rs` |
//! | how are channels transcribed apart? | `channels.rs` |
//! | what is logged, and what is measured? | `decision.rs`, `meter.rs` |

pub use self::channels::Channels;
pub use self::controls::Controls;
pub use self::error::Error;
pub use self::progress::Progress;
pub use self::segments::Segments;
pub use self::transcriber::Transcriber;

mod attempt;
mod audio_buffer;
mod channels;
mod controls;
mod decision;
mod decoding;
mod error;
mod live_edge;
mod meter;
mod outcome;
mod progress;
mod recognizing;
mod run;
mod schedule;
mod segments;
mod stitch;
mod threads;
mod transcriber;
