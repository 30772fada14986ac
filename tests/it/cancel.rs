//! Cancelling at any moment: no further window is begun, every thread ends, and what there is by then is whole.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steadyscribe::engine::{Engine, EngineError, Heard, Request};
use steadyscribe::sink::{Format, Sink};
use steadyscribe::source::PipeSource;
use steadyscribe::{
    Cancel, Config, Ended, Ending, Journal, Segment, Summary, Time, Transcriber, Vad,
};
use tempfile::TempDir;

use crate::support::files::Wave;

/// Moments at which it is cancelled.
const MOMENTS: usize = 150;

/// Steps that the engine takes for each window, as a real one decodes tokens.
const STEPS: usize = 5;

/// Everything that is done is counted, and one of it cancels.
#[derive(Clone, Default)]
struct Moments(Arc<Counters>);

#[derive(Default)]
struct Counters {
    done: AtomicUsize,
    /// Zero: never.
    cancel_at: AtomicUsize,
    cancel: std::sync::Mutex<Option<Cancel>>,
    /// Windows that were begun, and of those after it was cancelled.
    begun: AtomicUsize,
    begun_late: AtomicUsize,
}

impl Moments {
    /// Begins anew.
    fn reset(&self, cancel: Cancel, cancel_at: usize) {
        let counters = &*self.0;
        for counter in [&counters.done, &counters.begun, &counters.begun_late] {
            counter.store(0, Ordering::SeqCst);
        }
        *counters.cancel.lock().unwrap() = Some(cancel);
        counters.cancel_at.store(cancel_at, Ordering::SeqCst);
    }

    fn pass(&self) {
        let now = self.0.done.fetch_add(1, Ordering::SeqCst) + 1;
        if now == self.0.cancel_at.load(Ordering::SeqCst) {
            self.0.cancel.lock().unwrap().as_ref().unwrap().cancel();
        }
    }
}

/// A pipe, an engine and a sink, whose every act is a moment.
struct Acts<T>(Moments, T);

impl Read for Acts<io::Cursor<Vec<u8>>> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.pass();
        let length = buffer.len().min(8_192);
        self.1.read(&mut buffer[..length])
    }
}

impl Engine for Acts<()> {
    fn name(&self) -> &str {
        "acts"
    }

    fn transcribe(&mut self, window: &[f32], request: &Request<'_>) -> Result<Heard, EngineError> {
        let counters = &*self.0.0;
        counters.begun.fetch_add(1, Ordering::SeqCst);
        let late = usize::from(request.cancel.is_cancelled());
        counters.begun_late.fetch_add(late, Ordering::SeqCst);
        for _ in 0..STEPS {
            self.0.pass();
            if request.cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
        }
        let half = Time::from_samples(window.len() as u64 / 2);
        let end = Time::from_samples(window.len() as u64);
        let segments = vec![
            Segment::new(Time::ZERO, half, "one"),
            Segment::new(half, end, "two"),
        ];
        Ok(Heard::new(segments, window.len()))
    }
}

impl<'a> Sink for Acts<Box<dyn Sink + 'a>> {
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        self.0.pass();
        self.1.segment(segment)?;
        self.0.pass();
        Ok(())
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        self.1.finish(ending)
    }
}

/// Half a minute of noise: six windows.
fn audio() -> Vec<u8> {
    let noise = (0..30 * 16_000_u32).map(|n| n.wrapping_mul(2_654_435_761) as f32 / 2e10);
    Wave::mono(16_000).riff(&noise.collect::<Vec<f32>>())
}

fn run(
    scribe: &mut Transcriber<Acts<()>>,
    moments: &Moments,
    cancel_at: usize,
    audio: &[u8],
    journal: &Path,
) -> (Summary, Vec<serde_json::Value>) {
    moments.reset(scribe.renew_cancel(), cancel_at);
    let pipe = Acts(moments.clone(), io::Cursor::new(audio.to_vec()));
    let source = PipeSource::new("noise", pipe);
    let mut written = Vec::new();
    let mut sink = Acts(moments.clone(), Format::Json.sink(&mut written, "noise"));
    let mut journal = Journal::open(journal).unwrap();
    let summary = scribe.transcribe_with_journal(source, &mut sink, &mut journal);
    drop(sink);
    // A transcript that was cancelled is a whole file all the same.
    let json: serde_json::Value = serde_json::from_slice(&written).unwrap();
    (
        summary.unwrap(),
        json["segments"].as_array().unwrap().clone(),
    )
}

/// Threads of the pipeline in this process.
#[cfg(target_os = "linux")]
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("scribe-"));
    names.collect()
}

#[test]
#[ignore = "a process of its own: see cancelled_at_any_moment_it_ends_whole"]
fn at_any_moment() {
    let folder = TempDir::new().unwrap();
    let audio = audio();
    let moments = Moments::default();
    let mut config = Config::default();
    config.vad = Vad::Off;
    config.window_s = 5.0;
    config.release_state_after = None;
    config.unload_after = None;
    let mut scribe = Transcriber::new(config, Acts(moments.clone(), ())).unwrap();
    let whole = folder.path().join("whole");
    let (summary, expected) = run(&mut scribe, &moments, 0, &audio, &whole);
    assert_eq!((summary.ended, expected.len()), (Ended::Complete, 12));
    let all = moments.0.done.load(Ordering::SeqCst);
    let (mut cancelled, mut late) = (0, 0);
    for n in 0..MOMENTS {
        let at = 1 + n * (all - 1) / MOMENTS;
        let journal = folder.path().join(format!("journal-{n}"));
        let (summary, segments) = run(&mut scribe, &moments, at, &audio, &journal);
        assert_eq!(summary.ended, Ended::Cancelled, "at {at} of {all}");
        assert_eq!(summary.blocks.acquired, summary.blocks.released, "at {at}");
        assert_eq!(segments[..], expected[..segments.len()], "at {at}");
        let begun_late = moments.0.begun_late.load(Ordering::SeqCst);
        assert!(begun_late <= 1, "{begun_late} windows begun, at {at}");
        #[cfg(target_os = "linux")]
        assert!(threads().is_empty(), "{:?} at {at}", threads());
        (cancelled, late) = (cancelled + 1, late + begun_late);
        // The journal goes on from there, and hears no window twice but the one that was broken off.
        let begun = moments.0.begun.load(Ordering::SeqCst);
        let (summary, segments) = run(&mut scribe, &moments, 0, &audio, &journal);
        assert_eq!(
            (summary.ended, segments),
            (Ended::Complete, expected.clone())
        );
        let again = begun + moments.0.begun.load(Ordering::SeqCst) - 6;
        assert!(again <= 1, "{again} windows are heard again, at {at}");
    }
    println!("cancelled {cancelled} times of {all} moments, {late} windows begun after");
}

#[test]
fn cancelled_at_any_moment_it_ends_whole() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "cancel::at_any_moment",
        "--ignored",
        "--nocapture",
    ]);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("cancelled 150 times"), "{said}");
}

/// An engine that looks at nothing is not asked again, not even for the same window.
#[test]
fn an_engine_that_does_not_look_is_not_asked_again() {
    struct Doubts(Arc<AtomicUsize>, Cancel);

    impl Engine for Doubts {
        fn name(&self) -> &str {
            "doubts"
        }

        fn transcribe(&mut self, window: &[f32], _: &Request<'_>) -> Result<Heard, EngineError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.cancel();
            let mut heard = Heard::new(Vec::new(), window.len());
            // Worth hearing again, without previous text or in halves.
            heard.doubtful = true;
            heard.used_previous = true;
            Ok(heard)
        }
    }

    let asked = Arc::new(AtomicUsize::new(0));
    let mut config = Config::default();
    config.vad = Vad::Off;
    let raised = Cancel::new();
    let engine = Doubts(Arc::clone(&asked), raised);
    let mut scribe = Transcriber::new(config, engine).unwrap();
    scribe.engine().1 = scribe.cancel();
    let source = PipeSource::new("noise", io::Cursor::new(audio()));
    let mut segments: Vec<Segment> = Vec::new();
    let summary = scribe.transcribe(source, &mut segments).unwrap();
    assert_eq!(summary.ended, Ended::Cancelled);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// Waits until something holds.
fn wait(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} never comes");
}

#[test]
fn a_pause_holds_the_next_window_until_it_goes_on() {
    let moments = Moments::default();
    let mut config = Config::default();
    config.vad = Vad::Off;
    config.window_s = 5.0;
    for ends_by_cancel in [false, true] {
        let mut scribe = Transcriber::new(config.clone(), Acts(moments.clone(), ())).unwrap();
        moments.reset(Cancel::new(), 0);
        let (controls, cancel) = (scribe.controls(), scribe.cancel());
        controls.pause();
        assert!(controls.is_paused());
        let thread = std::thread::spawn(move || {
            let source = PipeSource::new("noise", io::Cursor::new(audio()));
            let mut segments: Vec<Segment> = Vec::new();
            let summary = scribe.transcribe(source, &mut segments).unwrap();
            (summary, segments.len())
        });
        // The decoder fills the pool meanwhile; the engine hears nothing.
        std::thread::sleep(Duration::from_millis(400));
        assert_eq!(moments.0.begun.load(Ordering::SeqCst), 0);
        assert!(!thread.is_finished());
        if ends_by_cancel {
            cancel.cancel();
            let (summary, segments) = thread.join().unwrap();
            assert_eq!((summary.ended, segments), (Ended::Cancelled, 0));
            continue;
        }
        controls.go_on();
        wait("a window", || moments.0.begun.load(Ordering::SeqCst) > 0);
        let (summary, segments) = thread.join().unwrap();
        assert_eq!((summary.ended, segments), (Ended::Complete, 12));
    }
}
