//! How long a cancel takes, beside one encoding of a window, which whisper.cpp does not break off.
//!
//! `cargo bench --bench cancel`, or with another model: `STEADYSCRIBE_MODEL=PATH cargo bench --bench cancel`

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]
#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use steadyscribe::engine::{Engine, Request};
use steadyscribe::{
    Cancel, Config, Ended, FileSource, Segment, Transcriber, Whisper, WhisperOptions, memory,
};

/// Transcriptions that are cancelled, after a time up to this.
const CANCELS: u32 = 100;
const LATEST: Duration = Duration::from_secs(2);

/// Encodings that are measured.
const ENCODINGS: usize = 10;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn model() -> Whisper {
    let path = std::env::var_os("STEADYSCRIBE_MODEL");
    let path = path.map_or_else(|| fixture("model/fixture-q8_0.bin"), PathBuf::from);
    Whisper::load(path, WhisperOptions::default()).unwrap()
}

/// The longest of some encodings: cancelled while it encodes, the engine does nothing after.
fn encoding() -> Duration {
    let mut engine = model();
    engine.warm_up().unwrap();
    let window = vec![0.01; 480_000];
    let encode = |_| {
        let cancel = Cancel::new();
        let raise = cancel.clone();
        let raised = thread::spawn(move || {
            thread::sleep(Duration::from_millis(1));
            raise.cancel();
        });
        let began = Instant::now();
        engine
            .transcribe(&window, &Request::new(&cancel))
            .unwrap_err();
        let took = began.elapsed();
        raised.join().unwrap();
        took
    };
    (0..ENCODINGS).map(encode).max().unwrap_or_default()
}

/// Cancels a transcription after `delay`, and returns how long it took to end from there.
fn cancelled(scribe: &mut Transcriber<Whisper>, delay: Duration) -> Duration {
    let cancel = scribe.renew_cancel();
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
        "{CANCELS} cancels: {:.1} ms in the middle, {:.1} ms in 9 of 10, {:.1} ms at most; one encoding: {:.1} ms at most",
        ms(took[took.len() / 2]),
        ms(took[took.len() * 9 / 10]),
        ms(took[took.len() - 1]),
        ms(encoding),
    );
}
