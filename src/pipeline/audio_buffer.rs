//! The audio that the engine may see now: blocks in, speech found in them, consumed from the front.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::decoding::SealedBlock;
use super::live_edge::LiveEdge;
use super::outcome::Stop;
use super::schedule::{Close, Filled, Speech};
use crate::cancel::Cancel;
use crate::config::{BLOCK_SAMPLES, LOOK_AHEAD_SAMPLES};
use crate::engine::EngineError;
use crate::journal::{AudioMark, JournalError};
use crate::time::{Span, Time};
use crate::vad::SpeechMap;
use crate::window::Window;

/// Marks that are kept: of a window, the look-ahead and the block that is read.
const MARKS_MAX: usize = 31 * 16_000 / BLOCK_SAMPLES + 2;

/// A window of audio with what the detector found in it.
pub(super) struct AudioBuffer<'a> {
    blocks: Receiver<SealedBlock>,
    /// A block of which a part did not fit.
    rest: Option<(SealedBlock, usize)>,
    pub(super) window: &'a mut Window,
    /// `None`: no detector.
    speech: Option<&'a mut SpeechMap>,
    /// `None`: the input is not live.
    edge: Option<LiveEdge>,
    /// Ends of the blocks that were read, with the checksums of the input up to there. None of a
    /// live input, which has no journal.
    marks: VecDeque<AudioMark>,
    /// The newest mark before the window.
    passed: AudioMark,
    /// Time in which no audio was ready.
    pub(super) waited: Duration,
}

impl<'a> AudioBuffer<'a> {
    /// Starts with an empty window at `start`.
    pub(super) fn new(
        blocks: Receiver<SealedBlock>,
        window: &'a mut Window,
        speech: Option<&'a mut SpeechMap>,
        edge: Option<LiveEdge>,
        start: Time,
    ) -> Self {
        window.reset(start);
        let mut speech = speech;
        if let Some(speech) = &mut speech {
            speech.reset(start);
        }
        Self {
            blocks,
            rest: None,
            window,
            speech,
            edge,
            marks: VecDeque::with_capacity(MARKS_MAX),
            passed: AudioMark::default(),
            waited: Duration::ZERO,
        }
    }

    /// Returns what of the time line is held.
    pub(super) fn span(&self) -> Span {
        self.window.span()
    }

    /// Returns speech as far as it is known; `None` without a detector.
    pub(super) fn speech(
        &self,
    ) -> Option<Speech<impl DoubleEndedIterator<Item = Span> + Clone + '_>> {
        self.speech.as_deref().map(Speech::of)
    }

    /// Returns the length of all speech that was consumed.
    pub(super) fn speech_consumed(&self) -> Time {
        let speech = self.speech.as_ref();
        speech.map_or(Time::ZERO, |speech| speech.speech_forgotten())
    }

    /// Returns the newest block end before the window, with the input's checksum there.
    pub(super) fn mark(&self) -> AudioMark {
        self.passed
    }

    /// Returns how many blocks wait.
    pub(super) fn queued(&self) -> usize {
        self.blocks.len()
    }

    /// Fills the window, or what of it need be filled now.
    pub(super) fn fill(&mut self) -> Filled {
        while self.window.room() > 0 {
            if let Some(close) = self.close() {
                return Filled::Closed(close);
            }
            let (sealed, from) = match self.rest.take().map_or_else(|| self.receive(), Ok) {
                Ok(next) => next,
                Err(filled) => return filled,
            };
            let block = &sealed.block;
            let taken = self.window.push(&block[from..]);
            if let Some(speech) = &mut self.speech {
                speech.push(&block[from..from + taken]);
            }
            if from + taken < block.len() {
                self.rest = Some((sealed, from + taken));
            } else {
                if self.edge.is_none() {
                    self.marks.push_back(AudioMark {
                        at: self.window.span().end,
                        checksum: sealed.checksum,
                    });
                }
                sealed.block.release();
            }
        }
        Filled::Full
    }

    /// Waits for the next block; of a live input, until its device counts as stopped.
    fn receive(&mut self) -> Result<(SealedBlock, usize), Filled> {
        loop {
            let began = Instant::now();
            let block = match &self.edge {
                None => self.blocks.recv().map_err(RecvTimeoutError::from),
                Some(edge) => self.blocks.recv_timeout(edge.patience()),
            };
            self.waited += began.elapsed();
            match block {
                Ok(block) => return Ok((block, 0)),
                Err(RecvTimeoutError::Timeout) => {
                    let held = self.window.span();
                    let speech = self.speech.as_deref();
                    let spoken = speech.is_none_or(|map| Speech::of(map).last_in(held).is_some());
                    if spoken && !held.is_empty() {
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

    /// Returns whether a live input's window is closed before it is full.
    fn close(&self) -> Option<Close> {
        let (edge, speech) = (self.edge.as_ref()?, self.speech()?);
        edge.close(self.window.span(), &speech)
    }

    /// Gives back all audio before `time`.
    pub(super) fn consume_to(&mut self, time: Time) {
        self.window.consume_to(time);
        if let Some(speech) = &mut self.speech {
            speech.forget_before(time);
        }
        let start = self.window.span().start;
        while let Some(mark) = self.marks.front().filter(|mark| mark.at <= start) {
            self.passed = *mark;
            self.marks.pop_front();
        }
    }

    /// Consumes what an earlier run was done with, without the engine, so that the detector stands
    /// where it stood. Checks that it is the same audio.
    pub(super) fn pass_to(
        &mut self,
        position: Time,
        expected: AudioMark,
        cancel: &Cancel,
    ) -> Result<(), Stop> {
        while self.window.span().start < position {
            let has_ended = self.fill() == Filled::Ended;
            if cancel.is_cancelled() {
                return Err(EngineError::Cancelled.into());
            }
            let held = self.window.span();
            if has_ended && held.end < position {
                break;
            }
            // The detector is a second ahead, so that no span of speech is open at the position.
            let ahead = if has_ended {
                0
            } else {
                LOOK_AHEAD_SAMPLES as u64
            };
            self.consume_to(position.min(held.end - Time::from_samples(ahead)));
        }
        let found = self.passed;
        if self.window.span().start == position && found == expected {
            return Ok(());
        }
        let describe = |mark: AudioMark| format!("checksum {:08x} at {}", mark.checksum, mark.at);
        Err(JournalError::Changed {
            what: "the audio before the journal's end".into(),
            was: describe(expected),
            now: describe(found),
        }
        .into())
    }
}
