//! What a transcription came to.

use super::listen::{Listened, Stop};
use super::threads::Panic;
use crate::decode::DecodeStats;
use crate::engine::{EngineCounts, EngineError};
use crate::error::{Error, InputError};
use crate::report::{Ended, Summary};
use crate::time::Time;
use crate::transcript::Ending;

/// What the three threads brought back.
pub(super) struct Ran {
    pub(super) decoded: DecodeStats,
    pub(super) listened: Listened,
    pub(super) segments: u64,
    pub(super) counts: EngineCounts,
}

impl Ran {
    pub(super) fn summary(&self, start: Time, is_cancelled: bool) -> Summary {
        let Self {
            decoded,
            listened,
            segments,
            counts,
        } = self;
        let damaged = decoded.stopped_early.is_some()
            || decoded.damaged_packets > 0
            || !decoded.damage.is_empty();
        let mut summary = Summary {
            language: listened.language.clone(),
            segments: *segments,
            audio_s: (listened.heard_to - start).seconds(),
            speech_s: listened.speech.seconds(),
            waited_s: listened.waited.as_secs_f64(),
            windows: listened.windows,
            encodes: counts.encodes,
            decode_steps: counts.decode_steps,
            fallbacks: counts.fallbacks,
            skipped_silence_s: listened.skipped.seconds(),
            uncovered_s: Time::from_samples(listened.uncovered_samples).seconds(),
            uncovered: listened.uncovered.iter().copied().map(Into::into).collect(),
            damaged_packets: decoded.damaged_packets,
            damage: decoded.damage.iter().copied().map(Into::into).collect(),
            stopped_early: decoded.stopped_early.clone(),
            ..Summary::default()
        };
        summary.ended = match (is_cancelled, damaged) {
            (true, _) => Ended::Cancelled,
            (false, true) => Ended::Damaged,
            (false, false) => Ended::Complete,
        };
        summary
    }

    /// Returns what a sink is told at the end.
    pub(super) fn ending(self, start: Time, summary: &Summary) -> Ending {
        let language = summary.language.as_ref();
        Ending {
            duration: self.listened.heard_to - start,
            uncovered: self.listened.uncovered,
            cancelled: summary.ended == Ended::Cancelled,
            language: language.map(|language| language.code.clone()),
        }
    }
}

/// Returns what the engine's thread found out, unless it failed.
pub(super) fn listened_to(
    ended: Result<(Listened, Option<Stop>), Panic>,
) -> Result<Listened, Error> {
    let (listened, stop) = ended.map_err(|panic| EngineError::Panicked(panic.0))?;
    match stop {
        Some(Stop::Engine(EngineError::Cancelled)) | Some(Stop::Unread) | None => Ok(listened),
        Some(Stop::Engine(error)) => Err(Error::Engine(error)),
        Some(Stop::Journal(error)) => Err(Error::Journal(error)),
    }
}

/// Returns how decoding went. A panic is damage of the input if some of it was heard, else an error.
pub(super) fn decoded_to(
    ended: Result<Result<DecodeStats, Error>, Panic>,
    was_heard: bool,
    name: String,
) -> Result<DecodeStats, Error> {
    match ended {
        Ok(decoded) => decoded,
        Err(panic) if was_heard => Ok(DecodeStats {
            stopped_early: Some(panic.0),
            ..DecodeStats::default()
        }),
        Err(panic) => Err(InputError::Undecodable {
            name,
            reason: panic.0,
        }
        .into()),
    }
}

/// Processing time / audio time, zero before there is audio.
pub(super) fn rtf(processing_s: f64, audio_s: f64) -> f64 {
    if audio_s > 0.0 {
        processing_s / audio_s
    } else {
        0.0
    }
}
