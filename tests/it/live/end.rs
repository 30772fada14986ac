//! The ways in which a live input or its transcription ends, and what is left then.

use steadyscribe::Ended;

use super::*;

#[test]
fn finish_says_what_is_left_at_its_deadline() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let (release, held) = sync_channel::<()>(0);
    let engine = shows(move |_, _: &[f32]| {
        let _ = held.recv();
        Ok(())
    });
    let watch = live.watch();
    let running = Running::start(everything(), engine, live);
    push_ramp(&mut feed, 0, 40 * 16_000);
    wait(&watch, "the pump", |s| s.pushed.samples() == 40 * 16_000);
    let left = feed.finish(Duration::from_millis(300));
    assert_eq!(left.lag().seconds(), 40.0);
    // Its transcription continues all the same.
    drop(release);
    assert_eq!(running.end().1.unwrap().audio_s, 40.0);
    assert_eq!(watch.status().lag(), Time::ZERO);
}

/// None of 31 s waits for room when the engine fails, and no push follows from which the decoder
/// could find out.
#[test]
fn finish_does_not_wait_for_a_transcription_that_has_ended() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let engine = shows(|_, _: &[f32]| Err(EngineError::Failed("broken".into())));
    let running = Running::start(everything(), engine, live);
    push_ramp(&mut feed, 0, 31 * 16_000);
    let (_live, summary) = running.end();
    assert!(matches!(summary, Err(Error::Engine(_))), "{summary:?}");
    let asked = Instant::now();
    assert_eq!(feed.finish(PATIENCE).lag().seconds(), 31.0);
    assert!(asked.elapsed() < PATIENCE / 2);
}

/// Audio that engines transcribed, with the position of each sample.
type Transcribed = Arc<Mutex<Vec<(u64, f32)>>>;

/// An engine that keeps the windows that it transcribes, and ends the window `last` as `end` does.
fn keeps_until(
    transcribed: &Transcribed,
    last: usize,
    mut end: impl FnMut() -> EngineError + Send + 'static,
) -> impl Engine + 'static {
    let (transcribed, mut windows) = (Arc::clone(transcribed), 0);
    shows(move |at, window: &[f32]| {
        if windows == last {
            return Err(end());
        }
        windows += 1;
        let samples = (at..).zip(window.iter().copied());
        transcribed.lock().unwrap().extend(samples);
        Ok(())
    })
}

/// Checks that every sample of `seconds` was transcribed at its place, once and in order.
fn check_transcribed(transcribed: &Transcribed, seconds: u64) {
    let transcribed = transcribed.lock().unwrap();
    let expected: Vec<(u64, f32)> = (0..seconds * 16_000).map(|at| (at, ramp(at))).collect();
    assert_eq!(transcribed.len(), expected.len());
    assert!(*transcribed == expected);
}

#[test]
fn an_engine_that_fails_loses_no_audio() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let watch = live.watch();
    let transcribed = Transcribed::default();
    let fails = keeps_until(&transcribed, 0, || EngineError::Failed("broken".into()));
    let running = Running::start(everything(), fails, live);
    push_ramp(&mut feed, 0, 60 * 16_000);
    let (live, summary) = running.end();
    assert!(matches!(summary, Err(Error::Engine(_))), "{summary:?}");
    let status = watch.status();
    assert!(status.read.seconds() >= 30.0, "{status:?}");
    assert_eq!(status.committed, Time::ZERO);
    let works = keeps_until(&transcribed, usize::MAX, || EngineError::Cancelled);
    let running = Running::start(everything(), works, live);
    assert_eq!(feed.finish(PATIENCE).lag(), Time::ZERO);
    assert_eq!(running.end().1.unwrap().damage, []);
    check_transcribed(&transcribed, 60);
}

/// Three transcriptions, of which two are cancelled while the engine works on a window: the first
/// has read all that fits into its pool, the second works on a backlog that is on the disk.
#[test]
fn cancelling_within_a_window_loses_no_audio_and_repeats_none() {
    let (mut feed, mut live) = Live::start(options(8 << 20)).unwrap();
    let watch = live.watch();
    let transcribed = Transcribed::default();
    push_ramp(&mut feed, 0, 110 * 16_000);
    for (windows, end_s) in [(1, 30), (2, 90)] {
        let (at_work, waits) = sync_channel(1);
        let (release, held) = sync_channel::<()>(0);
        let stops = keeps_until(&transcribed, windows, move || {
            at_work.send(()).unwrap();
            let _ = held.recv();
            EngineError::Cancelled
        });
        let running = Running::start(everything(), stops, live);
        waits.recv_timeout(PATIENCE).unwrap();
        wait(&watch, "reading ahead", |status| {
            status.read > status.committed
        });
        running.cancel.cancel();
        drop(release);
        let (same, summary) = running.end();
        assert_eq!(summary.unwrap().ended, Ended::Cancelled);
        assert_eq!(watch.status().committed.seconds(), f64::from(end_s));
        live = same;
    }
    push_ramp(&mut feed, 110 * 16_000, 20 * 16_000);
    let works = keeps_until(&transcribed, usize::MAX, || EngineError::Cancelled);
    let running = Running::start(everything(), works, live);
    assert_eq!(feed.finish(PATIENCE).lag(), Time::ZERO);
    running.end().1.unwrap();
    assert_eq!(watch.status().dropped, Time::ZERO);
    check_transcribed(&transcribed, 130);
}

/// The start and the duration count from the first push, also in a transcription that begins later.
#[test]
fn a_duration_counts_from_the_first_push_in_every_transcription() {
    for (start_s, duration_s, expected_s) in
        [(0, 50, (30, 50)), (10, 40, (40, 50)), (0, 30, (30, 30))]
    {
        let (mut feed, mut live) = Live::start(options(0)).unwrap();
        push_ramp(&mut feed, 0, 60 * 16_000);
        drop(feed);
        let mut part = InputOptions::default();
        part.start = Time::from_seconds(f64::from(start_s));
        // The first transcription ends with its first window.
        let transcribed = Transcribed::default();
        let fails = keeps_until(&transcribed, 1, || EngineError::Failed("broken".into()));
        let mut scribe = Transcriber::new(everything(), fails).unwrap();
        let mut segments: Vec<Segment> = Vec::new();
        scribe
            .transcribe_live_with(&mut live, &part, &mut segments)
            .unwrap_err();
        part.duration = Some(Time::from_seconds(f64::from(duration_s)));
        transcribed.lock().unwrap().clear();
        let works = keeps_until(&transcribed, usize::MAX, || EngineError::Cancelled);
        let mut scribe = Transcriber::new(everything(), works).unwrap();
        scribe
            .transcribe_live_with(&mut live, &part, &mut segments)
            .unwrap();
        let positions = transcribed.lock().unwrap();
        let positions: Vec<u64> = positions.iter().map(|(at, _)| *at).collect();
        let expected = expected_s.0 * 16_000..expected_s.1 * 16_000;
        assert!(
            positions == expected.clone().collect::<Vec<u64>>(),
            "{expected:?}"
        );
    }
}

/// Audio before the start is not transcribed, and does not wait in memory either.
#[test]
fn audio_before_the_start_takes_no_room() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let watch = live.watch();
    let mut part = InputOptions::default();
    part.start = Time::from_seconds(150.05);
    let (at, starts) = sync_channel(8);
    let engine = shows(move |start, _: &[f32]| {
        at.send(start).unwrap();
        Ok(())
    });
    let scribe = Transcriber::new(everything(), engine).unwrap();
    let running = Running::part(scribe, live, part);
    for second in 0..160 {
        push_ramp(&mut feed, second * 16_000, 16_000);
        wait(&watch, "the reader", |s| {
            s.read.samples() == (second + 1) * 16_000
        });
    }
    assert_eq!(feed.finish(PATIENCE).dropped, Time::ZERO);
    running.end().1.unwrap();
    assert_eq!(starts.iter().collect::<Vec<u64>>(), [150 * 16_000 + 800]);
}

/// No audio is pushed any more, and no segment comes from which the engine could find out.
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
fn a_panic_of_the_sink_ends_a_quiet_input() {
    struct Panics;

    impl Sink for Panics {
        fn segment(&mut self, _: &Segment) -> io::Result<bool> {
            panic!("a sink that panics")
        }
    }

    let (mut feed, mut live) = Live::start(options(0)).unwrap();
    let mut scribe = Transcriber::new(everything(), keeps().0).unwrap();
    let thread = thread::spawn(move || scribe.transcribe_live(&mut live, &mut Panics).is_ok());
    push_ramp(&mut feed, 0, 31 * 16_000);
    let started = Instant::now();
    while !thread.is_finished() {
        assert!(started.elapsed() < PATIENCE, "it hangs");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(thread.join().is_err());
    feed.finish(PATIENCE);
    assert!(started.elapsed() < PATIENCE);
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
