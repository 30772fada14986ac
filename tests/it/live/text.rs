//! The text of a real model for scenes that are played live.

use std::sync::atomic::{AtomicBool, Ordering};

use steadyscribe::budget::{Plan, Variant};
use steadyscribe::engine::{EnginePool, Limits, Model, Request, State};
use steadyscribe::{Ended, FileSource, Whisper, WhisperOptions};

use super::*;
use crate::support::score::{edits, words};
use crate::text::fixture;

/// A real engine, and whether it is at work.
struct Busy<T>(T, Arc<AtomicBool>);

impl Engine for Busy<Whisper> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn limits(&self) -> Limits {
        self.0.limits()
    }

    fn variants(&self) -> Vec<Variant> {
        self.0.variants()
    }

    fn load(&self, variant: &Variant) -> Result<Arc<dyn Model>, EngineError> {
        Ok(Arc::new(Busy(self.0.load(variant)?, Arc::clone(&self.1))))
    }
}

impl Model for Busy<Arc<dyn Model>> {
    fn new_state(self: Arc<Self>) -> Result<Box<dyn State>, EngineError> {
        let state = Arc::clone(&self.0).new_state()?;
        Ok(Box::new(Busy(state, Arc::clone(&self.1))))
    }
}

impl State for Busy<Box<dyn State>> {
    fn transcribe(
        &mut self,
        window: &[f32],
        request: &Request<'_>,
    ) -> Result<Transcription, EngineError> {
        self.1.store(true, Ordering::SeqCst);
        let answer = self.0.transcribe(window, request);
        self.1.store(false, Ordering::SeqCst);
        answer
    }
}

/// A sink that records how much audio had been pushed when a segment came.
struct Delays(Watch, Vec<Segment>, Vec<f64>);

impl Sink for Delays {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.1.push(segment.clone());
        let pushed = self.0.status().pushed;
        self.2.push((pushed - segment.end).seconds());
        Ok(true)
    }
}

fn engine() -> Whisper {
    let model = fixture("model/fixture-q8_0.bin");
    Whisper::open(model, WhisperOptions::default()).unwrap()
}

/// Counts the words of a scene, and the errors in its text.
fn score(name: &str, segments: &[Segment]) -> (usize, usize) {
    let json = std::fs::read_to_string(fixture(name).with_extension("json")).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&json).unwrap();
    let said = words(truth["text"].as_str().unwrap());
    let written: Vec<&str> = segments.iter().map(|s| s.text.as_str()).collect();
    (said.len(), edits(&said, &words(&written.join(" "))))
}

/// Plays a scene to an engine for which time stands still while it works, so that it always keeps
/// up and the result does not depend on the machine. Returns the segments, and for each the seconds
/// of audio that were pushed between its end and its arrival.
fn play(name: &str, options: LiveOptions) -> (Vec<Segment>, Vec<f64>) {
    let audio = decode_all(&mut FileSource::open(fixture(name)).unwrap()).unwrap();
    let (mut feed, mut live) = Live::start(options).unwrap();
    let watch = live.watch();
    let busy = Arc::new(AtomicBool::new(false));
    let is_busy = Arc::clone(&busy);
    // The decoder is at most two blocks ahead of the engine, so that the player waits for both.
    let mut config = Config::default();
    config.pool_blocks = 2;
    let mut scribe = Transcriber::new(config, Busy(engine(), busy)).unwrap();
    let mut delays = Delays(live.watch(), Vec::new(), Vec::new());
    let player = thread::spawn(move || {
        let mut sent = 0;
        for piece in audio.samples.chunks(4_000) {
            sent += feed.push(piece, 16_000, 1);
            // All but what waits to fill a block of the resampler.
            wait(&watch, "the decoder", |status| {
                status.read.samples() + 320 > sent as u64
            });
            thread::sleep(Duration::from_millis(2));
            while is_busy.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(2));
            }
        }
        feed.finish(PATIENCE)
    });
    let summary = scribe.transcribe_live(&mut live, &mut delays).unwrap();
    assert_eq!(player.join().unwrap().lag(), Time::ZERO);
    assert_eq!(summary.ended, Ended::Complete);
    (delays.1, delays.2)
}

#[test]
fn live_text_is_as_good_as_that_of_the_file() {
    let name = "standup.opus";
    let mut scribe = Transcriber::new(Config::default(), engine()).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    let source = FileSource::open(fixture(name)).unwrap();
    scribe.transcribe(source, &mut segments).unwrap();
    let (said, of_file) = score(name, &segments);
    let (segments, delays) = play(name, options(0));
    let (_, of_live) = score(name, &segments);
    let longest = delays.into_iter().fold(0.0, f64::max);
    println!("{said} words, {of_file} errors of the file, {of_live} live, {longest:.1} s");
    assert!(of_live <= of_file + said / 50, "{of_file} and {of_live}");
    // A window, the second behind it that is looked at, and the audio on its way there.
    assert!(
        longest < 12.0 + 1.0 + 2.0,
        "a segment came {longest} s late"
    );
}

/// The example plays a scene at eight times its speed: no audio is lost, and the last words come.
#[test]
fn the_example_plays_a_file_as_a_microphone_would() {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let output = std::process::Command::new(profile.join("examples/live"))
        .arg(fixture("standup.opus"))
        .args(["--speed", "8", "--spill-megabytes", "8", "--spill-dir"])
        .arg(std::env::temp_dir())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains("lag 0.0 s, 0.0 MB on disk, 0.0 s dropped; RTF"),
        "{errors}"
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    let texts = lines.lines().map(|line| line.split_once("] ").unwrap().1);
    let segments: Vec<Segment> = texts
        .map(|text| Segment::new(Time::ZERO, Time::ZERO, text))
        .collect();
    let (said, wrong) = score("standup.opus", &segments);
    assert!(wrong <= said / 10, "{wrong} of {said} words: {lines}");
}

#[test]
fn taking_turns_changes_no_text() {
    let transcribe = |mut scribe: Transcriber| {
        thread::spawn(move || {
            let mut segments: Vec<Segment> = Vec::new();
            let source = FileSource::open(fixture("standup.opus")).unwrap();
            scribe.transcribe(source, &mut segments).unwrap();
            segments
        })
    };
    let alone = Transcriber::new(Config::default(), engine()).unwrap();
    let alone = transcribe(alone).join().unwrap();
    assert!(!alone.is_empty());
    // Room for one state, and not for two.
    let variants = &engine().variants()[..1];
    let mut config = Config::default();
    let both = Plan::new(&config, variants, 2).unwrap().peak_bytes();
    config.memory_budget_bytes = Some(both - 1);
    let engines = EnginePool::new(&config, engine(), 2).unwrap();
    assert_eq!(engines.plan().states(), 1);
    for transcript in [(); 2].map(|()| transcribe(engines.transcriber().unwrap())) {
        assert_eq!(transcript.join().unwrap(), alone);
    }
}

/// `cargo test --release --test it live::text::pauses -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes: words and delays with pauses and windows of other lengths"]
fn pauses() {
    for (pause_ms, window_s) in [
        (1_000, 30.0),
        (1_000, 12.0),
        (500, 12.0),
        (1_000, 8.0),
        (500, 8.0),
    ] {
        let (mut said, mut wrong, mut all) = (0, 0, Vec::new());
        for name in ["standup.opus", "meeting.m4a", "monologue.mp3", "sparse.ogg"] {
            let mut options = options(0);
            options.pause = Duration::from_millis(pause_ms);
            options.window_s = window_s;
            let (segments, delays) = play(name, options);
            let (words, errors) = score(name, &segments);
            (said, wrong) = (said + words, wrong + errors);
            all.extend(delays);
        }
        all.sort_by(f64::total_cmp);
        println!(
            "pause {pause_ms} ms, window {window_s} s: {wrong} errors in {said} words, {:.2} %; \
             {:.1} s late in the middle, {:.1} s in 9 of 10, {:.1} s at most",
            100.0 * wrong as f64 / said as f64,
            all[all.len() / 2],
            all[all.len() * 9 / 10],
            all[all.len() - 1],
        );
    }
}
