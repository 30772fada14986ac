//! An engine that is behind: all audio is transcribed in the end, or is silence that is reported.

use std::sync::atomic::{AtomicU64, Ordering};

use steadyscribe::monitor::gauge::Value;
use steadyscribe::{Ended, Span};

use super::*;
use crate::support::heap;

/// The engine stands still for two minutes, of which 69 s fit in memory and 16 s in the file.
#[test]
fn beyond_the_spill_limit_audio_is_silence_at_its_place() {
    let (mut feed, live) = Live::start(options(1 << 20)).unwrap();
    let watch = live.watch();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let (release, held) = sync_channel::<()>(0);
    let engine = shows(move |_, window: &[f32]| {
        let _ = held.recv();
        keep.lock().unwrap().extend_from_slice(window);
        Ok(())
    });
    let running = Running::start(everything(), engine, live);
    push_ramp(&mut feed, 0, 120 * 16_000);
    wait(&watch, "the pump", |s| s.pushed.samples() == 120 * 16_000);
    let full = watch.status();
    assert_eq!(full.spilled_bytes, 1 << 20);
    let kept_samples = MEMORY_SAMPLES + (1 << 20) / 4;
    assert_eq!(full.dropped.samples(), 120 * 16_000 - kept_samples);
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
    assert_eq!(summary.damage, lost);
    let kept = kept.lock().unwrap();
    assert_eq!(kept.len(), 140 * 16_000);
    for (at, sample) in (0..).zip(kept.iter()) {
        let is_lost = lost
            .iter()
            .any(|s| (s.start.samples()..s.end.samples()).contains(&at));
        assert_eq!(*sample, if is_lost { 0.0 } else { ramp(at) }, "at {at}");
    }
}

/// Samples by which the device is ahead of three times the recognized audio, at most: a window, and
/// three times the next one.
const AHEAD: u64 = 120 * 16_000;

/// An hour of audio, in samples.
const HOUR: u64 = 3_600 * 16_000;

/// Memory of the process at each segment.
struct Account {
    heap: Vec<u64>,
    private: Vec<u64>,
    spilled: Vec<u64>,
    watch: Watch,
}

impl Sink for Account {
    fn segment(&mut self, _: &Segment) -> io::Result<bool> {
        self.heap.push(heap::process().1);
        let memory = steadyscribe::monitor::reader::own().map_err(io::Error::other)?;
        self.private.push(memory.private_bytes);
        self.spilled.push(self.watch.status().spilled_bytes);
        Ok(true)
    }
}

#[test]
#[ignore = "its own process: see an_engine_three_times_too_slow_transcribes_all_of_an_hour"]
fn hour() {
    let mut options = LiveOptions::default();
    options.spill_bytes = 256 << 20;
    let (mut feed, mut live) = Live::start(options).unwrap();
    let (watch, device) = (live.watch(), live.watch());
    let recognized = Arc::new(AtomicU64::new(0));
    let done = Arc::clone(&recognized);
    let mut next = 0;
    let engine = shows(move |at, window: &[f32]| {
        // Three seconds are recorded while one is recognized, however fast the machine is.
        let recorded = HOUR.min(3 * (at + window.len() as u64));
        wait(&device, "the device", |s| s.pushed.samples() >= recorded);
        assert_eq!(at, next);
        for sample in window {
            assert_eq!(*sample, ramp(next), "at {next}");
            next += 1;
        }
        done.store(next, Ordering::SeqCst);
        Ok(())
    });
    let mut scribe = Transcriber::new(everything(), engine).unwrap();
    let feeder = thread::spawn(move || {
        for second in 0..3_600 {
            // It would hang if text did not come all along.
            wait(&feed.watch(), "the engine", |_| {
                second * 16_000 < 3 * recognized.load(Ordering::SeqCst) + AHEAD
            });
            push_ramp(&mut feed, second * 16_000, 16_000);
        }
        feed.finish(PATIENCE)
    });
    let mut account = Account {
        heap: Vec::with_capacity(200),
        private: Vec::with_capacity(200),
        spilled: Vec::with_capacity(200),
        watch,
    };
    let summary = scribe.transcribe_live(&mut live, &mut account).unwrap();
    let status = feeder.join().unwrap();
    assert_eq!((status.pushed.samples(), status.lag()), (HOUR, Time::ZERO));
    assert_eq!(
        (status.dropped, summary.ended),
        (Time::ZERO, Ended::Complete)
    );
    assert_eq!((summary.audio_s, account.heap.len()), (3_600.0, 120));
    // After the first windows, all memory is in use.
    let growth = |values: &[u64]| values[5..].iter().max().unwrap() - values[5];
    let grown = (growth(&account.heap), growth(&account.private));
    println!(
        "heap grows by {} bytes, private memory by {}, {} bytes spilled at most",
        grown.0,
        grown.1,
        account.spilled.iter().max().unwrap(),
    );
    assert!(grown.0 < 64 << 10, "heap: {:?}", account.heap);
    assert!(grown.1 < 2_000_000, "private: {:?}", account.private);
    let spilled = account.spilled.iter().max().unwrap();
    assert!(*spilled > 10_000_000, "{spilled} bytes were spilled");
}

/// Three seconds of audio come while one is transcribed: forty minutes of an hour wait on the disk.
#[test]
fn an_engine_three_times_too_slow_transcribes_all_of_an_hour() {
    let output = child("backlog::hour").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{errors}");
}

#[test]
#[ignore = "its own process: see events_report_the_disk_and_what_is_dropped"]
fn logs() {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(io::stderr)
        .init();
    let (mut feed, live) = Live::start(options(1 << 20)).unwrap();
    let watch = live.watch();
    push_ramp(&mut feed, 0, 90 * 16_000);
    // All of it has left the ring, so that nothing is stored while the engine commits.
    let kept = MEMORY_SAMPLES + (1 << 20) / 4;
    wait(&watch, "the disk", |status| {
        status.dropped.samples() == 90 * 16_000 - kept
    });
    let running = Running::start(everything(), shows(|_, _: &[f32]| Ok(())), live);
    wait(&watch, "the engine", |status| status.spilled_bytes == 0);
    push_ramp(&mut feed, 90 * 16_000, 16_000);
    assert_eq!(feed.finish(PATIENCE).lag(), Time::ZERO);
    running.end().1.unwrap();
}

#[test]
fn events_report_the_disk_and_what_is_dropped() {
    let output = child("backlog::logs").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let logged: Vec<&str> = said
        .lines()
        .filter_map(|line| Some(&line[line.find("live: ")?..]))
        .collect();
    let expected = [
        "live: transcription is behind, audio goes to the spill file at_s=",
        "live: the backlog is full, new audio is dropped at_s=85.384",
        "live: the spill file is empty again at_s=90.0",
        "live: there is room for audio again at_s=90.",
    ];
    assert_eq!(logged.len(), expected.len(), "{logged:?}");
    for (line, expected) in logged.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
}
