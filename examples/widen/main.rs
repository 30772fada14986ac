//! Makes models with the size and cost of the published Whispers and the output of the fixture
//! model.
//!
//! ```text
//! cargo run --release --example widen -- SHAPE [FORMAT] [OUT]
//! ```
//!
//! SHAPE: tiny, base, small, medium, large, large-v3, large-v3-turbo, or multilingual, which is the
//! fixture itself with the vocabulary and the mel bands of large-v3 (multilingual-80: of the models
//! before it). FORMAT: f16 (default), q8_0 or q5_0. OUT: by default
//! `target/models/ggml-SHAPE-FORMAT.bin`. Such models serve to measure speed and memory where the
//! published ones are not available. They recognize the few hundred words of the fixture.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::path::PathBuf;
use std::process::ExitCode;

use model::{Format, MULTILINGUAL, MULTILINGUAL_80, Model, SHAPES, Shape};

mod model;

const FIXTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);
const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/models");

/// The formats that a model's matrices can have.
const FORMATS: [(&str, Format); 3] = [
    ("f16", Format::F16),
    ("q8_0", Format::Q8_0),
    ("q5_0", Format::Q5_0),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.get(1).map_or("f16", String::as_str);
    let shapes: Vec<Shape> = SHAPES
        .into_iter()
        .chain([MULTILINGUAL, MULTILINGUAL_80])
        .collect();
    let asked = arguments.first().map(String::as_str);
    let shape = shapes.iter().find(|shape| Some(shape.name) == asked);
    let format = FORMATS.iter().find(|format| format.0 == name);
    let (Some(shape), Some((_, format))) = (shape, format) else {
        let shapes: Vec<&str> = shapes.iter().map(|shape| shape.name).collect();
        eprintln!("usage: widen SHAPE [f16|q8_0|q5_0] [OUT]");
        eprintln!("expected a SHAPE of {}", shapes.join(", "));
        return ExitCode::from(2);
    };
    let out = arguments.get(2).map_or_else(
        || PathBuf::from(MODELS).join(format!("ggml-{}-{name}.bin", shape.name)),
        PathBuf::from,
    );
    let widened = out
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| Model::read(FIXTURE.as_ref()))
        .and_then(|fixture| fixture.widen(shape, *format, &out));
    match widened {
        Ok(()) => {
            println!("{}", out.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("widen: {}: {error}", out.display());
            ExitCode::FAILURE
        }
    }
}
