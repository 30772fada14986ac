//! What the model costs: encoding a window, a step of the decoder, and whole transcripts, by number of threads, beside `whisper_full`.
//!
//! `cargo bench --bench engine`
//!
//! It measures the fixture model and one of the true size and cost of base, which it makes in `target/models` (148 MB) if it is not
//! there. What is compared is measured in turns, so that a busy moment of the machine meets all of it; medians are shown, and the least
//! and the most. It takes ten minutes and 3 GB of memory.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use steadyscribe::audio::WINDOW_SAMPLES_MAX;
use steadyscribe::decode::Decoder;
use steadyscribe::engine::{Engine, Request};
use steadyscribe::resample::Resampler;
use steadyscribe::{Cancel, Config, FileSource, Segment, Transcriber, Whisper, WhisperOptions};
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters};

#[path = "../examples/widen/model.rs"]
#[allow(
    dead_code,
    reason = "it has more shapes and formats than are used here"
)]
mod model;

/// Numbers of threads that are compared.
const THREADS: [usize; 3] = [1, 2, 4];

/// How often each is measured.
const ROUNDS: usize = 5;

/// What is transcribed, and its length in seconds.
const SCENE: &str = "fixtures/standup.opus";
const SCENE_S: f64 = 60.0;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn main() {
    wait_passively();
    let fixture = root().join("fixtures/model/fixture-q8_0.bin");
    let models = [
        ("fixture, q8_0", fixture.clone()),
        ("base-shaped, f16", base_shaped(&fixture)),
    ];
    let default = WhisperOptions::default().threads;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores, {default} threads by default\n");
    for (name, path) in &models {
        parts(name, path);
    }
    for (name, path) in &models {
        transcripts(name, path);
    }
}

/// Has the threads of OpenMP sleep while they wait. They read the choice before `main`, so the bench starts itself again with it.
fn wait_passively() {
    #[cfg(all(feature = "openmp", target_os = "linux"))]
    {
        use std::os::unix::process::CommandExt;
        const CHOICE: &str = "OMP_WAIT_POLICY";
        if std::env::var_os(CHOICE).is_none() {
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            again
                .args(std::env::args_os().skip(1))
                .env(CHOICE, "passive");
            panic!("{}", again.exec());
        }
    }
}

/// Makes the model of base's shape if it is not there, and returns its path.
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

/// Times of one thing, in order.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn add(&mut self, time: f64) {
        self.0.push(time);
        self.0.sort_by(f64::total_cmp);
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// The median, the least and the most.
    fn spread(&self, digits: usize) -> String {
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        let median = self.median();
        format!("{median:8.digits$}  ({least:.digits$} to {most:.digits$})")
    }
}

fn options(threads: usize) -> WhisperOptions {
    let mut options = WhisperOptions::default();
    options.threads = threads;
    options
}

/// The scene from its start, at most so many samples, 16 kHz mono.
fn scene(samples_max: usize) -> Vec<f32> {
    let source = &mut FileSource::open(root().join(SCENE)).unwrap();
    let mut decoder = Decoder::open(source).unwrap();
    let (mut resampler, mut all) = (Resampler::new(), Vec::new());
    let mut keep = |samples: &[f32]| all.extend_from_slice(samples);
    while let Some(chunk) = decoder.next().unwrap() {
        resampler.push(chunk.format, chunk.samples, &mut keep);
    }
    resampler.finish(&mut keep);
    all.truncate(samples_max);
    all
}

/// Measures encoding and a step of the decoder.
fn parts(name: &str, path: &Path) {
    println!("{name}: one window of 30 s");
    println!("threads  attention  encode, ms                        step of the decoder, ms");
    let window = scene(WINDOW_SAMPLES_MAX);
    let mut cases: Vec<(usize, &str, Whisper, Times, Times)> = Vec::new();
    for (way, attention) in ["whole", "flash"].into_iter().enumerate() {
        for threads in THREADS {
            let mut whisper = Whisper::open(path, options(threads)).unwrap();
            let footprint = whisper.footprints()[way];
            whisper.prepare(&footprint).unwrap();
            let times = (Times::default(), Times::default());
            cases.push((threads, attention, whisper, times.0, times.1));
        }
    }
    for round in 0..=ROUNDS {
        for (_, _, whisper, encode, step) in &mut cases {
            let (encode_ms, step_ms) = window_ms(whisper, &window);
            // The first round touches the memory.
            if round > 0 {
                encode.add(encode_ms);
                step.add(step_ms);
            }
        }
    }
    for (threads, attention, _, encode, step) in &cases {
        let (encode, step) = (encode.spread(1), step.spread(2));
        println!("{threads:7}  {attention:9}  {encode:32}  {step}");
    }
    println!();
}

/// Encodes and decodes a window, decodes it again, and returns what encoding took and what one step of decoding.
fn window_ms(whisper: &mut Whisper, window: &[f32]) -> (f64, f64) {
    let cancel = Cancel::new();
    let mut request = Request::new(&cancel);
    let mut ask = |again| {
        request.again = again;
        let (before, began) = (whisper.counts(), Instant::now());
        let heard = whisper.transcribe(window, &request).unwrap();
        let took = began.elapsed();
        assert!(!heard.segments.is_empty(), "the window has speech");
        (took, whisper.counts().since(before).decode_steps)
    };
    let (whole, _) = ask(false);
    let (decoding, steps) = ask(true);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    (
        ms(whole.saturating_sub(decoding)),
        ms(decoding) / steps as f64,
    )
}

/// A way to transcribe the scene, which returns the text and the real-time factor, and what it was measured to take.
struct Way {
    name: String,
    run: Box<dyn FnMut() -> (String, f64)>,
    rtf: Times,
}

/// Measures whole transcripts, beside whisper.cpp's own loop.
fn transcripts(name: &str, path: &Path) {
    let mut ways: Vec<Way> = Vec::new();
    for threads in THREADS {
        let way = |name: &str, run| Way {
            name: format!("{threads} threads, {name}"),
            run,
            rtf: Times::default(),
        };
        ways.push(way("steadyscribe", steadyscribe(path, threads)));
        let greedy = SamplingStrategy::Greedy { best_of: 5 };
        ways.push(way(
            "whisper_full",
            whisper_full(path, threads, false, greedy),
        ));
        if threads == WhisperOptions::default().threads {
            let beams = SamplingStrategy::BeamSearch {
                beam_size: 5,
                patience: -1.0,
            };
            let run = whisper_full(path, threads, true, beams);
            ways.push(way("whisper_full, beams, flash", run));
        }
    }
    println!("{name}: {SCENE_S:.0} s of speech");
    println!("{:40}  {:30}  times real time", "", "RTF");
    for round in 0..=ROUNDS {
        for way in &mut ways {
            let (text, rtf) = (way.run)();
            assert!(text.split_whitespace().count() > 100, "{text}");
            // The first round touches the memory.
            if round > 0 {
                way.rtf.add(rtf);
            }
        }
    }
    for way in &ways {
        let times = 1.0 / way.rtf.median();
        println!("{:40}  {:30}  {times:.1}", way.name, way.rtf.spread(4));
    }
    println!();
}

fn steadyscribe(path: &Path, threads: usize) -> Box<dyn FnMut() -> (String, f64)> {
    let whisper = Whisper::open(path, options(threads)).unwrap();
    let mut scribe = Transcriber::new(Config::default(), whisper).unwrap();
    Box::new(move || {
        let mut segments: Vec<Segment> = Vec::new();
        let source = FileSource::open(root().join(SCENE)).unwrap();
        let summary = scribe.transcribe(source, &mut segments).unwrap();
        let text: Vec<String> = segments.into_iter().map(|segment| segment.text).collect();
        (text.join(" "), summary.rtf)
    })
}

/// What whisper-cli calls for decoded audio, in the same build of whisper.cpp and with whisper-cli's settings. Its own strategy are
/// five beams, with flash attention.
fn whisper_full(
    path: &Path,
    threads: usize,
    flash_attention: bool,
    strategy: SamplingStrategy,
) -> Box<dyn FnMut() -> (String, f64)> {
    let mut parameters = WhisperContextParameters::default();
    parameters.flash_attn(flash_attention);
    let context = WhisperContext::new_with_params(path, parameters).unwrap();
    let mut state = context.create_state().unwrap();
    let samples = scene(usize::MAX);
    Box::new(move || {
        let mut parameters = FullParams::new(strategy.clone());
        parameters.set_n_threads(i32::try_from(threads).unwrap());
        parameters.set_language(Some("en"));
        parameters.set_no_context(false);
        parameters.set_print_progress(false);
        let began = Instant::now();
        state.full(parameters, &samples).unwrap();
        let rtf = began.elapsed().as_secs_f64() / SCENE_S;
        let text: Vec<_> = state
            .as_iter()
            .map(|segment| segment.to_str_lossy().unwrap())
            .collect();
        (text.concat(), rtf)
    })
}
