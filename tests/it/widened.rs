//! Checks that widened models write what the model writes that they are made of.

use std::path::Path;

use steadyscribe::{
    Config, FileSource, ModelHeader, Segment, Transcriber, Whisper, WhisperOptions,
};
use tempfile::TempDir;

#[path = "../../examples/widen/model/mod.rs"]
mod model;

pub(crate) use model::{Format, MULTILINGUAL, MULTILINGUAL_80, Model, SHAPES, Shape};

const FIXTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/model/clips/000.flac");

/// Returns text and mean log-probability of the clip.
fn transcribe(model: &Path) -> (String, f32) {
    let mut options = WhisperOptions::default();
    options.threads = 1;
    let whisper = Whisper::open(model, options).unwrap();
    let mut scribe = Transcriber::new(Config::default(), whisper).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    scribe
        .transcribe(FileSource::open(CLIP).unwrap(), &mut segments)
        .unwrap();
    let text = segments
        .iter()
        .map(|segment| segment.text.trim())
        .collect::<Vec<_>>()
        .join(" ");
    (text, segments[0].quality.avg_logprob.unwrap())
}

#[test]
fn widened_models_write_the_same() {
    let folder = TempDir::new().unwrap();
    let fixture = Model::read(FIXTURE.as_ref()).unwrap();
    let (text, logprob) = transcribe(FIXTURE.as_ref());
    assert!(text.starts_with("Anna said that"), "{text}");
    let base = SHAPES
        .into_iter()
        .find(|shape| shape.name == "base")
        .unwrap();
    for shape in [base, MULTILINGUAL, MULTILINGUAL_80] {
        let path = folder.path().join(shape.name);
        fixture.widen(&shape, Format::Q8_0, &path).unwrap();
        let header = ModelHeader::read(&path).unwrap();
        assert_eq!(header.is_multilingual(), shape != base);
        let (wide_text, wide_logprob) = transcribe(&path);
        assert_eq!(wide_text, text, "{}", shape.name);
        assert!(
            (wide_logprob - logprob).abs() < 0.02,
            "{}: {wide_logprob}",
            shape.name
        );
    }
}

#[test]
fn widened_models_have_the_sizes_of_the_published_ones() {
    let folder = TempDir::new().unwrap();
    let fixture = Model::read(FIXTURE.as_ref()).unwrap();
    // Source: `ls -l` of ggml-tiny.en.bin and ggml-base.en.bin as published. They spell one more
    // token, of 13 bytes.
    for (name, published_bytes) in [("tiny", 77_704_715), ("base", 147_964_211)] {
        let shape = SHAPES.into_iter().find(|shape| shape.name == name).unwrap();
        let path = folder.path().join(name);
        fixture.widen(&shape, Format::F16, &path).unwrap();
        let header = ModelHeader::read(&path).unwrap();
        assert_eq!(
            (header.shape(), header.file_bytes),
            (name, published_bytes - 4 - 13)
        );
    }
}
