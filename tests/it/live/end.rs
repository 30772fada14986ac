//! Ways to end, and what is left then.

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
    let asked = Instant::now();
    let left = feed.finish(Duration::from_millis(300));
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert_eq!(left.lag().seconds(), 40.0);
    // It goes on all the same.
    drop(release);
    assert_eq!(running.end().1.unwrap().audio_s, 40.0);
    assert_eq!(watch.status().lag(), Time::ZERO);
}

/// Of 31 s nothing waits for room when the engine fails, and nothing more is pushed by which the decoder could find out.
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

#[test]
fn a_live_input_outlasts_its_transcriber() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let watch = live.watch();
    let engine = shows(|_, _: &[f32]| Err(EngineError::Failed("broken".into())));
    let running = Running::start(everything(), engine, live);
    push_ramp(&mut feed, 0, 60 * 16_000);
    let (live, _) = running.end();
    let read = watch.status().read.samples();
    assert!((30 * 16_000..60 * 16_000).contains(&read), "{read}");
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let engine = shows(move |at, window: &[f32]| {
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
fn a_panic_of_the_sink_ends_a_quiet_input() {
    struct Panics;

    impl Sink for Panics {
        fn segment(&mut self, _: &Segment) -> io::Result<bool> {
            panic!("out of luck")
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
