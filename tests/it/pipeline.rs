//! The pipeline around an engine: nothing lost, nothing twice, and every way to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use steadyscribe::engine::{
    Engine, EngineError, Heard, Held, Request, Scripted, ScriptedUtterance,
};
use steadyscribe::monitor::gauge::Value;
use steadyscribe::sink::Sink;
use steadyscribe::{
    Config, Ended, Error, InputError, Segment, Span, Summary, Time, Transcriber, Vad,
};

use crate::support::files::Wave;
use crate::support::input::Pieces;

/// A wav of `seconds` of 16 kHz mono noise, which the engines of these tests do not listen to.
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

    /// Whatever is said when, in windows of whatever length: each utterance comes once, in order, at its time.
    #[test]
    fn every_utterance_comes_once(
        lengths in prop::collection::vec((0_u32..4_000, 200_u32..4_500), 1..40), window_s in 5_u8..=30,
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
struct Acts<F>(usize, F);

impl<F: FnMut(usize, &[f32]) -> Result<Heard, EngineError> + Send> Engine for Acts<F> {
    fn name(&self) -> &str {
        "acts"
    }

    fn transcribe(&mut self, window: &[f32], _: &Request<'_>) -> Result<Heard, EngineError> {
        self.0 += 1;
        (self.1)(self.0, window)
    }
}

/// One segment for each window.
fn one(window: &[f32]) -> Heard {
    let end = Time::from_samples(window.len() as u64);
    Heard::new(vec![Segment::new(Time::ZERO, end, "text")], window.len())
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
        let engine = Acts(0, move |_, window: &[f32]| {
            lengths.lock().unwrap().push(window.len());
            Ok(one(window))
        });
        let (summary, _) = run(config(), engine, seconds);
        summary.unwrap();
        assert_eq!(*seen.lock().unwrap(), expected, "{seconds} s");
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
    let mut config = config();
    config.start = Time::from_seconds(10.0);
    config.duration = Some(Time::from_seconds(7.5));
    let (summary, segments) = run(config, Acts(0, |_, window: &[f32]| Ok(one(window))), 60.0);
    assert_eq!(summary.unwrap().audio_s, 7.5);
    assert_eq!(segments.len(), 1);
    assert_eq!(
        (segments[0].start.seconds(), segments[0].end.seconds()),
        (10.0, 17.5)
    );
}

#[test]
fn a_failing_engine_ends_it_and_what_came_before_stays() {
    let engine = Acts(0, |n, window: &[f32]| match n {
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
    let (summary, _) = run(
        config(),
        Acts(0, |_, _: &[f32]| panic!("out of luck")),
        40.0,
    );
    match summary {
        Err(Error::Engine(EngineError::Panicked(said))) => assert_eq!(said, "out of luck"),
        other => panic!("{other:?}"),
    }
}

/// The decoder has filled every block and waits for one by the time that the engine gives up.
#[test]
fn a_waiting_decoder_hears_that_the_engine_has_ended() {
    let (ended, wait) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let engine = Acts(0, |_, _: &[f32]| {
            std::thread::sleep(Duration::from_millis(200));
            Err(EngineError::Failed("broken".into()))
        });
        let (summary, _) = run(config(), engine, 120.0);
        ended.send(summary.is_err())
    });
    let patience = Duration::from_secs(60);
    assert_eq!(wait.recv_timeout(patience), Ok(true), "it hangs");
}

#[test]
fn cancelling_ends_the_way_to_the_start() {
    let mut config = config();
    config.start = Time::from_seconds(590.0);
    let mut scribe = Transcriber::new(config, Scripted::new(Vec::new())).unwrap();
    scribe.cancel().cancel();
    let summary = scribe.transcribe(noise(600.0), &mut Vec::new()).unwrap();
    assert_eq!(summary.ended, Ended::Cancelled);
    assert!(scribe.progress().decoded() < Time::from_seconds(300.0));
}

/// A sink that is full after some segments.
struct Full(usize);

impl Sink for Full {
    fn segment(&mut self, _: &Segment) -> io::Result<()> {
        self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_it_with_its_cause_and_gives_every_block_back() {
    let engine = Acts(0, |_, window: &[f32]| Ok(one(window)));
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
    let engine = Acts(0, move |n, window: &[f32]| {
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
    let engine = Acts(0, move |n, window: &[f32]| {
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
}

/// An engine that counts what it gave back.
#[derive(Clone, Default)]
struct Idle {
    released: Arc<AtomicUsize>,
    unloaded: Arc<AtomicUsize>,
}

impl Engine for Idle {
    fn name(&self) -> &str {
        "idle"
    }

    fn transcribe(&mut self, window: &[f32], _: &Request<'_>) -> Result<Heard, EngineError> {
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(self.unloaded.load(Ordering::Relaxed), 0, "unloaded at work");
        Ok(one(window))
    }

    fn release_state(&mut self) -> bool {
        self.released.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn unload(&mut self) -> bool {
        self.unloaded.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn held(&self) -> Held {
        Held::new(5, 7)
    }
}

#[test]
fn an_idle_engine_gives_its_memory_back_and_a_working_one_keeps_it() {
    let engine = Idle::default();
    let (released, unloaded) = (Arc::clone(&engine.released), Arc::clone(&engine.unloaded));
    let mut config = config();
    config.release_state_after = Some(Duration::from_millis(20));
    config.unload_after = Some(Duration::from_millis(60));
    let mut scribe = Transcriber::new(config, engine).unwrap();
    scribe.transcribe(noise(40.0), &mut Vec::new()).unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while unloaded.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < patience, "nothing was given back");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(released.load(Ordering::Relaxed), 1);
    drop(scribe); // joins the timer's thread
    assert_eq!(unloaded.load(Ordering::Relaxed), 1);
}

#[test]
fn gauges_say_what_is_held() {
    let mut scribe = Transcriber::new(config(), Idle::default()).unwrap();
    scribe.transcribe(noise(1.0), &mut Vec::new()).unwrap();
    let read = scribe.gauges().snapshot();
    let value = |name| {
        read.iter()
            .find(|reading| reading.name == name)
            .unwrap()
            .value
    };
    assert_eq!(value("model"), Value::Whole(5));
    assert_eq!(value("state"), Value::Whole(7));
    assert_eq!(value("pool"), Value::Whole(16 * 32_000));
    assert_eq!(value("window"), Value::Whole(31 * 64_000));
    assert!(matches!(value("rtf"), Value::Ratio(rtf) if rtf > 0.0));
    assert_eq!(
        scribe.gauges().held_bytes(),
        5 + 7 + 16 * 32_000 + 31 * 64_000
    );
}
