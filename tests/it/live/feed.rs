//! Pushing: any rate, any channels, and which audio of it reaches the engine.

use std::time::Duration;

use steadyscribe::live::Live;
use steadyscribe::{Ended, EnginePool, Segment, Time};

use super::*;
use crate::support::heap;
use crate::support::signal::{LENGTH_S, bursts, check_bursts};

#[test]
fn what_is_pushed_is_transcribed_to_the_last_sample() {
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
        // Ten milliseconds at a time, as a device gives them.
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
    // A second each, in formats that no device has.
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

#[test]
fn two_channels_share_an_engine() {
    let engines = EnginePool::new(&everything(), shows(|_, _: &[f32]| Ok(())), 2).unwrap();
    let start = |channel: u8| {
        let mut options = options(0);
        options.channel = Some(channel);
        let (feed, live) = Live::start(options).unwrap();
        (feed, Running::with(engines.transcriber().unwrap(), live))
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
            // Formats change, the ring overflows, and dropped audio is marked.
            let rate_hz = 44_100 + n % 7 * 1_000;
            feed.push(&samples, rate_hz, 1 + n as usize % 2);
            feed.silence(Duration::from_millis(1));
        }
    });
    assert_eq!(heap.allocations, 0);
    drop((feed, live));
}
