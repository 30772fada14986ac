//! One window: what the engine says of it, whether that is believed, and what is done where it is not.

use crossbeam_channel::Sender;

use super::decision::{Again, Decision, WindowEnd, tell};
use super::listen::{LEAD_SAMPLES, Listener, Stop};
use super::record::PREVIOUS_TOKENS_MAX;
use super::threads::Told;
use crate::engine::{EngineError, Heard, Request};
use crate::time::{Span, Time};
use crate::transcript::{Segment, uncovered};

/// The least by which a window moves on, so that an engine that consumes nothing cannot hold the pipeline: 0.5 s.
const ADVANCE_SAMPLES_MIN: usize = 8_000;

/// Above this temperature a text is too uncertain to be handed on. Source: openai/whisper, `transcribe()`.
const CONTEXT_TEMPERATURE_MAX: f32 = 0.5;

/// What may be spent on windows that went wrong: a fourth of all windows are heard again at most, and two at the start.
///
/// Music is speech to a detector and has no text, so that without this bound a concert would be heard three times.
#[derive(Debug)]
pub(super) struct Credit(pub(super) u32);

/// Cost of hearing something again, in windows.
const CREDIT_SPENT: u32 = 4;

/// Most credit that windows can earn.
const CREDIT_MAX: u32 = 16;

impl Default for Credit {
    fn default() -> Self {
        Self(2 * CREDIT_SPENT)
    }
}

impl Credit {
    fn earn(&mut self) {
        self.0 = (self.0 + 1).min(CREDIT_MAX);
    }

    fn spend(&mut self) -> bool {
        let left = self.0.checked_sub(CREDIT_SPENT);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// What the engine made of a window.
struct Answer {
    span: Span,
    heard: Heard,
    /// Speech in the part of the window that the engine is done with, and that no segment covers.
    missed: Vec<Span>,
}

impl Answer {
    fn is_wrong(&self) -> bool {
        self.heard.doubtful || !self.missed.is_empty()
    }

    /// The one of two answers for the same window that is less wrong; this one if they are alike.
    fn or_better(self, other: Self) -> Self {
        let wrong = |answer: &Self| {
            (
                answer.heard.doubtful,
                answer
                    .missed
                    .iter()
                    .map(|s| s.length().samples())
                    .sum::<u64>(),
            )
        };
        if wrong(&other) < wrong(&self) {
            other
        } else {
            self
        }
    }
}

impl Listener<'_> {
    /// Has one window transcribed, checks the text against the speech, and sends it on.
    pub(super) fn hear(&mut self, span: Span, cut: bool, out: &Sender<Told>) -> Result<(), Stop> {
        self.credit.earn();
        let mut answer = self.ask(span, cut, false)?;
        if answer.is_wrong() && answer.heard.used_previous {
            tell(&Decision::Again(Again::WithoutPrevious));
            self.previous.clear();
            answer = answer.or_better(self.ask(span, cut, true)?);
        }
        if answer.is_wrong() && self.credit.spend() {
            // A long window can lead itself astray.
            tell(&Decision::Again(Again::FirstHalf));
            let half = Time::from_samples(span.length().samples() / 2);
            let (shorter, cut) = self.window_to(span.start, span.start + half);
            let alone = self.ask(shorter, cut, false)?;
            if !alone.is_wrong() {
                answer = alone;
            }
        }
        self.settle(answer, out)
    }

    /// Asks the engine for the text of a window; `again` for another text of the same one.
    fn ask(&mut self, span: Span, cut: bool, again: bool) -> Result<Answer, Stop> {
        // Not left to the engine, which may look at it once for each window.
        if self.cancel.is_cancelled() {
            return Err(Stop::Engine(EngineError::Cancelled));
        }
        self.done.windows += u64::from(!again);
        let previous: &[u32] = if self.config.previous_text {
            &self.previous
        } else {
            &[]
        };
        let request = Request {
            previous,
            language: self.language.as_deref(),
            at: span.start,
            cut,
            again,
            cancel: self.cancel,
        };
        let heard = self.engine.transcribe(self.window.slice(span), &request)?;
        let missed = self.missed(span, &heard);
        let is_last = !cut && span.end == self.window.span().end;
        let end = match (cut, is_last) {
            (true, _) => WindowEnd::Cut,
            (false, true) => WindowEnd::Input,
            (false, false) => WindowEnd::Pause,
        };
        tell(&Decision::Heard {
            span,
            end,
            heard: &heard,
            missed: &missed,
        });
        Ok(Answer {
            span,
            heard,
            missed,
        })
    }

    /// Speech in the part of a window that an answer is done with, and that none of its segments covers.
    fn missed(&self, span: Span, heard: &Heard) -> Vec<Span> {
        let Some(speech) = &self.speech else {
            return Vec::new();
        };
        let done = Span::new(
            span.start,
            span.start + Time::from_samples(heard.consumed as u64),
        );
        let spoken = speech
            .spans()
            .map(|spoken| spoken.overlap(done))
            .filter(|s| !s.is_empty());
        let text = heard
            .segments
            .iter()
            .map(|segment| Span::new(span.start + segment.start, span.start + segment.end));
        uncovered(spoken, text)
    }

    /// Sends the segments of a window on and moves behind what is done.
    fn settle(&mut self, answer: Answer, out: &Sender<Told>) -> Result<(), Stop> {
        let Answer {
            span,
            mut heard,
            missed,
        } = answer;
        for segment in &mut heard.segments {
            segment.shift(span.start);
        }
        let mut done =
            span.start + Time::from_samples(heard.consumed.max(ADVANCE_SAMPLES_MIN) as u64);
        let text_end = heard
            .segments
            .last()
            .map_or(span.start, |segment| segment.end);
        for gap in missed {
            let start = gap.start - Time::from_samples(LEAD_SAMPLES);
            if gap.start >= text_end && start.samples_since(span.start) > ADVANCE_SAMPLES_MIN {
                // Behind the last text: the next window hears it with what follows.
                tell(&Decision::Left(start));
                done = done.min(start);
                break;
            }
            self.hear_gap(span, gap, &mut heard.segments)?;
        }
        self.hand_on(&heard);
        for segment in &mut heard.segments {
            segment.id = self.next_id;
            segment.channel = match &self.edge {
                Some(edge) => edge.channel(),
                None => self.config.channel,
            };
            self.next_id += 1;
        }
        self.consume_to(done.min(span.end));
        self.commit(&heard.segments)?;
        for segment in heard.segments {
            out.send(Told::Segment(segment)).map_err(|_| Stop::Unread)?;
        }
        self.tell_reached(out)
    }

    /// Hears speech inside a window that has no text once more, alone; what is still without text is reported.
    fn hear_gap(
        &mut self,
        window: Span,
        gap: Span,
        segments: &mut Vec<Segment>,
    ) -> Result<(), Stop> {
        if self.credit.spend() {
            tell(&Decision::Gap(gap));
            let lead = Time::from_samples(LEAD_SAMPLES);
            let span = Span::new(gap.start - lead, gap.end + lead).overlap(window);
            self.previous.clear();
            let Heard {
                segments: mut found,
                doubtful,
                ..
            } = self.ask(span, false, false)?.heard;
            found
                .iter_mut()
                .for_each(|segment| segment.shift(span.start));
            if !doubtful {
                let at = segments.partition_point(|segment| segment.start < gap.start);
                segments.splice(at..at, found);
            }
        }
        for left in uncovered(std::iter::once(gap), segments.iter().map(Segment::span)) {
            self.report_uncovered(left);
        }
        Ok(())
    }

    fn report_uncovered(&mut self, gap: Span) {
        tell(&Decision::Uncovered(gap));
        self.done.uncovered_samples += gap.length().samples();
        if self.done.uncovered.len() < crate::config::SPANS_MAX {
            self.done.uncovered.push(gap);
        }
    }

    /// Keeps a window's tokens as previous text of the next one, if they can be trusted.
    fn hand_on(&mut self, heard: &Heard) {
        if heard.doubtful || heard.temperature > CONTEXT_TEMPERATURE_MAX {
            self.previous.clear();
            return;
        }
        self.note_language(heard);
        self.previous.extend_from_slice(&heard.context);
        let extra = self.previous.len().saturating_sub(PREVIOUS_TOKENS_MAX);
        self.previous.drain(..extra);
    }

    /// Takes over the language of a window whose text can be trusted. Text of another language is no previous text.
    fn note_language(&mut self, heard: &Heard) {
        let Some(language) = heard
            .language
            .as_ref()
            .filter(|_| !heard.segments.is_empty())
        else {
            return;
        };
        if let Some(from) = self
            .language
            .as_deref()
            .filter(|from| *from != language.code)
        {
            let to = &language.code;
            tell(&Decision::Language { from, to });
            self.previous.clear();
        }
        self.language = Some(language.code.clone());
        self.done.language.get_or_insert_with(|| language.clone());
    }
}
