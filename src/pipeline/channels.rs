//! The channels of one recording, each transcribed on its own, in one transcript.

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::error::Error;
use super::progress::Progress;
use super::run::SEGMENTS_QUEUED_MAX;
use super::threads::{SinkEvent, join, spawn};
use super::transcriber::Transcriber;
use crate::audio::INPUT_CHANNELS_MAX;
use crate::cancel::Cancel;
use crate::config::InputOptions;
use crate::engine::{EngineError, EnginePool};
use crate::error::{ConfigError, InputError};
use crate::report::Summary;
use crate::sink::Sink;
use crate::source::Source;
use crate::time::Time;
use crate::transcript::{Ending, Segment};

/// Transcribes each channel of a recording on its own, as where one person is left and another
/// right, and merges the segments into one transcript in the order of time. Segments are marked
/// with their [channel](Segment::channel).
///
/// Each channel has a [`Transcriber`] with its own previous text and language. The input is read
/// once for each. A channel that is ahead waits for the others.
///
/// # Memory
///
/// What the [plan](EnginePool::plan) of the engine pool states.
///
/// # Examples
///
/// ```
/// use steadyscribe::engine::{Scripted, ScriptedUtterance};
/// use steadyscribe::{Channels, Config, EnginePool, FileSource, InputOptions, Segment, Span, Time};
///
/// let span = Span::new(Time::ZERO, Time::from_seconds(1.0));
/// let engine = Scripted::new(vec![ScriptedUtterance::new(span, "Good morning.")]);
/// let engines = EnginePool::new(&Config::default(), engine, 2)?;
/// let mut channels = Channels::new(&engines)?;
/// let mut segments: Vec<Segment> = Vec::new();
/// let open = || FileSource::open("fixtures/meeting.m4a");
/// let summaries = channels.transcribe(open, &InputOptions::default(), &mut segments)?;
/// assert_eq!(summaries.len(), 2);
/// # Ok::<(), steadyscribe::Error>(())
/// ```
#[derive(Debug)]
pub struct Channels {
    scribes: Vec<Transcriber>,
    cancel: Cancel,
}

impl Channels {
    /// Makes a transcriber for each channel: as many as the pool was planned for, 1 to 32.
    ///
    /// # Errors
    ///
    /// As [`EnginePool::transcriber`], and [`ConfigError::OutOfRange`] for the number of channels.
    pub fn new(engines: &EnginePool) -> Result<Self, Error> {
        let count = engines.plan().transcribers();
        #[expect(clippy::cast_precision_loss, reason = "shown, not computed with")]
        let (asked, max) = (count as f64, INPUT_CHANNELS_MAX as f64);
        ConfigError::check_range("channels", asked, 1.0, max)?;
        let scribes = (0..count).map(|_| engines.transcriber());
        let mut channels = Self {
            scribes: scribes.collect::<Result<_, _>>()?,
            cancel: Cancel::new(),
        };
        channels.set_cancel(&Cancel::new());
        Ok(channels)
    }

    /// Returns the token that stops all channels.
    #[must_use]
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Replaces the token that stops all channels.
    pub fn set_cancel(&mut self, cancel: &Cancel) {
        self.cancel = cancel.clone();
        for scribe in &mut self.scribes {
            scribe.set_cancel(cancel);
        }
    }

    /// Returns how far the first channel is. The others are some windows before or behind.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.scribes[0].progress()
    }

    /// Transcribes an input, which `open` opens once for each channel, and hands the segments to
    /// `sink` in the order of their starts. [`InputOptions::channel`] is not used. Returns the
    /// summary of each channel.
    ///
    /// # Errors
    ///
    /// As [`Transcriber::transcribe`]: that of the first channel that failed. The sink has what the
    /// others transcribed.
    pub fn transcribe<S: Source>(
        &mut self,
        open: impl Fn() -> Result<S, InputError>,
        options: &InputOptions,
        sink: &mut dyn Sink,
    ) -> Result<Vec<Summary>, Error> {
        let sources = self.scribes.iter().map(|_| open());
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let (ended, merged) = thread::scope(|scope| {
            let (mut lanes, mut threads) = (Vec::new(), Vec::new());
            for ((scribe, source), channel) in self.scribes.iter_mut().zip(sources).zip(0..) {
                let (events, lane) = bounded(SEGMENTS_QUEUED_MAX);
                lanes.push(Lane::new(lane));
                let options = InputOptions {
                    channel: Some(channel),
                    ..options.clone()
                };
                let work = move || {
                    let mut forward = Forward {
                        events,
                        ending: None,
                    };
                    let summary = scribe.transcribe_with(source, &options, &mut forward);
                    summary.map(|summary| (summary, forward.ending.unwrap_or_default()))
                };
                threads.push(spawn(scope, "scribe-channel", work));
            }
            let merged = merge(&mut lanes, sink);
            // Channels that wait to be merged find out that nobody reads.
            drop(lanes);
            let ended: Vec<_> = threads.into_iter().map(join).collect();
            (ended, merged)
        });
        let takes_more = merged.map_err(Error::Sink)?;
        let (mut summaries, mut endings) = (Vec::new(), Vec::new());
        for ended in ended {
            let (summary, ending) = ended.map_err(|panic| EngineError::Panicked(panic.0))??;
            summaries.push(summary);
            endings.push(ending);
        }
        let mut ending = joint(endings);
        ending.cancelled |= !takes_more;
        sink.finish(&ending).map_err(Error::Sink)?;
        Ok(summaries)
    }
}

/// Returns what the sink is given at the end of all channels.
fn joint(endings: Vec<Ending>) -> Ending {
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

/// The sink of one channel, which forwards to the merging thread.
struct Forward {
    events: Sender<SinkEvent>,
    ending: Option<Ending>,
}

impl Forward {
    /// Returns whether the merging thread still takes events: its sink may have had enough or
    /// failed.
    fn send(&self, event: SinkEvent) -> bool {
        self.events.send(event).is_ok()
    }
}

impl Sink for Forward {
    fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
        Ok(self.send(SinkEvent::Segment(segment.clone())))
    }

    fn reached(&mut self, time: Time) -> io::Result<()> {
        // The next segment finds out if nobody reads.
        self.send(SinkEvent::Reached(time));
        Ok(())
    }

    fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        self.ending = Some(ending.clone());
        Ok(())
    }
}

/// What one channel has sent and the sink does not have yet.
struct Lane {
    events: Receiver<SinkEvent>,
    next: Option<Segment>,
    reached: Time,
    has_ended: bool,
}

impl Lane {
    fn new(events: Receiver<SinkEvent>) -> Self {
        Self {
            events,
            next: None,
            reached: Time::ZERO,
            has_ended: false,
        }
    }

    /// Returns the time before which nothing comes of this channel any more, or `None` when nothing
    /// comes at all.
    fn at(&self) -> Option<Time> {
        match &self.next {
            Some(segment) => Some(segment.start),
            None => (!self.has_ended).then_some(self.reached),
        }
    }

    /// Waits for the channel's next event.
    fn receive(&mut self) {
        match self.events.recv() {
            Ok(SinkEvent::Segment(segment)) => self.next = Some(segment),
            Ok(SinkEvent::Reached(time)) => self.reached = time,
            Err(_) => self.has_ended = true,
        }
    }
}

/// Hands the segments of all channels to the sink in the order of their starts, those that start
/// together in the order of channels, until it has enough. Returns whether it took all of them.
///
/// The channel that is least far is the one to look at: either its next event comes next, or it
/// moves on.
fn merge(lanes: &mut [Lane], sink: &mut dyn Sink) -> io::Result<bool> {
    let mut reached = Time::ZERO;
    let mut written = 0;
    loop {
        let behind = lanes
            .iter_mut()
            .filter_map(|lane| Some((lane.at()?, lane)))
            .min_by_key(|(at, _)| *at);
        let Some((at, lane)) = behind else {
            return Ok(true);
        };
        if at > reached {
            reached = at;
            sink.reached(reached)?;
        }
        match lane.next.take() {
            Some(mut segment) => {
                segment.id = written;
                written += 1;
                if !sink.segment(&segment)? {
                    return Ok(false);
                }
            }
            None => lane.receive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Records its segments, and checks that none starts before the time that was reached.
    #[derive(Default)]
    struct Notes {
        segments: Vec<(u64, u64, Option<u8>)>,
        reached: Time,
    }

    impl Sink for Notes {
        fn segment(&mut self, segment: &Segment) -> io::Result<bool> {
            assert!(segment.start >= self.reached);
            let start = segment.start.samples();
            self.segments.push((start, segment.id, segment.channel));
            Ok(true)
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

    /// Sends the events of a channel: for each step whether a segment is there, and how far it
    /// goes.
    fn send(channel: u8, steps: &[(bool, u64)], out: &Sender<SinkEvent>) -> Vec<(u64, Option<u8>)> {
        let (mut at, mut sent) = (0, Vec::new());
        for &(has_segment, length) in steps {
            if has_segment {
                out.send(SinkEvent::Segment(segment(channel, at))).unwrap();
                sent.push((at, Some(channel)));
            }
            at += length;
            out.send(SinkEvent::Reached(Time::from_samples(at)))
                .unwrap();
        }
        sent
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
                let mut senders = Vec::new();
                for (channel, steps) in (0..).zip(&channels) {
                    let (out, events) = bounded(2);
                    lanes.push(Lane::new(events));
                    senders.push(scope.spawn(move || send(channel, steps, &out)));
                }
                let mut notes = Notes::default();
                assert!(merge(&mut lanes, &mut notes).unwrap());
                for sender in senders {
                    expected.extend(sender.join().unwrap());
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
