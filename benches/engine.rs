//! Measures what the model costs: encoding a window, a step of the decoder, and whole transcripts,
//! by number of threads, and compares with `whisper_full`.
//!
//! `cargo bench --bench engine [-- fixture|base]`
//!
//! It measures the fixture model and one of the true size and cost of base, which it makes in
//! `target/models` (148 MB) if it is absent. The cases take turns, so that a busy moment of the
//! machine affects all of them. It prints medians, minima and maxima. It takes ten minutes and 3 GB
//! of memory.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "minutes"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use steadyscribe::audio::WINDOW_SAMPLES_MAX;
use steadyscribe::engine::{Engine, Request, State};
use steadyscribe::{
    Cancel, Config, FileSource, InputOptions, Segment, Time, Transcriber, Whisper, WhisperOptions,
};
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters};

use crate::clock::{Spent, measure};
use crate::samples::samples;

#[path = "support/clock.rs"]
mod clock;

#[path = "support/samples.rs"]
mod samples;

#[path = "../examples/widen/model/mod.rs"]
#[allow(
    dead_code,
    reason = "it has more shapes and formats than are used here"
)]
mod model;

/// Numbers of threads that are compared.
const THREADS: [usize; 3] = [1, 2, 4];

/// How often each case is measured, after a first time that touches the memory.
const ROUNDS: usize = 5;

/// How often transcripts are measured with the larger model.
const ROUNDS_LARGER: usize = 3;

/// What is transcribed, at most three minutes of it: a meeting with pauses, and a speaker who
/// hardly stops.
const MEETING: &str = "fixtures/meeting.m4a";
const MONOLOGUE: &str = "fixtures/monologue.mp3";
const SCENE_S: f64 = 180.0;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn main() {
    let fixture = root().join("fixtures/model/fixture-q8_0.bin");
    let default = WhisperOptions::default().threads;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores, {default} threads by default\n");
    let asked = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let wanted = |name: &str| asked.as_deref().is_none_or(|asked| name.contains(asked));
    let small = "fixture, q8_0";
    if wanted(small) {
        parts(small, &fixture);
        transcripts(small, &fixture, MEETING, ROUNDS);
        transcripts(small, &fixture, MONOLOGUE, ROUNDS);
    }
    let larger = "base-shaped, f16";
    if wanted(larger) {
        let path = base_shaped(&fixture);
        parts(larger, &path);
        transcripts(larger, &path, MEETING, ROUNDS_LARGER);
    }
}

/// Makes the model of base's shape if it is absent, and returns its path.
fn base_shaped(fixture: &Path) -> PathBuf {
    let path = root().join("target/models/ggml-base-f16.bin");
    if !path.is_file() {
        let part = path.with_extension("part");
        let base = model::SHAPES.iter().find(|shape| shape.name == "base");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let narrow = model::Model::read(fixture).unwrap();
        narrow
            .widen(base.unwrap(), model::Format::F16, &part)
            .unwrap();
        std::fs::rename(part, &path).unwrap();
    }
    path
}

/// Measured times of one case, sorted.
#[derive(Default)]
struct Times {
    clock: Vec<f64>,
    processor: Vec<f64>,
}

impl Times {
    /// Adds what was spent, as a multiple of `unit_s`, minus what a part of it took.
    fn add(&mut self, spent: Spent, part: Option<Spent>, unit_s: f64) {
        let left = |all: Duration, part: Option<Duration>| {
            all.saturating_sub(part.unwrap_or_default()).as_secs_f64() / unit_s
        };
        self.clock
            .push(left(spent.clock, part.map(|part| part.clock)));
        self.processor
            .push(left(spent.processor, part.map(|part| part.processor)));
        self.clock.sort_by(f64::total_cmp);
        self.processor.sort_by(f64::total_cmp);
    }

    /// Formats the median on the clock with minimum and maximum, and the median of processor time.
    fn shown(&self, digits: usize) -> String {
        let (least, most) = (self.clock[0], self.clock[self.clock.len() - 1]);
        let spread = format!("({least:.digits$} to {most:.digits$})");
        let (clock, processor) = (median(&self.clock), median(&self.processor));
        format!("{clock:8.digits$} {spread:20} {processor:8.digits$}")
    }
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn options(threads: usize) -> WhisperOptions {
    let mut options = WhisperOptions::default();
    options.threads = threads;
    options
}

/// Returns the start of a scene, 16 kHz mono.
fn start(scene: &str, samples_max: usize) -> Vec<f32> {
    let mut all = samples(&root().join(scene));
    all.truncate(samples_max);
    all
}

/// A state, and what its encoding and its steps took.
struct Part {
    name: String,
    state: Box<dyn State>,
    encode: Times,
    step: Times,
}

/// Measures encoding and a step of the decoder.
fn parts(name: &str, path: &Path) {
    let window = start(MEETING, WINDOW_SAMPLES_MAX);
    let flash = [(WhisperOptions::default().threads, 1)];
    let cases = THREADS.map(|threads| (threads, 0)).into_iter().chain(flash);
    let mut parts: Vec<Part> = cases
        .map(|(threads, variant)| {
            let whisper = Whisper::open(path, options(threads)).unwrap();
            let variant = &whisper.variants()[variant];
            let model = whisper.load(variant).unwrap();
            Part {
                name: format!("{threads} threads, {}", variant.id),
                state: model.new_state().unwrap(),
                encode: Times::default(),
                step: Times::default(),
            }
        })
        .collect();
    for round in 0..=ROUNDS {
        for part in &mut parts {
            let (whole, decoding, steps) = window_costs(&mut *part.state, &window, round as u64);
            if round > 0 {
                part.encode.add(whole, Some(decoding), 1e-3);
                part.step.add(decoding, None, 1e-3 * steps as f64);
            }
        }
    }
    println!("{name}, a window of 30 s, in ms; medians on the clock, of processors");
    println!("{:28} {:37}   a step of the decoder", "", "encoding");
    for part in &parts {
        let (encode, step) = (part.encode.shown(1), part.step.shown(2));
        println!("{:28} {encode}   {step}", part.name);
    }
    println!();
}

/// Encodes and decodes a window, and decodes it again. Returns what both took, and how many steps
/// the second decoding had.
fn window_costs(state: &mut dyn State, window: &[f32], audio_id: u64) -> (Spent, Spent, u64) {
    let cancel = Cancel::new();
    let request = Request::new(audio_id, &cancel);
    let (first, whole) = measure(|| state.transcribe(window, &request).unwrap());
    assert!(!first.segments.is_empty(), "the window has speech");
    // The same number: the window is not encoded again.
    let (second, decoding) = measure(|| state.transcribe(window, &request).unwrap());
    assert_eq!((first.counts.encodes, second.counts.encodes), (1, 0));
    (whole, decoding, second.counts.decode_steps)
}

/// A way to transcribe the scene, which returns the text, and its times.
struct Way {
    name: String,
    run: Box<dyn FnMut() -> String>,
    took: Times,
}

/// Measures whole transcripts, and compares with whisper.cpp's own loop.
fn transcripts(name: &str, path: &Path, scene: &str, rounds: usize) {
    let default = WhisperOptions::default().threads;
    let samples: Arc<[f32]> = start(scene, (SCENE_S * 16_000.0) as usize).into();
    let greedy = (SamplingStrategy::Greedy { best_of: 5 }, false);
    let beams = SamplingStrategy::BeamSearch {
        beam_size: 5,
        patience: -1.0,
    };
    let mut ways: Vec<Way> = Vec::new();
    let mut way = |threads, name: &str, run| {
        ways.push(Way {
            name: format!("{threads} threads, {name}"),
            run,
            took: Times::default(),
        });
    };
    for threads in THREADS {
        way(threads, "steadyscribe", steadyscribe(path, scene, threads));
    }
    let full = |way| whisper_full(path, &samples, default, way);
    way(default, "whisper_full, greedy", full(greedy));
    way(default, "whisper_full, 5 beams, flash", full((beams, true)));
    for round in 0..=rounds {
        for way in &mut ways {
            let (text, spent) = measure(&mut way.run);
            assert!(text.split_whitespace().count() > 100, "{text}");
            if round > 0 {
                way.took.add(spent, None, SCENE_S);
            }
        }
    }
    println!("{name}, {SCENE_S:.0} s of {scene}: RTF, medians on the clock, of processors");
    for way in &ways {
        println!("{:40} {}", way.name, way.took.shown(4));
    }
    println!();
}

fn steadyscribe(path: &Path, scene: &str, threads: usize) -> Box<dyn FnMut() -> String> {
    let whisper = Whisper::open(path, options(threads)).unwrap();
    let mut part = InputOptions::default();
    part.duration = Some(Time::from_seconds(SCENE_S));
    let mut scribe = Transcriber::new(Config::default(), whisper).unwrap();
    let file = root().join(scene);
    Box::new(move || {
        let mut segments: Vec<Segment> = Vec::new();
        let source = FileSource::open(&file).unwrap();
        scribe
            .transcribe_with(source, &part, &mut segments)
            .unwrap();
        let text: Vec<String> = segments.into_iter().map(|segment| segment.text).collect();
        text.join(" ")
    })
}

/// Runs what whisper-cli calls for decoded audio, in the same build of whisper.cpp and with
/// whisper-cli's settings. Its default strategy is five beams, with flash attention.
fn whisper_full(
    path: &Path,
    samples: &Arc<[f32]>,
    threads: usize,
    (strategy, flash_attention): (SamplingStrategy, bool),
) -> Box<dyn FnMut() -> String> {
    let mut parameters = WhisperContextParameters::default();
    parameters.flash_attn(flash_attention);
    let context = WhisperContext::new_with_params(path, parameters).unwrap();
    let mut state = context.create_state().unwrap();
    let samples = Arc::clone(samples);
    Box::new(move || {
        let mut parameters = FullParams::new(strategy.clone());
        parameters.set_n_threads(i32::try_from(threads).unwrap());
        parameters.set_language(Some("en"));
        parameters.set_no_context(false);
        parameters.set_print_progress(false);
        state.full(parameters, &samples).unwrap();
        let text: Vec<_> = state
            .as_iter()
            .map(|segment| segment.to_str_lossy().unwrap())
            .collect();
        text.concat()
    })
}
