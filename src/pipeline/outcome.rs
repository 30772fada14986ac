//! How the threads of one input ended, and the summary of it.

use std::time::Duration;

use super::error::Error;
use super::threads::Panic;
use crate::carried::Carried;
use crate::decode::DecodeStats;
use crate::engine::EngineError;
use crate::journal::JournalError;
use crate::report::{Ended, Summary};
use crate::time::Time;
use crate::transcript::Ending;

/// Why the engine's thread stopped before the input's end.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody reads the segments any more: the sink had enough, or failed.
    Unread,
    Engine(EngineError),
    Journal(JournalError),
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// What the engine's thread came to.
#[derive(Debug)]
pub(super) struct Recognized {
    pub(super) carried: Carried,
    /// Length of the speech that was consumed.
    pub(super) speech: Time,
    /// Time in which no audio was ready.
    pub(super) waited: Duration,
}

/// What all threads came to.
pub(super) struct Outcome {
    pub(super) decoded: DecodeStats,
    pub(super) recognized: Recognized,
    /// The sink had enough.
    pub(super) is_stopped: bool,
}

impl Outcome {
    /// Summarizes an input that was transcribed from `start` on, by this run from `resumed_at` on.
    pub(super) fn summary(
        &self,
        start: Time,
        resumed_at: Time,
        took: Duration,
        is_cancelled: bool,
    ) -> Summary {
        let Self {
            decoded,
            recognized,
            is_stopped,
        } = self;
        let carried = &recognized.carried;
        let is_damaged = decoded.stopped_early.is_some()
            || decoded.damaged_packets > 0
            || !decoded.damage.is_empty();
        let processing_s = took.as_secs_f64();
        Summary {
            ended: match (is_cancelled, *is_stopped, is_damaged) {
                (true, _, _) => Ended::Cancelled,
                (false, true, _) => Ended::Stopped,
                (false, false, true) => Ended::Damaged,
                (false, false, false) => Ended::Complete,
            },
            language: carried.first_language.clone(),
            segments: carried.next_id,
            audio_s: (carried.position - start).seconds(),
            speech_s: recognized.speech.seconds(),
            processing_s,
            rtf: rtf(processing_s, carried.position - resumed_at),
            waited_s: recognized.waited.as_secs_f64(),
            windows: carried.windows,
            encodes: carried.counts.encodes,
            decode_steps: carried.counts.decode_steps,
            fallbacks: carried.counts.fallbacks,
            skipped_silence_s: carried.skipped.seconds(),
            uncovered_s: carried.uncovered_total.seconds(),
            uncovered: carried.uncovered.clone(),
            damaged_packets: decoded.damaged_packets,
            damage: decoded.damage.clone(),
            stopped_early: decoded.stopped_early.clone(),
            ..Summary::default()
        }
    }

    /// Returns what the sink is given at the end.
    pub(super) fn ending(self, start: Time, summary: &Summary) -> Ending {
        let carried = self.recognized.carried;
        Ending {
            duration: carried.position - start,
            uncovered: carried.uncovered,
            cancelled: matches!(summary.ended, Ended::Cancelled | Ended::Stopped),
            language: carried.first_language.map(|language| language.code),
        }
    }
}

/// Returns what the engine's thread came to, unless it failed. `is_cancelled`: somebody asked for
/// the end.
pub(super) fn recognized(
    ended: Result<(Recognized, Option<Stop>), Panic>,
    is_cancelled: bool,
) -> Result<Recognized, Error> {
    let (recognized, stop) = ended.map_err(|panic| EngineError::Panicked(panic.0))?;
    match stop {
        None | Some(Stop::Unread) => Ok(recognized),
        Some(Stop::Engine(EngineError::Cancelled)) if is_cancelled => Ok(recognized),
        Some(Stop::Engine(error)) => Err(Error::Engine(error)),
        Some(Stop::Journal(error)) => Err(Error::Journal(error)),
    }
}

/// Processing time / audio time, zero before there is audio.
pub(super) fn rtf(processing_s: f64, audio: Time) -> f64 {
    if audio > Time::ZERO {
        processing_s / audio.seconds()
    } else {
        0.0
    }
}
