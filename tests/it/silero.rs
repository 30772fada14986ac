//! The Silero detector: the files that it takes, the speech that it detects, and that no text is
//! lost although its scores come late.

use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use steadyscribe::decode::Decoder;
use steadyscribe::engine::{Scripted, ScriptedUtterance};
use steadyscribe::internals::{HOP_SAMPLES, HopDetector, LAG_SAMPLES_MAX, Resampler, SpeechMap};
use steadyscribe::sink::Sink;
use steadyscribe::{
    Cancel, Config, Ended, Error, FileSource, InputOptions, Journal, JournalError, ModelError,
    Segment, Span, Time, Transcriber, Vad,
};
use tempfile::TempDir;

const SCENES: [&str; 4] = ["standup.opus", "sparse.ogg", "meeting.m4a", "monologue.mp3"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn model() -> PathBuf {
    fixture("model/silero-vad.bin")
}

#[expect(clippy::disallowed_methods, reason = "a fixture of known size")]
fn model_bytes() -> Vec<u8> {
    fs::read(model()).unwrap()
}

/// The first `seconds` of a fixture, as 16 kHz mono.
fn audio(name: &str, seconds: usize) -> Vec<f32> {
    let mut source = FileSource::open(fixture(name)).unwrap();
    let mut decoder = Decoder::open(&mut source).unwrap();
    let (mut resampler, mut samples) = (Resampler::new(), Vec::new());
    while samples.len() < seconds * 16_000
        && let Some(chunk) = decoder.next().unwrap()
    {
        resampler.push(chunk.format, chunk.samples, &mut |more| {
            samples.extend_from_slice(more);
        });
    }
    resampler.finish(&mut |more| samples.extend_from_slice(more));
    samples.truncate(seconds * 16_000);
    samples
}

/// The utterances in a scene's first `seconds`, with their times.
fn utterances(name: &str, seconds: usize) -> Vec<ScriptedUtterance> {
    let file = fs::File::open(fixture(name).with_extension("json")).unwrap();
    let scene: serde_json::Value = serde_json::from_reader(file).unwrap();
    let time = |said: &serde_json::Value, key| Time::from_seconds(said[key].as_f64().unwrap());
    let said = scene["utterances"].as_array().unwrap().iter().map(|said| {
        let span = Span::new(time(said, "start"), time(said, "end"));
        ScriptedUtterance::new(span, said["text"].as_str().unwrap())
    });
    said.filter(|said| said.span.end <= Time::from_seconds(seconds as f64))
        .collect()
}

/// The spans that a map finds in `samples`, pushed in pieces of `cut`. They are collected as they
/// are discarded.
fn spans(map: &mut SpeechMap, samples: &[f32], cut: usize) -> Vec<Span> {
    let mut found = Vec::new();
    let mut take = |map: &mut SpeechMap, up_to: Time| {
        found.extend(map.spans().take_while(|span| span.end <= up_to));
        map.forget_before(up_to);
    };
    for piece in samples.chunks(cut) {
        map.push(piece);
        // A span that ends a second before the last score grows no more.
        take(map, map.scored_to() - Time::from_seconds(1.0));
    }
    map.finish();
    assert_eq!(map.scored_to(), Time::from_samples(samples.len() as u64));
    take(map, map.scored_to());
    found
}

fn silero() -> SpeechMap {
    SpeechMap::silero(&model()).unwrap()
}

fn samples_in(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.length().samples()).sum()
}

fn samples_in_both(a: &[Span], b: &[Span]) -> u64 {
    let overlap = |x: &Span| {
        b.iter()
            .map(|y| x.overlap(*y).length().samples())
            .sum::<u64>()
    };
    a.iter().map(overlap).sum()
}

/// Returns prepared scores: one for each two hops.
struct Prepared {
    scores: Vec<f32>,
    hops: usize,
}

impl HopDetector for Prepared {
    fn score(&mut self, _: &[f32; HOP_SAMPLES]) -> &[f32] {
        let at = self.hops / 2;
        self.hops += 1;
        &self.scores[at..=at]
    }

    fn finish(&mut self) -> &[f32] {
        &[]
    }

    fn reset(&mut self) {
        self.hops = 0;
    }

    fn speech_score(&self) -> f32 {
        0.2
    }

    fn identity(&self) -> String {
        "prepared".into()
    }
}

/// The package's own code puts 64 samples of the previous window in front of each, where
/// whisper.cpp mirrors the window's start: the scores differ a little.
#[test]
fn it_finds_the_speech_that_the_original_finds() {
    let file = fs::File::open(fixture("model/silero-standup.json")).unwrap();
    let thousandths: Vec<u16> = serde_json::from_reader(file).unwrap();
    let samples = audio("standup.opus", 60);
    assert_eq!(thousandths.len(), samples.len().div_ceil(2 * HOP_SAMPLES));
    let scores = thousandths.iter().map(|p| f32::from(*p) / 1e3).collect();
    let mut original = SpeechMap::with(Box::new(Prepared { scores, hops: 0 }));
    let theirs = spans(&mut original, &samples, 16_000);
    let ours = spans(&mut silero(), &samples, 16_000);
    let both = samples_in_both(&ours, &theirs);
    let differ = samples_in(&ours) + samples_in(&theirs) - 2 * both;
    let part = differ as f64 / samples.len() as f64;
    assert!(part < 0.02, "{part}: {ours:?} {theirs:?}");
}

#[test]
fn it_finds_speech_and_nothing_else() {
    for scene in SCENES {
        let seconds = 120;
        let said: Vec<Span> = utterances(scene, seconds)
            .iter()
            .map(|said| said.span)
            .collect();
        let found = spans(&mut silero(), &audio(scene, seconds), 8_000);
        let recall = samples_in_both(&said, &found) as f64 / samples_in(&said) as f64;
        assert!(recall > 0.985, "{scene}: {recall}");
        for span in &said {
            let covered = samples_in_both(&[*span], &found) as f64 / span.length().samples() as f64;
            assert!(covered > 0.9, "{scene}: {covered} of {span:?}");
        }
    }
    assert_eq!(
        spans(&mut silero(), &audio("room_tone.flac", 60), 8_000),
        []
    );
}

#[test]
fn cutting_the_stream_changes_nothing() {
    // An odd number of hops and a rest.
    let samples = &audio("standup.opus", 21)[..16_000 * 20 + 300];
    let mut map = silero();
    let whole = spans(&mut map, samples, samples.len());
    assert!(whole.len() > 3);
    for cut in [1, 255, 512, 7_000, 16_001] {
        map.reset(Time::ZERO);
        assert_eq!(spans(&mut map, samples, cut), whole, "{cut}");
    }
}

#[test]
fn scores_lag_behind_the_audio_by_less_than_a_second() {
    let mut map = silero();
    for n in 1..=300_u64 {
        map.push(&[0.0; 333]);
        let lag = Time::from_samples(n * 333).samples_since(map.scored_to());
        assert!(lag < LAG_SAMPLES_MAX, "{lag}");
    }
}

#[test]
fn a_recording_shorter_than_a_block_has_scores() {
    let said = &audio("standup.opus", 2)[9_600..];
    let mut map = silero();
    map.push(&said[..12_000]);
    assert_eq!(map.spans().count(), 0);
    map.finish();
    map.finish();
    assert!(map.spans().last().unwrap().length() > Time::from_seconds(0.5));
    map.reset(Time::ZERO);
    map.finish();
    assert_eq!(map.spans().count(), 0);
}

/// The engine is asked for every utterance, once.
#[test]
fn a_transcription_loses_no_utterance() {
    for scene in SCENES {
        let said = utterances(scene, 1_000);
        let mut config = Config::default();
        config.vad = Vad::Silero(model());
        let mut scribe = Transcriber::new(config, Scripted::new(said.clone())).unwrap();
        let mut segments: Vec<Segment> = Vec::new();
        let source = FileSource::open(fixture(scene)).unwrap();
        scribe.transcribe(source, &mut segments).unwrap();
        let texts: Vec<_> = segments.iter().map(|segment| &segment.text).collect();
        let expected: Vec<_> = said.iter().map(|said| &said.text).collect();
        assert_eq!(texts, expected, "{scene}");
    }
}

/// Writes a model of these bytes.
fn write(dir: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("model.bin");
    fs::write(&path, bytes).unwrap();
    path
}

/// Scores one second with a model, or returns why it cannot be used.
fn score(path: &Path) -> Result<SpeechMap, ModelError> {
    let mut map = SpeechMap::silero(path)?;
    map.push(&[0.01; 16_000]);
    map.finish();
    Ok(map)
}

/// The positions of the names and numbers in a model file.
fn header_bytes(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize| {
        usize::try_from(i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap()
    };
    let mut at = 18 + 12 + 19 * 4;
    let mut header: Vec<usize> = (0..at).collect();
    while at < bytes.len() {
        let (extents, name_bytes) = (number(at), number(at + 4));
        let elements: usize = (0..extents).map(|n| number(at + 12 + 4 * n)).product();
        let data = at + 12 + 4 * extents + name_bytes;
        header.extend(at..data);
        at = data + elements * if number(at + 8) == 1 { 2 } else { 4 };
    }
    header
}

#[test]
fn damaged_models_are_errors_and_never_end_the_process() {
    let dir = TempDir::new().unwrap();
    let bytes = model_bytes();
    let path = write(&dir, &bytes);
    score(&path).unwrap();
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    let mut put = |at: usize, byte: u8| {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[byte]).unwrap();
    };
    for at in header_bytes(&bytes) {
        for byte in [0, 0x7f, 0xff, bytes[at] ^ 1] {
            put(at, byte);
            let is_version = (18..30).contains(&at);
            let is_accepted = score(&path).is_ok();
            assert_eq!(
                is_accepted,
                is_version || byte == bytes[at],
                "byte {at} = {byte}"
            );
        }
        put(at, bytes[at]);
    }
    for more in 1..20 {
        score(&write(&dir, &[&bytes[..], &bytes[more..2 * more]].concat())).unwrap_err();
    }
    let cuts = (0..bytes.len()).step_by(7_919).chain([bytes.len() - 1]);
    for length in cuts {
        score(&write(&dir, &bytes[..length])).unwrap_err();
    }
}

#[test]
fn other_files_are_refused_by_what_they_are() {
    let dir = TempDir::new().unwrap();
    let whisper = fixture("model/fixture-q8_0.bin");
    for (path, says) in [
        (whisper.as_path(), "is a model for another purpose"),
        (&fixture("standup.opus"), "starts with other bytes"),
        (dir.path(), "is a directory"),
    ] {
        let error = SpeechMap::silero(path).unwrap_err();
        assert!(matches!(error, ModelError::NotAModel { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(says) && text.contains("ggml-silero"),
            "{text}"
        );
    }
    let mut config = Config::default();
    config.vad = Vad::Silero(dir.path().join("none.bin"));
    let error = Transcriber::new(config, Scripted::default()).unwrap_err();
    assert!(
        matches!(error, Error::Model(ModelError::Unreadable { .. })),
        "{error}"
    );
}

/// A model with another number for its last bias.
fn model_with_bias(bias: f32) -> Vec<u8> {
    let mut bytes = model_bytes();
    let name = b"_model.decoder.decoder.2.bias";
    let at = bytes.windows(name.len()).position(|here| here == name);
    let at = at.unwrap() + name.len();
    bytes[at..at + 4].copy_from_slice(&bias.to_le_bytes());
    bytes
}

/// Cancels at the first segment.
struct Cancels(Cancel);

impl Sink for Cancels {
    fn segment(&mut self, _: &Segment) -> io::Result<bool> {
        self.0.cancel();
        Ok(true)
    }
}

/// A journal holds the fingerprint of the model, and not the path of its file.
#[test]
fn a_resume_needs_the_same_model_and_not_the_same_path() {
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(dir.path().join("journal")).unwrap();
    let mut transcribe = |model: PathBuf, cancels: bool| {
        let mut config = Config::default();
        config.vad = Vad::Silero(model);
        let engine = Scripted::new(utterances("standup.opus", 1_000));
        let mut scribe = Transcriber::new(config, engine).unwrap();
        let source = FileSource::open(fixture("standup.opus")).unwrap();
        if cancels {
            let mut sink = Cancels(scribe.cancel());
            scribe.resume(source, &InputOptions::default(), &mut journal, &mut sink)
        } else {
            let mut segments: Vec<Segment> = Vec::new();
            scribe.resume(
                source,
                &InputOptions::default(),
                &mut journal,
                &mut segments,
            )
        }
    };
    let summary = transcribe(model(), true).unwrap();
    assert_eq!(summary.ended, Ended::Cancelled);
    let other = write(&dir, &model_with_bias(0.125));
    let error = transcribe(other, false).unwrap_err();
    let Error::Journal(JournalError::Changed { what, .. }) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(what, "vad");
    let moved = write(&dir, &model_bytes());
    assert_eq!(transcribe(moved, false).unwrap().ended, Ended::Complete);
}

/// Weights that are no numbers pass the check of the file: the detector fails when it runs.
#[test]
fn audio_that_a_failing_detector_cannot_score_counts_as_speech() {
    let dir = TempDir::new().unwrap();
    let bytes = model_with_bias(f32::NAN);
    let map = score(&write(&dir, &bytes)).unwrap();
    let all = Span::new(Time::ZERO, Time::from_samples(16_000));
    assert_eq!(map.spans().collect::<Vec<_>>(), [all]);
}
