//! Channels that are transcribed apart: each as if it were alone, all in one transcript.

use std::io;
use std::path::Path;

use steadyscribe::budget::Together;
use steadyscribe::engine::{Engine, Scripted, Shared};
use steadyscribe::sink::Sink;
use steadyscribe::source::{RawSource, Source};
use steadyscribe::{
    Channels, Config, ConfigError, Ended, Error, FileSource, Segment, Time, Transcriber, Whisper,
    WhisperOptions,
};

use crate::support::input::{Pieces, hear};

/// Length of what is said on each channel, in samples: 40 s.
const LENGTH: usize = 40 * 16_000;

fn engine() -> Shared<Whisper> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/model/fixture-q8_0.bin");
    Shared::new(Whisper::open(model, WhisperOptions::default()).unwrap())
}

fn said(scene: &str) -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(scene);
    let mut samples = hear(&mut FileSource::open(path).unwrap()).unwrap().samples;
    samples.truncate(LENGTH);
    samples
}

/// A recording without a header whose channels are these.
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

/// What is written of segments, without their numbers.
fn written(segments: &[Segment], channel: Option<u8>) -> Vec<(Time, Time, String)> {
    segments
        .iter()
        .filter(|segment| segment.channel == channel)
        .map(|segment| (segment.start, segment.end, segment.text.clone()))
        .collect()
}

#[test]
fn a_channel_that_is_not_there_is_silent() {
    let spoken = said("standup.opus");
    let mut config = Config::default();
    config.channel = Some(1);
    let mut scribe = Transcriber::new(config, engine()).unwrap();
    let mut segments: Vec<Segment> = Vec::new();
    let summary = scribe
        .transcribe(recording(&[&spoken]), &mut segments)
        .unwrap();
    assert_eq!((segments.len(), summary.encodes), (0, 0));
    assert_eq!(summary.audio_s, 40.0);
}

#[test]
fn a_budget_is_that_of_all_channels() {
    let engine = engine();
    let together = Together::plan(&Config::default(), &engine.footprints()[..1], 2).unwrap();
    let least = engine.footprints().into_iter().map(|way| {
        let plan = Together::plan(&Config::default(), &[way], 2).unwrap();
        plan.peak_bytes() - (plan.states() as u64 - 1) * (way.state_bytes + way.window_bytes)
    });
    let least = least.min().unwrap();
    assert!(least < together.peak_bytes());
    let with = |bytes| {
        let mut config = Config::default();
        config.memory_budget_bytes = Some(bytes);
        Channels::new(&config, vec![engine.clone(), engine.clone()]).map(|_| ())
    };
    with(least).unwrap();
    match with(least - 1) {
        Err(Error::Config(ConfigError::Budget {
            needed_bytes,
            budget_bytes,
            ..
        })) => assert_eq!((needed_bytes, budget_bytes), (least, least - 1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_channel_and_too_many_are_refused() {
    let engine = Shared::new(Scripted::default());
    for count in [0, 33] {
        let engines = vec![engine.clone(); count];
        match Channels::new(&Config::default(), engines) {
            Err(Error::Config(ConfigError::OutOfRange { asked, .. })) => {
                assert_eq!(asked, count as f64);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A sink that takes one segment.
struct Full(u32);

impl Sink for Full {
    fn segment(&mut self, _: &Segment) -> io::Result<()> {
        self.0 += 1;
        match self.0 {
            1 => Ok(()),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

#[test]
fn a_sink_that_fails_ends_all_channels() {
    let spoken = said("standup.opus");
    let engine = engine();
    let mut scribes = Channels::new(&Config::default(), vec![engine.clone(), engine]).unwrap();
    let open = || Ok(recording(&[&spoken, &spoken]));
    match scribes.transcribe(open, &mut Full(0)) {
        Err(Error::Sink(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_token_cancels_all_channels() {
    let spoken = said("standup.opus");
    let engine = engine();
    let mut scribes = Channels::new(&Config::default(), vec![engine.clone(), engine]).unwrap();
    scribes.cancel().cancel();
    let mut segments: Vec<Segment> = Vec::new();
    let open = || Ok(recording(&[&spoken, &spoken]));
    let summaries = scribes.transcribe(open, &mut segments).unwrap();
    assert!(
        summaries
            .iter()
            .all(|summary| summary.ended == Ended::Cancelled)
    );
}

mod slow {
    use super::*;

    #[test]
    #[ignore = "slow: make test-all"]
    fn each_channel_has_the_text_that_it_has_alone() {
        let (left, right) = (said("standup.opus"), said("monologue.mp3"));
        let engine = engine();
        let alone = |channel: &[f32]| {
            let mut scribe = Transcriber::new(Config::default(), engine.clone()).unwrap();
            let mut segments: Vec<Segment> = Vec::new();
            scribe
                .transcribe(recording(&[channel]), &mut segments)
                .unwrap();
            written(&segments, None)
        };
        let engines = vec![engine.clone(), engine.clone()];
        let mut scribes = Channels::new(&Config::default(), engines).unwrap();
        let mut segments: Vec<Segment> = Vec::new();
        let open = || Ok(recording(&[&left, &right]));
        let summaries = scribes.transcribe(open, &mut segments).unwrap();
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
