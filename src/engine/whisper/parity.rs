//! Compares our greedy tokens with those of OpenAI's own decoder, on the same weights and clips.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::decoder::Task;
use super::loaded::WhisperModel;
use super::sampling::{Hypothesis, Rng};
use super::state::WhisperState;
use super::{Whisper, WhisperOptions};
use crate::cancel::Cancel;
use crate::decode::Decoder as AudioDecoder;
use crate::engine::Engine;
use crate::source::FileSource;

/// Share of all tokens that may differ: quantized weights are rounded differently in two
/// implementations.
const DIFFERENT_MAX: f64 = 0.005;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/model")
        .join(name)
}

/// Returns a clip's samples. The clips are 16 kHz mono already.
fn samples(name: &str) -> Vec<f32> {
    let mut source = FileSource::open(fixture("clips").join(name)).expect("the clip is there");
    let mut decoder = AudioDecoder::open(&mut source).expect("a flac file");
    let mut samples = Vec::new();
    while let Some(chunk) = decoder.next().expect("an undamaged file") {
        samples.extend_from_slice(chunk.samples);
    }
    samples
}

/// Returns the edits between two sequences.
fn distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Loads the fixture model.
fn model() -> Arc<WhisperModel> {
    let whisper = Whisper::open(fixture("fixture-q8_0.bin"), WhisperOptions::default())
        .expect("the fixture model");
    let variant = &whisper.variants()[0];
    whisper.load_model(variant).expect("a model that loads")
}

/// Returns the most probable tokens of the window that was encoded last, their text and their mean
/// log-probability.
fn greedy(state: &mut WhisperState, timestamps: bool) -> (Vec<u32>, String, f32) {
    let task = Task {
        language: None,
        translate: false,
        timestamps,
    };
    let (cancel, mut hypothesis) = (Cancel::new(), Hypothesis::new());
    let (inner, decoder, model) = state.parts();
    let vocabulary = &model.vocabulary;
    decoder
        .prompt(inner, vocabulary, &[], task, &cancel)
        .expect("the prompt fits");
    let sampling = (0.0, &mut Rng::new(0));
    decoder
        .generate(inner, vocabulary, task, sampling, &cancel, &mut hypothesis)
        .expect("a hypothesis");
    let tokens: Vec<u32> = hypothesis.ids().collect();
    let bytes: Vec<u8> = tokens
        .iter()
        .filter(|&&token| vocabulary.is_text(token))
        .flat_map(|&token| super::vocabulary::bytes(&model.context, token))
        .copied()
        .collect();
    (
        tokens,
        String::from_utf8_lossy(&bytes).into_owned(),
        hypothesis.avg_logprob(),
    )
}

#[test]
fn greedy_tokens_are_those_of_openais_decoder() {
    let json = std::fs::read_to_string(fixture("parity.json")).expect("the reference is there");
    let clips: Vec<Value> = serde_json::from_str(&json).expect("valid JSON");
    assert_eq!(clips.len(), 120);
    let mut state = WhisperState::new(model()).expect("a state");
    let (mut tokens, mut different) = (0, 0);
    for clip in &clips {
        let name = clip["file"].as_str().expect("a name");
        state.encode(&samples(name)).expect("an encoding");
        for (key, timestamps) in [("timestamps", true), ("plain", false)] {
            let (ours, text, logprob) = greedy(&mut state, timestamps);
            let theirs: Vec<u32> = clip[key]["tokens"]
                .as_array()
                .expect("tokens")
                .iter()
                .filter_map(|token| u32::try_from(token.as_u64()?).ok())
                .collect();
            tokens += theirs.len();
            different += distance(&ours, &theirs);
            let said = clip[key]["text"].as_str().expect("a text");
            let words: (Vec<_>, Vec<_>) = (
                text.split_whitespace().collect(),
                said.split_whitespace().collect(),
            );
            assert!(
                distance(&words.0, &words.1) <= 2,
                "{name} {key}: {text:?} is not {said:?}"
            );
            let expected = clip[key]["avg_logprob"].as_f64().expect("a number");
            assert!(
                ours != theirs || (f64::from(logprob) - expected).abs() < 0.05,
                "{name} {key}: {logprob} is not {expected}"
            );
        }
    }
    let share = f64::from(u32::try_from(different).expect("small")) / tokens as f64;
    assert!(
        share <= DIFFERENT_MAX,
        "{different} of {tokens} tokens differ"
    );
}

/// The non-speech tokens of OpenAI's English tokenizer.
const NON_SPEECH: [u32; 84] = [
    1, 2, 7, 8, 9, 10, 14, 25, 26, 27, 28, 29, 31, 58, 59, 60, 61, 62, 63, 90, 91, 92, 93, 357,
    366, 438, 532, 685, 705, 796, 930, 1058, 1220, 1267, 1279, 1303, 1343, 1377, 1391, 1635, 1782,
    1875, 2162, 2361, 2488, 3467, 4008, 4211, 4600, 4808, 5299, 5855, 6329, 7203, 9609, 9959,
    10563, 10786, 11420, 11709, 11907, 13163, 13697, 13700, 14808, 15306, 16410, 16791, 17992,
    19203, 19510, 20724, 22305, 22935, 27007, 30109, 30420, 33409, 34949, 40283, 40493, 40549,
    47282, 49146,
];

#[test]
fn the_tokens_that_are_never_said_are_openais() {
    let model = model();
    let vocabulary = &model.vocabulary;
    let suppressed: Vec<u32> = vocabulary
        .suppressed
        .iter()
        .copied()
        .filter(|&token| vocabulary.is_text(token))
        .collect();
    assert_eq!(suppressed, NON_SPEECH);
    assert_eq!(vocabulary.blank, [50_256, 220]);
}
