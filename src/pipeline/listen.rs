//! The engine's side: blocks in, segments out. Chooses what the engine sees and checks what it says.

use crossbeam_channel::{Receiver, Sender};

use super::progress::Progress;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::engine::{Engine, EngineError, Heard, Request};
use crate::pool::Block;
use crate::time::{Span, Time};
use crate::transcript::{Segment, uncovered};
use crate::vad::SpeechMap;
use crate::window::{Window, window_end};

/// A window starts this long before speech: 0.2 s, so that no onset is cut.
const LEAD_SAMPLES: u64 = 3_200;

/// The least by which a window moves on, so that an engine that consumes nothing cannot hold the pipeline: 0.5 s.
const ADVANCE_SAMPLES_MIN: usize = 8_000;

/// Silence after which previous text no longer belongs to what follows: 10 s.
const SILENCE_ENDS_CONTEXT_SAMPLES: usize = 160_000;

/// Tokens of previous text that are kept. Source: openai/whisper, half of the text context less one.
const PREVIOUS_TOKENS_MAX: usize = 223;

/// Above this temperature a text is too uncertain to be handed on. Source: openai/whisper, `transcribe()`.
const CONTEXT_TEMPERATURE_MAX: f32 = 0.5;

/// What the listener found out.
#[derive(Debug, Default)]
pub(super) struct Listened {
    pub(super) windows: u64,
    pub(super) heard_to: Time,
    pub(super) speech: Time,
    pub(super) skipped: Time,
    /// Speech without text, in order.
    pub(super) uncovered: Vec<Span>,
    pub(super) uncovered_samples: u64,
}

/// Why listening stopped before the input's end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The reader of the segments has gone: its error is the cause.
    Unread,
    Engine(EngineError),
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Listens to one input.
pub(super) struct Listener<'a> {
    pub(super) engine: &'a mut dyn Engine,
    pub(super) window: &'a mut Window,
    /// `None`: no detector, so nothing is skipped and nothing checked.
    pub(super) speech: Option<&'a mut SpeechMap>,
    pub(super) config: &'a Config,
    pub(super) cancel: &'a Cancel,
    pub(super) progress: &'a Progress,
    pub(super) previous: Vec<u32>,
    pub(super) next_id: u64,
    pub(super) done: Listened,
}

impl Listener<'_> {
    /// Turns blocks into segments until the blocks end.
    pub(super) fn run(
        &mut self,
        blocks: &Receiver<Block>,
        out: &Sender<Segment>,
    ) -> Result<(), Stop> {
        let mut rest: Option<(Block, usize)> = None;
        loop {
            let ended = self.fill(blocks, &mut rest);
            if self.cancel.is_cancelled() {
                return Err(Stop::Engine(EngineError::Cancelled));
            }
            if self.window.span().is_empty() && ended {
                return Ok(());
            }
            if self.skip_silence(ended) {
                continue;
            }
            let (span, cut) = self.next_window(ended);
            self.hear(span, cut, out)?;
        }
    }

    /// Fills the window. Returns whether the input has ended.
    fn fill(&mut self, blocks: &Receiver<Block>, rest: &mut Option<(Block, usize)>) -> bool {
        while self.window.room() > 0 {
            let (block, from) = match rest.take() {
                Some(rest) => rest,
                None => match blocks.recv() {
                    Ok(block) => (block, 0),
                    Err(_) => {
                        if let Some(speech) = &mut self.speech {
                            speech.finish();
                        }
                        return true;
                    }
                },
            };
            let taken = self.window.push(&block[from..]);
            if let Some(speech) = &mut self.speech {
                speech.push(&block[from..from + taken]);
            }
            if from + taken < block.len() {
                *rest = Some((block, from + taken));
            } else {
                block.release();
            }
        }
        false
    }

    /// Gives silence in front of the next speech back. Returns whether there is room for more audio, or nothing is left.
    fn skip_silence(&mut self, ended: bool) -> bool {
        let Some(speech) = &mut self.speech else {
            return false;
        };
        let held = self.window.span();
        let start = match speech.spans().find(|span| span.end > held.start) {
            Some(span) => span.start - Time::from_samples(LEAD_SAMPLES),
            None if ended => held.end,
            None => speech.heard_to() - Time::from_samples(LEAD_SAMPLES),
        };
        let skipped = start.samples_since(held.start);
        if skipped == 0 {
            return false;
        }
        if skipped > SILENCE_ENDS_CONTEXT_SAMPLES {
            self.previous.clear();
        }
        self.done.skipped += Time::from_samples(skipped as u64);
        self.consume_to(start);
        true
    }

    /// Chooses what the engine sees next, and says whether its end may cut an utterance.
    fn next_window(&self, ended: bool) -> (Span, bool) {
        let held = self.window.span();
        let latest = held.start + Time::from_seconds(f64::from(self.config.window_s));
        if ended && held.end <= latest {
            return (held, false);
        }
        let Some(speech) = &self.speech else {
            return (Span::new(held.start, latest), true);
        };
        let end = window_end(speech.spans(), held.start, latest, speech.heard_to());
        (Span::new(held.start, end.at), end.cut)
    }

    /// Has one window transcribed, checks the text against the speech, and sends it on.
    fn hear(&mut self, span: Span, cut: bool, out: &Sender<Segment>) -> Result<(), Stop> {
        self.done.windows += 1;
        let mut heard = self.ask(span, cut, false)?;
        let mut missed = self.missed(span, &heard);
        if heard.used_previous && (heard.doubtful || !missed.is_empty()) {
            // Previous text can lead a window astray: what it says without is compared.
            self.previous.clear();
            let alone = self.ask(span, cut, true)?;
            let missed_alone = self.missed(span, &alone);
            let worth = |heard: &Heard, missed: &[Span]| {
                (
                    std::cmp::Reverse(heard.doubtful),
                    std::cmp::Reverse(samples_in(missed)),
                )
            };
            if worth(&alone, &missed_alone) >= worth(&heard, &missed) {
                (heard, missed) = (alone, missed_alone);
            }
        }
        self.settle(span, heard, missed, out)
    }

    fn ask(&mut self, span: Span, cut: bool, again: bool) -> Result<Heard, Stop> {
        let previous: &[u32] = if self.config.previous_text {
            &self.previous
        } else {
            &[]
        };
        let request = Request {
            previous,
            at: span.start,
            cut,
            again,
            cancel: self.cancel,
        };
        Ok(self.engine.transcribe(self.window.slice(span), &request)?)
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
    fn settle(
        &mut self,
        span: Span,
        mut heard: Heard,
        missed: Vec<Span>,
        out: &Sender<Segment>,
    ) -> Result<(), Stop> {
        if std::env::var("W").is_ok() {
            eprintln!(
                "W {:.2}-{:.2} consumed {:.2} missed {:?} T{} lp{:.2} cr{:.2} prev {} doubt {}",
                span.start.seconds(),
                span.end.seconds(),
                heard.consumed as f64 / 16000.,
                missed
                    .iter()
                    .map(|s| (s.start.seconds(), s.end.seconds()))
                    .collect::<Vec<_>>(),
                heard.temperature,
                heard.avg_logprob,
                heard.compression_ratio,
                heard.used_previous,
                heard.doubtful
            );
        }
        for segment in &mut heard.segments {
            segment.shift(span.start);
        }
        let mut done = heard
            .consumed
            .max(ADVANCE_SAMPLES_MIN)
            .min(span.length().samples() as usize);
        let text_end = heard
            .segments
            .last()
            .map_or(span.start, |segment| segment.end);
        for gap in missed {
            let before = gap.start.samples_since(span.start);
            if gap.start >= text_end && before > ADVANCE_SAMPLES_MIN {
                // Behind the last text: the next window starts here and hears it with what follows.
                done = done.min(before.saturating_sub(LEAD_SAMPLES as usize));
                break;
            }
            self.hear_gap(span, gap, &mut heard.segments)?;
        }
        self.hand_on(&heard);
        for segment in heard.segments {
            self.send(segment, out)?;
        }
        self.consume_to(span.start + Time::from_samples(done as u64));
        Ok(())
    }

    /// Decodes speech inside a window that has no text once more, alone; what is still without text is reported.
    fn hear_gap(
        &mut self,
        window: Span,
        gap: Span,
        segments: &mut Vec<Segment>,
    ) -> Result<(), Stop> {
        let lead = Time::from_samples(LEAD_SAMPLES);
        let span = Span::new(gap.start - lead, gap.end + lead).overlap(window);
        let request = Request {
            previous: &[],
            at: span.start,
            cut: false,
            again: false,
            cancel: self.cancel,
        };
        self.done.windows += 1;
        let heard = self.engine.transcribe(self.window.slice(span), &request)?;
        let found = if heard.doubtful {
            Vec::new()
        } else {
            heard.segments
        };
        let at = segments.partition_point(|segment| segment.start < gap.start);
        let texts = found.into_iter().map(|mut segment| {
            segment.shift(span.start);
            segment
        });
        segments.splice(at..at, texts);
        let text = segments.iter().map(Segment::span);
        for gap in uncovered(std::iter::once(gap), text) {
            self.report_uncovered(gap);
        }
        Ok(())
    }

    fn report_uncovered(&mut self, gap: Span) {
        self.done.uncovered_samples += gap.length().samples();
        if self.done.uncovered.len() < crate::report::SPANS_MAX {
            self.done.uncovered.push(gap);
        }
    }

    /// Keeps a window's tokens as previous text of the next one, if they can be trusted.
    fn hand_on(&mut self, heard: &Heard) {
        if heard.doubtful || heard.temperature > CONTEXT_TEMPERATURE_MAX {
            self.previous.clear();
            return;
        }
        self.previous.extend_from_slice(&heard.context);
        let extra = self.previous.len().saturating_sub(PREVIOUS_TOKENS_MAX);
        self.previous.drain(..extra);
    }

    fn send(&mut self, mut segment: Segment, out: &Sender<Segment>) -> Result<(), Stop> {
        segment.id = self.next_id;
        self.next_id += 1;
        out.send(segment).map_err(|_| Stop::Unread)
    }

    fn consume_to(&mut self, time: Time) {
        self.window.consume_to(time);
        if let Some(speech) = &mut self.speech {
            speech.forget_before(time);
            self.done.speech = speech.speech_forgotten();
        }
        self.done.heard_to = self.window.span().start;
        self.progress.reached(time);
    }
}

fn samples_in(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.length().samples()).sum()
}
