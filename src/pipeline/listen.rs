//! The engine's side: blocks in, segments out. Chooses what the engine sees and checks what it says.

use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::control::Controls;
use super::decision::{Again, Decision, WindowEnd, tell};
use super::edge::{Close, Edge, last_speech};
use super::meter::Meter;
use super::progress::Progress;
use crate::cancel::Cancel;
use crate::config::{Config, LOOK_AHEAD_SAMPLES};
use crate::engine::{Engine, EngineCounts, EngineError, Heard, Language, Request};
use crate::journal::{Checkpoint, Journal, JournalError};
use crate::memory;
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
pub(super) const SILENCE_ENDS_CONTEXT_SAMPLES: usize = 160_000;

/// Tokens of previous text that are kept. Source: openai/whisper, half of the text context less one.
pub(super) const PREVIOUS_TOKENS_MAX: usize = 223;

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
    /// The language of the first text that can be trusted.
    pub(super) language: Option<Language>,
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

/// Why listening stopped before the input's end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The reader of the segments has gone: its error is the cause.
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

/// How far a window is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    /// To its end.
    Whole,
    /// To the end of the input.
    Ended,
    /// As far as a live input goes, and need not go further.
    Closed(Close),
}

/// Listens to one input.
pub(super) struct Listener<'a> {
    pub(super) engine: &'a mut dyn Engine,
    /// `None`: the input is no live one.
    pub(super) edge: Option<Edge>,
    /// Where the transcript starts.
    pub(super) start: Time,
    pub(super) window: &'a mut Window,
    /// `None`: no detector, so nothing is skipped and nothing checked.
    pub(super) speech: Option<&'a mut SpeechMap>,
    pub(super) config: &'a Config,
    pub(super) controls: &'a Controls,
    pub(super) cancel: &'a Cancel,
    pub(super) progress: &'a Progress,
    pub(super) meter: &'a mut Meter,
    pub(super) began: Instant,
    pub(super) previous: Vec<u32>,
    /// Code of the language of `previous`, once it is known.
    pub(super) language: Option<String>,
    pub(super) credit: Credit,
    pub(super) next_id: u64,
    pub(super) done: Listened,
    pub(super) record: Option<Recorder<'a>>,
}

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

impl Listener<'_> {
    /// Turns blocks into segments until the blocks end.
    pub(super) fn run(
        &mut self,
        blocks: &Receiver<Block>,
        out: &Sender<Segment>,
    ) -> Result<(), Stop> {
        let mut rest: Option<(Block, usize)> = None;
        self.pass_over(blocks, &mut rest)?;
        loop {
            let filled = self.fill(blocks, &mut rest);
            let ended = filled == Filled::Ended;
            if self.cancel.is_cancelled() {
                return Err(Stop::Engine(EngineError::Cancelled));
            }
            if self.window.span().is_empty() && ended {
                return Ok(());
            }
            if self.skip_silence(ended) {
                continue;
            }
            if self.controls.take_reclaim() && self.engine.release_state() {
                memory::trim();
            }
            let (span, cut) = self.next_window(filled);
            self.hear(span, cut, out)?;
            self.measure(blocks.len(), out.len());
        }
    }

    /// Hears what the journal's last run had done with, without the engine: so the speech detector stands where it stood.
    fn pass_over(
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
    fn commit(&mut self, segments: &[Segment]) -> Result<(), Stop> {
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

    fn measure(&mut self, blocks: usize, segments: usize) {
        let audio_s = (self.done.heard_to - self.start).seconds();
        let rtf = super::rtf(self.began.elapsed().as_secs_f64(), audio_s);
        self.meter.flowing(blocks, segments, rtf);
        self.meter.engine(self.engine.held());
        self.meter.sample();
    }

    /// Fills the window, or what of it need be filled now.
    fn fill(&mut self, blocks: &Receiver<Block>, rest: &mut Option<(Block, usize)>) -> Filled {
        while self.window.room() > 0 {
            if let Some(close) = self.close() {
                return Filled::Closed(close);
            }
            let (block, from) = match rest.take().map_or_else(|| self.take(blocks), Ok) {
                Ok(next) => next,
                Err(filled) => return filled,
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
        Filled::Whole
    }

    /// Waits for the next block; of a live input, until its device is taken to be stopped.
    fn take(&mut self, blocks: &Receiver<Block>) -> Result<(Block, usize), Filled> {
        loop {
            let block = match &self.edge {
                None => blocks.recv().map_err(RecvTimeoutError::from),
                Some(edge) => blocks.recv_timeout(edge.patience()),
            };
            match block {
                Ok(block) => return Ok((block, 0)),
                Err(RecvTimeoutError::Timeout) => {
                    let held = self.window.span();
                    let speech = self.speech.as_ref();
                    let said = speech.is_none_or(|speech| last_speech(held, speech).is_some());
                    if said && !held.is_empty() {
                        return Err(Filled::Closed(Close::Pause(held.end)));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if let Some(speech) = &mut self.speech {
                        speech.finish();
                    }
                    return Err(Filled::Ended);
                }
            }
        }
    }

    /// Says whether a live input's window is closed before it is full.
    fn close(&self) -> Option<Close> {
        let (edge, speech) = (self.edge.as_ref()?, self.speech.as_ref()?);
        edge.close(self.window.span(), speech)
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
        tell(&Decision::Skipped(Span::new(held.start, start)));
        self.done.skipped += Time::from_samples(skipped as u64);
        self.consume_to(start);
        true
    }

    /// Chooses what the engine sees next, and says whether its end may cut an utterance.
    fn next_window(&self, filled: Filled) -> (Span, bool) {
        let held = self.window.span();
        let latest = held.start + Time::from_samples(self.controls.window_samples() as u64);
        match filled {
            Filled::Ended if held.end <= latest => (held, false),
            Filled::Closed(Close::Pause(end)) if end <= latest => {
                (Span::new(held.start, end), false)
            }
            Filled::Closed(Close::Before(sooner)) => self.window_to(held.start, sooner.min(latest)),
            _ => self.window_to(held.start, latest),
        }
    }

    fn window_to(&self, start: Time, latest: Time) -> (Span, bool) {
        let Some(speech) = &self.speech else {
            return (Span::new(start, latest), true);
        };
        let end = window_end(speech.spans(), start, latest, speech.heard_to());
        (Span::new(start, end.at), end.cut)
    }

    /// Has one window transcribed, checks the text against the speech, and sends it on.
    fn hear(&mut self, span: Span, cut: bool, out: &Sender<Segment>) -> Result<(), Stop> {
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
    fn settle(&mut self, answer: Answer, out: &Sender<Segment>) -> Result<(), Stop> {
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
            segment.channel = self.edge.as_ref().and_then(Edge::channel);
            self.next_id += 1;
        }
        self.consume_to(done.min(span.end));
        self.commit(&heard.segments)?;
        for segment in heard.segments {
            out.send(segment).map_err(|_| Stop::Unread)?;
        }
        Ok(())
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

    fn consume_to(&mut self, time: Time) {
        if let Some(record) = &mut self.record {
            let from = self.window.span().start;
            let done = self.window.slice(Span::new(from, time));
            record.audio.update(bytemuck::cast_slice(done));
        }
        self.window.consume_to(time);
        if let Some(speech) = &mut self.speech {
            speech.forget_before(time);
            self.done.speech = speech.speech_forgotten();
        }
        self.done.heard_to = self.window.span().start;
        self.progress.reached(time);
        if let Some(edge) = &self.edge {
            edge.reached(self.done.heard_to);
        }
    }
}
