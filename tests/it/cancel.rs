//! Cancelling at any moment: no further window is begun, every thread ends, and what there is by
//! then is whole.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steadyscribe::engine::{Boundary, Engine, EngineError, Transcription, from_fn};
use steadyscribe::sink::{Format, Sink};
use steadyscribe::source::PipeSource;
use steadyscribe::{
    Cancel, Config, Ended, Ending, InputOptions, Journal, Segment, Summary, Time, Transcriber, Vad,
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
    /// Starts counting from zero.
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

/// A pipe and a sink, whose every act is a moment.
struct Acts<T>(Moments, T);

impl Read for Acts<io::Cursor<Vec<u8>>> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.pass();
        let length = buffer.len().min(8_192);
        self.1.read(&mut buffer[..length])
    }
}

/// An engine whose every step is a moment.
fn engine(moments: &Moments) -> impl Engine + 'static {
    let moments = moments.clone();
    from_fn("acts", move |window, request| {
        let counters = &*moments.0;
        counters.begun.fetch_add(1, Ordering::SeqCst);
        let late = usize::from(request.cancel.is_cancelled());
        counters.begun_late.fetch_add(late, Ordering::SeqCst);
        for _ in 0..STEPS {
            moments.pass();
            if request.cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
        }
        let half = Time::from_samples(window.len() as u64 / 2);
        let end = Time::from_samples(window.len() as u64);
        let mut answer = Transcription::new(vec![
            Segment::new(Time::ZERO, half, "one"),
            Segment::new(half, end, "two"),
        ]);
        // Both are whole, also where the window's end was cut.
        answer.boundaries = vec![Boundary::new(end, 2, 0)];
        Ok(answer)
    })
}

impl<'a> Sink for Acts<Box<dyn Sink + 'a>> {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        self.0.pass();
        let takes_more = self.1.segment(segment)?;
        self.0.pass();
        Ok(takes_more)
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
    scribe: &mut Transcriber,
    moments: &Moments,
    cancel_at: usize,
    audio: &[u8],
    journal: &Path,
) -> (Summary, Vec<serde_json::Value>) {
    scribe.set_cancel(&Cancel::new());
    moments.reset(scribe.cancel(), cancel_at);
    let pipe = Acts(moments.clone(), io::Cursor::new(audio.to_vec()));
    let source = PipeSource::new("noise", pipe);
    let mut written = Vec::new();
    let mut sink = Acts(moments.clone(), Format::Json.sink(&mut written, "noise"));
    let mut journal = Journal::open(journal).unwrap();
    let options = InputOptions::default();
    let summary = scribe.resume(source, &options, &mut journal, &mut sink);
    drop(sink);
    // A transcript that was cancelled is a whole file all the same.
    let json: serde_json::Value = serde_json::from_slice(&written).unwrap();
    (
        summary.unwrap(),
        json["segments"].as_array().unwrap().clone(),
    )
}

/// Every thread is joined before `transcribe` returns: each of these calls returns, and the next
/// one finds every block of the pool.
#[test]
fn cancelled_at_any_moment_it_ends_whole() {
    let folder = TempDir::new().unwrap();
    let audio = audio();
    let moments = Moments::default();
    let mut config = Config::default();
    config.vad = Vad::Off;
    config.window_s = 5.0;
    config.release_state_after = None;
    config.unload_after = None;
    let mut scribe = Transcriber::new(config, engine(&moments)).unwrap();
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
        (cancelled, late) = (cancelled + 1, late + begun_late);
        // The journal resumes there, and only the window that was interrupted is transcribed again.
        let begun = moments.0.begun.load(Ordering::SeqCst);
        let (summary, segments) = run(&mut scribe, &moments, 0, &audio, &journal);
        assert_eq!(
            (summary.ended, segments),
            (Ended::Complete, expected.clone())
        );
        let again = begun + moments.0.begun.load(Ordering::SeqCst) - 6;
        assert!(again <= 1, "{again} windows are transcribed again, at {at}");
    }
    println!("cancelled {cancelled} times of {all} moments, {late} windows begun after");
}

/// An engine that never checks for a cancel is not called again, not even for the same window.
#[test]
fn an_engine_that_ignores_the_cancel_is_not_called_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let cancel = Cancel::new();
    let (count, raised) = (Arc::clone(&calls), cancel.clone());
    let engine = from_fn("doubts", move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        raised.cancel();
        let mut answer = Transcription::default();
        // Worth a retry, without previous text or in halves.
        answer.doubtful = true;
        answer.used_previous = true;
        Ok(answer)
    });
    let mut config = Config::default();
    config.vad = Vad::Off;
    let mut scribe = Transcriber::new(config, engine).unwrap();
    scribe.set_cancel(&cancel);
    let source = PipeSource::new("noise", io::Cursor::new(audio()));
    let mut segments: Vec<Segment> = Vec::new();
    let summary = scribe.transcribe(source, &mut segments).unwrap();
    assert_eq!(summary.ended, Ended::Cancelled);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
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
fn a_pause_holds_back_the_next_window_until_it_is_resumed() {
    let moments = Moments::default();
    let mut config = Config::default();
    config.vad = Vad::Off;
    config.window_s = 5.0;
    for ends_by_cancel in [false, true] {
        let mut scribe = Transcriber::new(config.clone(), engine(&moments)).unwrap();
        moments.reset(Cancel::new(), 0);
        let (controls, cancel) = (scribe.controls(), scribe.cancel());
        let progress = scribe.progress();
        controls.pause();
        assert!(controls.is_paused());
        let thread = std::thread::spawn(move || {
            let source = PipeSource::new("noise", io::Cursor::new(audio()));
            let mut segments: Vec<Segment> = Vec::new();
            let summary = scribe.transcribe(source, &mut segments).unwrap();
            (summary, segments.len())
        });
        // The decoder fills the window and the pool meanwhile; the engine gets nothing.
        wait("a full pool", || {
            progress.decoded() >= Time::from_seconds(6.0 + 7.0)
        });
        assert_eq!(moments.0.begun.load(Ordering::SeqCst), 0);
        assert!(!thread.is_finished());
        if ends_by_cancel {
            cancel.cancel();
            let (summary, segments) = thread.join().unwrap();
            assert_eq!((summary.ended, segments), (Ended::Cancelled, 0));
            continue;
        }
        controls.resume();
        wait("a window", || moments.0.begun.load(Ordering::SeqCst) > 0);
        let (summary, segments) = thread.join().unwrap();
        assert_eq!((summary.ended, segments), (Ended::Complete, 12));
    }
}
