//! Channels that are transcribed apart: each has the text that it has alone, and all are merged
//! into one transcript.

use std::io;
use std::path::Path;

use steadyscribe::budget::Plan;
use steadyscribe::engine::{Engine, Scripted};
use steadyscribe::sink::{self, Sink};
use steadyscribe::source::{RawSource, Source};
use steadyscribe::{
    Channels, Config, ConfigError, Ended, EnginePool, Error, FileSource, InputOptions, Segment,
    Summary, Time, Transcriber, Whisper, WhisperOptions,
};

use crate::support::input::{Pieces, decode_all};
use crate::support::sinks::Enough;

/// Length of each channel, in samples: 40 s.
const LENGTH: usize = 40 * 16_000;

fn engine() -> Whisper {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/model/fixture-q8_0.bin");
    Whisper::open(model, WhisperOptions::default()).unwrap()
}

/// Transcribers of two channels.
fn two_channels() -> Channels {
    Channels::new(&EnginePool::new(&Config::default(), engine(), 2).unwrap()).unwrap()
}

/// Transcribes both channels of a recording in which the same is spoken on each.
fn transcribe_twice(
    channels: &mut Channels,
    spoken: &[f32],
    sink: &mut dyn Sink,
) -> Result<Vec<Summary>, Error> {
    let open = || Ok(recording(&[spoken, spoken]));
    channels.transcribe(open, &InputOptions::default(), sink)
}

fn spoken(scene: &str) -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(scene);
    let mut samples = decode_all(&mut FileSource::open(path).unwrap())
        .unwrap()
        .samples;
    samples.truncate(LENGTH);
    samples
}

/// Makes a recording without a header from these channels.
fn recording(channels: &[&[f32]]) -> impl Source + use<> {
    let mut bytes = Vec::new();
    for n in 0..LENGTH {
        for channel in channels {
            bytes.extend(channel[n].to_le_bytes());
        }
    }
    let format = format!("f32le:16000:{}", channels.len()).parse().unwrap();
    RawSource::new(Pieces::file(bytes), format)
}

/// Returns times and texts of the segments of a channel.
fn written(segments: &[Segment], channel: Option<u8>) -> Vec<(Time, Time, String)> {
    segments
        .iter()
        .filter(|segment| segment.channel == channel)
        .map(|segment| (segment.start, segment.end, segment.text.clone()))
        .collect()
}

#[test]
fn a_missing_channel_is_silent() {
    let mut options = InputOptions::default();
    options.channel = Some(1);
    let mut scribe = Transcriber::new(Config::default(), engine()).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    let source = recording(&[&spoken("standup.opus")]);
    let summary = scribe
        .transcribe_with(source, &options, &mut segments)
        .unwrap();
    assert_eq!((segments.len(), summary.encodes), (0, 0));
    assert_eq!(summary.audio_s, 40.0);
}

#[test]
fn a_budget_is_that_of_all_channels() {
    let variants = engine().variants();
    let plan = |variant| Plan::new(&Config::default(), std::slice::from_ref(variant), 2).unwrap();
    // With the least budget the channels share one state.
    let least = variants.iter().map(|variant| {
        let (plan, footprint) = (plan(variant), variant.footprint);
        plan.peak_bytes() - footprint.state_bytes - footprint.window_bytes
    });
    let least = least.min().unwrap();
    let with = |bytes| {
        let mut config = Config::default();
        config.memory_budget_bytes = Some(bytes);
        EnginePool::new(&config, engine(), 2)
    };
    assert_eq!(with(least).unwrap().plan().states(), 1);
    match with(least - 1) {
        Err(ConfigError::Budget {
            needed_bytes,
            budget_bytes,
            ..
        }) => assert_eq!((needed_bytes, budget_bytes), (least, least - 1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn more_than_32_channels_are_refused() {
    let pool = EnginePool::new(&Config::default(), Scripted::default(), 33).unwrap();
    match Channels::new(&pool) {
        Err(Error::Config(ConfigError::OutOfRange { asked, .. })) => assert_eq!(asked, 33.0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sink_that_fails_ends_all_channels() {
    let mut taken = 0;
    let mut full = sink::from_fn(|_| {
        taken += 1;
        match taken {
            1 => Ok(true),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    });
    match transcribe_twice(&mut two_channels(), &spoken("standup.opus"), &mut full) {
        Err(Error::Sink(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sink_that_has_enough_ends_all_channels() {
    let mut sink = Enough::after(3);
    let summaries =
        transcribe_twice(&mut two_channels(), &spoken("standup.opus"), &mut sink).unwrap();
    sink.check_stopped();
    for summary in &summaries {
        assert_eq!(summary.blocks.acquired, summary.blocks.released);
    }
}

#[test]
fn one_token_cancels_all_channels() {
    let mut channels = two_channels();
    channels.cancel().cancel();
    let mut segments: Vec<Segment> = Vec::new();
    let summaries =
        transcribe_twice(&mut channels, &spoken("standup.opus"), &mut segments).unwrap();
    let is_cancelled = |summary: &Summary| summary.ended == Ended::Cancelled;
    assert!(summaries.iter().all(is_cancelled));
}

mod slow {
    use super::*;

    #[test]
    #[ignore = "slow: make test-all"]
    fn each_channel_has_the_text_that_it_has_alone() {
        let (left, right) = (spoken("standup.opus"), spoken("monologue.mp3"));
        let alone = |channel: &[f32]| {
            let mut scribe = Transcriber::new(Config::default(), engine()).unwrap();
            let mut segments: Vec<Segment> = Vec::new();
            scribe
                .transcribe(recording(&[channel]), &mut segments)
                .unwrap();
            written(&segments, None)
        };
        let mut segments: Vec<Segment> = Vec::new();
        let open = || Ok(recording(&[&left, &right]));
        let options = InputOptions::default();
        let summaries = two_channels()
            .transcribe(open, &options, &mut segments)
            .unwrap();
        assert_eq!(written(&segments, Some(0)), alone(&left));
        assert_eq!(written(&segments, Some(1)), alone(&right));
        assert!(segments.is_sorted_by_key(|segment| segment.start));
        let ids: Vec<u64> = segments.iter().map(|segment| segment.id).collect();
        assert_eq!(ids, (0..segments.len() as u64).collect::<Vec<_>>());
        let counted: u64 = summaries.iter().map(|summary| summary.segments).sum();
        assert_eq!(counted, segments.len() as u64);
        for summary in &summaries {
            assert_eq!(summary.ended, Ended::Complete);
            assert_eq!(summary.blocks.acquired, summary.blocks.released);
        }
    }
}
