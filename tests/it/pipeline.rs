//! The pipeline around an engine: nothing lost, nothing twice, and every way to end.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use steadyscribe::budget::{Footprint, Variant};
use steadyscribe::engine::{
    Engine, EngineError, Model, Scripted, ScriptedUtterance, Transcription, from_fn,
};
use steadyscribe::monitor::gauge::Value;
use steadyscribe::sink::Sink;
use steadyscribe::{
    Config, Ended, Error, InputError, InputOptions, Journal, Segment, Span, Summary, Time,
    Transcriber, Vad,
};

use crate::support::files::Wave;
use crate::support::input::Pieces;
use crate::support::sinks::Enough;

/// A wav of `seconds` of 16 kHz mono noise, which the engines of these tests ignore.
fn noise(seconds: f64) -> Pieces {
    let mut state = 1_u32;
    let samples: Vec<f32> = (0..(seconds * 16_000.0) as usize)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 83_886_080.0
        })
        .collect();
    Pieces::file(Wave::mono(16_000).riff(&samples))
}

/// Without a detector: the engines of these tests know what is said.
fn config() -> Config {
    let mut config = Config::default();
    config.vad = Vad::Off;
    config
}

fn run<E: Engine + 'static>(
    config: Config,
    engine: E,
    seconds: f64,
) -> (Result<Summary, Error>, Vec<Segment>) {
    let mut scribe = Transcriber::new(config, engine).unwrap();
    let mut segments = Vec::new();
    let summary = scribe.transcribe(noise(seconds), &mut segments);
    (summary, segments)
}

fn utterances(lengths: &[(u32, u32)]) -> Vec<ScriptedUtterance> {
    let mut at = Time::ZERO;
    let say = |(n, (pause_ms, said_ms)): (usize, &(u32, u32))| {
        let start = at + Time::from_seconds(f64::from(*pause_ms) / 1e3);
        at = start + Time::from_seconds(f64::from(*said_ms) / 1e3);
        ScriptedUtterance::new(Span::new(start, at), format!("utterance {n}"))
    };
    lengths.iter().enumerate().map(say).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is said when, in windows of whatever length: each utterance comes once, in order,
    /// at its time.
    #[test]
    fn every_utterance_comes_once(
        lengths in prop::collection::vec((0_u32..4_000, 200_u32..4_500), 1..40),
        window_s in 5_u8..=30,
    ) {
        let said = utterances(&lengths);
        let end = said.last().unwrap().span.end.seconds();
        let mut config = config();
        config.window_s = f32::from(window_s);
        let (summary, segments) = run(config, Scripted::new(said.clone()), end + 1.0);
        let summary = summary.unwrap();
        let found: Vec<_> = segments.iter().map(|s| (s.span(), s.text.clone())).collect();
        let expected: Vec<_> = said.into_iter().map(|s| (s.span, s.text)).collect();
        prop_assert_eq!(found, expected);
        prop_assert!((summary.audio_s - end - 1.0).abs() < 1e-3);
        prop_assert_eq!(summary.blocks.acquired, summary.blocks.released);
    }
}

/// An engine that does something at its n-th window.
fn acts(
    act: impl FnMut(usize, &[f32]) -> Result<Transcription, EngineError> + Send + 'static,
) -> impl Engine + 'static {
    let state = Mutex::new((0, act));
    from_fn("acts", move |window, _| {
        // A panic of one window is what some tests are about.
        let mut state = state.lock().unwrap_or_else(|e| e.into_inner());
        let (count, act) = &mut *state;
        *count += 1;
        act(*count, window)
    })
}

/// One segment for each window.
fn one(window: &[f32]) -> Transcription {
    let end = Time::from_samples(window.len() as u64);
    Transcription::new(vec![Segment::new(Time::ZERO, end, "text")])
}

#[test]
fn windows_are_as_long_as_configured_and_the_tail_is_short() {
    for (seconds, expected) in [
        (1.0 / 16_000.0, vec![1]),
        (30.0, vec![480_000]),
        (30.0 + 1.0 / 16_000.0, vec![480_000, 1]),
        (61.5, vec![480_000, 480_000, 24_000]),
    ] {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let lengths = Arc::clone(&seen);
        let engine = acts(move |_, window: &[f32]| {
            lengths.lock().unwrap().push(window.len());
            Ok(one(window))
        });
        let (summary, _) = run(config(), engine, seconds);
        summary.unwrap();
        assert_eq!(*seen.lock().unwrap(), expected, "{seconds} s");
    }
}

#[test]
fn a_sink_that_has_enough_stops_the_transcription_without_an_error() {
    // Also when it has enough with the last segment of the input.
    for seconds in [90.0, 600.0] {
        let mut scribe = Transcriber::new(config(), acts(|_, window| Ok(one(window)))).unwrap();
        let mut sink = Enough::after(3);
        let summary = scribe.transcribe(noise(seconds), &mut sink).unwrap();
        assert_eq!(summary.ended, Ended::Stopped);
        sink.check_stopped();
        assert_eq!(summary.blocks.acquired, summary.blocks.released);
        // The next input finds the transcriber as it was.
        let mut segments: Vec<Segment> = Vec::new();
        let summary = scribe.transcribe(noise(60.0), &mut segments).unwrap();
        assert_eq!((summary.ended, segments.len()), (Ended::Complete, 2));
    }
}

#[test]
fn a_sink_may_have_enough_of_the_segments_of_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path().join("a.journal")).unwrap();
    let mut scribe = Transcriber::new(config(), acts(|_, window| Ok(one(window)))).unwrap();
    let options = InputOptions::default();
    for ended in [Ended::Complete, Ended::Stopped] {
        let mut enough = Enough::after(3);
        let mut all: Vec<Segment> = Vec::new();
        let sink: &mut dyn Sink = match ended {
            Ended::Complete => &mut all,
            _ => &mut enough,
        };
        let summary = scribe.resume(noise(150.0), &options, &mut journal, sink);
        assert_eq!(summary.unwrap().ended, ended);
        assert_eq!(journal.segment_count(), 5);
        if ended == Ended::Stopped {
            enough.check_stopped();
        }
    }
}

#[test]
fn an_input_without_a_sample_is_refused() {
    let (summary, _) = run(config(), Scripted::default(), 0.0);
    assert!(
        matches!(summary, Err(Error::Input(InputError::Undecodable { .. }))),
        "{summary:?}"
    );
}

#[test]
fn a_range_of_the_input_keeps_its_times() {
    let mut options = InputOptions::default();
    options.start = Time::from_seconds(10.0);
    options.duration = Some(Time::from_seconds(7.5));
    let engine = acts(|_, window: &[f32]| Ok(one(window)));
    let mut scribe = Transcriber::new(config(), engine).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    let summary = scribe.transcribe_with(noise(60.0), &options, &mut segments);
    assert_eq!(summary.unwrap().audio_s, 7.5);
    assert_eq!(segments.len(), 1);
    assert_eq!(
        (segments[0].start.seconds(), segments[0].end.seconds()),
        (10.0, 17.5)
    );
}

#[test]
fn a_failing_engine_ends_it_and_what_came_before_stays() {
    let engine = acts(|n, window: &[f32]| match n {
        1 => Ok(one(window)),
        _ => Err(EngineError::Failed("broken".into())),
    });
    let (summary, segments) = run(config(), engine, 120.0);
    assert!(
        matches!(summary, Err(Error::Engine(EngineError::Failed(_)))),
        "{summary:?}"
    );
    assert_eq!(segments.len(), 1);
}

#[test]
fn a_panicking_engine_is_an_error() {
    let (summary, _) = run(config(), acts(|_, _: &[f32]| panic!("out of luck")), 40.0);
    match summary {
        Err(Error::Engine(EngineError::Panicked(text))) => assert_eq!(text, "out of luck"),
        other => panic!("{other:?}"),
    }
}

/// The decoder has filled every block and waits for one by the time that the engine fails.
#[test]
fn a_waiting_decoder_notices_that_the_engine_has_ended() {
    let (ended, wait) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let (progress_in, progress) = std::sync::mpsc::sync_channel::<steadyscribe::Progress>(1);
        let engine = acts(move |_, _: &[f32]| {
            // A window, what is looked at behind it, and every block of the pool.
            let progress = progress.recv().unwrap();
            until("a full pool", || {
                progress.decoded() >= Time::from_seconds(38.0)
            });
            Err(EngineError::Failed("broken".into()))
        });
        let mut scribe = Transcriber::new(config(), engine).unwrap();
        progress_in.send(scribe.progress()).unwrap();
        let summary = scribe.transcribe(noise(120.0), &mut Vec::new());
        ended.send(summary.is_err())
    });
    let patience = Duration::from_secs(60);
    assert_eq!(wait.recv_timeout(patience), Ok(true), "it hangs");
}

#[test]
fn cancelling_ends_the_way_to_the_start() {
    let mut options = InputOptions::default();
    options.start = Time::from_seconds(590.0);
    let mut scribe = Transcriber::new(config(), Scripted::default()).unwrap();
    scribe.cancel().cancel();
    let summary = scribe.transcribe_with(noise(600.0), &options, &mut Vec::new());
    let summary = summary.unwrap();
    assert_eq!(summary.ended, Ended::Cancelled);
    assert!(scribe.progress().decoded() < Time::from_seconds(300.0));
}

/// A sink that is full after some segments.
struct Full(usize);

impl Sink for Full {
    fn segment(&mut self, _: &Segment) -> io::Result<bool> {
        self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        Ok(true)
    }
}

#[test]
fn a_full_disk_ends_it_with_its_cause_and_gives_every_block_back() {
    let engine = acts(|_, window: &[f32]| Ok(one(window)));
    let mut scribe = Transcriber::new(config(), engine).unwrap();
    match scribe.transcribe(noise(400.0), &mut Full(2)) {
        Err(Error::Sink(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
    let mut segments: Vec<Segment> = Vec::new();
    let summary = scribe.transcribe(noise(31.0), &mut segments).unwrap();
    assert_eq!(
        summary.blocks.acquired, summary.blocks.released,
        "the next one finds all blocks"
    );
    assert_eq!((summary.segments, summary.blocks.acquired), (2, 62));
}

#[test]
fn cancelling_ends_it_with_what_is_ready() {
    let (send, receive) = std::sync::mpsc::sync_channel::<steadyscribe::Cancel>(1);
    let engine = acts(move |n, window: &[f32]| {
        if n == 2 {
            receive.recv().unwrap().cancel();
        }
        Ok(one(window))
    });
    let mut scribe = Transcriber::new(config(), engine).unwrap();
    send.send(scribe.cancel()).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    let summary = scribe.transcribe(noise(600.0), &mut segments).unwrap();
    assert_eq!(summary.ended, Ended::Cancelled);
    assert_eq!((summary.windows, segments.len()), (2, 2));
    assert_eq!(summary.blocks.acquired, summary.blocks.released);
}

#[test]
fn settings_take_effect_at_the_next_window() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let lengths = Arc::clone(&seen);
    let controls = Arc::new(std::sync::OnceLock::<steadyscribe::Controls>::new());
    let inside = Arc::clone(&controls);
    let engine = acts(move |n, window: &[f32]| {
        lengths.lock().unwrap().push(window.len());
        if n == 1 {
            let controls = inside.get().unwrap();
            controls.set_window_seconds(10.0).unwrap();
            controls.set_buffer_limit(64_000).unwrap();
        }
        Ok(one(window))
    });
    let mut scribe = Transcriber::new(config(), engine).unwrap();
    assert!(controls.set(scribe.controls()).is_ok());
    assert!(scribe.controls().set_window_seconds(4.9).is_err());
    assert!(scribe.controls().set_window_seconds(30.1).is_err());
    assert!(scribe.controls().set_buffer_limit(32_000).is_err());
    assert!(scribe.controls().set_buffer_limit(17 * 32_000).is_err());
    let summary = scribe.transcribe(noise(70.0), &mut Vec::new()).unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [480_000, 160_000, 160_000, 160_000, 160_000]
    );
    assert_eq!(summary.memory.pool_bytes, 64_000);
    // The gauge follows, also while nothing is transcribed.
    let held = || scribe.engines().gauges().held_bytes();
    assert_eq!(held(), 64_000 + 31 * 64_000);
    scribe.controls().set_buffer_limit(96_000).unwrap();
    assert_eq!(held(), 96_000 + 31 * 64_000);
}

/// An engine with a footprint, whose model and state are counted while they exist.
#[derive(Clone, Default)]
struct Counted {
    exists: Arc<()>,
    scripted: Scripted,
}

impl Engine for Counted {
    fn name(&self) -> &str {
        "counted"
    }

    fn variants(&self) -> Vec<Variant> {
        let mut footprint = Footprint::default();
        (footprint.model_bytes, footprint.state_bytes) = (5, 7);
        vec![Variant::new("only", footprint)]
    }

    fn load(&self, _: &Variant) -> Result<Arc<dyn Model>, EngineError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Model for Counted {
    fn new_state(self: Arc<Self>) -> Result<Box<dyn steadyscribe::engine::State>, EngineError> {
        Model::new_state(Arc::new(self.scripted.clone()))
    }
}

/// Waits for another thread to bring something about.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let hang = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < hang, "never: {what}");
        std::thread::yield_now();
    }
}

/// Idle timers also run after a transcription, and are reflected in the gauges.
#[test]
fn an_idle_engine_gives_its_memory_back() {
    let engine = Counted::default();
    let exists = Arc::clone(&engine.exists);
    let mut config = config();
    config.release_state_after = Some(Duration::from_millis(20));
    config.unload_after = Some(Duration::from_millis(60));
    let mut scribe = Transcriber::new(config, engine).unwrap();
    let before = Arc::strong_count(&exists);
    scribe.transcribe(noise(40.0), &mut Vec::new()).unwrap();
    until("an unloaded model", || Arc::strong_count(&exists) == before);
    until("an empty account", || {
        scribe.engines().held().total_bytes() == 0
    });
    let gauges = scribe.engines().gauges();
    assert_eq!(gauges.held_bytes(), 16 * 32_000 + 31 * 64_000);
    drop(scribe);
    assert_eq!(
        gauges.held_bytes(),
        0,
        "a dropped transcriber holds nothing"
    );
    // The timer's thread may be the one that drops the engine.
    until("a dropped engine", || Arc::strong_count(&exists) == 1);
}

#[test]
fn gauges_publish_what_is_held() {
    let mut scribe = Transcriber::new(config(), Counted::default()).unwrap();
    scribe.transcribe(noise(1.0), &mut Vec::new()).unwrap();
    let gauges = scribe.engines().gauges();
    let read = gauges.snapshot();
    let value = |name| {
        let found = read.iter().find(|reading| reading.name == name);
        found.unwrap().value
    };
    assert_eq!(value("model"), Value::Whole(5));
    assert_eq!(value("state"), Value::Whole(7));
    assert_eq!(value("pool"), Value::Whole(16 * 32_000));
    assert_eq!(value("window"), Value::Whole(31 * 64_000));
    assert!(matches!(value("rtf"), Value::Ratio(rtf) if rtf > 0.0));
    assert_eq!(gauges.held_bytes(), 5 + 7 + 16 * 32_000 + 31 * 64_000);
}

/// Segments come one by one, and the transcriber comes back with the summary.
#[test]
fn segments_can_be_pulled() {
    let engine = acts(|_, window: &[f32]| Ok(one(window)));
    let scribe = Transcriber::new(config(), engine).unwrap();
    let mut segments = scribe
        .into_segments(noise(70.0), InputOptions::default())
        .unwrap();
    let ends: Vec<f64> = segments
        .by_ref()
        .map(|segment| segment.end.seconds())
        .collect();
    assert_eq!(ends, [30.0, 60.0, 70.0]);
    let (scribe, summary) = segments.finish().unwrap();
    assert_eq!(summary.unwrap().ended, Ended::Complete);
    // A caller that has enough gets the transcriber back too, and dropping ends the thread.
    let mut segments = scribe
        .into_segments(noise(600.0), InputOptions::default())
        .unwrap();
    assert!(segments.next().is_some());
    let (scribe, summary) = segments.finish().unwrap();
    assert_eq!(summary.unwrap().ended, Ended::Stopped);
    let engines = scribe.engines().clone();
    drop(
        scribe
            .into_segments(noise(600.0), InputOptions::default())
            .unwrap(),
    );
    let buffers = engines.gauges().held_bytes();
    assert_eq!(buffers, 0, "the transcriber is gone");
}

/// A governor unloads while a transcription is paused: nothing is held until it is resumed.
#[test]
fn a_paused_transcription_can_be_unloaded_and_resumed() {
    let mut scribe = Transcriber::new(config(), Counted::default()).unwrap();
    let (engines, controls) = (scribe.engines().clone(), scribe.controls());
    engines.load().unwrap();
    controls.pause();
    std::thread::scope(|scope| {
        let run = scope.spawn(move || scribe.transcribe(noise(70.0), &mut Vec::new()).unwrap());
        assert_eq!(engines.unload().freed_bytes, 5);
        assert_eq!(engines.held().total_bytes(), 0);
        controls.resume();
        assert_eq!(run.join().unwrap().ended, Ended::Complete);
    });
    assert_eq!(engines.held().total_bytes(), 12);
}

/// An engine that ends a window as if it were cancelled, although nobody asked, did not complete
/// it.
#[test]
fn an_unasked_cancel_of_the_engine_is_an_error() {
    let engine = acts(|n, window: &[f32]| match n {
        1 => Ok(one(window)),
        _ => Err(EngineError::Cancelled),
    });
    let (summary, segments) = run(config(), engine, 90.0);
    assert!(
        matches!(summary, Err(Error::Engine(EngineError::Cancelled))),
        "{summary:?}"
    );
    assert_eq!(segments.len(), 1);
}

/// A speech span that the engine leaves without text is reported wherever it lies, also in the half
/// second that a window moves on at least.
#[test]
fn an_engine_that_completes_nothing_loses_nothing_silently() {
    use steadyscribe::engine::Boundary;

    let engine = acts(|_, _: &[f32]| {
        let mut nothing = Transcription::default();
        nothing.boundaries = vec![Boundary::default()];
        Ok(nothing)
    });
    let mut config = Config::default();
    config.window_s = 5.0;
    let mut scribe = Transcriber::new(config, engine).unwrap();
    let speech = steadyscribe::FileSource::open("fixtures/standup.opus").unwrap();
    let mut options = InputOptions::default();
    options.duration = Some(Time::from_seconds(20.0));
    let mut segments: Vec<Segment> = Vec::new();
    let summary = scribe
        .transcribe_with(speech, &options, &mut segments)
        .unwrap();
    assert!(segments.is_empty());
    // Spans that are shorter than half a second are breaths to a detector, and not reported.
    assert!(summary.uncovered_s > 0.8 * summary.speech_s, "{summary:?}");
}
