//! Audio that is pushed as it is recorded: no audio is lost while the engine is behind, and text
//! comes without delay while it is not.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use steadyscribe::engine::{Engine, EngineError, Transcription, from_fn};
use steadyscribe::live::{Feed, Live, LiveOptions, Status, Watch};
use steadyscribe::sink::Sink;
use steadyscribe::{Cancel, Config, Error, InputOptions, Segment, Summary, Time, Transcriber, Vad};

use crate::support::input::decode_all;

mod backlog;
mod disk;
mod end;
mod feed;
mod prompt;
#[cfg(feature = "whisper")]
mod text;

/// Longer than anything here takes on a machine that is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The sample at a place of the time line: never zero, and exact.
pub(super) fn ramp(at: u64) -> f32 {
    (at % 4_194_303 + 1) as f32 / 4_194_304.0
}

/// Settings without a detector: the engine is given every sample.
pub(super) fn everything() -> Config {
    let mut config = Config::default();
    config.vad = Vad::Off;
    config
}

/// A small spill file in the system's directory for temporary files.
pub(super) fn options(spill_bytes: u64) -> LiveOptions {
    let mut options = LiveOptions::default();
    options.spill_dir = std::env::temp_dir();
    options.spill_bytes = spill_bytes;
    options
}

/// An engine that shows each window to `see`, with its position, and returns one segment for it.
pub(super) fn shows(
    see: impl FnMut(u64, &[f32]) -> Result<(), EngineError> + Send + 'static,
) -> impl Engine + 'static {
    let see = Mutex::new(see);
    from_fn("shows", move |window, request| {
        if request.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        (see.lock().unwrap())(request.at.samples(), window)?;
        let end = Time::from_samples(window.len() as u64);
        Ok(Transcription::new(vec![Segment::new(
            Time::ZERO,
            end,
            "text",
        )]))
    })
}

/// An engine that keeps all audio that it is given, and checks that windows follow each other.
pub(super) fn keeps() -> (impl Engine + 'static, Arc<Mutex<Vec<f32>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let engine = shows(move |at, window: &[f32]| {
        let mut kept = keep.lock().unwrap();
        assert_eq!(at, kept.len() as u64, "a window follows the one before");
        kept.extend_from_slice(window);
        Ok(())
    });
    (engine, kept)
}

/// A sink that sends segments to a channel.
pub(super) struct Sends(SyncSender<Segment>);

impl Sink for Sends {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.0.send(segment.clone()).map_err(io::Error::other)?;
        Ok(true)
    }
}

/// A transcription of a live input in a thread of its own.
pub(super) struct Running {
    pub(super) segments: Receiver<Segment>,
    pub(super) cancel: Cancel,
    pub(super) thread: JoinHandle<(Live, Result<Summary, Error>)>,
}

impl Running {
    pub(super) fn start(config: Config, engine: impl Engine + 'static, live: Live) -> Self {
        Self::with(Transcriber::new(config, engine).unwrap(), live)
    }

    pub(super) fn with(scribe: Transcriber, live: Live) -> Self {
        Self::part(scribe, live, InputOptions::default())
    }

    pub(super) fn part(mut scribe: Transcriber, mut live: Live, part: InputOptions) -> Self {
        let (send, segments) = sync_channel(10_000);
        let cancel = scribe.cancel();
        let thread = thread::spawn(move || {
            let summary = scribe.transcribe_live_with(&mut live, &part, &mut Sends(send));
            (live, summary)
        });
        Self {
            segments,
            cancel,
            thread,
        }
    }

    pub(super) fn end(self) -> (Live, Result<Summary, Error>) {
        let started = Instant::now();
        while !self.thread.is_finished() {
            assert!(started.elapsed() < PATIENCE, "it hangs");
            thread::sleep(Duration::from_millis(5));
        }
        self.thread.join().unwrap()
    }
}

/// Waits until a condition holds.
pub(super) fn wait(watch: &Watch, what: &str, holds: impl Fn(&Status) -> bool) {
    let started = Instant::now();
    while !holds(&watch.status()) {
        let status = watch.status();
        assert!(started.elapsed() < PATIENCE, "{what}: {status:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Pushes samples of 16 kHz mono behind `from` others, a tenth of a second at a time. A device
/// gives them over time; here only the pump is waited for, which empties the ring, and never the
/// engine.
pub(super) fn push(feed: &mut Feed, from: u64, samples: impl IntoIterator<Item = f32>) {
    let watch = feed.watch();
    let mut sent = from;
    let mut samples = samples.into_iter();
    let mut piece = Vec::with_capacity(1_600);
    loop {
        piece.clear();
        piece.extend(samples.by_ref().take(1_600));
        if piece.is_empty() {
            return;
        }
        assert_eq!(feed.push(&piece, 16_000, 1), piece.len());
        sent += piece.len() as u64;
        if sent.is_multiple_of(160_000) {
            wait(&watch, "the pump", |status| {
                status.pushed.samples() + 310_000 > sent
            });
        }
    }
}

/// Samples that a live input keeps in memory: 69 s.
pub(super) const MEMORY_SAMPLES: u64 = 69 * 16_000;

pub(super) fn push_ramp(feed: &mut Feed, from: u64, count: u64) {
    push(feed, from, (from..from + count).map(ramp));
}

/// Three minutes of speech, decoded.
pub(super) fn speech() -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/monologue.mp3");
    let mut source = steadyscribe::FileSource::open(path).unwrap();
    decode_all(&mut source).unwrap().samples
}

/// One test of this folder, which is ignored otherwise, in its own process.
pub(super) fn child(test: &str) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let name = format!("live::{test}");
    command.args(["--exact", &name, "--ignored", "--nocapture"]);
    command
}
