//! One input: its threads, from start to join.

use std::thread;

use crossbeam_channel::{Sender, bounded};

use super::audio_buffer::AudioBuffer;
use super::controls::Controls;
use super::decoding::{BlockWriter, Input, decode};
use super::error::Error;
use super::live_edge::LiveEdge;
use super::meter::Meter;
use super::outcome::{Outcome, recognized};
use super::progress::Progress;
use super::recognizing::{Context, Recognizer};
use super::threads::{Panic, SinkEvent, deliver, join, spawn};
use crate::cancel::Cancel;
use crate::carried::Carried;
use crate::config::InputOptions;
use crate::decode::DecodeStats;
use crate::engine::EnginePool;
use crate::error::InputError;
use crate::journal::Journal;
use crate::live::Watch;
use crate::pool::Pool;
use crate::sink::Sink;
use crate::time::Time;
use crate::vad::SpeechMap;
use crate::window::Window;

/// Most events that wait for the sink: segments, of which a window has about ten, and after them
/// how far the transcript reaches.
pub(super) const SEGMENTS_QUEUED_MAX: usize = 64;

/// The parts of a transcriber that one input uses.
pub(super) struct Run<'a> {
    pub(super) engines: &'a EnginePool,
    pub(super) user: u64,
    pub(super) pool: &'a Pool,
    pub(super) window: &'a mut Window,
    pub(super) speech: Option<&'a mut SpeechMap>,
    pub(super) controls: &'a Controls,
    pub(super) cancel: &'a Cancel,
    pub(super) progress: &'a Progress,
    pub(super) meter: &'a mut Meter,
    /// Whether the sink still takes segments: it may have enough of those of a journal.
    pub(super) takes_more: bool,
}

/// How an input ended.
pub(super) struct EndedRun {
    pub(super) outcome: Outcome,
    /// Where the transcript starts.
    pub(super) start: Time,
    /// Where this run began: behind what a journal holds.
    pub(super) resumed_at: Time,
}

impl Run<'_> {
    /// Runs the threads until the input ends or one of them fails.
    pub(super) fn transcribe(
        self,
        mut input: Input<'_>,
        options: &InputOptions,
        sink: &mut dyn Sink,
        journal: Option<&mut Journal>,
    ) -> Result<EndedRun, Error> {
        let (blocks_in, blocks_out) = bounded(self.pool.slots());
        let (events_in, events_out) = bounded(SEGMENTS_QUEUED_MAX);
        // Dropped when the engine's thread ends, so that the decoder does not wait for blocks that
        // stay in the queue.
        let (alive, taker) = bounded(1);
        let from = input.begin();
        let start = from.max(options.start);
        let carried = match journal.as_deref().and_then(Journal::carried) {
            Some(carried) => carried.clone(),
            None => Carried::at(start),
        };
        let resumed_at = carried.position;
        let blocks = BlockWriter::new(from, options, self.pool, self.cancel, (blocks_in, taker));
        let edge = LiveEdge::of(&input);
        let live = LiveGuard(input.watch());
        let mut recognizer = Recognizer {
            context: Context {
                engines: self.engines,
                user: self.user,
                controls: self.controls,
                cancel: self.cancel,
                progress: self.progress,
            },
            audio: AudioBuffer::new(blocks_out, self.window, self.speech, edge, start),
            carried,
            channel: options.channel,
            journal,
            meter: self.meter,
            out: events_in,
        };
        let name = input.name();
        let (channel, progress) = (options.channel, self.progress);
        let (decoded, ended, delivered) = thread::scope(|scope| {
            let decoder = spawn(scope, "scribe-decode", move || {
                decode(input, blocks, channel, progress)
            });
            let engine = spawn(scope, "scribe-engine", move || {
                let _alive: Sender<()> = alive;
                let stop = recognizer.run().err();
                (recognizer.finish(), stop)
            });
            let delivered = if self.takes_more {
                deliver(events_out, sink, |event| live.commit(event))
            } else {
                drop(events_out);
                Ok(false)
            };
            // The engine may have no other segment for hours to notice by that nobody reads.
            drop(live);
            (join(decoder), join(engine), delivered)
        });
        let takes_more = delivered.map_err(Error::Sink)?;
        let recognized = recognized(ended, self.cancel.is_cancelled())?;
        let has_audio = recognized.carried.position > start;
        Ok(EndedRun {
            outcome: Outcome {
                decoded: decoded_or_damage(decoded, has_audio, name)?,
                recognized,
                is_stopped: !takes_more,
            },
            start,
            resumed_at,
        })
    }
}

/// A live input during one transcription, which ends with it, also by a panic of the sink.
struct LiveGuard(Option<Watch>);

impl LiveGuard {
    /// Consumes the audio whose text the sink has.
    fn commit(&self, event: &SinkEvent) {
        if let (Some(live), SinkEvent::Reached(time)) = (&self.0, event) {
            live.commit(*time);
        }
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        if let Some(live) = &self.0 {
            live.end();
        }
    }
}

/// Returns how decoding went. A panic is damage of the input if some of it was transcribed, else an
/// error.
fn decoded_or_damage(
    ended: Result<Result<DecodeStats, InputError>, Panic>,
    has_audio: bool,
    name: String,
) -> Result<DecodeStats, Error> {
    match ended {
        Ok(decoded) => Ok(decoded?),
        Err(panic) if has_audio => Ok(DecodeStats {
            stopped_early: Some(panic.0),
            ..DecodeStats::default()
        }),
        Err(panic) => Err(Error::Input(InputError::Undecodable {
            name,
            reason: panic.0,
        })),
    }
}
