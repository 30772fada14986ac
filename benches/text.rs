//! Counts word errors on three sets of scenes that nothing was tuned to, and compares with OpenAI's
//! own decoder on the same weights.
//!
//! `make sets` makes the audio (20 minutes a set); fixtures/model/sets.json holds what
//! `fixtures/model/reference.py` counted for OpenAI's `transcribe()`. Run it with
//! `cargo bench --bench text`.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]

use std::path::Path;

use serde_json::Value;
use steadyscribe::{Config, FileSource, Segment, Transcriber, Whisper, WhisperOptions};

#[path = "../tests/it/support/score.rs"]
mod score;

/// The most errors that the project promises: ours / OpenAI's.
const RATIO_MAX: f64 = 0.6;

const SCENES: [&str; 4] = ["standup", "meeting", "monologue", "sparse"];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sets = root.join("target/sets");
    if !sets.join("103/sparse.wav").is_file() {
        println!("text: target/sets is missing; run `make sets`");
        return;
    }
    let json = std::fs::read_to_string(root.join("fixtures/model/sets.json")).unwrap();
    let theirs: Value = serde_json::from_str(&json).unwrap();
    for (previous_text, key) in [
        (true, "errors_with_previous_text"),
        (false, "errors_without_previous_text"),
    ] {
        let (mut words, mut ours, mut openais) = (0, 0, 0);
        let mut config = Config::default();
        config.previous_text = previous_text;
        let model = root.join("fixtures/model/fixture-q8_0.bin");
        let engine = Whisper::open(model, WhisperOptions::default()).unwrap();
        let mut scribe = Transcriber::new(config, engine).unwrap();
        for (set, scenes) in theirs["sets"].as_object().unwrap() {
            for scene in SCENES {
                let (said, errors) = errors(&mut scribe, &sets.join(set), scene);
                let openai = scenes[scene][key].as_u64().unwrap();
                println!(
                    "set {set} {scene:9} {said:4} words, errors: {errors:3} ours, {openai:3} \
                     OpenAI's"
                );
                (words, ours, openais) = (words + said, ours + errors, openais + openai);
            }
        }
        let ratio = ours as f64 / openais as f64;
        let wer = |errors: f64| 100.0 * errors / words as f64;
        println!(
            "previous text {previous_text}: WER {:.2} % ours, {:.2} % OpenAI's, ratio {ratio:.3}",
            wer(ours as f64),
            wer(openais as f64)
        );
        assert!(ratio <= RATIO_MAX, "ratio {ratio:.3}");
    }
}

/// Returns the words of a scene and our errors in it.
fn errors(scribe: &mut Transcriber, set: &Path, scene: &str) -> (usize, usize) {
    let truth = std::fs::read_to_string(set.join(scene).with_extension("json")).unwrap();
    let truth: Value = serde_json::from_str(&truth).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    let source = FileSource::open(set.join(scene).with_extension("wav")).unwrap();
    scribe.transcribe(source, &mut segments).unwrap();
    let written: Vec<&str> = segments
        .iter()
        .map(|segment| segment.text.as_str())
        .collect();
    let said = score::words(truth["text"].as_str().unwrap());
    let errors = score::edits(&said, &score::words(&written.join(" ")));
    (said.len(), errors)
}
