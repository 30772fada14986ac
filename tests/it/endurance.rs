//! Many at once and many one after another: nothing is mixed up, and nothing is left behind.

#![expect(
    clippy::disallowed_methods,
    reason = "the files of these tests are small"
)]

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use steadyscribe::engine::Shared;
use steadyscribe::live::{Live, LiveOptions};
use steadyscribe::sink::Sink;
use steadyscribe::source::PipeSource;
use steadyscribe::{
    Config, FileSource, Segment, Time, Transcriber, Whisper, WhisperOptions, memory, monitor,
};

const MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn engine() -> Whisper {
    Whisper::load(MODEL, WhisperOptions::default()).unwrap()
}

/// The `n`th piece of a meeting.
fn piece(n: usize) -> Config {
    let mut config = Config::default();
    config.start = Time::from_seconds(9.0 * n as f64);
    config.duration = Some(Time::from_seconds(9.0));
    config
}

fn text(segments: &[Segment]) -> Vec<(Time, String)> {
    segments
        .iter()
        .map(|said| (said.start, said.text.clone()))
        .collect()
}

/// Ten transcribers in ten threads take turns on one model: each has the text that it has alone.
#[test]
fn ten_transcribers_share_one_model() {
    let shared = Shared::new(engine());
    let hear = |n: usize, engine: Shared<Whisper>| {
        let mut scribe = Transcriber::new(piece(n), engine).unwrap();
        let mut segments: Vec<Segment> = Vec::new();
        let source = FileSource::open(fixture("meeting.m4a")).unwrap();
        let summary = scribe.transcribe(source, &mut segments).unwrap();
        assert_eq!(summary.blocks.acquired, summary.blocks.released);
        text(&segments)
    };
    let together: Vec<_> = std::thread::scope(|scope| {
        let start = |n| {
            let engine = shared.clone();
            scope.spawn(move || hear(n, engine))
        };
        let threads: Vec<_> = (0..10).map(start).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let alone: Vec<_> = (0..10).map(|n| hear(n, shared.clone())).collect();
    assert_eq!(together, alone);
    assert!(alone.iter().flatten().count() > 10, "{alone:?}");
}

/// Fails at the first segment, as a full disk does.
struct Full;

impl Sink for Full {
    fn segment(&mut self, _: &Segment) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}

/// A file, a live input, a cancel, a full disk and damage.
fn round(scribe: &mut Transcriber<Whisper>) {
    let mut segments: Vec<Segment> = Vec::new();
    for name in ["standup.opus", "meeting.m4a", "room_tone.flac"] {
        let source = FileSource::open(fixture(name)).unwrap();
        scribe.transcribe(source, &mut segments).unwrap();
    }
    let source = FileSource::open(fixture("standup.opus")).unwrap();
    scribe.transcribe(source, &mut Full).unwrap_err();
    let mut damaged = fs::read(fixture("standup.opus")).unwrap();
    damaged[9_000..9_400].fill(0x55);
    damaged.truncate(30_000);
    let damaged = PipeSource::new("damaged", io::Cursor::new(damaged));
    scribe.transcribe(damaged, &mut segments).unwrap();
    scribe
        .transcribe(
            PipeSource::new("noise", io::Cursor::new(vec![7; 9_000])),
            &mut segments,
        )
        .unwrap_err();
    let mut options = LiveOptions::default();
    options.spill_bytes = 8 << 20;
    let (mut feed, mut live) = Live::start(options).unwrap();
    for _ in 0..50 {
        feed.push(&[0.01; 4_410], 44_100, 1);
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(feed);
    scribe.transcribe_live(&mut live, &mut segments).unwrap();
    assert!(segments.len() > 20);
}

/// Private bytes, open files and threads of this process.
fn held() -> (u64, usize, usize) {
    memory::trim();
    let count = |folder| fs::read_dir(folder).map_or(0, Iterator::count);
    let private = monitor::reader::own().unwrap().private_bytes;
    (private, count("/proc/self/fd"), count("/proc/self/task"))
}

/// `make soak`: minutes of everything in one process, after which it holds what it held before.
#[test]
#[ignore = "takes minutes, and no other test may run beside it: make soak"]
fn soak() {
    memory::return_large_blocks();
    let minutes =
        std::env::var("STEADYSCRIBE_SOAK_MINUTES").map_or(5, |said| said.parse().unwrap());
    let mut config = Config::default();
    config.release_state_after = None;
    config.unload_after = None;
    let mut scribe = Transcriber::new(config, engine()).unwrap();
    scribe.warm_up().unwrap();
    // The allocator's heap finds its size in the first rounds.
    round(&mut scribe);
    round(&mut scribe);
    let (private, files, threads) = held();
    let (began, mut rounds) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(60 * minutes) {
        round(&mut scribe);
        rounds += 1;
    }
    let now = held();
    println!("{rounds} rounds: {private} bytes, {files} files, {threads} threads, then {now:?}");
    assert!(now.0.saturating_sub(private) < 2_000_000);
    assert_eq!((now.1, now.2), (files, threads));
}
