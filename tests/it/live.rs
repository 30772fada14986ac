//! Audio that is pushed as it is recorded: nothing lost while the engine is behind, text without delay while it is not.

use std::io::{self, BufRead};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use steadyscribe::engine::{Engine, EngineError, Heard, Request, Shared};
use steadyscribe::live::{Feed, Live, LiveError, LiveOptions, Status, Watch};
use steadyscribe::monitor::gauge::Value;
use steadyscribe::sink::Sink;
use steadyscribe::{Cancel, Config, Ended, Error, Segment, Span, Summary, Time, Transcriber, Vad};

use crate::support::heap;
use crate::support::input::hear;
use crate::support::signal::{LENGTH_S, bursts, check_bursts};

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sample at a place of the time line: never zero, and exact.
fn ramp(at: u64) -> f32 {
    (at % 4_194_303 + 1) as f32 / 4_194_304.0
}

/// Without a detector: every sample is heard.
fn everything() -> Config {
    let mut config = Config::default();
    config.vad = Vad::Off;
    config
}

/// A small spill file, where the system has its temporary files.
fn options(spill_bytes: u64) -> LiveOptions {
    let mut options = LiveOptions::default();
    options.spill_dir = std::env::temp_dir();
    options.spill_bytes = spill_bytes;
    options
}

/// An engine that shows each window to somebody, who says how it ends. Each window gives one segment.
struct Shows<F>(F);

impl<F: FnMut(u64, &[f32]) -> Result<(), EngineError> + Send> Engine for Shows<F> {
    fn name(&self) -> &str {
        "shows"
    }

    fn transcribe(&mut self, window: &[f32], request: &Request<'_>) -> Result<Heard, EngineError> {
        if request.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        self.0(request.at.samples(), window)?;
        let end = Time::from_samples(window.len() as u64);
        Ok(Heard::new(
            vec![Segment::new(Time::ZERO, end, "text")],
            window.len(),
        ))
    }
}

/// An engine that keeps all that it hears, with where it heard it.
fn keeps() -> (impl Engine + 'static, Arc<Mutex<Vec<f32>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let engine = Shows(move |at, window: &[f32]| {
        let mut kept = keep.lock().unwrap();
        assert_eq!(at, kept.len() as u64, "a window follows the one before");
        kept.extend_from_slice(window);
        Ok(())
    });
    (engine, kept)
}

/// A sink that sends segments on.
struct Sends(SyncSender<Segment>);

impl Sink for Sends {
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        self.0.send(segment.clone()).map_err(io::Error::other)
    }
}

/// A transcription of a live input in a thread of its own.
struct Running {
    segments: Receiver<Segment>,
    cancel: Cancel,
    thread: JoinHandle<(Live, Result<Summary, Error>)>,
}

impl Running {
    fn start(config: Config, engine: impl Engine + 'static, mut live: Live) -> Self {
        let (send, segments) = sync_channel(10_000);
        let mut scribe = Transcriber::new(config, engine).unwrap();
        let cancel = scribe.cancel();
        let thread = thread::spawn(move || {
            let summary = scribe.transcribe_live(&mut live, &mut Sends(send));
            (live, summary)
        });
        Self {
            segments,
            cancel,
            thread,
        }
    }

    fn end(self) -> (Live, Result<Summary, Error>) {
        let started = Instant::now();
        while !self.thread.is_finished() {
            assert!(started.elapsed() < PATIENCE, "it hangs");
            thread::sleep(Duration::from_millis(5));
        }
        self.thread.join().unwrap()
    }
}

/// Waits until something holds of the input.
fn wait(watch: &Watch, what: &str, holds: impl Fn(&Status) -> bool) {
    let started = Instant::now();
    while !holds(&watch.status()) {
        let status = watch.status();
        assert!(started.elapsed() < PATIENCE, "{what}: {status:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Pushes samples of 16 kHz mono behind `from` others, by the tenth of a second. A device gives them over time; here only the
/// mover is waited for, which empties the ring, and never the engine.
fn push(feed: &mut Feed, from: u64, samples: impl IntoIterator<Item = f32>) {
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
            wait(&watch, "the mover", |status| {
                status.pushed.samples() + 310_000 > sent
            });
        }
    }
}

fn push_ramp(feed: &mut Feed, from: u64, count: u64) {
    push(feed, from, (from..from + count).map(ramp));
}

/// Minutes of speech, decoded: three of them.
fn speech() -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/monologue.mp3");
    let mut source = steadyscribe::FileSource::open(path).unwrap();
    hear(&mut source).unwrap().samples
}

#[test]
fn what_is_pushed_is_heard_to_the_last_sample() {
    for count in [1, 319, 320, 480_000, 480_001] {
        let (mut feed, live) = Live::start(options(0)).unwrap();
        let (engine, kept) = keeps();
        let running = Running::start(everything(), engine, live);
        push_ramp(&mut feed, 0, count);
        let status = feed.finish(PATIENCE);
        assert_eq!((status.lag(), status.pushed.samples()), (Time::ZERO, count));
        let (_, summary) = running.end();
        let summary = summary.unwrap();
        assert_eq!(summary.ended, Ended::Complete);
        assert_eq!(summary.blocks.acquired, summary.blocks.released);
        let expected: Vec<f32> = (0..count).map(ramp).collect();
        assert!(*kept.lock().unwrap() == expected, "{count} samples");
    }
}

#[test]
fn a_feed_without_a_sample_is_a_transcript_without_a_segment() {
    let (feed, live) = Live::start(options(0)).unwrap();
    drop(feed);
    let running = Running::start(everything(), keeps().0, live);
    let (_, summary) = running.end();
    assert_eq!(summary.unwrap().segments, 0);
}

#[test]
fn rate_and_channels_may_change_between_pushes() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let (engine, kept) = keeps();
    let running = Running::start(everything(), engine, live);
    let formats = [
        (48_000, 2),
        (44_100, 1),
        (16_000, 6),
        (8_000, 1),
        (48_000, 1),
    ];
    for (rate_hz, channels) in formats {
        let mono = bursts(rate_hz);
        let frames: Vec<f32> = mono
            .iter()
            .flat_map(|sample| std::iter::repeat_n(*sample, channels))
            .collect();
        // As a device gives them: ten milliseconds.
        for piece in frames.chunks(rate_hz as usize / 100 * channels) {
            assert_eq!(feed.push(piece, rate_hz, channels), piece.len() / channels);
        }
    }
    assert_eq!(feed.finish(PATIENCE).lag(), Time::ZERO);
    running.end().1.unwrap();
    let kept = kept.lock().unwrap();
    let length = formats.len() as f64 * LENGTH_S * 16_000.0;
    assert!((kept.len() as f64 - length).abs() <= formats.len() as f64);
    for (n, format) in formats.iter().enumerate() {
        check_bursts(&kept, n as f64 * LENGTH_S, &format!("{format:?}"));
    }
}

#[test]
fn what_is_no_audio_is_refused_and_keeps_its_time() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let (engine, kept) = keeps();
    let running = Running::start(everything(), engine, live);
    assert_eq!(feed.push(&[0.5; 1_600], 16_000, 1), 1_600);
    for (rate_hz, channels) in [(0, 1), (16_000, 0)] {
        assert_eq!(feed.push(&[0.5; 32], rate_hz, channels), 0);
    }
    // A second each, of what no device gives.
    assert_eq!(feed.push(&[0.5; 3_999], 3_999, 1), 0);
    assert_eq!(feed.push(&[0.5; 33 * 4_000], 4_000, 33), 0);
    // An incomplete last frame, and a device that was silent for a second.
    assert_eq!(feed.push(&[0.5; 2 * 1_600 + 1], 16_000, 2), 1_600);
    feed.silence(Duration::from_secs(1));
    assert_eq!(feed.push(&[0.5; 1_600], 16_000, 1), 1_600);
    let status = feed.finish(PATIENCE);
    assert_eq!(status.pushed.seconds(), 3.3);
    assert_eq!(status.dropped.seconds(), 2.0);
    let (_, summary) = running.end();
    let damage = summary.unwrap().damage;
    assert_eq!(damage.len(), 1);
    assert_eq!(
        (damage[0].start.seconds(), damage[0].end.seconds()),
        (0.1, 2.1)
    );
    let kept = kept.lock().unwrap();
    let loud = |from: f64, to: f64| {
        let part = &kept[(from * 16_000.0) as usize..(to * 16_000.0) as usize];
        (part.iter().filter(|s| **s == 0.5).count(), part.len())
    };
    assert_eq!(loud(0.0, 0.1), (1_600, 1_600));
    assert_eq!(loud(0.1, 2.1).0, 0);
    assert_eq!(loud(2.1, 2.2), (1_600, 1_600));
    assert_eq!(loud(2.2, 3.2).0, 0);
    assert_eq!(loud(3.2, 3.3), (1_600, 1_600));
}

/// The engine stands still for two minutes; 39 s are in the window and the pool, 30 s in memory, 16 s in the file.
#[test]
fn beyond_the_spill_limit_audio_is_silence_at_its_place() {
    let (mut feed, live) = Live::start(options(1 << 20)).unwrap();
    let watch = live.watch();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let (release, held) = sync_channel::<()>(0);
    let engine = Shows(move |_, window: &[f32]| {
        let _ = held.recv();
        keep.lock().unwrap().extend_from_slice(window);
        Ok(())
    });
    let running = Running::start(everything(), engine, live);
    push_ramp(&mut feed, 0, 120 * 16_000);
    wait(&watch, "the mover", |s| s.pushed.samples() == 120 * 16_000);
    let full = watch.status();
    assert_eq!(full.spilled_bytes, 1 << 20);
    assert!(full.dropped.seconds() > 25.0, "{full:?}");
    let gauge = |name| {
        let read = watch.gauges().snapshot();
        read.iter().find(|r| r.name == name).unwrap().value
    };
    assert_eq!(gauge("live_spilled"), Value::Whole(1 << 20));
    assert_eq!(gauge("live_lag_ms"), Value::Whole(120_000));
    assert_eq!(
        gauge("live_dropped_ms"),
        Value::Whole(full.dropped.milliseconds())
    );
    drop(release);
    wait(&watch, "the engine", |s| s.spilled_bytes == 0);
    push_ramp(&mut feed, 120 * 16_000, 20 * 16_000);
    assert_eq!(feed.finish(PATIENCE).lag(), Time::ZERO);
    let (_, summary) = running.end();
    let summary = summary.unwrap();
    assert_eq!((summary.ended, summary.audio_s), (Ended::Damaged, 140.0));
    let lost: Vec<Span> = watch.dropped();
    assert_eq!(
        summary.damage,
        lost.iter().map(|s| (*s).into()).collect::<Vec<_>>()
    );
    let kept = kept.lock().unwrap();
    assert_eq!(kept.len(), 140 * 16_000);
    for (at, sample) in (0..).zip(kept.iter()) {
        let is_lost = lost
            .iter()
            .any(|s| (s.start.samples()..s.end.samples()).contains(&at));
        assert_eq!(*sample, if is_lost { 0.0 } else { ramp(at) }, "at {at}");
    }
}

#[test]
fn finish_says_what_is_left_at_its_deadline() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let (release, held) = sync_channel::<()>(0);
    let engine = Shows(move |_, _: &[f32]| {
        let _ = held.recv();
        Ok(())
    });
    let watch = live.watch();
    let running = Running::start(everything(), engine, live);
    push_ramp(&mut feed, 0, 40 * 16_000);
    let asked = Instant::now();
    let left = feed.finish(Duration::from_millis(300));
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert_eq!(left.lag().seconds(), 40.0);
    // It goes on all the same.
    drop(release);
    assert_eq!(running.end().1.unwrap().audio_s, 40.0);
    assert_eq!(watch.status().lag(), Time::ZERO);
}

#[test]
fn finish_does_not_wait_for_a_transcription_that_has_ended() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let engine = Shows(|_, _: &[f32]| Err(EngineError::Failed("broken".into())));
    let running = Running::start(everything(), engine, live);
    push_ramp(&mut feed, 0, 40 * 16_000);
    let (_live, summary) = running.end();
    assert!(matches!(summary, Err(Error::Engine(_))), "{summary:?}");
    let asked = Instant::now();
    assert_eq!(feed.finish(PATIENCE).lag().seconds(), 40.0);
    assert!(asked.elapsed() < PATIENCE / 2);
}

#[test]
fn a_live_input_outlasts_its_transcriber() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let watch = live.watch();
    let engine = Shows(|_, _: &[f32]| Err(EngineError::Failed("broken".into())));
    let running = Running::start(everything(), engine, live);
    push_ramp(&mut feed, 0, 60 * 16_000);
    let (live, _) = running.end();
    let read = watch.status().read.samples();
    assert!((30 * 16_000..60 * 16_000).contains(&read), "{read}");
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let engine = Shows(move |at, window: &[f32]| {
        keep.lock()
            .unwrap()
            .extend((at..).zip(window.iter().copied()));
        Ok(())
    });
    let running = Running::start(everything(), engine, live);
    assert_eq!(feed.finish(PATIENCE).lag(), Time::ZERO);
    let summary = running.end().1.unwrap();
    let given_up = &summary.damage[0];
    assert_eq!(
        (given_up.start.samples(), given_up.end.samples()),
        (0, read)
    );
    let expected: Vec<(u64, f32)> = (read..60 * 16_000).map(|at| (at, ramp(at))).collect();
    assert!(*kept.lock().unwrap() == expected);
}

/// Nothing is pushed any more, and no segment comes by which the engine could find out.
#[test]
fn a_full_disk_ends_a_quiet_input() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let running = Running::start(everything(), keeps().0, live);
    let Running { segments, .. } = &running;
    push_ramp(&mut feed, 0, 31 * 16_000);
    segments.recv_timeout(PATIENCE).unwrap();
    let (thread, segments) = (running.thread, running.segments);
    drop(segments);
    push_ramp(&mut feed, 31 * 16_000, 31 * 16_000);
    let started = Instant::now();
    while !thread.is_finished() {
        assert!(started.elapsed() < PATIENCE, "it hangs");
        thread::sleep(Duration::from_millis(5));
    }
    let (_, summary) = thread.join().unwrap();
    assert!(matches!(summary, Err(Error::Sink(_))), "{summary:?}");
}

#[test]
fn cancelling_ends_a_quiet_input() {
    let (feed, live) = Live::start(options(0)).unwrap();
    let running = Running::start(everything(), keeps().0, live);
    running.cancel.cancel();
    let (_, summary) = running.end();
    assert_eq!(summary.unwrap().ended, Ended::Cancelled);
    drop(feed);
}

#[test]
fn what_is_said_before_a_pause_is_transcribed_at_once() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let running = Running::start(Config::default(), Shows(|_, _: &[f32]| Ok(())), live);
    let speech = speech();
    for turn in 0..3 {
        // Six seconds are said, and one and a half are silent; then nothing more comes until the text is there.
        let said = &speech[turn * 160_000..turn * 160_000 + 96_000];
        push(
            &mut feed,
            turn as u64 * 120_000,
            said.iter().copied().chain([0.0; 24_000]),
        );
        let segment = running.segments.recv_timeout(PATIENCE).unwrap();
        let start_s = turn as f64 * 7.5;
        assert!(segment.start.seconds() >= start_s - 1.0, "{segment:?}");
        let end_s = segment.end.seconds();
        assert!(
            end_s <= start_s + 6.5,
            "the silence is left out: {segment:?}"
        );
        while running.segments.try_recv().is_ok() {}
    }
    drop(feed);
    running.end().1.unwrap();
}

#[test]
fn a_device_that_stops_is_no_reason_to_wait() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let running = Running::start(Config::default(), Shows(|_, _: &[f32]| Ok(())), live);
    push(&mut feed, 0, speech()[..64_000].iter().copied());
    let segment = running.segments.recv_timeout(PATIENCE).unwrap();
    assert!((segment.end.seconds() - 4.0).abs() < 0.1, "{segment:?}");
    drop(feed);
    running.end().1.unwrap();
}

#[test]
fn two_channels_share_an_engine() {
    let engine = Shared::new(Shows(|_, _: &[f32]| Ok(())));
    let start = |channel: u8| {
        let mut options = options(0);
        options.channel = Some(channel);
        let (feed, live) = Live::start(options).unwrap();
        (feed, Running::start(everything(), engine.clone(), live))
    };
    let (mut microphone, first) = start(0);
    let (mut system, second) = start(1);
    for second in 0..50 {
        push_ramp(&mut system, second * 16_000, 16_000);
        if second < 40 {
            push_ramp(&mut microphone, second * 16_000, 16_000);
        }
    }
    for (channel, feed, running) in [(0, microphone, first), (1, system, second)] {
        assert_eq!(feed.finish(PATIENCE).lag(), Time::ZERO);
        let segments: Vec<Segment> = running.segments.iter().collect();
        assert!(segments.iter().all(|s| s.channel == Some(channel)));
        let ends: Vec<f64> = segments.iter().map(|s| s.end.seconds()).collect();
        assert_eq!(ends, [30.0, 40.0 + 10.0 * f64::from(channel)]);
        running.end().1.unwrap();
    }
}

#[test]
fn pushing_allocates_nothing() {
    let (mut feed, live) = Live::start(options(1 << 20)).unwrap();
    let samples = vec![0.25; 2 * 4_800];
    let ((), heap) = heap::measure(|| {
        for n in 0..2_000_u32 {
            // Formats change, the ring overflows, and what was dropped is told.
            let rate_hz = 44_100 + n % 7 * 1_000;
            feed.push(&samples, rate_hz, 1 + n as usize % 2);
            feed.silence(Duration::from_millis(1));
        }
    });
    assert_eq!(heap.allocations, 0);
    drop((feed, live));
}

fn check_refused(options: LiveOptions, is_right: impl Fn(&LiveError) -> bool) {
    let error = Live::start(options).unwrap_err();
    assert!(is_right(&error), "{error:?}");
}

#[test]
fn a_disk_without_room_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut missing = options(1 << 20);
    missing.spill_dir = folder.path().join("missing");
    check_refused(
        missing.clone(),
        |error| matches!(error, LiveError::Spill { source, .. } if source.kind() == io::ErrorKind::NotFound),
    );
    missing.spill_bytes = 0;
    assert!(Live::start(missing).is_ok(), "no file, no directory");
    check_refused(
        options(1 << 40),
        |error| matches!(error, LiveError::NoSpace { bytes, free_bytes, .. } if bytes > free_bytes),
    );
    for wrong in [1, (1 << 20) - 1, (1 << 40) + 1] {
        check_refused(options(wrong), |error| {
            matches!(error, LiveError::Options(_))
        });
    }
    for window_s in [4.9, 30.1, f32::NAN] {
        let mut wrong = options(0);
        wrong.window_s = window_s;
        check_refused(wrong, |error| matches!(error, LiveError::Options(_)));
    }
    let mut hasty = options(0);
    hasty.pause = Duration::from_millis(299);
    check_refused(hasty, |error| matches!(error, LiveError::Options(_)));
}

/// A disk of two megabytes, where the user of the tests may make one.
#[cfg(target_os = "linux")]
#[test]
fn a_small_disk_holds_what_fits_it() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let run = Command::new("mount").args(arguments).output();
        run.is_ok_and(|output| output.status.success())
    };
    let path = folder.path().to_str().unwrap();
    if !mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs", path]) {
        println!("skipped: no file system can be mounted");
        return;
    }
    let on_it = |bytes| {
        let mut options = options(bytes);
        options.spill_dir = folder.path().to_path_buf();
        Live::start(options)
    };
    let refused = on_it(3 << 20);
    let fits = on_it(1 << 20);
    let second = on_it(2 << 20);
    let is_full = |error: &LiveError| matches!(error, LiveError::NoSpace { .. });
    let found = (
        refused.is_err_and(|e| is_full(&e)),
        fits.is_ok(),
        second.is_err_and(|e| is_full(&e)),
    );
    drop(fits);
    let unmounted = Command::new("umount").arg(path).status();
    assert!(unmounted.unwrap().success());
    assert_eq!(found, (true, true, true));
}

/// One test of this file, which is ignored otherwise, in a process of its own.
fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = format!("live::{test}");
    command.args(["--exact", &name, "--ignored", "--nocapture"]);
    command
}

/// Files in a folder that this process has open, and that have no name any more.
#[cfg(target_os = "linux")]
fn nameless(process: &str, folder: &Path) -> usize {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    targets
        .filter(|target| {
            target.starts_with(folder) && target.to_string_lossy().ends_with("(deleted)")
        })
        .count()
}

const FOLDER: &str = "STEADYSCRIBE_TEST_FOLDER";

#[test]
#[ignore = "a process of its own: see no_file_is_left_by_an_end_or_a_crash"]
fn spills_until_it_is_killed() {
    let mut options = options(4 << 20);
    options.spill_dir = std::env::var_os(FOLDER).unwrap().into();
    let (mut feed, live) = Live::start(options).unwrap();
    push_ramp(&mut feed, 0, 60 * 16_000);
    wait(&live.watch(), "the file", |status| {
        status.spilled_bytes > 1 << 20
    });
    println!("spills");
    thread::sleep(PATIENCE);
}

#[cfg(target_os = "linux")]
#[test]
fn no_file_is_left_by_an_end_or_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let is_empty = || std::fs::read_dir(folder.path()).unwrap().next().is_none();
    let mut here = options(1 << 20);
    here.spill_dir = folder.path().to_path_buf();
    let (feed, live) = Live::start(here).unwrap();
    assert_eq!((nameless("self", folder.path()), is_empty()), (1, true));
    drop((feed, live));
    assert_eq!((nameless("self", folder.path()), is_empty()), (0, true));

    let mut child = child("spills_until_it_is_killed")
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = io::BufReader::new(child.stdout.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap().ends_with("spills")));
    assert_eq!(nameless(&child.id().to_string(), folder.path()), 1);
    assert!(is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_empty());
}

/// Times faster than real time.
const SPEED: f64 = 1_000.0;

/// An hour of audio, in samples.
const HOUR: u64 = 3_600 * 16_000;

/// What the process held at each segment.
struct Account {
    heap: Vec<u64>,
    private: Vec<u64>,
    spilled: Vec<u64>,
    at: Vec<Duration>,
    started: Instant,
    watch: Watch,
}

impl Sink for Account {
    fn segment(&mut self, _: &Segment) -> io::Result<()> {
        self.heap.push(heap::process().1);
        let memory = steadyscribe::monitor::reader::own().map_err(io::Error::other)?;
        self.private.push(memory.private_bytes);
        self.spilled.push(self.watch.status().spilled_bytes);
        self.at.push(self.started.elapsed());
        Ok(())
    }
}

#[test]
#[ignore = "a process of its own: see an_engine_three_times_too_slow_hears_all_of_an_hour"]
fn hour() {
    let mut options = LiveOptions::default();
    options.spill_bytes = 256 << 20;
    let (mut feed, mut live) = Live::start(options).unwrap();
    let watch = live.watch();
    let mut heard = 0;
    let engine = Shows(move |at, window: &[f32]| {
        let length_s = window.len() as f64 / 16_000.0;
        thread::sleep(Duration::from_secs_f64(3.0 * length_s / SPEED));
        assert_eq!(at, heard);
        for sample in window {
            assert_eq!(*sample, ramp(heard), "at {heard}");
            heard += 1;
        }
        Ok(())
    });
    let mut scribe = Transcriber::new(everything(), engine).unwrap();
    let started = Instant::now();
    let feeder = thread::spawn(move || {
        for second in 0..3_600 {
            push_ramp(&mut feed, second * 16_000, 16_000);
            let due = Duration::from_secs_f64((second + 1) as f64 / SPEED);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
        feed.finish(PATIENCE)
    });
    let mut account = Account {
        heap: Vec::with_capacity(200),
        private: Vec::with_capacity(200),
        spilled: Vec::with_capacity(200),
        at: Vec::with_capacity(200),
        started,
        watch,
    };
    let summary = scribe.transcribe_live(&mut live, &mut account).unwrap();
    let status = feeder.join().unwrap();
    assert_eq!((status.pushed.samples(), status.lag()), (HOUR, Time::ZERO));
    assert_eq!(
        (status.dropped, summary.ended),
        (Time::ZERO, Ended::Complete)
    );
    assert_eq!((summary.audio_s, account.at.len()), (3_600.0, 120));
    // Behind the first windows all is warm.
    let growth = |values: &[u64]| values[5..].iter().max().unwrap() - values[5];
    let grown = (growth(&account.heap), growth(&account.private));
    let gap = account.at.windows(2).map(|pair| pair[1] - pair[0]).max();
    println!(
        "heap grows by {} bytes, private memory by {}, {} bytes spilled at most, {} ms between segments at most, {} s",
        grown.0,
        grown.1,
        account.spilled.iter().max().unwrap(),
        gap.unwrap().as_millis(),
        account.at.last().unwrap().as_secs_f64(),
    );
    assert!(grown.0 < 64 << 10, "heap: {:?}", account.heap);
    assert!(grown.1 < 2_000_000, "private: {:?}", account.private);
    let spilled = account.spilled.iter().max().unwrap();
    assert!(*spilled > 10_000_000, "{spilled} bytes were spilled");
    assert!(gap < Some(Duration::from_secs(2)), "no text for {gap:?}");
}

/// An hour of audio comes in four seconds and is heard in eleven: forty minutes of it wait on the disk.
#[test]
fn an_engine_three_times_too_slow_hears_all_of_an_hour() {
    let output = child("hour").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{errors}");
}

/// The next second is said only when the text is at most a window behind, so that it would hang if text did not come.
#[test]
fn an_hour_of_speech_yields_text_all_along() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let watch = live.watch();
    let running = Running::start(Config::default(), Shows(|_, _: &[f32]| Ok(())), live);
    let speech = speech();
    let window = Time::from_seconds(30.0 + 1.0 + 2.0);
    let seconds = speech.chunks_exact(16_000).cycle();
    for (at, second) in (0..3_600).zip(seconds) {
        push(&mut feed, at * 16_000, second.iter().copied());
        wait(&watch, "text", |status| status.lag() < window);
    }
    feed.finish(PATIENCE);
    let segments: Vec<Segment> = running.segments.iter().collect();
    assert_eq!(running.end().1.unwrap().audio_s, 3_600.0);
    let apart = |pair: &[Segment]| (pair[1].start - pair[0].start).seconds();
    let longest = segments.windows(2).map(apart).fold(0.0, f64::max);
    println!("{} segments, {longest:.1} s apart at most", segments.len());
    // A window, and the silence behind it.
    assert!(segments.len() >= 120 && longest < 35.0, "{longest} s");
}

/// What a model makes of scenes that are played live.
#[cfg(feature = "whisper")]
mod text {
    use std::sync::atomic::{AtomicBool, Ordering};

    use steadyscribe::budget::Footprint;
    use steadyscribe::{FileSource, Whisper, WhisperOptions};

    use super::*;
    use crate::support::score::{edits, words};
    use crate::text::fixture;

    /// A real engine, and whether it is at work.
    struct Busy(Whisper, Arc<AtomicBool>);

    impl Engine for Busy {
        fn name(&self) -> &str {
            self.0.name()
        }

        fn footprints(&self) -> Vec<Footprint> {
            self.0.footprints()
        }

        fn prepare(&mut self, chosen: &Footprint) -> Result<(), EngineError> {
            self.0.prepare(chosen)
        }

        fn transcribe(
            &mut self,
            window: &[f32],
            request: &Request<'_>,
        ) -> Result<Heard, EngineError> {
            self.1.store(true, Ordering::SeqCst);
            let heard = self.0.transcribe(window, request);
            self.1.store(false, Ordering::SeqCst);
            heard
        }
    }

    /// A sink that notes how much had been pushed when a segment came.
    struct Delays(Watch, Vec<Segment>, Vec<f64>);

    impl Sink for Delays {
        fn segment(&mut self, segment: &Segment) -> io::Result<()> {
            self.1.push(segment.clone());
            let pushed = self.0.status().pushed;
            self.2.push((pushed - segment.end).seconds());
            Ok(())
        }
    }

    fn engine() -> Whisper {
        let model = fixture("model/fixture-q8_0.bin");
        Whisper::open(model, WhisperOptions::default()).unwrap()
    }

    /// Words that are said in a scene, and how many of them are wrong in its text.
    fn score(name: &str, segments: &[Segment]) -> (usize, usize) {
        let json = std::fs::read_to_string(fixture(name).with_extension("json")).unwrap();
        let truth: serde_json::Value = serde_json::from_str(&json).unwrap();
        let said = words(truth["text"].as_str().unwrap());
        let written: Vec<&str> = segments.iter().map(|s| s.text.as_str()).collect();
        (said.len(), edits(&said, &words(&written.join(" "))))
    }

    /// Plays a scene to an engine for which time stands still while it works, so that it always keeps up and the result does
    /// not depend on the machine. Returns the segments, and for each how much was said between its end and its coming.
    fn play(name: &str, options: LiveOptions) -> (Vec<Segment>, Vec<f64>) {
        let audio = hear(&mut FileSource::open(fixture(name)).unwrap()).unwrap();
        let (mut feed, mut live) = Live::start(options).unwrap();
        let watch = live.watch();
        let busy = Arc::new(AtomicBool::new(false));
        let is_busy = Arc::clone(&busy);
        let mut scribe = Transcriber::new(Config::default(), Busy(engine(), busy)).unwrap();
        let mut delays = Delays(live.watch(), Vec::new(), Vec::new());
        let player = thread::spawn(move || {
            let mut sent = 0;
            for piece in audio.samples.chunks(4_000) {
                sent += feed.push(piece, 16_000, 1);
                // All but what waits to be a block of the resampler.
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
        // A window, the second behind it that is looked at, and what is on the way.
        assert!(
            longest < 12.0 + 1.0 + 2.0,
            "a segment came {longest} s late"
        );
    }

    #[test]
    fn taking_turns_changes_no_text() {
        let transcribe = |engine: Shared<Whisper>| {
            let mut scribe = Transcriber::new(Config::default(), engine).unwrap();
            thread::spawn(move || {
                let mut segments: Vec<Segment> = Vec::new();
                let source = FileSource::open(fixture("standup.opus")).unwrap();
                scribe.transcribe(source, &mut segments).unwrap();
                segments
            })
        };
        let alone = transcribe(Shared::new(engine())).join().unwrap();
        assert!(!alone.is_empty());
        let shared = Shared::new(engine());
        for transcript in [(); 2].map(|()| transcribe(shared.clone())) {
            assert_eq!(transcript.join().unwrap(), alone);
        }
    }

    /// `cargo test --release --test it live::text::pauses -- --ignored --nocapture`
    #[test]
    #[ignore = "minutes: what pauses and windows of other lengths do to words and delays"]
    fn pauses() {
        for (pause_ms, window_s) in [
            (1_000, 30.0),
            (1_000, 12.0),
            (500, 12.0),
            (1_000, 8.0),
            (500, 8.0),
            (1_000, 5.0),
            (500, 20.0),
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
}
