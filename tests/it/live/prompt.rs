//! Text comes while the speaker speaks, and at every pause.

use super::*;

#[test]
fn speech_before_a_pause_is_transcribed_at_once() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let running = Running::start(Config::default(), shows(|_, _: &[f32]| Ok(())), live);
    let speech = speech();
    for turn in 0..3 {
        // Six seconds of speech and one and a half of silence; then no audio comes before the text.
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
fn speech_before_a_device_stops_is_transcribed() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let running = Running::start(Config::default(), shows(|_, _: &[f32]| Ok(())), live);
    push(&mut feed, 0, speech()[..64_000].iter().copied());
    let segment = running.segments.recv_timeout(PATIENCE).unwrap();
    assert!((segment.end.seconds() - 4.0).abs() < 0.1, "{segment:?}");
    drop(feed);
    running.end().1.unwrap();
}

/// The next second is pushed only when the text is at most a window behind, so that the test hangs
/// if no text comes.
#[test]
fn an_hour_of_speech_yields_text_all_along() {
    let (mut feed, live) = Live::start(options(0)).unwrap();
    let watch = live.watch();
    let running = Running::start(Config::default(), shows(|_, _: &[f32]| Ok(())), live);
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
