//! One window: the engine's text, whether it is credible, and what is retried where it is not.

use super::decision::{Decision, EndKind, Retry, log};
use super::outcome::Stop;
use super::recognizing::Recognizer;
use super::schedule::{Choice, LEAD_SAMPLES, until_pause};
use super::stitch::{ADVANCE_SAMPLES_MIN, Kept, keep};
use crate::engine::{EngineError, Request, Transcription};
use crate::time::{Span, Time};
use crate::transcript::{Segment, uncovered};

/// Above this temperature a text is too uncertain to be previous text. Source: openai/whisper,
/// `transcribe()`.
const CONTEXT_TEMPERATURE_MAX: f32 = 0.5;

/// What the engine made of a window.
struct Attempt {
    span: Span,
    answer: Transcription,
    /// What of the answer is kept.
    kept: Kept,
    /// Speech in the part of the window that is done, and that no kept segment covers.
    missed: Vec<Span>,
}

impl Attempt {
    fn is_wrong(&self) -> bool {
        self.answer.doubtful || !self.missed.is_empty()
    }

    /// Returns the one of two attempts at the same window that is less wrong; this one if they are
    /// alike.
    fn or_better(self, other: Self) -> Self {
        let missed = |attempt: &Self| {
            let lengths = attempt.missed.iter().map(|gap| gap.length().samples());
            lengths.sum::<u64>()
        };
        let wrong = |attempt: &Self| (attempt.answer.doubtful, missed(attempt));
        if wrong(&other) < wrong(&self) {
            other
        } else {
            self
        }
    }
}

impl Recognizer<'_> {
    /// Transcribes one window, checks the text against the speech, and commits it.
    pub(super) fn transcribe_window(&mut self, choice: Choice) -> Result<(), Stop> {
        self.carried.retries.earn();
        self.carried.windows += 1;
        let audio_id = self.context.engines.next_audio_id();
        let mut attempt = self.attempt(choice, audio_id)?;
        if attempt.is_wrong() && attempt.answer.used_previous {
            log(&Decision::Retry(Retry::WithoutPrevious));
            self.carried.previous.clear();
            attempt = attempt.or_better(self.attempt(choice, audio_id)?);
        }
        let length = choice.span.length().samples();
        if attempt.is_wrong() && length > 2 * ADVANCE_SAMPLES_MIN && self.carried.retries.spend() {
            // A long window can mislead itself.
            log(&Decision::Retry(Retry::FirstHalf));
            let half = choice.span.start + Time::from_samples(length / 2);
            let shorter = until_pause(choice.span.start, half, self.audio.speech().as_ref());
            let alone = self.attempt_new(shorter)?;
            if !alone.is_wrong() {
                attempt = alone;
            }
        }
        self.settle(attempt)
    }

    /// Transcribes audio that the engine was not given yet.
    fn attempt_new(&mut self, choice: Choice) -> Result<Attempt, Stop> {
        self.carried.windows += 1;
        self.attempt(choice, self.context.engines.next_audio_id())
    }

    /// Transcribes a window once. The same `audio_id` again: another text of the same audio.
    fn attempt(&mut self, choice: Choice, audio_id: u64) -> Result<Attempt, Stop> {
        let cancel = self.context.cancel;
        // Not left to the engine, which may check only once in a window.
        if cancel.is_cancelled() {
            return Err(EngineError::Cancelled.into());
        }
        let Choice { span, is_cut } = choice;
        let engines = self.context.engines;
        let takes_previous = engines.config().previous_text;
        let request = Request {
            previous: if takes_previous {
                &self.carried.previous
            } else {
                &[]
            },
            language: self.carried.language.as_deref(),
            at: span.start,
            audio_id,
            cancel,
        };
        let window = self.audio.window.slice(span);
        let mut answer = engines.transcribe(self.context.user, window, &request)?;
        self.carried.counts.add(answer.counts);
        let kept = keep(&mut answer, span.length(), is_cut);
        let missed = self.missed(span, &kept);
        let end = match is_cut {
            true => EndKind::Cut,
            false if span.end == self.audio.span().end => EndKind::Input,
            false => EndKind::Pause,
        };
        log(&Decision::Transcribed {
            span,
            end,
            answer: &answer,
            kept: &kept,
            missed: &missed,
        });
        Ok(Attempt {
            span,
            answer,
            kept,
            missed,
        })
    }

    /// Returns the speech in the done part of a window that no kept segment covers.
    fn missed(&self, span: Span, kept: &Kept) -> Vec<Span> {
        let Some(speech) = self.audio.speech() else {
            return Vec::new();
        };
        let done = Span::new(span.start, span.start + kept.consumed);
        let spoken = speech.spans.map(|spoken| spoken.overlap(done));
        let text = kept.segments.iter();
        let text = text.map(|s| Span::new(span.start + s.start, span.start + s.end));
        uncovered(spoken.filter(|spoken| !spoken.is_empty()), text)
    }

    /// Transcribes gaps, or leaves them to the next window, and commits the rest.
    fn settle(&mut self, attempt: Attempt) -> Result<(), Stop> {
        let Attempt {
            span,
            answer,
            kept,
            missed,
        } = attempt;
        let mut segments = kept.segments;
        for segment in &mut segments {
            segment.shift(span.start);
        }
        let mut done = span.start + kept.consumed;
        let text_end = segments.last().map_or(span.start, |segment| segment.end);
        for gap in missed {
            let start = gap.start - Time::from_samples(LEAD_SAMPLES);
            let advance = (start - span.start).samples();
            if gap.start >= text_end && advance > ADVANCE_SAMPLES_MIN {
                // Behind the last text: the next window has it together with what follows.
                log(&Decision::Left(start));
                done = done.min(start);
                break;
            }
            self.transcribe_gap(span, gap, &mut segments)?;
        }
        self.carry_context(&answer, &kept.context, !segments.is_empty());
        self.commit(segments, done.min(span.end))
    }

    /// Transcribes speech inside a window that has no text once more, alone. What stays without
    /// text is reported.
    fn transcribe_gap(
        &mut self,
        window: Span,
        gap: Span,
        segments: &mut Vec<Segment>,
    ) -> Result<(), Stop> {
        if self.carried.retries.spend() {
            log(&Decision::Gap(gap));
            let lead = Time::from_samples(LEAD_SAMPLES);
            let span = Span::new(gap.start - lead, gap.end + lead).overlap(window);
            self.carried.previous.clear();
            let alone = self.attempt_new(Choice {
                span,
                is_cut: false,
            })?;
            if !alone.answer.doubtful {
                insert(segments, alone.kept.segments, span.start, gap);
            }
        }
        for left in uncovered(std::iter::once(gap), segments.iter().map(Segment::span)) {
            log(&Decision::Uncovered(left));
            self.carried.add_uncovered(left);
        }
        Ok(())
    }

    /// Carries a window's tokens as previous text of the next one, if they can be trusted.
    fn carry_context(&mut self, answer: &Transcription, context: &[u32], has_text: bool) {
        let temperature = answer.quality.temperature.unwrap_or_default();
        if answer.doubtful || temperature > CONTEXT_TEMPERATURE_MAX {
            self.carried.previous.clear();
            return;
        }
        if has_text {
            self.carry_language(answer);
        }
        let limit = self.context.engines.limits().previous_tokens_max;
        self.carried.add_previous(context, limit);
    }

    /// Carries the language of a window. Text of another language is no previous text.
    fn carry_language(&mut self, answer: &Transcription) {
        let Some(language) = &answer.language else {
            return;
        };
        let carried = &mut self.carried;
        let before = carried.language.as_deref();
        if let Some(from) = before.filter(|from| *from != language.code) {
            let to = &language.code;
            log(&Decision::Language { from, to });
            carried.previous.clear();
        }
        carried.language = Some(language.code.clone());
        carried
            .first_language
            .get_or_insert_with(|| language.clone());
    }
}

/// Inserts the segments of a gap, whose times count from `start`, between the others.
fn insert(segments: &mut Vec<Segment>, mut found: Vec<Segment>, start: Time, gap: Span) {
    let at = segments.partition_point(|segment| segment.start < gap.start);
    let from = at
        .checked_sub(1)
        .map_or(Time::ZERO, |before| segments[before].end);
    let to = segments
        .get(at)
        .map_or(Time::from_samples(u64::MAX), |after| after.start);
    for segment in &mut found {
        segment.shift(start);
        segment.start = segment.start.clamp(from, to);
        segment.end = segment.end.clamp(segment.start, to);
    }
    segments.splice(at..at, found);
}
