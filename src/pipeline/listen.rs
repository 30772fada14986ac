//! The engine's side: blocks in, windows out. Chooses what the engine sees and when.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::control::Controls;
use super::decision::{Decision, tell};
use super::edge::{Close, Edge, last_speech};
use super::hear::Credit;
use super::meter::Meter;
use super::progress::Progress;
use super::ran::rtf;
use super::record::Recorder;
use super::threads::Told;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::engine::{Engine, EngineError, Language};
use crate::journal::JournalError;
use crate::memory;
use crate::pool::Block;
use crate::time::{Span, Time};
use crate::vad::SpeechMap;
use crate::window::{Window, window_end};

/// A window starts this long before speech: 0.2 s, so that no onset is cut.
pub(super) const LEAD_SAMPLES: u64 = 3_200;

/// Silence after which previous text no longer belongs to what follows: 10 s.
pub(super) const SILENCE_ENDS_CONTEXT_SAMPLES: usize = 160_000;

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
    /// Time in which no audio was ready.
    pub(super) waited: Duration,
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

/// How far a window is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
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

impl Listener<'_> {
    /// Turns blocks into segments until the blocks end.
    pub(super) fn run(&mut self, blocks: &Receiver<Block>, out: &Sender<Told>) -> Result<(), Stop> {
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
                self.tell_reached(out)?;
                continue;
            }
            self.obey();
            let (span, cut) = self.next_window(filled);
            self.hear(span, cut, out)?;
            self.measure(blocks.len(), out.len());
        }
    }

    /// Does what was asked for between windows.
    fn obey(&mut self) {
        loop {
            if self.controls.take_reclaim() && self.engine.release_state() {
                memory::trim();
                self.meter.engine(self.engine.held());
            }
            if !self.controls.wait(self.cancel) {
                return;
            }
        }
    }

    fn measure(&mut self, blocks: usize, segments: usize) {
        let audio_s = (self.done.heard_to - self.start).seconds();
        let rtf = rtf(self.began.elapsed().as_secs_f64(), audio_s);
        self.meter.flowing(blocks, segments, rtf);
        self.meter.engine(self.engine.held());
        self.meter.sample();
    }

    /// Fills the window, or what of it need be filled now.
    pub(super) fn fill(
        &mut self,
        blocks: &Receiver<Block>,
        rest: &mut Option<(Block, usize)>,
    ) -> Filled {
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
            let began = Instant::now();
            let block = match &self.edge {
                None => blocks.recv().map_err(RecvTimeoutError::from),
                Some(edge) => blocks.recv_timeout(edge.patience()),
            };
            self.done.waited += began.elapsed();
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
            None => speech.scored_to() - Time::from_samples(LEAD_SAMPLES),
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

    pub(super) fn window_to(&self, start: Time, latest: Time) -> (Span, bool) {
        let Some(speech) = &self.speech else {
            return (Span::new(start, latest), true);
        };
        let end = window_end(speech.spans(), start, latest, speech.scored_to());
        (Span::new(start, end.at), end.cut)
    }

    /// Tells the sink how far the transcript is.
    pub(super) fn tell_reached(&self, out: &Sender<Told>) -> Result<(), Stop> {
        out.send(Told::Reached(self.done.heard_to))
            .map_err(|_| Stop::Unread)
    }

    pub(super) fn consume_to(&mut self, time: Time) {
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
