//! Many at once and many one after another: nothing is mixed up, and nothing is left behind.

#![expect(
    clippy::disallowed_methods,
    reason = "the files of these tests are small"
)]

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use steadyscribe::budget::Plan;
use steadyscribe::engine::{Engine, EnginePool};
use steadyscribe::live::{Live, LiveOptions};
use steadyscribe::sink::Sink;
use steadyscribe::source::PipeSource;
use steadyscribe::{
    Cancel, Config, Ended, FileSource, InputOptions, Journal, Segment, Time, Transcriber, Whisper,
    WhisperOptions, memory, monitor,
};

use crate::support::input;

const MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/model/fixture-q8_0.bin"
);

/// Transcribers that are at work at once.
const TRANSCRIBERS: usize = 10;

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(600);

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn engine() -> Whisper {
    Whisper::open(MODEL, WhisperOptions::default()).unwrap()
}

fn text(segments: &[Segment]) -> Vec<(u64, String)> {
    segments
        .iter()
        .map(|said| (said.start.samples(), said.text.clone()))
        .collect()
}

/// Transcribes the `n`th piece of the meeting.
fn piece(n: usize, scribe: &mut Transcriber) -> Vec<(u64, String)> {
    let mut options = InputOptions::default();
    options.start = Time::from_seconds(9.0 * n as f64);
    options.duration = Some(Time::from_seconds(9.0));
    let mut segments: Vec<Segment> = Vec::new();
    let source = FileSource::open(fixture("meeting.m4a")).unwrap();
    let summary = scribe
        .transcribe_with(source, &options, &mut segments)
        .unwrap();
    assert_eq!(summary.blocks.acquired, summary.blocks.released);
    text(&segments)
}

/// Transcribes a piece with each transcriber of a pool, all at once in threads of their own; a
/// deadlock is a panic.
fn pieces(engines: &EnginePool) -> Vec<Vec<(u64, String)>> {
    let (done, received) = std::sync::mpsc::sync_channel(TRANSCRIBERS);
    for n in 0..TRANSCRIBERS {
        let (mut scribe, done) = (engines.transcriber().unwrap(), done.clone());
        std::thread::spawn(move || done.send((n, piece(n, &mut scribe))));
    }
    let mut pieces = vec![Vec::new(); TRANSCRIBERS];
    for _ in 0..TRANSCRIBERS {
        let (n, piece) = received.recv_timeout(PATIENCE).unwrap();
        pieces[n] = piece;
    }
    pieces
}

const STATES: &str = "STEADYSCRIBE_TEST_STATES";

/// An engine for many at once: each with one thread, since there are no more cores than engines.
fn single() -> Whisper {
    let mut options = WhisperOptions::default();
    options.threads = 1;
    Whisper::open(MODEL, options).unwrap()
}

/// A budget that has room for this many states, and not for one more.
fn budget_for(states: usize) -> Config {
    let mut config = Config::default();
    let variant = single().variants().swap_remove(0);
    let state = variant.footprint.state_bytes + variant.footprint.window_bytes;
    let all = Plan::new(&config, &[variant], TRANSCRIBERS).unwrap();
    let fewer = (TRANSCRIBERS - states) as u64 * state;
    config.memory_budget_bytes = Some(all.peak_bytes() - fewer + state / 2);
    config
}

#[test]
#[ignore = "a process of its own: see ten_transcribers_share_one_model"]
fn ten_together() {
    let Ok(states) = std::env::var(STATES) else {
        return;
    };
    memory::return_large_blocks();
    let config = budget_for(states.parse().unwrap());
    let engines = EnginePool::new(&config, single(), TRANSCRIBERS).unwrap();
    let (states, planned) = (engines.plan().states(), engines.plan().peak_bytes());
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(0);
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            peak = monitor::reader::own().unwrap().private_bytes.max(peak);
            std::thread::sleep(Duration::from_millis(2));
        }
        peak
    });
    let texts = pieces(&engines);
    drop(stop);
    let peak = watch.join().unwrap();
    let footprint = engines.plan().variant().footprint;
    assert_eq!(engines.held().model_bytes, footprint.model_bytes);
    assert_eq!(
        engines.held().state_bytes,
        states as u64 * footprint.state_bytes
    );
    println!("{states} states, {peak} of {planned} bytes");
    println!("{}", serde_json::to_string(&texts).unwrap());
    // With a state each, ten copies of the weights would exceed it by far.
    assert!(peak <= planned && planned <= config.memory_budget_bytes.unwrap());
}

/// Fails at the first segment, as a full disk does.
struct Full;

impl Sink for Full {
    fn segment(&mut self, _: &Segment) -> io::Result<bool> {
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}

/// Cancels at a segment.
struct Stops(usize, Cancel);

impl Sink for Stops {
    fn segment(&mut self, _: &Segment) -> io::Result<bool> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 {
            self.1.cancel();
        }
        Ok(true)
    }
}

/// Files, a cancel that a journal outlives, a full disk, damage, noise, and a live input.
fn round(scribe: &mut Transcriber) {
    let mut segments: Vec<Segment> = Vec::new();
    for name in ["standup.opus", "meeting.m4a", "room_tone.flac"] {
        let source = FileSource::open(fixture(name)).unwrap();
        scribe.transcribe(source, &mut segments).unwrap();
    }
    let folder = tempfile::TempDir::new().unwrap();
    let mut journal = Journal::create(folder.path().join("journal")).unwrap();
    let source = || FileSource::open(fixture("standup.opus")).unwrap();
    let mut stops = Stops(5, scribe.cancel());
    let whole = InputOptions::default();
    let summary = scribe.resume(source(), &whole, &mut journal, &mut stops);
    assert_eq!(summary.unwrap().ended, Ended::Cancelled);
    scribe.set_cancel(&Cancel::new());
    let summary = scribe.resume(source(), &whole, &mut journal, &mut segments);
    assert_eq!(summary.unwrap().ended, Ended::Complete);
    scribe.transcribe(source(), &mut Full).unwrap_err();
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
    let speech = input::decode_all(&mut source()).unwrap().samples;
    for piece in speech[..8 * 16_000].chunks(1_600) {
        assert_eq!(feed.push(piece, 16_000, 1), piece.len());
    }
    drop(feed);
    segments.clear();
    scribe.transcribe_live(&mut live, &mut segments).unwrap();
    assert!(!segments.is_empty());
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
    round(&mut scribe);
    let (private, files, threads) = held();
    let (began, mut rounds) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(60 * minutes) {
        round(&mut scribe);
        rounds += 1;
        if rounds % 5 == 0 {
            println!("{rounds} rounds: {:?}", held());
        }
    }
    let now = held();
    println!("{rounds} rounds: {private} bytes, {files} files, {threads} threads, then {now:?}");
    assert!(now.0.saturating_sub(private) < 2_000_000);
    assert_eq!((now.1, now.2), (files, threads));
}

/// Run by `make test-all`.
mod slow {
    use super::*;

    /// Ten transcribers in ten threads take turns on one state: each has the text that it has
    /// alone.
    #[test]
    #[ignore = "slow: make test-all"]
    fn ten_transcribers_take_turns_on_one_state() {
        let config = budget_for(1);
        let engines = EnginePool::new(&config, single(), TRANSCRIBERS).unwrap();
        assert_eq!(engines.plan().states(), 1);
        let together = pieces(&engines);
        let mut scribe = Transcriber::new(Config::default(), engine()).unwrap();
        let alone: Vec<_> = (0..TRANSCRIBERS).map(|n| piece(n, &mut scribe)).collect();
        assert_eq!(together, alone);
        assert!(alone.iter().flatten().count() > 10, "{alone:?}");
    }

    /// A state each, some states, one state, as the budget says: the weights are there once, the
    /// total keeps to the budget, and the texts are the same.
    #[test]
    #[ignore = "slow: make test-all"]
    fn ten_transcribers_share_one_model() {
        let run = |states: usize| {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            child.args([
                "--exact",
                "endurance::ten_together",
                "--ignored",
                "--nocapture",
            ]);
            child.env(STATES, states.to_string());
            let output = child.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}\n{errors}");
            let figures = said.lines().find(|line| line.contains(" states, "));
            let texts = said.lines().find(|line| line.starts_with("[["));
            println!("{}", figures.unwrap());
            assert!(
                figures.unwrap().ends_with(" bytes")
                    && figures.unwrap().contains(&format!("{states} states"))
            );
            texts.unwrap().to_owned()
        };
        let [each, some, one] = [TRANSCRIBERS, 3, 1].map(run);
        assert_eq!(each, one);
        assert_eq!(some, one);
        assert!(one.len() > 1_000, "{one}");
    }
}
