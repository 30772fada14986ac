//! Checks special tokens and prompts of the three vocabularies, in models of their shapes.

use std::path::Path;
use std::sync::Arc;

use super::decoder::Task;
use super::loaded::WhisperModel;
use super::{Whisper, WhisperOptions};
use crate::engine::Engine;

#[path = "../../../examples/widen/model/mod.rs"]
#[expect(dead_code, reason = "the other shapes are for programs")]
mod widen;

/// Loads the fixture with a vocabulary.
fn model(folder: &Path, vocabulary: usize) -> Arc<WhisperModel> {
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/model/fixture-q8_0.bin"
    );
    let shape = widen::Shape {
        vocabulary,
        ..widen::MULTILINGUAL
    };
    let path = folder.join(vocabulary.to_string());
    widen::Model::read(fixture.as_ref())
        .and_then(|fixture| fixture.widen(&shape, widen::Format::Q8_0, &path))
        .expect("a model");
    let whisper = Whisper::open(path, WhisperOptions::default()).expect("a model");
    let variant = &whisper.variants()[0];
    whisper.load_model(variant).expect("a model that loads")
}

/// Source: openai/whisper, `whisper/tokenizer.py`: end, start, languages, translate, transcribe,
/// startoflm, startofprev, nospeech, notimestamps, times.
#[test]
fn prompts_are_right_for_every_vocabulary() {
    let folder = tempfile::tempdir().expect("a folder");
    let task = |language, translate, timestamps| Task {
        language,
        translate,
        timestamps,
    };
    // Vocabulary; end, start, previous, no speech, times; languages; prompts.
    let expected = [
        (51_864, [50_256, 50_257, 50_360, 50_361, 50_363], None),
        (
            51_865,
            [50_257, 50_258, 50_361, 50_362, 50_364],
            Some((50_259, 99)),
        ),
        (
            51_866,
            [50_257, 50_258, 50_362, 50_363, 50_365],
            Some((50_259, 100)),
        ),
    ];
    for (vocabulary, special, languages) in expected {
        let model = model(folder.path(), vocabulary);
        let known = &model.vocabulary;
        let found = [
            known.end,
            known.start,
            known.previous,
            known.no_speech,
            known.time_zero,
        ];
        assert_eq!(
            (known.size, found, known.languages),
            (vocabulary, special, languages)
        );
        let tokens = |task: Task| task.tokens(known).collect::<Vec<u32>>();
        let last = special[4] - 1;
        match languages {
            None => {
                assert!(tokens(task(None, false, true)).is_empty());
                assert_eq!(tokens(task(None, false, false)), [last]);
            }
            Some((first, count)) => {
                let (german, translate) = (first + 2, first + count);
                assert_eq!(
                    tokens(task(Some(german), false, true)),
                    [german, translate + 1]
                );
                assert_eq!(tokens(task(Some(german), true, true)), [german, translate]);
                assert_eq!(
                    tokens(task(Some(german), false, false)),
                    [german, translate + 1, last]
                );
            }
        }
    }
}
