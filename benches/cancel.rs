//! Measures how long a cancel takes, and one encoding of a window, which whisper.cpp cannot
//! interrupt.
//!
//! `cargo bench --bench cancel`, or with another model:
//! `STEADYSCRIBE_MODEL=PATH cargo bench --bench cancel`

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use steadyscribe::engine::{Engine, Request};
use steadyscribe::{
    Cancel, Config, Ended, FileSource, Segment, Transcriber, Whisper, WhisperOptions, memory,
};

/// Transcriptions that are cancelled, each after a time up to the latest.
const CANCELS: u32 = 100;
const LATEST: Duration = Duration::from_secs(2);

/// Encodings that are measured.
const ENCODINGS: u64 = 10;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn model() -> Whisper {
    let path = std::env::var_os("STEADYSCRIBE_MODEL");
    let path = path.map_or_else(|| fixture("model/fixture-q8_0.bin"), PathBuf::from);
    Whisper::open(path, WhisperOptions::default()).unwrap()
}

/// Returns the time of the longest of some encodings. A state that is cancelled while it encodes
/// does nothing afterwards.
fn encoding() -> Duration {
    let engine = model();
    let model = engine.load(&engine.variants()[0]).unwrap();
    let mut state = model.new_state().unwrap();
    state.warm_up().unwrap();
    let window = vec![0.01; 480_000];
    let encode = |audio_id| {
        let cancel = Cancel::new();
        let raise = cancel.clone();
        let raised = thread::spawn(move || {
            thread::sleep(Duration::from_millis(1));
            raise.cancel();
        });
        let began = Instant::now();
        state
            .transcribe(&window, &Request::new(audio_id, &cancel))
            .unwrap_err();
        let took = began.elapsed();
        raised.join().unwrap();
        took
    };
    (0..ENCODINGS).map(encode).max().unwrap_or_default()
}

/// Cancels a transcription after `delay`. Returns how long it took to end from then on.
fn cancelled(scribe: &mut Transcriber, delay: Duration) -> Duration {
    let cancel = Cancel::new();
    scribe.set_cancel(&cancel);
    let (begin, begun) = sync_channel::<()>(0);
    let canceller = thread::spawn(move || {
        begun.recv().unwrap();
        thread::sleep(delay);
        cancel.cancel();
        Instant::now()
    });
    let source = FileSource::open(fixture("monologue.mp3")).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    begin.send(()).unwrap();
    let summary = scribe.transcribe(source, &mut segments).unwrap();
    let ended = Instant::now();
    assert_eq!(summary.ended, Ended::Cancelled, "cancelled too late");
    ended.saturating_duration_since(canceller.join().unwrap())
}

fn main() {
    memory::return_large_blocks();
    let encoding = encoding();
    let mut scribe = Transcriber::new(Config::default(), model()).unwrap();
    scribe.warm_up().unwrap();
    let mut took: Vec<Duration> = (0..CANCELS)
        .map(|n| cancelled(&mut scribe, LATEST * n / CANCELS))
        .collect();
    took.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{CANCELS} cancels: median {:.1} ms, 90th percentile {:.1} ms, at most {:.1} ms; one \
         encoding: at most {:.1} ms",
        ms(took[took.len() / 2]),
        ms(took[took.len() * 9 / 10]),
        ms(took[took.len() - 1]),
        ms(encoding),
    );
}
