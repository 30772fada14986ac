//! Compares what the fixture model writes of the fixture scenes with the truth: words, times,
//! silence.

use std::path::{Path, PathBuf};

use serde_json::Value;
use steadyscribe::{
    Config, Ended, FileSource, Segment, Summary, Transcriber, Whisper, WhisperOptions,
};

use crate::support::score::{edits, words};

const SCENES: [&str; 4] = ["standup.opus", "meeting.m4a", "monologue.mp3", "sparse.ogg"];

/// Seconds by which a segment's time may differ from the reference's.
const TIME_S: f64 = 0.1;

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn scribe(previous_text: bool) -> Transcriber {
    let model = fixture("model/fixture-q8_0.bin");
    let engine = Whisper::open(model, WhisperOptions::default()).unwrap();
    let mut config = Config::default();
    config.previous_text = previous_text;
    Transcriber::new(config, engine).unwrap()
}

fn transcribe(scribe: &mut Transcriber, name: &str) -> (Vec<Segment>, Summary) {
    let mut segments = Vec::new();
    let source = FileSource::open(fixture(name)).unwrap();
    let summary = scribe.transcribe(source, &mut segments).unwrap();
    assert_eq!(summary.ended, Ended::Complete, "{name}");
    assert_eq!(summary.blocks.acquired, summary.blocks.released, "{name}");
    assert_eq!(summary.segments, segments.len() as u64, "{name}");
    (segments, summary)
}

fn seconds(utterance: &Value, key: &str) -> f64 {
    utterance[key].as_f64().unwrap()
}

/// Counts of words, errors and utterances, and of utterances that start or end when a segment does.
#[derive(Debug, Default)]
struct Score {
    words: usize,
    errors: usize,
    utterances: usize,
    starts: usize,
    ends: usize,
}

impl Score {
    fn add(&mut self, name: &str, segments: &[Segment]) {
        let json = std::fs::read_to_string(fixture(name).with_extension("json")).unwrap();
        let truth: Value = serde_json::from_str(&json).unwrap();
        let said = words(truth["text"].as_str().unwrap());
        let written: Vec<&str> = segments
            .iter()
            .map(|segment| segment.text.as_str())
            .collect();
        let errors = edits(&said, &words(&written.join(" ")));
        println!("{name}: {errors} errors in {} words", said.len());
        (self.words, self.errors) = (self.words + said.len(), self.errors + errors);
        for utterance in truth["utterances"].as_array().unwrap() {
            let near = |time: f64, key| (time - seconds(utterance, key)).abs() < TIME_S;
            self.utterances += 1;
            self.starts += usize::from(segments.iter().any(|s| near(s.start.seconds(), "start")));
            self.ends += usize::from(segments.iter().any(|s| near(s.end.seconds(), "end")));
        }
    }

    fn share(part: usize, whole: usize) -> f64 {
        part as f64 / whole as f64
    }
}

/// Transcribes the four scenes and checks the pooled word error rate and the times.
fn check(previous_text: bool, wer_max: f64) {
    let (mut scribe, mut score) = (scribe(previous_text), Score::default());
    for name in SCENES {
        let (segments, summary) = transcribe(&mut scribe, name);
        score.add(name, &segments);
        check_order(name, &segments);
        assert!(
            summary.uncovered_s < 0.01 * summary.speech_s,
            "{name}: {summary:?}"
        );
    }
    let wer = Score::share(score.errors, score.words);
    let (starts, ends) = (
        Score::share(score.starts, score.utterances),
        Score::share(score.ends, score.utterances),
    );
    println!("previous text {previous_text}: WER {wer:.4}, starts {starts:.3}, ends {ends:.3}");
    assert_eq!(score.words, 1_587);
    assert!(wer <= wer_max, "WER {wer:.4}");
    assert!(
        starts >= 0.98 && ends >= 0.95,
        "starts {starts:.3}, ends {ends:.3}"
    );
}

/// Checks that segments come in order and do not overlap, and that their tokens lie inside them and
/// make their text.
fn check_order(name: &str, segments: &[Segment]) {
    for (id, segment) in segments.iter().enumerate() {
        assert_eq!(segment.id, id as u64, "{name}");
        assert!(segment.start < segment.end, "{name}: {segment:?}");
        let confidence = segment.quality.confidence.unwrap();
        assert!((0.0..=1.0).contains(&confidence), "{name}: {segment:?}");
        let text: String = segment
            .tokens
            .iter()
            .map(|token| token.text.as_str())
            .collect();
        assert_eq!(text.trim(), segment.text, "{name}");
        let inside = |token: &steadyscribe::Token| {
            segment.start <= token.start && token.start <= token.end && token.end <= segment.end
        };
        assert!(segment.tokens.iter().all(inside), "{name}: {segment:?}");
    }
    let apart = |pair: &[Segment]| pair[0].end <= pair[1].start;
    assert!(segments.windows(2).all(apart), "{name}: segments overlap");
}

#[test]
fn room_tone_gives_no_text() {
    let (segments, summary) = transcribe(&mut scribe(true), "room_tone.flac");
    assert_eq!(segments, []);
    assert_eq!(summary.encodes, 0, "no window was worth an encoding");
    assert!(summary.skipped_silence_s > 59.0);
}

#[test]
fn the_same_input_gives_the_same_text() {
    let mut scribe = scribe(true);
    let (first, _) = transcribe(&mut scribe, "standup.opus");
    let released = scribe.engines().unload();
    assert!(released.freed_bytes > 0, "the model was loaded");
    let (second, _) = transcribe(&mut scribe, "standup.opus");
    assert_eq!(first, second);
}

mod slow {
    use super::*;

    #[test]
    #[ignore = "slow: make test-all"]
    fn words_and_times_with_previous_text() {
        check(true, 0.045);
    }

    #[test]
    #[ignore = "slow: make test-all"]
    fn words_and_times_without_previous_text() {
        check(false, 0.040);
    }
}
