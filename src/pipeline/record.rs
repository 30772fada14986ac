//! What one window leaves to the next, and a killed run to the one that resumes it.

use std::sync::Mutex;

use crossbeam_channel::Receiver;

use super::hear::Credit;
use super::listen::{Filled, Listened, Listener, Stop};
use crate::config::{Config, LOOK_AHEAD_SAMPLES};
use crate::engine::{Engine, EngineCounts, EngineError};
use crate::error::Error;
use crate::journal::{Checkpoint, Identity, Journal, JournalError};
use crate::pool::Block;
use crate::source::Source;
use crate::time::{Span, Time};
use crate::transcript::Segment;
use crate::vad::SpeechMap;

/// Tokens of previous text that are kept. Source: openai/whisper, half of the text context less one.
pub(super) const PREVIOUS_TOKENS_MAX: usize = 223;

/// Keeps the journal of a transcription.
pub(super) struct Recorder<'a> {
    pub(super) journal: &'a mut Journal,
    /// Where the journal ended when the transcription began, and the checksum of the audio before that.
    pub(super) resumed: (Time, u32),
    /// Checksum of the audio that is done with.
    pub(super) audio: crc32fast::Hasher,
    /// What the engine had counted when the transcription began, and what the runs before it had.
    pub(super) counts: (EngineCounts, EngineCounts),
    /// Spans without text that are in the journal.
    pub(super) uncovered: usize,
}

/// Where a transcription begins: at the start, or where its journal ends.
pub(super) struct Resumed<'a> {
    pub(super) previous: Vec<u32>,
    pub(super) language: Option<String>,
    pub(super) credit: Credit,
    pub(super) next_id: u64,
    pub(super) done: Listened,
    pub(super) counts: EngineCounts,
    pub(super) record: Option<Recorder<'a>>,
}

impl<'a> Resumed<'a> {
    pub(super) fn of(
        journal: Option<&'a mut Journal>,
        start: Time,
        counts_before: EngineCounts,
    ) -> Self {
        let mut resumed = Self {
            previous: Vec::with_capacity(2 * PREVIOUS_TOKENS_MAX),
            language: None,
            credit: Credit::default(),
            next_id: 0,
            done: Listened::default(),
            counts: EngineCounts::default(),
            record: None,
        };
        let Some(journal) = journal else {
            return resumed;
        };
        resumed.next_id = journal.segments();
        let mut end = (start, crc32fast::Hasher::new().finalize());
        if let Some(last) = journal.last() {
            end = (Time::from_samples(last.to), last.audio);
            resumed.previous.extend_from_slice(&last.previous);
            resumed.language.clone_from(&last.language);
            resumed.credit = Credit(last.credit);
            resumed.counts = last.counts();
            resumed.done = Listened::resumed(last);
        }
        resumed.record = Some(Recorder {
            journal,
            resumed: end,
            audio: crc32fast::Hasher::new(),
            counts: (counts_before, resumed.counts),
            uncovered: resumed.done.uncovered.len(),
        });
        resumed
    }
}

impl Listened {
    /// What the runs before found out, whose journal is resumed.
    pub(super) fn resumed(last: &Checkpoint) -> Self {
        let time = Time::from_samples;
        Self {
            windows: last.windows,
            heard_to: time(last.to),
            skipped: time(last.skipped),
            uncovered: last
                .uncovered
                .iter()
                .map(|&(start, end)| Span::new(time(start), time(end)))
                .collect(),
            uncovered_samples: last.uncovered_samples,
            language: last.first_language.clone(),
            ..Self::default()
        }
    }
}

/// Returns what the text of an input depends on.
pub(super) fn identity<E: Engine>(
    config: &Config,
    engine: &Mutex<E>,
    speech: Option<&SpeechMap>,
    source: &mut dyn Source,
) -> Result<Identity, Error> {
    let Config {
        window_s,
        previous_text,
        channel,
        start,
        duration,
        ..
    } = config;
    let input = source.fingerprint()?;
    let mut identity = vec![
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("input".into(), input.unwrap_or_else(|| "a stream".into())),
        ("window_s".into(), window_s.to_string()),
        ("previous_text".into(), previous_text.to_string()),
        (
            "vad".into(),
            speech.map_or_else(|| "off".into(), SpeechMap::identity),
        ),
        (
            "channel".into(),
            channel.map_or_else(|| "all".into(), |channel| channel.to_string()),
        ),
        ("start".into(), start.to_string()),
        (
            "duration".into(),
            duration.map_or_else(|| "all".into(), |d| d.to_string()),
        ),
    ];
    identity.extend(super::lock(engine).identity());
    Ok(identity)
}

impl Listener<'_> {
    /// Hears what the journal's last run had done with, without the engine: so the speech detector stands where it stood.
    pub(super) fn pass_over(
        &mut self,
        blocks: &Receiver<Block>,
        rest: &mut Option<(Block, usize)>,
    ) -> Result<(), Stop> {
        let Some((to, audio)) = self.record.as_ref().map(|record| record.resumed) else {
            return Ok(());
        };
        while self.window.span().start < to {
            let ended = self.fill(blocks, rest) == Filled::Ended;
            if self.cancel.is_cancelled() {
                return Err(Stop::Engine(EngineError::Cancelled));
            }
            let held = self.window.span();
            if ended && held.end < to {
                break;
            }
            // The detector hears a second more than is passed over, so that no span of speech is open there.
            let ahead = if ended { 0 } else { LOOK_AHEAD_SAMPLES as u64 };
            self.consume_to(to.min(held.end - Time::from_samples(ahead)));
        }
        let now = self
            .record
            .as_ref()
            .map(|record| record.audio.clone().finalize());
        if self.window.span().start != to || now != Some(audio) {
            return Err(Stop::Journal(JournalError::Changed {
                what: "the audio before the journal's end".into(),
                was: format!("checksum {audio:08x} at {to}"),
                now: format!("checksum {:08x}", now.unwrap_or_default()),
            }));
        }
        Ok(())
    }

    /// Has what a window gave on the disk, with all that the next one depends on.
    pub(super) fn commit(&mut self, segments: &[Segment]) -> Result<(), Stop> {
        let Some(record) = &mut self.record else {
            return Ok(());
        };
        let (before, mut counts) = record.counts;
        counts.add(self.engine.counts().since(before));
        let new = &self.done.uncovered[record.uncovered..];
        let checkpoint = Checkpoint {
            to: self.done.heard_to.samples(),
            audio: record.audio.clone().finalize(),
            previous: self.previous.clone(),
            language: self.language.clone(),
            first_language: self.done.language.clone(),
            credit: self.credit.0,
            windows: self.done.windows,
            skipped: self.done.skipped.samples(),
            uncovered_samples: self.done.uncovered_samples,
            encodes: counts.encodes,
            decode_steps: counts.decode_steps,
            fallbacks: counts.fallbacks,
            uncovered: new
                .iter()
                .map(|gap| (gap.start.samples(), gap.end.samples()))
                .collect(),
        };
        record.uncovered = self.done.uncovered.len();
        record.journal.commit(checkpoint, segments)?;
        Ok(())
    }
}
