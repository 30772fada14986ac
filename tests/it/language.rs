//! Languages that are detected, set, refused, or change within an input; and a real model, if there
//! is one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use steadyscribe::audio::WINDOW_SAMPLES_MAX;
use steadyscribe::decode::Decoder;
use steadyscribe::engine::{Engine, Language, Limits, Request, Transcription, from_fn};
use steadyscribe::{
    Cancel, Config, EngineError, FileSource, ModelError, Segment, Summary, Time, Transcriber, Vad,
    Whisper, WhisperOptions,
};
use tempfile::TempDir;

use crate::support::files::Wave;
use crate::support::input::Pieces;
use crate::support::score::{edits, words};
use crate::text::fixture;
use crate::widened::{Format, MULTILINGUAL, MULTILINGUAL_80, Model, Shape};

/// Names the path of a published model, for the test that transcribes with it.
const REAL_MODEL: &str = "STEADYSCRIBE_REAL_MODEL";

const CLIP: &str = "model/clips/000.flac";
const TEXT: &str = "Anna said that";

/// Numbers of languages, as the models count them.
const ENGLISH: usize = 0;
const GERMAN: usize = 2;

/// Makes a multilingual model that detects one language in everything and writes what the fixture
/// writes.
fn model(folder: &TempDir, shape: Shape, language: usize) -> PathBuf {
    let path = folder.path().join(format!("{}-{language}", shape.name));
    let fixture = Model::read(&fixture("model/fixture-q8_0.bin")).unwrap();
    let shape = Shape { language, ..shape };
    fixture.widen(&shape, Format::Q8_0, &path).unwrap();
    path
}

fn transcribe(model: &Path, options: WhisperOptions) -> (String, Summary) {
    let whisper = Whisper::open(model, options).unwrap();
    let mut scribe = Transcriber::new(Config::default(), whisper).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    let source = FileSource::open(fixture(CLIP)).unwrap();
    let summary = scribe.transcribe(source, &mut segments).unwrap();
    (
        segments.into_iter().map(|segment| segment.text).collect(),
        summary,
    )
}

#[test]
fn the_language_is_detected_and_reported_with_its_probability() {
    let folder = TempDir::new().unwrap();
    for (shape, language, code) in [
        (MULTILINGUAL, ENGLISH, "en"),
        (MULTILINGUAL, GERMAN, "de"),
        (MULTILINGUAL_80, GERMAN, "de"),
    ] {
        let model = model(&folder, shape, language);
        let (text, summary) = transcribe(&model, WhisperOptions::default());
        assert!(text.starts_with(TEXT), "{}: {text}", shape.name);
        let language = summary.language.unwrap();
        assert_eq!(language.code, code, "{}", shape.name);
        assert!((0.9..=1.0).contains(&language.probability), "{language:?}");
    }
}

#[test]
fn an_engine_uses_no_text_of_another_language() {
    let folder = TempDir::new().unwrap();
    let model = model(&folder, MULTILINGUAL, GERMAN);
    let whisper = Whisper::open(model, WhisperOptions::default()).unwrap();
    let model = whisper.load(&whisper.variants()[0]).unwrap();
    let mut state = model.new_state().unwrap();
    let mut source = FileSource::open(fixture(CLIP)).unwrap();
    let mut decoder = Decoder::open(&mut source).unwrap();
    let mut window = Vec::new();
    while let Some(chunk) = decoder.next().unwrap() {
        window.extend_from_slice(chunk.samples);
    }
    let cancel = Cancel::new();
    let first = state.transcribe(&window, &Request::new(0, &cancel));
    let first = first.unwrap();
    assert!(!first.used_previous && !first.context.is_empty());
    assert_eq!(first.counts.encodes, 1);
    for (before, used) in [(None, true), (Some("de"), true), (Some("en"), false)] {
        let mut request = Request::new(0, &cancel);
        request.previous = &first.context;
        request.language = before;
        let answer = state.transcribe(&window, &request).unwrap();
        assert_eq!(answer.used_previous, used, "{before:?}");
        assert_eq!(answer.language.unwrap().code, "de");
        assert_eq!(answer.counts.encodes, 0, "the same audio is encoded once");
        // Without previous text the answer is as if there had been none.
        assert_eq!(answer.segments == first.segments, !used, "{before:?}");
    }
    // A state that is cancelled has encoded nothing that it may use again.
    let stopped = Cancel::new();
    stopped.cancel();
    let refused = state.transcribe(&window[..16_000], &Request::new(1, &stopped));
    assert!(matches!(refused, Err(EngineError::Cancelled)));
    let answer = state.transcribe(&window, &Request::new(1, &cancel));
    assert_eq!(answer.unwrap().segments, first.segments);
}

#[test]
fn what_a_model_cannot_do_is_refused_before_it_is_loaded() {
    let folder = TempDir::new().unwrap();
    let (v3, v2) = (
        model(&folder, MULTILINGUAL, ENGLISH),
        model(&folder, MULTILINGUAL_80, ENGLISH),
    );
    let english = fixture("model/fixture-q8_0.bin");
    let refusal = |model: &Path, language: Option<&str>, translate| {
        let mut options = WhisperOptions::default();
        options.language = language.map(str::to_owned);
        options.translate = translate;
        Whisper::open(model, options)
            .err()
            .map(|error| error.to_string())
    };
    let check = |model: &Path, language, translate, says: &str| {
        let said = refusal(model, language, translate).unwrap_or_default();
        assert!(said.contains(says), "{language:?}: {said}");
    };
    check(
        &v3,
        Some("xx"),
        false,
        "does not know the language \"xx\"; give a code",
    );
    check(&v3, Some("germ"), false, "did you mean \"german\"?");
    check(
        &v2,
        Some("yue"),
        false,
        "use a model since large-v3, which knows it",
    );
    check(
        &english,
        Some("de"),
        false,
        "it knows English only, so use a model without .en",
    );
    check(
        &english,
        None,
        true,
        "cannot translate; use a model without .en",
    );
    let mut options = WhisperOptions::default();
    options.language = Some("xx".into());
    assert!(matches!(
        Whisper::open(&v3, options),
        Err(ModelError::Language { .. })
    ));
    for accepted in [
        (&v3, Some("yue"), true),
        (&v2, Some("de"), true),
        (&english, Some("English"), false),
    ] {
        assert_eq!(
            refusal(accepted.0, accepted.1, accepted.2),
            None,
            "{:?}",
            accepted.1
        );
    }
}

/// Language and text before a window, as the engine was asked with them.
type Before = (Option<String>, Vec<u32>);

/// Makes an engine that detects the next of `languages` in each window, and records what precedes
/// the window. A window without a language has no text.
fn polyglot(
    languages: Vec<Option<&'static str>>,
    record: &Arc<Mutex<Vec<Before>>>,
) -> impl Engine + use<> {
    let (languages, record) = (Mutex::new(languages.into_iter()), Arc::clone(record));
    let engine = from_fn("polyglot", move |window, request| {
        let mut record = record.lock().unwrap();
        let language = request.language.map(str::to_owned);
        record.push((language, request.previous.to_vec()));
        let end = Time::from_samples(window.len() as u64);
        let language = languages.lock().unwrap().next().flatten();
        let segments = language.map(|_| Segment::new(Time::ZERO, end, "text"));
        let mut answer = Transcription::new(segments.into_iter().collect());
        answer.language = Some(Language::new(language.unwrap_or("xx"), 0.9));
        answer.context = vec![record.len() as u32];
        Ok(answer)
    });
    engine.with_limits(Limits::new(WINDOW_SAMPLES_MAX, 8))
}

#[test]
fn text_of_another_language_is_no_previous_text() {
    let record = Arc::default();
    let languages = vec![None, Some("en"), Some("en"), Some("de"), Some("de")];
    let engine = polyglot(languages, &record);
    let mut config = Config::default();
    config.vad = Vad::Off;
    config.window_s = 5.0;
    let mut scribe = Transcriber::new(config, engine).unwrap();
    let input = Pieces::file(Wave::mono(16_000).riff(&vec![0.1; 25 * 16_000]));
    let mut segments: Vec<Segment> = Vec::new();
    let summary = scribe.transcribe(input, &mut segments).unwrap();
    let en = || Some("en".to_owned());
    let expected = [
        (None, vec![]),
        // The first window has no text, so its language is not known.
        (None, vec![1]),
        (en(), vec![1, 2]),
        (en(), vec![1, 2, 3]),
        (Some("de".to_owned()), vec![4]),
    ];
    assert_eq!(*record.lock().unwrap(), expected);
    assert_eq!(summary.language, Some(Language::new("en", 0.9)));
}

/// The fixture scene is synthetic speech, which published models recognize less well than people
/// do.
#[test]
fn a_real_model_recognizes_words() {
    let Some(model) = std::env::var_os(REAL_MODEL) else {
        println!(
            "skipped: set {REAL_MODEL} to the path of a published model, such as ggml-base.en.bin"
        );
        return;
    };
    let whisper = Whisper::open(&model, WhisperOptions::default()).unwrap();
    println!("{}", whisper.header());
    let mut scribe = Transcriber::new(Config::default(), whisper).unwrap();
    let plan_bytes = scribe.plan().peak_bytes();
    scribe.warm_up().unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    let source = FileSource::open(fixture("standup.opus")).unwrap();
    let summary = scribe.transcribe(source, &mut segments).unwrap();
    let truth = std::fs::read_to_string(fixture("standup.json")).unwrap();
    let truth: Value = serde_json::from_str(&truth).unwrap();
    let said = words(truth["text"].as_str().unwrap());
    let written: Vec<&str> = segments
        .iter()
        .map(|segment| segment.text.as_str())
        .collect();
    let errors = edits(&said, &words(&written.join(" ")));
    let language = summary.language.unwrap();
    println!(
        "{errors} errors in {} words, {language:?}, {:.2} of real time",
        said.len(),
        summary.rtf
    );
    println!("planned {plan_bytes} bytes");
    assert_eq!(language.code, "en");
    assert!(errors * 2 < said.len(), "{}", written.join(" "));
}

mod slow {
    use super::*;

    #[test]
    #[ignore = "slow: make test-all"]
    fn a_language_that_is_set_is_not_detected() {
        let folder = TempDir::new().unwrap();
        let model = model(&folder, MULTILINGUAL, ENGLISH);
        let (_, detected) = transcribe(&model, WhisperOptions::default());
        for (name, code) in [("de", "de"), ("German", "de"), ("cantonese", "yue")] {
            let mut options = WhisperOptions::default();
            options.language = Some(name.into());
            let (text, summary) = transcribe(&model, options);
            assert!(!text.is_empty());
            assert_eq!(summary.language, Some(Language::new(code, 1.0)), "{name}");
            // To detect the language the start token is fed once more.
            assert!(summary.decode_steps < detected.decode_steps, "{name}");
        }
    }
}
