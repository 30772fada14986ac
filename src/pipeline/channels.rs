//! The channels of one recording, each transcribed on its own, in one transcript.

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::threads::{Told, join, spawn};
use super::{Progress, SEGMENTS_QUEUED_MAX, Transcriber};
use crate::audio::INPUT_CHANNELS_MAX;
use crate::budget::Together;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::engine::{Engine, EngineError, Shared};
use crate::error::{ConfigError, Error};
use crate::report::Summary;
use crate::sink::Sink;
use crate::source::Source;
use crate::time::Time;
use crate::transcript::{Ending, Segment};

/// Transcribes each channel of a recording on its own, as where one person is left and another right, and puts what they say in one
/// transcript, in the order of time. Segments are marked with their [channel](Segment::channel).
///
/// There is a [`Transcriber`] for each channel, with its own previous text and language. The input is read once for each. One that is
/// ahead waits for the others.
///
/// # Memory
///
/// What [`Together`] says: the engine's, and [`Together::transcriber_bytes`] for each channel. [`Config::memory_budget_bytes`] counts for
/// all together.
///
/// # Examples
///
/// ```
/// use steadyscribe::engine::{Scripted, ScriptedUtterance, Shared};
/// use steadyscribe::{Channels, Config, FileSource, Segment, Span, Time};
///
/// let span = Span::new(Time::ZERO, Time::from_seconds(1.0));
/// let engine = Shared::new(Scripted::new(vec![ScriptedUtterance::new(span, "Good morning.")]));
/// let mut scribes = Channels::new(&Config::default(), vec![engine.clone(), engine])?;
/// let mut segments: Vec<Segment> = Vec::new();
/// let summaries = scribes.transcribe(|| FileSource::open("fixtures/meeting.m4a"), &mut segments)?;
/// assert_eq!(summaries.len(), 2);
/// # Ok::<(), steadyscribe::Error>(())
/// ```
#[derive(Debug)]
pub struct Channels<E: Engine + 'static> {
    scribes: Vec<Transcriber<Shared<E>>>,
    cancel: Cancel,
}

impl<E: Engine + 'static> Channels<E> {
    /// Plans, loads and allocates as [`Transcriber::new`] for as many channels as there are engines, 1 to 32: clones that take turns
    /// on one state, or what [`Whisper::crew`](crate::Whisper::crew) gives. [`Config::channel`] is not used.
    ///
    /// # Errors
    ///
    /// As [`Transcriber::new`], and [`ConfigError::OutOfRange`] for the number of channels.
    pub fn new(config: &Config, engines: Vec<Shared<E>>) -> Result<Self, Error> {
        let count = engines.len();
        let Some(first) = engines.first().filter(|_| count <= INPUT_CHANNELS_MAX) else {
            #[expect(clippy::cast_precision_loss, reason = "shown, not computed with")]
            return Err(Error::Config(ConfigError::OutOfRange {
                what: "channels",
                asked: count as f64,
                min: 1.0,
                max: INPUT_CHANNELS_MAX as f64,
            }));
        };
        let together = Together::plan(config, &first.footprints(), count)?;
        let others_bytes = (count as u64 - 1) * together.transcriber_bytes();
        let budget = config.memory_budget_bytes;
        let cancel = Cancel::new();
        let mut scribes = Vec::with_capacity(count);
        for (channel, engine) in (0..).zip(engines) {
            let config = Config {
                channel: Some(channel),
                memory_budget_bytes: budget.map(|bytes| bytes.saturating_sub(others_bytes)),
                ..config.clone()
            };
            let mut scribe = Transcriber::new(config, engine)?;
            scribe.cancel = cancel.clone();
            scribes.push(scribe);
        }
        Ok(Self { scribes, cancel })
    }

    /// Returns the token that stops all channels, for good.
    #[must_use]
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Has all channels stop when `cancel` is raised, instead of their own token.
    pub fn cancelled_by(&mut self, cancel: &Cancel) {
        self.cancel = cancel.clone();
        for scribe in &mut self.scribes {
            scribe.cancel = cancel.clone();
        }
    }

    /// Returns how far the first channel is. The others are some windows before or behind.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.scribes[0].progress()
    }

    /// Transcribes an input, which `open` opens once for each channel, and hands the segments to `sink` in the order of their starts.
    /// Returns the summary of each channel.
    ///
    /// # Errors
    ///
    /// As [`Transcriber::transcribe`]: the first channel's that failed. What the others said is with the sink.
    pub fn transcribe<S: Source>(
        &mut self,
        open: impl Fn() -> Result<S, Error>,
        sink: &mut dyn Sink,
    ) -> Result<Vec<Summary>, Error> {
        let sources = self.scribes.iter().map(|_| open());
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let (ended, merged) = thread::scope(|scope| {
            let (mut lanes, mut threads) = (Vec::new(), Vec::new());
            for (scribe, source) in self.scribes.iter_mut().zip(sources) {
                let (told, lane) = bounded(SEGMENTS_QUEUED_MAX);
                lanes.push(Lane::new(lane));
                let work = move || {
                    let mut forward = Forward { told, ending: None };
                    let summary = scribe.transcribe(source, &mut forward);
                    summary.map(|summary| (summary, forward.ending.unwrap_or_default()))
                };
                threads.push(spawn(scope, "scribe-channel", work));
            }
            let merged = merge(&mut lanes, sink);
            // Whoever waits to be heard ends.
            drop(lanes);
            let ended: Vec<_> = threads.into_iter().map(join).collect();
            (ended, merged)
        });
        merged.map_err(Error::Sink)?;
        let (mut summaries, mut endings) = (Vec::new(), Vec::new());
        for ended in ended {
            let (summary, ending) = ended.map_err(|panic| EngineError::Panicked(panic.0))??;
            summaries.push(summary);
            endings.push(ending);
        }
        sink.finish(&together(endings)).map_err(Error::Sink)?;
        Ok(summaries)
    }
}

/// Returns what the sink is told at the end of all.
fn together(endings: Vec<Ending>) -> Ending {
    let mut all = Ending::default();
    for ending in endings {
        all.duration = all.duration.max(ending.duration);
        all.cancelled |= ending.cancelled;
        all.language = all.language.or(ending.language);
        all.uncovered.extend(ending.uncovered);
    }
    all.uncovered.sort_by_key(|span| (span.start, span.end));
    all
}

/// Passes what a transcriber says on to whoever merges.
struct Forward {
    told: Sender<Told>,
    ending: Option<Ending>,
}

impl Forward {
    /// The merging end has gone when the sink has failed: its error is the cause.
    fn send(&self, told: Told) -> io::Result<()> {
        self.told
            .send(told)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Sink for Forward {
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        self.send(Told::Segment(segment.clone()))
    }

    fn reached(&mut self, time: Time) -> io::Result<()> {
        self.send(Told::Reached(time))
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        self.ending = Some(ending.clone());
        Ok(())
    }
}

/// What one channel said and was not written yet.
struct Lane {
    told: Receiver<Told>,
    next: Option<Segment>,
    reached: Time,
    ended: bool,
}

impl Lane {
    fn new(told: Receiver<Told>) -> Self {
        Self {
            told,
            next: None,
            reached: Time::ZERO,
            ended: false,
        }
    }

    /// Returns the time before which nothing comes of this channel any more, or `None` when nothing comes at all.
    fn at(&self) -> Option<Time> {
        match &self.next {
            Some(segment) => Some(segment.start),
            None => (!self.ended).then_some(self.reached),
        }
    }

    /// Waits for what the channel says next.
    fn listen(&mut self) {
        match self.told.recv() {
            Ok(Told::Segment(segment)) => self.next = Some(segment),
            Ok(Told::Reached(time)) => self.reached = time,
            Err(_) => self.ended = true,
        }
    }
}

/// Writes the segments of all channels in the order of their starts, those that start together in the order of channels.
///
/// The channel that is least far is the one to look at: what it says next comes next, or it moves on.
fn merge(lanes: &mut [Lane], sink: &mut dyn Sink) -> io::Result<()> {
    let mut reached = Time::ZERO;
    let mut written = 0;
    loop {
        let behind = lanes
            .iter_mut()
            .filter_map(|lane| Some((lane.at()?, lane)))
            .min_by_key(|(at, _)| *at);
        let Some((at, lane)) = behind else {
            return Ok(());
        };
        if at > reached {
            reached = at;
            sink.reached(reached)?;
        }
        match lane.next.take() {
            Some(mut segment) => {
                segment.id = written;
                written += 1;
                sink.segment(&segment)?;
            }
            None => lane.listen(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Notes what it is told, and checks that nothing comes for what was reached.
    #[derive(Default)]
    struct Notes {
        segments: Vec<(u64, u64, Option<u8>)>,
        reached: Time,
    }

    impl Sink for Notes {
        fn segment(&mut self, segment: &Segment) -> io::Result<()> {
            assert!(segment.start >= self.reached);
            let start = segment.start.samples();
            self.segments.push((start, segment.id, segment.channel));
            Ok(())
        }

        fn reached(&mut self, time: Time) -> io::Result<()> {
            assert!(time > self.reached);
            self.reached = time;
            Ok(())
        }
    }

    fn segment(channel: u8, start: u64) -> Segment {
        let time = Time::from_samples;
        let mut segment = Segment::new(time(start), time(start + 1), "word");
        segment.channel = Some(channel);
        segment
    }

    /// What a channel tells: for each step whether a segment is there, and how far it goes.
    fn tell(channel: u8, steps: &[(bool, u64)], out: &Sender<Told>) -> Vec<(u64, Option<u8>)> {
        let (mut at, mut said) = (0, Vec::new());
        for &(speaks, length) in steps {
            if speaks {
                out.send(Told::Segment(segment(channel, at))).unwrap();
                said.push((at, Some(channel)));
            }
            at += length;
            out.send(Told::Reached(Time::from_samples(at))).unwrap();
        }
        said
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Nothing is lost, nothing comes twice, and all of it is in order, whoever is ahead.
        #[test]
        fn channels_are_merged_in_the_order_of_time(
            channels in prop::collection::vec(
                prop::collection::vec((any::<bool>(), 1_u64..20), 0..30),
                1..5,
            ),
        ) {
            let (mut lanes, mut expected) = (Vec::new(), Vec::new());
            thread::scope(|scope| {
                let mut tellers = Vec::new();
                for (channel, steps) in (0..).zip(&channels) {
                    let (out, told) = bounded(2);
                    lanes.push(Lane::new(told));
                    tellers.push(scope.spawn(move || tell(channel, steps, &out)));
                }
                let mut notes = Notes::default();
                merge(&mut lanes, &mut notes).unwrap();
                for teller in tellers {
                    expected.extend(teller.join().unwrap());
                }
                expected.sort();
                let ids: Vec<u64> = notes.segments.iter().map(|note| note.1).collect();
                let found: Vec<_> = notes.segments.iter().map(|note| (note.0, note.2)).collect();
                prop_assert_eq!(found, expected);
                prop_assert_eq!(ids, (0..notes.segments.len() as u64).collect::<Vec<_>>());
                Ok(())
            })?;
        }
    }
}
