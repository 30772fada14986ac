//! The parts of the example program that need no process: cargo runs the tests of an example only
//! in place of building it, so they run here.

#![allow(dead_code, reason = "the program uses the rest")]
#![allow(clippy::print_stderr, reason = "it is a program on a terminal")]

#[path = "../../examples/transcribe/args.rs"]
mod args;
#[path = "../../examples/transcribe/exit.rs"]
mod exit;
#[path = "../../examples/transcribe/lines.rs"]
mod lines;
#[path = "../../examples/transcribe/models.rs"]
mod models;
#[path = "../../examples/transcribe/outputs.rs"]
mod outputs;
#[path = "../../examples/transcribe/progress.rs"]
mod progress;
#[path = "../../examples/transcribe/quantity.rs"]
mod quantity;
